#include "kernels/lab/measure.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "kernels/lab/statistics.h"

namespace graft::lab {
namespace {

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a + 0x9e3779b97f4a7c15ull * (b + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
std::uint64_t hash(const std::string& s) {
  std::uint64_t h = 1469598103934665603ull;
  for (unsigned char c : s) h = (h ^ c) * 1099511628211ull;
  return h;
}
constexpr std::uint64_t kFirstUnrecorded = std::uint64_t{1} << 63;  // numbers of the rounds before and after the timed ones
// A round may spend this on its oracle.
double oracle_seconds(const Options& o) { return std::max(0.5, 3 * o.seconds); }
void sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }
std::string micro(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g us", seconds * 1e6);
  return text;
}
// Winograd's F(4x4, 3x3) multiplies a quarter as often as the definition that the cases count by.
double least_flops(std::string_view family) { return family.starts_with("conv") ? 0.25 : 1; }

}  // namespace

Lab::Lab(Queue& q, Options options) : q_(q), options_(options), roofline_(q) {
  if (q.device().kind != DeviceKind::cpu) host_.emplace(q.threads());
  threads_.adopt();
  std::random_device entropy;
  seed_ = options_.seed.value_or((static_cast<std::uint64_t>(entropy()) << 32 | entropy()) >> 11);  // a JSON number keeps 53 bits
  if (options_.cold) flusher_.emplace(q);
}
void Lab::flush() {
  if (flusher_) flusher_->flush();
}
void Lab::rest(bool after_peer) {
  sleep(peer_ran_ ? 0.06 : 0.001);  // OpenBLAS and OpenMP spin for tens of milliseconds
  peer_ran_ = after_peer;
}

// Operands of one round. Candidates share the drawn values; outputs are spoiled before every call.
struct Contest::Round {
  std::uint64_t number, seed;
  Operands operands;
  Stage stage;
  std::uint64_t last_stir;
  bool asked = false;  // the oracle knows this round's last call
  Round(Lab& lab, const ErasedCase& c, DType t, std::uint64_t n, std::uint64_t s)
      : number(n), seed(s), operands(c, t, Layout::dense, s), stage(operands, lab.queue()), last_stir(mix(s, 1)) {}
};

Contest::Contest(Lab& lab, const Spec& spec, const ErasedCase& c, DType t, const std::vector<int>& rows, int trusted)
    : lab_(lab), spec_(spec), case_(c), dtype_(t), oracle_(spec, c, t, trusted, lab.host()) {
  for (const int r : rows) {
    Candidate k;
    k.row = r;
    k.name = spec.rows[static_cast<std::size_t>(r)].name;
    k.peer = k.name.starts_with("peer.");
    candidates_.push_back(std::move(k));
  }
  lab_.threads().adopt();
}
Contest::~Contest() = default;
void Contest::rest() { round_.reset(); }

std::string Contest::row_name(const Candidate& c) const {
  return std::string(spec_.family->name()) + "/" + c.name + "/" + case_.shape + "/" + std::string(name_of(dtype_)) +
         "/threads:" + std::to_string(lab_.queue().threads());
}

Work Contest::cost() const {
  Work w{case_.flops, case_.bytes_per_item * static_cast<double>(size_of(dtype_)) + case_.other_bytes, 0, dtype_,
         least_flops(spec_.family->name())};
  for (const Operand& o : case_.operands) {
    std::size_t n = o.alias_of >= 0 ? 0 : size_of(o.dtype.value_or(dtype_));
    for (const std::int64_t s : o.shape) n *= static_cast<std::size_t>(s);
    w.working_set += n;
  }
  return w;
}

Contest::Round& Contest::round(std::uint64_t number) {
  if (!round_ || round_->number != number) {
    round_.reset();
    round_ = std::make_unique<Round>(lab_, case_, dtype_, number,
                                     mix(lab_.seed() ^ hash(case_.shape + std::string(spec_.family->name())), number));
  }
  return *round_;
}

std::optional<double> Contest::turn(Candidate& c, std::uint64_t number) {
  if (!c.caught.empty()) return {};
  lab_.rest(c.peer);
  Round& r = round(number);
  r.stage.forget_scratch();
  std::mt19937_64 bits(mix(r.seed, hash(c.name)));
  const auto most = static_cast<std::uint64_t>(c.calls);
  const int calls = c.calls == 1 ? 1 : static_cast<int>(1 + most / 2 + bits() % most);
  r.operands.restart();
  r.stage.upload();
  std::vector<Piece> stirred;
  std::vector<double> times;
  double slowest = 0;
  if (!c.peer) lab_.threads().begin();
  for (int i = 0; i <= calls && c.caught.empty(); ++i) {  // the first one is not timed: pages, scratch, sleeping workers
    if (i == calls) {
      r.operands.restart();
      r.stage.upload(stirred);
    }
    if (i) {
      const auto pieces = stir(r.operands, i == calls ? r.last_stir : bits());
      r.stage.upload(pieces);
      stirred.insert(stirred.end(), pieces.begin(), pieces.end());
    }
    r.stage.spoil();
    lab_.flush();
    const double t = r.stage.run(c.row);
    slowest = std::max(slowest, t);
    if (i) times.push_back(t);
    if (i < calls) {
      if (const std::string left = r.stage.untouched(bits()); !left.empty()) c.caught = "left its output unwritten: " + left;
    }
  }
  if (c.caught.empty()) c.caught = after_turn(c, r, slowest);
  if (c.peer || !c.caught.empty()) lab_.threads().adopt();  // what runs on is not the next one's fault
  const double least = times.empty() ? 0 : *std::min_element(times.begin(), times.end());
  if (c.caught.empty() && least < lab_.roofline().floor(cost())) {
    lab_.roofline().measure();
    if (const double floor = lab_.roofline().floor(cost()); least < floor)
      c.caught = micro(least) + " is less than the " + micro(floor) + " that this machine needs at least for " +
                 std::to_string(static_cast<long long>(case_.flops)) + " FLOPs and " +
                 std::to_string(static_cast<long long>(cost().bytes)) + " bytes";
  }
  ++c.turns;
  if (!c.caught.empty()) return {};
  c.samples.insert(c.samples.end(), times.begin(), times.end());
  if (const auto mhz = clock_mhz(lab_.queue().device())) c.clocks.push_back(*mhz);
  if (const auto w = power_watts(lab_.queue().device())) c.watts.push_back(*w);
  return median(times);
}

// What only the last call of a turn is asked. Empty when all is well.
std::string Contest::after_turn(Candidate& c, Round& r, double slowest) {
  const std::vector<std::byte> at_return = r.stage.outputs();
  sleep(std::clamp(2 * slowest, 0.003, 0.05));
  device_memory(lab_.queue().device()).synchronize(lab_.queue().stream());
  if (at_return != r.stage.outputs()) return "went on writing after it had returned";
  if (!c.peer && lab_.queue().device().kind != DeviceKind::cuda) {  // a driver has threads of its own
    Threads& threads = lab_.threads();
    const bool left_behind = threads.claim(&c);
    double foreign = threads.foreign(&c);
    const auto much = [&] { return foreign > 1e-4 + 0.01 * slowest; };
    for (int i = 0; i < 20 && left_behind && !much(); ++i) {  // it may not have had a processor yet
      sleep(0.005);
      foreign = threads.foreign(&c);
    }
    if (much())
      return "used " + micro(foreign) + " of processor time in threads that are not the queue's (it has " +
             std::to_string(lab_.queue().threads()) + ")";
  }
  r.stage.download();
  if (const std::string damage = r.operands.damage(); !damage.empty()) return damage;
  if (!r.asked) {
    const double share = asks_every_round() ? 1 : oracle_seconds(lab_.options()) / oracle_.cost();
    const bool must = r.number >= kFirstUnrecorded;
    if (!must && static_cast<double>(mix(r.seed, 2) >> 11) * 0x1p-53 >= share) return {};
    oracle_.ask(r.seed, r.last_stir);
    r.asked = true;
  }
  const Verdicts v = oracle_.judge(r.operands.views());
  ++c.checked;
  c.error = std::max(c.error, v.error);
  return v.wrong;
}

bool Contest::asks_every_round() const { return oracle_.cost() <= oracle_seconds(lab_.options()); }

std::optional<double> Contest::unrecorded_turn(Candidate& c, std::uint64_t number) {
  const auto samples = c.samples.size(), clocks = c.clocks.size(), watts = c.watts.size();
  const int calls = std::exchange(c.calls, 1);
  const auto t = turn(c, number);
  c.calls = calls;
  c.samples.resize(samples);
  c.clocks.resize(clocks);
  c.watts.resize(watts);
  return t;
}
void Contest::rehearse(Candidate& c) {
  if (const auto t = unrecorded_turn(c, kFirstUnrecorded))
    c.calls = static_cast<int>(std::clamp(lab_.options().seconds / lab_.least_rounds() / *t, 1.0, 100.0));
}
void Contest::close(Candidate& c) { unrecorded_turn(c, kFirstUnrecorded + 1); }

namespace {
// Where operands would lie, without drawing their values.
ErasedCase undrawn(const ErasedCase& c) {
  ErasedCase plan = c;
  for (Operand& o : plan.operands) o.role = Role::out;
  return plan;
}
}  // namespace

Verdict may_run(const Spec&, const ErasedCase& c, DType t, int row) {
  const ErasedCase plan = undrawn(c);
  return c.allowed(row, Operands(plan, t, Layout::dense, 1).views());
}

int trusted_rows(const Spec& spec, const std::string& outside) {
  int n = 0;
  while (n < static_cast<int>(spec.rows.size()) && !spec.rows[static_cast<std::size_t>(n)].name.starts_with("peer.") &&
         spec.rows[static_cast<std::size_t>(n)].name != outside)
    ++n;
  return n;
}

std::vector<int> able(const Spec& spec, const ErasedCase& c, DType t, DeviceKind device, const std::vector<std::string>& named,
                      const std::string& against) {
  std::vector<int> rows;
  const ErasedCase plan = undrawn(c);
  const Operands ops(plan, t, Layout::dense, 1);
  for (int r = 0; r < static_cast<int>(spec.rows.size()); ++r) {
    const VariantInfo& row = spec.rows[static_cast<std::size_t>(r)];
    if (!serves(row.backend, device) || !c.allowed(r, ops.views())) continue;
    const bool left_out = named.empty() ? row.name.starts_with("peer.") || (row.name == "naive" && c.only_timed())
                                        : std::find(named.begin(), named.end(), row.name) == named.end();
    if (left_out && row.name != against) continue;
    rows.push_back(r);
  }
  return rows;
}

namespace {

// The medians of the turns, as the benchmark reports them.
class Collector : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& r : runs)
      if (!r.error_occurred && r.run_type == Run::RT_Iteration)
        times[r.run_name.function_name].push_back(r.real_accumulated_time / static_cast<double>(r.iterations));
  }
  std::map<std::string, std::vector<double>> times;
};

}  // namespace

