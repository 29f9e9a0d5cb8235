#include "kernels/core/spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>

#include "kernels/core/device.h"

namespace graft {
namespace {

// SplitMix64: the harness wants cheap reproducible bits, independent of the engine's own generator, which is under test itself.
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ull;
struct Bits {
  std::uint64_t s;
  std::uint64_t next() {
    std::uint64_t z = (s += kGolden);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double normal() { return std::sqrt(-2 * std::log(1 - unit())) * std::cos(6.283185307179586 * unit()); }
};

double draw(Fill fill, Bits& b, DType t, std::int64_t limit, bool inf_row) {
  switch (fill) {
    case Fill::normal: return b.normal();
    case Fill::positive: return 0.1 + 1.9 * b.unit();
    case Fill::unit: return b.unit();
    case Fill::large_offset: return 1000 * (1 + std::floor(8 * b.unit()) * std::max(epsilon_of(t), 0x1p-40));
    case Fill::equal: return 1.7;
    case Fill::inf_rows: {
      const double v = b.normal();
      return inf_row ? -INFINITY : v;
    }
    case Fill::denormal: return (b.unit() - 0.5) * smallest_normal(t);
    case Fill::extreme: return b.unit() < 0.5 ? -80.0 : 80.0;
    case Fill::index: return limit > 0 ? static_cast<double>(b.next() % static_cast<std::uint64_t>(limit)) : 0;
    case Fill::boolean: return static_cast<double>(b.next() & 1);
    case Fill::zero: return 0;
    case Fill::small: return b.normal() * 0x1p-115;
    case Fill::some_nan:
    case Fill::some_inf:
    case Fill::rare_nan:
    case Fill::rare_inf: {
      const double v = b.normal(), u = b.unit();
      const double nans = fill == Fill::some_nan ? 1.0 / 7 : fill == Fill::rare_nan ? 1.0 / static_cast<double>(limit) : 0.0;
      const double infinities = fill == Fill::some_nan   ? 1.0 / 14
                                : fill == Fill::some_inf ? 1.0 / 20
                                : fill == Fill::rare_inf ? 1.0 / static_cast<double>(limit)
                                                         : 0.0;
      return u < nans ? NAN : u < nans + infinities ? std::copysign(INFINITY, v) : v;
    }
  }
  return 0;
}

void store(void* p, DType t, std::int64_t i, double v) {
  visit(t, [&]<class T>() {
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) static_cast<T*>(p)[i] = T(static_cast<float>(v));
    else static_cast<T*>(p)[i] = static_cast<T>(v);
  });
}
double load(const void* p, DType t, std::int64_t i) {
  return visit(t, [&]<class T>() -> double {
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) return static_cast<float>(static_cast<const T*>(p)[i]);
    else return static_cast<double>(static_cast<const T*>(p)[i]);
  });
}

// f(flat row-major position, element offset) over a view
template <class F>
void each(const View& v, F&& f) {
  const std::int64_t n = v.numel();
  std::int64_t at[kMaxRank] = {}, off = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    f(i, off);
    for (int d = v.rank - 1; d >= 0; --d) {
      off += v.stride[d];
      if (++at[d] < v.shape[d]) break;
      off -= v.stride[d] * v.shape[d];
      at[d] = 0;
    }
  }
}

// How often draw() asks for bits per element: SplitMix64 counts, so an element's value does not need those before it.
int draws(Fill fill, std::int64_t limit) {
  if (fill == Fill::equal || fill == Fill::zero || (fill == Fill::index && limit <= 0)) return 0;
  if (fill == Fill::some_nan || fill == Fill::some_inf || fill == Fill::rare_nan || fill == Fill::rare_inf) return 3;
  return fill == Fill::normal || fill == Fill::small || fill == Fill::inf_rows ? 2 : 1;
}

