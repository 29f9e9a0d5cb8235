// What hopper.h's words do on the host. Everything asynchronous happens as late as the program allows, and what it works on is NaN
// meanwhile: results before a wait, tiles before their barrier. The asynchronous proxy (TMA, wgmma) has a view of shared memory of its own,
// which ordinary writes reach only by fence_proxy_async. What the hardware answers with garbage or a hang is an error with a name where the
// model can know it.
#pragma once
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/simt/tensor_map.h"

namespace graft::emu::model {

using simt::Where;

// An mbarrier as it lies in its 8 bytes of shared memory.
struct Barrier {
  unsigned expected = 0, pending = 0;  // arrivals, 20 bits
  int bytes = 0;                       // announced and not yet arrived, 21 bits with a sign
  unsigned phase = 0;
  static constexpr std::uint64_t kMagic = 1;  // above the state: untouched shared memory has 3 there
  static Barrier load(const void* p, const char* kind, const Where& at) {
    simt::check_shared(p, 8, 8, kind, at);
    std::uint64_t u;
    std::memcpy(&u, p, 8);
    if (u >> 62 != kMagic) simt::fault(at, std::string(kind) + ": the mbarrier was not initialised, or has been overwritten");
    return {static_cast<unsigned>(u & 0xfffff), static_cast<unsigned>(u >> 20 & 0xfffff), static_cast<int>(u >> 40 & 0x1fffff) - (1 << 20),
            static_cast<unsigned>(u >> 61 & 1)};
  }
  void store(void* p) const {
    const auto shifted = static_cast<std::uint64_t>(bytes + (1 << 20));
    const std::uint64_t u = expected | std::uint64_t{pending} << 20 | shifted << 40 | std::uint64_t{phase} << 61 | kMagic << 62;
    std::memcpy(p, &u, 8);
  }
  void next_phase() { pending = expected, bytes = 0, phase ^= 1; }
};

// f(byte of the box, first byte of 16 in global memory or nullptr, elements in front of the tensor, elements that exist behind those)
template <class F>
void each_piece(const TensorTile& t, const std::int64_t (&at)[3], F f) {
  const auto size = static_cast<std::int64_t>(size_of(t.dtype)), per = 16 / size;
  unsigned byte = 0;
  for (std::int64_t z = at[2]; z < at[2] + t.box[2]; ++z)
    for (std::int64_t y = at[1]; y < at[1] + t.box[1]; ++y)
      for (std::int64_t x = at[0]; x < at[0] + t.box[0]; x += per, byte += 16) {
        const std::int64_t before = std::clamp<std::int64_t>(-x, 0, per), count = std::clamp<std::int64_t>(t.size[0] - x, 0, per) - before;
        const bool inside = count > 0 && y >= 0 && y < t.size[1] && z >= 0 && z < t.size[2];
        f(byte, inside ? static_cast<std::byte*>(t.data) + (x + y * t.stride[1] + z * t.stride[2]) * size : nullptr, before * size,
          inside ? count * size : 0);
      }
}

struct Load {
  TensorMap map;
  std::int64_t at[3];
  std::uint32_t to;
  Where issued;
};
struct Store {
  TensorMap map;
  std::int64_t at[3];
  std::uint32_t from;
  Where issued;
  std::vector<std::byte> seen;
};
struct Stores {                           // of one lane
  std::vector<Store> open;                // not yet in a group
  std::deque<std::vector<Store>> groups;  // oldest first
};
// An accumulator of a warp group: its true values while the registers are NaN.
struct Sums {
  float* registers[128];
  std::vector<float> value;  // [64, n]
  int n = 0, under_way = 0;  // products
};
struct Operand {
  std::uint64_t descriptor = 0;
  bool mn_major = false;
  std::vector<std::uint16_t> seen;  // [m or n, 16]
};
struct Product {
  Where at;
  Operand a, b;
  std::shared_ptr<Sums> sums;
};
struct WarpGroup {
  bool fenced = false;
  std::vector<Product> open;
  std::deque<std::vector<Product>> groups;
  std::map<const float*, std::shared_ptr<Sums>> sums;  // by the first lane's registers
  int registers = 0, wanted = 0;                       // setmaxnreg, per lane
};

class Hopper : public simt::BlockState {
 public:
  static Hopper& mine() {
    auto& state = simt::self->block->state;
    if (!state) state = std::make_shared<Hopper>();
    return static_cast<Hopper&>(*state);
  }
  Hopper() : view_(simt::kSharedLimit + 65536, std::byte{0xff}), groups_(8) {
    const dim3 b = simt::self->block->geometry.block;
    threads_ = b.x * b.y * b.z;
    for (WarpGroup& g : groups_) g.registers = static_cast<int>(std::min(65536 / threads_, 255u) / 8 * 8);
  }
  void end() override {
    for (const auto& [address, loads] : loads_)
      if (!loads.empty()) simt::fault(loads.front().issued, "tma_load: the block ended while its copy was under way");
    for (auto& [lane, s] : stores_) {
      s.groups.push_back(std::move(s.open));
      for (const auto& group : s.groups)
        if (!group.empty())
          simt::fault(group.front().issued, "tma_store: the block ended before tma_store_wait; its shared memory may be another's by then");
    }
  }

