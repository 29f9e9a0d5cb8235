#include "kernels/lab/stage.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "kernels/lab/machine.h"

namespace graft::lab {
namespace {

constexpr int kPoison = 0xff;  // as a float of any width: NaN

bool may_write(const ErasedCase& c, std::size_t k) {
  bool w = c.operands[k].role != Role::in;
  for (const Operand& o : c.operands) w |= o.alias_of == static_cast<int>(k) && o.role != Role::in;
  return w;
}

}  // namespace

std::vector<Piece> stir(Operands& ops, std::uint64_t seed) {
  std::vector<Piece> pieces;
  const ErasedCase& c = ops.work();
  std::mt19937_64 bits(seed);
  for (std::size_t k = 0; k < c.operands.size(); ++k) {
    const Operand& o = c.operands[k];
    const std::int64_t n = ops.views()[k].numel();
    if (o.role == Role::out || o.alias_of >= 0 || n < 2 || o.fill == Fill::index || o.fill == Fill::boolean) continue;
    if (o.dtype && !is_float(*o.dtype)) continue;
    for (int i = 0; i < 16; ++i) {
      const auto from = static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n)),
                 to = static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n));
      pieces.push_back({k, ops.copy_element(k, from, to), size_of(ops.views()[k].dtype)});
    }
  }
  return pieces;
}

Stage::Stage(Operands& host, Queue& q)
    : host_(host), q_(q), memory_(device_memory(q.device())), blocks_(host.views().size()), views_(host.views()) {
  const ErasedCase& c = host.work();
  for (std::size_t k = 0; k < views_.size(); ++k) {
    if (const int same = c.operands[k].alias_of; same >= 0) {
      views_[k].data = views_[static_cast<std::size_t>(same)].data;
      continue;
    }
    const auto bytes = host_.buffer(k);
    Block& b = blocks_[k];
    b.memory = static_cast<std::byte*>(memory_.allocate(bytes.size() + 64));
    if (!b.memory) {
      for (Block& x : blocks_)
        if (x.memory) memory_.release(x.memory);
      throw Error(Code::memory,
                  "'" + c.operands[k].name + "' of " + c.shape + " does not fit on " + name_of(q.device()) + "; choose a smaller --shape");
    }
    b.first = b.memory + reinterpret_cast<std::uintptr_t>(bytes.data()) % 64;  // elements keep their place within 64 bytes
    b.written = may_write(c, k);
    b.only_written = c.operands[k].role == Role::out;
    views_[k].data = b.first + host_.begin(k);
  }
  begin_ = memory_.make_mark();
  end_ = memory_.make_mark();
}
Stage::~Stage() {
  for (Block& b : blocks_)
    if (b.memory) memory_.release(b.memory);
  memory_.end_mark(begin_);
  memory_.end_mark(end_);
}

std::size_t Stage::bytes() const {
  std::size_t n = 0;
  for (std::size_t k = 0; k < blocks_.size(); ++k)
    if (blocks_[k].first) n += static_cast<std::size_t>(views_[k].numel()) * size_of(views_[k].dtype);
  return n;
}

void Stage::upload() {
  for (std::size_t k = 0; k < blocks_.size(); ++k)
    if (blocks_[k].first) memory_.upload(blocks_[k].first, host_.buffer(k).data(), host_.buffer(k).size(), q_.stream());
}
void Stage::upload(const std::vector<Piece>& pieces) {
  for (const Piece& p : pieces) memory_.upload(blocks_[p.operand].first + p.at, &host_.buffer(p.operand)[p.at], p.size, q_.stream());
}

void Stage::spoil() {
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    Block& b = blocks_[k];
    if (!b.first || !b.written) continue;
    if (b.only_written) memory_.fill(b.first, kPoison, host_.buffer(k).size(), q_.stream());
    else memory_.upload(b.first, host_.buffer(k).data(), host_.buffer(k).size(), q_.stream());
  }
  spoil_scratch();
}
void Stage::spoil_scratch() {
  const std::size_t n = q_.scratch_bytes();
  if (n == 0) return;
  std::byte* p = q_.scratch(n);
  if (q_.device().kind == DeviceKind::cuda) return memory_.fill(p, kPoison, n, q_.stream());
  // By the queue's threads, each a part: as scratch is after a call, and not the whole of it in the caches of one thread while the others
  // go to sleep. Peers keep theirs, warm, from call to call.
  const auto bytes = static_cast<std::int64_t>(n);
  parallel_ranges(q_.pool(), bytes, (bytes + q_.threads() - 1) / q_.threads(),
                  [&](std::int64_t b, std::int64_t e) { std::memset(p + b, kPoison, static_cast<std::size_t>(e - b)); });
}
void Stage::forget_scratch() {
  spoil_scratch();
  q_.release_scratch();
}

double Stage::run(int row) {
  memory_.head_start(q_.stream());
  memory_.set_mark(begin_, q_.stream());
  host_.work().run(q_, row, views_);
  memory_.set_mark(end_, q_.stream());
  return memory_.seconds_between(begin_, end_);
}

std::string Stage::untouched(std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    const View& v = views_[k];
    const std::int64_t n = v.numel();
    if (!blocks_[k].first || !blocks_[k].only_written || !is_float(v.dtype) || n == 0) continue;
    const std::size_t size = size_of(v.dtype);
    for (int i = 0; i < 64; ++i) {
      const auto at = static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n));  // outputs are dense here
      std::byte one[8];
      memory_.download(one, static_cast<const std::byte*>(v.data) + static_cast<std::size_t>(at) * size, size, q_.stream());
      if (std::all_of(one, one + size, [](std::byte b) { return b == std::byte{kPoison}; }))
        return "'" + host_.work().operands[k].name + "' element " + std::to_string(at) + " still has the NaN bytes of before the call";
    }
  }
  return {};
}

std::vector<std::byte> Stage::outputs() {
  std::vector<std::byte> all;
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    if (!blocks_[k].first || !blocks_[k].written) continue;
    const std::size_t at = all.size(), n = host_.buffer(k).size();
    all.resize(at + n);
    memory_.download(all.data() + at, blocks_[k].first, n, q_.stream());
  }
  return all;
}
void Stage::download() {
  for (std::size_t k = 0; k < blocks_.size(); ++k)
    if (blocks_[k].first) memory_.download(host_.buffer(k).data(), blocks_[k].first, host_.buffer(k).size(), q_.stream());
}

Flusher::Flusher(Queue& q) : q_(q), memory_(device_memory(q.device())) {
  const std::size_t cache = q.device().kind == DeviceKind::cuda ? memory_.facts().cache_bytes : cache_sizes().back();
  bytes_ = std::max<std::size_t>(2 * cache, std::size_t{64} << 20);
  p_ = memory_.allocate(bytes_);
  if (!p_) throw Error(Code::memory, "--cold needs " + std::to_string(bytes_ >> 20) + " MiB more than are free");
}
Flusher::~Flusher() { memory_.release(p_); }
void Flusher::flush() {
  next_ = (next_ + 1) & 0x7f;
  if (q_.device().kind == DeviceKind::cuda) return memory_.fill(p_, next_, bytes_, q_.stream());
  parallel_ranges(q_.pool(), static_cast<std::int64_t>(bytes_), 1 << 20,
                  [&](std::int64_t b, std::int64_t e) { std::memset(static_cast<char*>(p_) + b, next_, static_cast<std::size_t>(e - b)); });
}

}  // namespace graft::lab