// Large operands (a GPU's benchmark shapes) are drawn by several threads; the values are the same.
void fill_view(const View& v, const Operand& op, DType drawn, std::uint64_t seed) {
  if (op.drawn_by) return op.drawn_by(v);
  const std::int64_t n = v.numel(), cols = v.rank ? std::max<std::int64_t>(1, v.shape[v.rank - 1]) : 1, rows = n / cols;
  const auto part = [&](std::int64_t first, std::int64_t last) {  // rows
    Bits bits{seed + static_cast<std::uint64_t>(first * cols * draws(op.fill, op.limit)) * kGolden};
    for (std::int64_t r = first; r < last; ++r) {
      std::int64_t off = 0, at = r;
      for (int d = v.rank - 2; d >= 0; --d) {
        off += at % v.shape[d] * v.stride[d];
        at /= v.shape[d];
      }
      for (std::int64_t i = 0; i < (v.rank ? cols : 1); ++i) {
        double x = draw(op.fill, bits, drawn, op.limit, r % 3 == 2);
        if (is_float(drawn)) {  // exactly what the case's dtype can hold
          alignas(8) std::byte one[8];
          store(one, drawn, 0, x);
          x = load(one, drawn, 0);
        }
        store(v.data, v.dtype, off + (v.rank ? i * v.stride[v.rank - 1] : 0), x);
      }
    }
  };
  const auto threads = std::min<std::int64_t>({n >> 19, rows, static_cast<std::int64_t>(std::thread::hardware_concurrency())});
  if (threads < 2) return part(0, rows);
  std::vector<std::thread> pool;
  for (std::int64_t t = 0; t < threads; ++t) pool.emplace_back(part, rows * t / threads, rows * (t + 1) / threads);
  for (auto& t : pool) t.join();
}

std::string coordinates(const View& v, std::int64_t i) {
  std::string s;
  for (int d = v.rank - 1; d >= 0; --d) {
    s = std::to_string(v.shape[d] ? i % v.shape[d] : 0) + (s.empty() ? "" : ",") + s;
    if (v.shape[d]) i /= v.shape[d];
  }
  return "[" + s + "]";
}

std::uint64_t hash(std::string_view s) {
  std::uint64_t h = 1469598103934665603ull;
  for (unsigned char c : s) h = (h ^ c) * 1099511628211ull;
  return h;
}

constexpr std::size_t kGuard = 128;  // bytes before and after every buffer
constexpr std::byte kPattern{0xff};  // as a float of any width: NaN

bool written(const Operand& o) { return o.role != Role::in; }

// A kernel under the emulator once more, its threads run in other orders: any bit that differs is a race or a missing barrier.
std::string other_orders(const ErasedCase& c, int row, Queue& q, DType t, Layout layout, std::uint64_t seed, const Operands& first) {
  for (const LaneOrder order : {LaneOrder::down, LaneOrder::seeded}) {
    Operands again(c, t, layout, seed);
    q.set_lane_order(order);
    struct Restore {
      Queue& q;
      ~Restore() { q.set_lane_order(LaneOrder::up); }
    } restore{q};
    again.run(q, row);
    for (std::size_t k = 0; k < c.operands.size(); ++k) {
      if (!written(c.operands[k])) continue;
      const View &a = first.views()[k], &b = again.views()[k];
      std::int64_t where = -1;
      each(a, [&](std::int64_t i, std::int64_t o) {
        const std::size_t size = size_of(a.dtype), at = static_cast<std::size_t>(o) * size;
        if (where < 0 && std::memcmp(a.as<const std::byte>() + at, b.as<const std::byte>() + at, size) != 0) where = i;
      });
      if (where >= 0)
        return "'" + c.operands[k].name + "' " + coordinates(a, where) + " depends on the order in which threads run (" +
               (order == LaneOrder::down ? "down" : "seeded") + "): a race or a missing barrier";
    }
  }
  return {};
}

}  // namespace

std::string_view name_of(Layout l) {
  switch (l) {
    case Layout::dense: return "dense";
    case Layout::misaligned: return "misaligned";
    case Layout::sliced: return "sliced";
    case Layout::transposed: return "transposed";
    case Layout::stepped: return "stepped";
  }
  return "?";
}