  // ---- the asynchronous proxy's view of shared memory ----
  void fence_proxy() {
    simt::each_shared(
        [](std::byte* p, std::size_t bytes, void* view) {
          std::memcpy(static_cast<std::byte*>(view) + (p - static_cast<std::byte*>(simt::shared_pointer(0))), p, bytes);
        },
        view_.data());
    fence_barriers();
  }
  void fence_barriers() { hidden_.clear(); }
  void put(std::uint32_t address, const void* from, std::size_t bytes) {
    std::memcpy(view_.data() + address, from, bytes);
    std::memcpy(simt::shared_pointer(address), from, bytes);
  }

  // ---- mbarriers ----
  void init(void* p, int arrivals, const Where& at) {
    simt::check_shared(p, 8, 8, "mbarrier_init", at);
    if (arrivals < 1 || arrivals >= 1 << 20)
      simt::fault(at, "mbarrier_init: " + std::to_string(arrivals) + " arrivals, wants 1 to 2^20 - 1");
    Barrier b;
    b.expected = b.pending = static_cast<unsigned>(arrivals);
    b.store(p);
    hidden_.insert(simt::shared_address(p, at));
  }
  void arrive(void* p, int bytes, const char* kind, const Where& at) {
    Barrier b = Barrier::load(p, kind, at);
    if (bytes < 0 || b.bytes + bytes >= 1 << 20)
      simt::fault(at, std::string(kind) + ": " + std::to_string(bytes) + " bytes, a phase has at most 2^20 - 1");
    if (b.pending == 0)
      simt::fault(at, std::string(kind) + ": more arrivals in this phase than the " + std::to_string(b.expected) + " of mbarrier_init");
    b.bytes += bytes;
    if (--b.pending == 0 && b.bytes == 0) {
      if (const auto& loads = loads_[simt::shared_address(p, at)]; !loads.empty())
        simt::fault(
            at, std::string(kind) + ": the phase completes while a tma_load to it is under way: its bytes were not announced by expect_tx");
      b.next_phase();
    }
    b.store(p);
  }
  struct Wait {
    void* barrier;
    unsigned parity;
    const Where* at;
    char text[160];
  };
  void wait(void* p, unsigned parity, const Where& at) {
    if (parity > 1) simt::fault(at, "mbarrier_wait: parity " + std::to_string(parity) + ", wants 0 or 1");
    Wait w{p, parity, &at, "mbarrier_wait"};
    simt::wait_until(
        w.text,
        [](void* arg) {
          Wait& me = *static_cast<Wait*>(arg);
          return mine().completed(me);
        },
        &w, at);
  }