void start_benchmarks() {
  static bool started = false;
  if (std::exchange(started, true)) return;
  static char name[] = "graft", interleave[] = "--benchmark_enable_random_interleaving=true";
  char* arguments[] = {name, interleave, nullptr};
  int count = 2;
  benchmark::Initialize(&count, arguments);
}

void run_contest(Contest& contest, Lab& lab) {
  start_benchmarks();
  for (Candidate& c : contest.candidates()) contest.rehearse(c);
  Collector collected;
  benchmark::ClearRegisteredBenchmarks();
  std::uint64_t round = 0;
  for (Candidate& c : contest.candidates())
    benchmark::RegisterBenchmark(contest.row_name(c).c_str(),
                                 [&contest, &c, &round](benchmark::State& state) {
                                   for (auto _ : state) {
                                     if (const auto t = contest.turn(c, round)) state.SetIterationTime(*t);
                                     else state.SkipWithError(c.caught.c_str());
                                   }
                                 })
        ->UseManualTime()
        ->Iterations(1);
  const auto settled = [&] {
    for (Candidate& c : contest.candidates()) {
      c.rounds = collected.times[contest.row_name(c)];
      if (c.caught.empty() && uncertainty(c.rounds) > lab.options().noise) return false;
    }
    return true;
  };
  const int most = lab.options().seconds > 0 ? lab.options().most_rounds : lab.least_rounds();
  const auto begin = std::chrono::steady_clock::now();
  const double patience = 20 * lab.options().seconds * static_cast<double>(contest.candidates().size());
  const auto enough = [&] {
    return settled() || std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() > patience;
  };
  for (; static_cast<int>(round) < most && (static_cast<int>(round) < lab.least_rounds() || !enough()); ++round)
    benchmark::RunSpecifiedBenchmarks(&collected, "all");
  if (!contest.asks_every_round())
    for (Candidate& c : contest.candidates()) contest.close(c);
  for (Candidate& c : contest.candidates()) c.rounds = collected.times[contest.row_name(c)];
  benchmark::ClearRegisteredBenchmarks();
  contest.rest();
}

}  // namespace graft::lab