Operands::Operands(const ErasedCase& c, DType dtype, Layout layout, std::uint64_t seed, bool as_truth) : case_(&c) {
  buffers_.resize(c.operands.size());
  views_.resize(c.operands.size());
  for (std::size_t k = 0; k < c.operands.size(); ++k) {
    const Operand& op = c.operands[k];
    const DType drawn = op.dtype.value_or(dtype);
    const DType held = op.dtype ? *op.dtype : (as_truth ? DType::f64 : dtype);
    if (op.alias_of >= 0) {
      views_[k] = views_[static_cast<std::size_t>(op.alias_of)];
      continue;
    }
    const int rank = static_cast<int>(op.shape.size());
    View v = dense_view(nullptr, held, op.shape);
    std::int64_t extra = 0, first = 0;  // elements
    const Layout l = op.dense_only || as_truth ? Layout::dense : layout;
    if (l == Layout::misaligned) first = 1;
    if (l == Layout::sliced && rank >= 1) {
      std::int64_t step = rank >= 2 ? op.shape[rank - 1] + 5 : 1;
      first = 2;
      for (int d = rank - 2; d >= 0; --d) {
        v.stride[d] = step;
        step *= op.shape[d];
      }
    }
    if (l == Layout::transposed && rank >= 2) {
      v.stride[rank - 2] = 1;
      v.stride[rank - 1] = op.shape[rank - 2];
    }
    if (l == Layout::stepped && rank >= 1) {
      for (int d = 0; d < rank; ++d) v.stride[d] *= 2;
    }
    extra = first + 1;
    for (int d = 0; d < rank; ++d) extra += std::max<std::int64_t>(0, op.shape[d] - 1) * v.stride[d];
    Buffer& b = buffers_[k];
    const std::size_t size = size_of(held);
    b.bytes.assign(2 * kGuard + static_cast<std::size_t>(extra) * size + 64, kPattern);
    const auto base = reinterpret_cast<std::uintptr_t>(b.bytes.data()) + kGuard;
    b.begin = (64 - base % 64) % 64 + kGuard + static_cast<std::size_t>(first) * size;
    v.data = b.bytes.data() + b.begin;
    views_[k] = v;
    if (op.role != Role::out) fill_view(v, op, drawn, seed ^ hash(op.name) ^ (k * 0x9e37ull));
    b.before = b.bytes;
  }
}

std::size_t Operands::copy_element(std::size_t operand, std::int64_t from, std::int64_t to) {
  const View& v = views_[operand];
  Buffer& b = buffers_[operand];
  const std::size_t size = size_of(v.dtype);
  const auto place = [&](std::int64_t i) {
    std::int64_t off = 0;
    for (int d = v.rank - 1; d >= 0; --d) {
      off += i % v.shape[d] * v.stride[d];
      i /= v.shape[d];
    }
    return static_cast<std::size_t>(off * static_cast<std::int64_t>(size)) + b.begin;
  };
  const std::size_t a = place(from), z = place(to);
  Change change{operand, z, {}};
  std::memcpy(change.old.data(), &b.before[z], size);
  changes_.push_back(change);
  std::memcpy(&b.before[z], &b.before[a], size);
  std::memcpy(&b.bytes[z], &b.before[z], size);
  return z;
}
void Operands::restart() {
  for (auto c = changes_.rbegin(); c != changes_.rend(); ++c)
    std::memcpy(&buffers_[c->operand].before[c->at], c->old.data(), size_of(views_[c->operand].dtype));
  changes_.clear();
  for (Buffer& b : buffers_) std::copy(b.before.begin(), b.before.end(), b.bytes.begin());  // in place: views point there
}