  // ---- TMA ----
  void load(const TensorMap& map, void* to, void* barrier, const std::int64_t (&at)[3], int rank, const Where& where) {
    const auto bytes = static_cast<std::size_t>(map.box_bytes());
    check_box(map, to, rank, "tma_load", where);
    Barrier::load(barrier, "tma_load", where);
    const std::uint32_t address = simt::shared_address(barrier, where), first = simt::shared_address(to, where);
    if (hidden_.count(address))
      simt::fault(where, "tma_load: no mbarrier_init_fence since mbarrier_init: the copy may not see the barrier");
    const std::vector<std::byte> nan(bytes, std::byte{0xff});
    put(first, nan.data(), bytes);
    loads_[address].push_back({map, {at[0], at[1], at[2]}, first, where});
  }
  void store(const TensorMap& map, const void* from, const std::int64_t (&at)[3], int rank, const Where& where) {
    check_box(map, from, rank, "tma_store", where);
    const std::uint32_t first = simt::shared_address(from, where);
    stores_[simt::self->index].open.push_back(
        {map, {at[0], at[1], at[2]}, first, where, seen(first, static_cast<std::size_t>(map.box_bytes()))});
  }
  void commit_stores() {
    Stores& s = stores_[simt::self->index];
    s.groups.push_back(std::move(s.open));
    s.open.clear();
  }
  void finish_stores(std::size_t last, const Where& at) {
    Stores& s = stores_[simt::self->index];
    for (; s.groups.size() > last; s.groups.pop_front())
      for (const Store& c : s.groups.front()) {
        if (seen(c.from, c.seen.size()) != c.seen) simt::fault(at, "tma_store: its shared memory was overwritten before this wait");
        each_piece(c.map, c.at, [&](unsigned byte, std::byte* global, std::int64_t before, std::int64_t count) {
          if (global)
            std::memcpy(global + before, view_.data() + swizzled(c.from + byte, c.map.swizzle) + before, static_cast<std::size_t>(count));
        });
      }
  }

  // ---- wgmma ----
  WarpGroup& group() { return groups_[simt::self->index / 128]; }
  // The 16 k's of each row of A or column of B: where a descriptor and the swizzle say that they lie.
  std::vector<std::uint16_t> read(const Operand& o, int lines, const Where& at) const {
    const auto field = [&](int bit) { return static_cast<unsigned>(o.descriptor >> bit & 0x3fff) << 4; };
    const unsigned start = field(0), leading = field(16), stride = field(32);
    const auto swizzle = static_cast<Swizzle>(o.descriptor >> 62);
    const unsigned pieces = swizzle_pieces(swizzle);
    if (o.descriptor >> 49 & 7)
      simt::fault(at, "wgmma: the descriptor has a base offset; tiles here begin at multiples of the swizzle's pattern");
    std::vector<std::uint16_t> out(static_cast<std::size_t>(lines) * 16);
    const auto piece = [&](unsigned address, std::uint16_t* to, std::size_t step) {
      address = swizzled(start + address, swizzle);
      simt::check_shared(simt::shared_pointer(address), 16, 16, "wgmma: operand", at);
      for (std::size_t e = 0; e < 8; ++e) std::memcpy(to + e * step, view_.data() + address + 2 * e, 2);
    };
    for (unsigned line = 0; line < static_cast<unsigned>(lines); line += o.mn_major ? 8 : 1)
      for (unsigned k = 0; k < 16; k += o.mn_major ? 1 : 8) {
        const unsigned i = o.mn_major ? line / 8 : k / 8, j = o.mn_major ? k : line;  // piece along the dense axis, line across it
        const bool plain = swizzle == Swizzle::none;
        const unsigned across = j % 8 * pieces * 16 + j / 8 * (plain && o.mn_major ? leading : stride);
        const unsigned along = plain ? i * (o.mn_major ? stride : leading) : i % pieces * 16 + i / pieces * leading;
        piece(across + along, out.data() + line * 16 + k, o.mn_major ? 16 : 1);
      }
    return out;
  }
  struct Issue {
    float* d;
    std::uint64_t a, b;
    bool add;
    const Where* at;
  };
  template <class T>
  void issue(void* const* args, int n, bool a_mn, bool b_mn) {
    const auto lane = [&](int i) -> const Issue& { return *static_cast<const Issue*>(args[i]); };
    const Where& at = *lane(0).at;
    for (int i = 1; i < 128; ++i)
      if (lane(i).a != lane(0).a || lane(i).b != lane(0).b || lane(i).add != lane(0).add)
        simt::fault(at, "wgmma: lanes of the warp group bring different operands");
    WarpGroup& g = group();
    auto& sums = g.sums[lane(0).d];
    if (!sums) sums = std::make_shared<Sums>();
    Sums& s = *sums;
    if (s.under_way == 0) {
      if (!g.fenced) simt::fault(at, "wgmma: no wgmma_fence since its registers could be touched");
      s.n = n;
      s.value.resize(64 * static_cast<std::size_t>(n));
      for (int i = 0; i < 128; ++i) s.registers[i] = lane(i).d;
      each(s, [](float& value, float& r) { value = r, r = __uint_as_float(kUnderWay); });
    } else if (s.n != n) {
      simt::fault(at, "wgmma: products of different shapes into one accumulator; wgmma_wait between them");
    } else {
      untouched(s, at);
    }
    Product p{at, {lane(0).a, a_mn, {}}, {lane(0).b, b_mn, {}}, sums};
    p.a.seen = read(p.a, 64, at), p.b.seen = read(p.b, n, at);
    multiply<T>(p, s, lane(0).add);
    ++s.under_way;
    g.open.push_back(std::move(p));
  }
  void commit_products() {
    WarpGroup& g = group();
    g.groups.push_back(std::move(g.open));
    g.open.clear();
  }
  void finish_products(std::size_t last, const Where& at) {
    WarpGroup& g = group();
    g.fenced = false;
    for (; g.groups.size() > last; g.groups.pop_front())
      for (Product& p : g.groups.front()) {
        if (read(p.a, 64, p.at) != p.a.seen || read(p.b, p.sums->n, p.at) != p.b.seen)
          simt::fault(p.at, "wgmma: an operand in shared memory was overwritten before wgmma_wait");
        if (--p.sums->under_way) continue;
        untouched(*p.sums, at);
        each(*p.sums, [](float& value, float& r) { r = value; });
        g.sums.erase(p.sums->registers[0]);
      }
  }

  // ---- registers ----
  struct Registers {
    int wanted;
  };
  void set_registers(int wanted, bool more, const Where& at) {
    WarpGroup& g = group();
    if (wanted < 24 || wanted > 256 || wanted % 8)
      simt::fault(at, "setmaxnreg: " + std::to_string(wanted) + ", wants a multiple of 8 from 24 to 256");
    if (more ? wanted < g.registers : wanted > g.registers)
      simt::fault(at, "setmaxnreg: from " + std::to_string(g.registers) + " to " + std::to_string(wanted) + " is the other direction");
    g.wanted = wanted;
  }
  bool registers_fit() {
    WarpGroup& me = group();
    int all = 0;
    for (unsigned i = 0; i * 128 < threads_; ++i) all += 128 * (&groups_[i] == &me ? me.wanted : groups_[i].registers);
    if (all > 65536) return false;
    me.registers = me.wanted;
    return true;
  }