void Operands::run(Queue& q, int row) {
  if (q.device().kind == DeviceKind::cpu) return case_->run(q, row, views_);
  DeviceMemory& memory = device_memory(q.device());
  struct Copy {
    DeviceMemory& memory;
    std::vector<void*> blocks;
    ~Copy() {
      for (void* p : blocks) memory.release(p);
    }
  } there{memory, {}};
  std::vector<View> views = views_;
  std::vector<std::byte*> first(buffers_.size(), nullptr);
  for (std::size_t k = 0; k < views.size(); ++k) {
    if (const int same = case_->operands[k].alias_of; same >= 0) {
      views[k].data = views[static_cast<std::size_t>(same)].data;
      continue;
    }
    Buffer& b = buffers_[k];
    void* p = memory.allocate(b.bytes.size() + 64);
    if (!p) throw Error(Code::memory, "'" + case_->operands[k].name + "' of " + case_->shape + " does not fit on " + name_of(q.device()));
    there.blocks.push_back(p);
    first[k] =
        static_cast<std::byte*>(p) + reinterpret_cast<std::uintptr_t>(b.bytes.data()) % 64;  // elements keep their place within 64 bytes
    memory.upload(first[k], b.bytes.data(), b.bytes.size(), q.stream());
    views[k].data = first[k] + b.begin;
  }
  case_->run(q, row, views);
  for (std::size_t k = 0; k < views.size(); ++k)
    if (first[k]) memory.download(buffers_[k].bytes.data(), first[k], buffers_[k].bytes.size(), q.stream());
}

void Operands::poison_outputs() {
  for (std::size_t k = 0; k < views_.size(); ++k)
    if (case_->operands[k].role == Role::out && case_->operands[k].alias_of < 0)
      std::fill(buffers_[k].bytes.begin(), buffers_[k].bytes.end(), kPattern);
}

std::string Operands::damage() const {
  for (std::size_t k = 0; k < views_.size(); ++k) {
    const Operand& op = case_->operands[k];
    if (op.alias_of >= 0) continue;
    const Buffer& b = buffers_[k];
    bool may_write = written(op);
    for (std::size_t j = 0; j < views_.size(); ++j)
      may_write |= case_->operands[j].alias_of == static_cast<int>(k) && written(case_->operands[j]);
    std::vector<std::byte> allowed;
    if (may_write) {
      allowed = b.bytes;  // expected: as before, except where the view writes
      std::vector<std::byte> expect = b.before;
      const std::size_t size = size_of(views_[k].dtype);
      each(views_[k], [&](std::int64_t, std::int64_t o) {
        const std::size_t at = b.begin + static_cast<std::size_t>(o) * size;
        std::memcpy(expect.data() + at, b.bytes.data() + at, size);
      });
      if (expect != b.bytes) return "wrote outside of '" + op.name + "'";
    } else if (b.bytes != b.before) {
      return "changed input '" + op.name + "'";
    }
  }
  return {};
}

std::vector<double> values_of(const View& v) {
  std::vector<double> out(static_cast<std::size_t>(v.numel()));
  each(v, [&](std::int64_t i, std::int64_t o) { out[static_cast<std::size_t>(i)] = load(v.data, v.dtype, o); });
  return out;
}

double largest_of(const std::vector<double>& expect) {
  double largest = 0;
  for (double e : expect)
    if (std::isfinite(e)) largest = std::max(largest, std::abs(e));
  return largest;
}
double a_priori_allowance(const ErasedCase& c, DType out, double largest) {
  // 16-bit outputs are sums in f32 rounded once; the rounding at the store is in ulps(T).
  return c.roundings * (out == DType::f64 ? epsilon_of(DType::f64) : epsilon_of(DType::f32)) * largest;
}