 private:
  static constexpr unsigned kUnderWay = 0xffbfffffu;  // a signalling NaN: any arithmetic on it leaves another one
  // f(value, register): D's fragment of a lane, PTX ISA "wgmma.mma_async.m64nNk16"
  template <class F>
  static void each(Sums& s, F f) {
    for (int lane = 0; lane < 128; ++lane)
      for (int i = 0; i < s.n / 2; ++i) {
        const int row = lane / 32 * 16 + lane % 32 / 4 + i / 2 % 2 * 8, col = i / 4 * 8 + lane % 4 * 2 + i % 2;
        f(s.value[static_cast<std::size_t>(row * s.n + col)], s.registers[lane][i]);
      }
  }
  static void untouched(Sums& s, const Where& at) {
    bool same = true;
    each(s, [&](float&, float& r) { same &= __float_as_uint(r) == kUnderWay; });
    if (!same) simt::fault(at, "wgmma: an accumulator was written while products into it were under way");
  }
  // As mma's model: sums of 16 products in double, rounded once.
  template <class T>
  static void multiply(const Product& p, Sums& s, bool add) {
    const auto n = static_cast<std::size_t>(s.n);
    std::vector<double> a(64 * 16), b(16 * n), row(n);
    const auto value = [](std::uint16_t bits) {
      T v;
      v.bits = bits;
      return static_cast<double>(static_cast<float>(v));
    };
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = value(p.a.seen[i]);
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t k = 0; k < 16; ++k) b[k * n + j] = value(p.b.seen[j * 16 + k]);
    for (std::size_t i = 0; i < 64; ++i) {
      for (std::size_t j = 0; j < n; ++j) row[j] = add ? s.value[i * n + j] : 0;
      for (std::size_t k = 0; k < 16; ++k)
        for (std::size_t j = 0; j < n; ++j) row[j] += a[i * 16 + k] * b[k * n + j];
      for (std::size_t j = 0; j < n; ++j) s.value[i * n + j] = static_cast<float>(row[j]);
    }
  }
  std::vector<std::byte> seen(std::uint32_t first, std::size_t bytes) const { return {view_.data() + first, view_.data() + first + bytes}; }
  static void check_box(const TensorMap& map, const void* p, int rank, const char* kind, const Where& at) {
    if (map.rank != rank)
      simt::fault(at, std::string(kind) + ": " + std::to_string(rank) + " coordinates for " + map.name + ", which has rank " +
                          std::to_string(map.rank));
    simt::check_shared(p, static_cast<std::size_t>(map.box_bytes()), 128, kind, at);
  }
  // Whether the phase is over. The last arrival's copies are performed when somebody asks and not before.
  bool completed(Wait& w) {
    Barrier b = Barrier::load(w.barrier, "mbarrier_wait", *w.at);
    if (b.phase != w.parity) return true;
    if (b.pending == 0) {
      auto& loads = loads_[simt::shared_address(w.barrier, *w.at)];
      for (const Load& l : loads) {
        b.bytes -= l.map.box_bytes();
        if (b.bytes < 0) simt::fault(l.issued, "tma_load: " + std::to_string(-b.bytes) + " bytes more than expect_tx announced");
        each_piece(l.map, l.at, [&](unsigned byte, const std::byte* global, std::int64_t before, std::int64_t count) {
          std::byte piece[16] = {};
          if (global) std::memcpy(piece + before, global + before, static_cast<std::size_t>(count));
          put(swizzled(l.to + byte, l.map.swizzle), piece, 16);
        });
      }
      loads.clear();
      if (b.bytes == 0) b.next_phase();
      b.store(w.barrier);
    }
    std::snprintf(w.text, sizeof w.text, "mbarrier_wait (phase %u lacks %u of %u arrivals and %d announced bytes)", w.parity, b.pending,
                  b.expected, b.bytes);
    return b.phase != w.parity;
  }

  std::vector<std::byte> view_;
  std::set<std::uint32_t> hidden_;                    // mbarriers that the asynchronous proxy cannot see yet
  std::map<std::uint32_t, std::vector<Load>> loads_;  // under way, by their mbarrier
  std::map<unsigned, Stores> stores_;
  std::vector<WarpGroup> groups_;
  unsigned threads_ = 0;
};

}  // namespace graft::emu::model