Judgement judge(const View& out, const std::vector<double>& expect, bool exact, double allowance) {
  Judgement j;
  const double eps = epsilon_of(out.dtype);
  double worst = -1, worst_error = 0, worst_got = 0;
  std::int64_t worst_at = 0, at = 0;
  for (const double got : values_of(out)) {
    const double want = expect[static_cast<std::size_t>(at)];
    const std::int64_t i = at++;
    double error, tolerance;
    if (!std::isfinite(want)) {
      error = (std::isnan(want) ? std::isnan(got) : got == want) ? 0 : INFINITY;
      tolerance = 0;
    } else {
      error = std::abs(got - want);
      tolerance = exact ? 0 : allowance + 4 * eps * std::max(std::abs(want), smallest_normal(out.dtype));
      // f16 overflow: what cannot be held becomes infinity, and that is right
      if (out.dtype == DType::f16 && std::abs(want) >= 65520 && std::isinf(got) && (got > 0) == (want > 0)) error = 0;
      if (error < INFINITY) j.largest_error = std::max(j.largest_error, error);
    }
    if (!(error <= tolerance)) {
      j.ok = false;
      const double score = tolerance > 0 ? error / tolerance : INFINITY;
      if (!(score <= worst)) worst = score, worst_at = i, worst_error = error, worst_got = got;
    }
  }
  if (j.ok) return j;
  char text[256];
  std::snprintf(text, sizeof text, "%s is %.9g, wants %.9g (error %.3g, %.3g times the tolerance)", coordinates(out, worst_at).c_str(),
                worst_got, expect[static_cast<std::size_t>(worst_at)], worst_error, worst);
  j.worst = text;
  return j;
}

namespace {

struct Yardstick {  // of one output
  double largest = 0, naive_error = 0;
};
// ref and naive on further draws of a case with few outputs, until 32 elements of each or 16 draws. Empty, or what is wrong with naive:
// it is held to its own bound here as well, since the others are measured by its error.
std::string draw_again(const ErasedCase& c, DType t, std::uint64_t seed, Queue& host, int ref, int naive, std::vector<Yardstick>& sticks) {
  std::int64_t fewest = 32;
  for (const Operand& o : c.operands)
    if (written(o) && is_float(o.dtype.value_or(t))) {
      std::int64_t n = 1;
      for (const std::int64_t d : o.shape) n *= d;
      if (n > 0) fewest = std::min(fewest, n);
    }
  const std::int64_t draws = c.exact ? 1 : std::min<std::int64_t>(16, (32 + fewest - 1) / fewest);
  for (std::int64_t d = 1; d < draws; ++d) {
    const std::uint64_t other = seed + static_cast<std::uint64_t>(d) * 0xd1342543de82ef95ull;
    Operands truth(c, t, Layout::dense, other, true), plain(c, t, Layout::dense, other);
    if (!c.allowed(naive, plain.views())) return {};
    truth.run(host, ref);
    plain.run(host, naive);
    for (std::size_t k = 0; k < c.operands.size(); ++k) {
      if (!written(c.operands[k]) || !is_float(plain.views()[k].dtype)) continue;
      const std::vector<double> expect = values_of(truth.views()[k]);
      sticks[k].largest = std::max(sticks[k].largest, largest_of(expect));
      const View& out = plain.views()[k];
      const Judgement j = judge(out, expect, false, std::numeric_limits<double>::max());  // what is finite is judged below
      if (!j.ok) return "'" + c.operands[k].name + "' " + j.worst + ", in draw " + std::to_string(d + 1);
      sticks[k].naive_error = std::max(sticks[k].naive_error, j.largest_error);
    }
  }
  for (std::size_t k = 0; k < c.operands.size(); ++k) {  // by the largest value of all draws: one element may be near to 0
    const DType out = c.operands[k].dtype.value_or(t);
    const double bound =
        a_priori_allowance(c, out, sticks[k].largest) + 4 * epsilon_of(out) * std::max(sticks[k].largest, smallest_normal(out));
    if (sticks[k].naive_error > bound) {
      char text[128];
      std::snprintf(text, sizeof text, "': error %.3g in %lld draws, %.3g times the bound", sticks[k].naive_error,
                    static_cast<long long>(draws), sticks[k].naive_error / bound);
      return "'" + c.operands[k].name + text;
    }
  }
  return {};
}

}  // namespace

CheckReport check(const Spec& spec, Queue& q, const CheckOptions& options) {
  CheckReport report;
  const std::string family(spec.family->name());
  std::optional<Queue> host_queue;  // ref and naive are the host's
  if (q.device().kind != DeviceKind::cpu) host_queue.emplace(q.threads());
  Queue& host = host_queue ? *host_queue : q;
  int ref = -1, naive = -1;
  std::vector<int> order;
  for (int r = 0; r < static_cast<int>(spec.rows.size()); ++r) {
    if (spec.rows[r].name == "ref") ref = r;
    else if (spec.rows[r].name == "naive") naive = r;
  }
  if (ref < 0 || naive < 0) {
    report.failures.push_back(family + ": the table needs rows named ref and naive");
    return report;
  }
  order.push_back(naive);  // first: the others are measured against its error
  for (int r = 0; r < static_cast<int>(spec.rows.size()); ++r)
    if (r != ref && r != naive && serves(spec.rows[r].backend, q.device().kind)) order.push_back(r);
  if (!options.variant.empty()) {
    bool known = false;
    for (const auto& r : spec.rows) known |= r.name == options.variant;
    if (!known) return report;
  }

  for (const auto& c : spec.cases)
    for (DType t : c.dtypes) {
      if (c.only_timed()) continue;
      const std::string id = family + "/" + c.shape + "/" + std::string(name_of(t));
      const std::uint64_t seed = options.seed * 0x100000001b3ull ^ hash(id);
      Operands truth(c, t, Layout::dense, seed, !c.exact);
      truth.run(host, ref);
      std::vector<std::vector<double>> expect(c.operands.size());
      for (std::size_t k = 0; k < c.operands.size(); ++k)
        if (written(c.operands[k])) expect[k] = values_of(truth.views()[k]);
      std::vector<Yardstick> sticks(c.operands.size());
      for (std::size_t k = 0; k < c.operands.size(); ++k) sticks[k].largest = largest_of(expect[k]);
      if (const std::string wrong = draw_again(c, t, seed, host, ref, naive, sticks);
          !wrong.empty() && (options.variant.empty() || options.variant == "naive"))
        report.failures.push_back(family + "=naive " + c.shape + " " + std::string(name_of(t)) + ": " + wrong + " (seed " +
                                  std::to_string(options.seed) + ")");

      for (int r : order) {
        const std::string variant(spec.rows[r].name);
        const bool wanted = options.variant.empty() || options.variant == variant;
        if (!wanted && r != naive) continue;
        for (Layout layout : c.layouts) {
          Operands ops(c, t, layout, seed);
          const std::string where =
              family + "=" + variant + " " + c.shape + " " + std::string(name_of(t)) + " " + std::string(name_of(layout));
          const Verdict v = c.allowed(r, ops.views());
          if (!v) {
            ++report.refused[variant];
            if (options.verbose) std::fprintf(stderr, "refused %s: %s\n", where.c_str(), v.reason.c_str());
            continue;
          }
          ops.run(r == naive ? host : q, r);
          if (wanted) ++report.ran[variant];
          const auto fail = [&](const std::string& what) {
            if (wanted) report.failures.push_back(where + ": " + what + " (seed " + std::to_string(options.seed) + ")");
          };
          if (const std::string d = ops.damage(); !d.empty()) fail(d);
          if (spec.rows[r].backend == Backend::emu && !spec.rows[r].order_dependent) {
            if (const std::string o = other_orders(c, r, q, t, layout, seed, ops); !o.empty()) fail(o);
          }
          for (std::size_t k = 0; k < c.operands.size(); ++k) {
            if (!written(c.operands[k])) continue;
            const View& out = ops.views()[k];
            const bool exact = c.exact || !is_float(out.dtype);
            // In f64 the truth is rounded like the rows themselves, so e(naive) measures nothing and the a-priori bound takes its place.
            const bool a_priori = r == naive || out.dtype == DType::f64;
            const double allowance = a_priori ? a_priori_allowance(c, out.dtype, sticks[k].largest) : 2 * sticks[k].naive_error;
            const Judgement j = judge(out, expect[k], exact, allowance);
            if (r == naive) sticks[k].naive_error = std::max(sticks[k].naive_error, j.largest_error);
            if (!j.ok) fail("'" + c.operands[k].name + "' " + j.worst);
          }
          if (options.verbose) std::fprintf(stderr, "ran %s\n", where.c_str());
        }
      }
    }
  return report;
}

}  // namespace graft
