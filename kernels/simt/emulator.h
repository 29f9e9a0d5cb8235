// The emulator: runs a CUDA kernel on the host, one fiber per CUDA thread (docs/emulator.md). This header is its machine side, without
// CUDA's words (those are in host_words.h). Blocks are tasks of the pool; inside a block one OS thread runs the lanes in turn, switching
// only where a kernel waits (__syncthreads, warp operations), so a kernel without barriers costs one fiber and no switch. Rules it keeps: a
// lane that returned is never entered again; a barrier waits for every lane that has not exited and refuses to be met at two places; warp
// operations meet per warp and mask; a deadlock is an error that names lanes and lines; shared memory has exactly the declared size, is
// NaN-filled per block, guarded, and counted against the device's limit. A broken kernel throws Error(bug), one line.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "kernels/core/queue.h"

// As CUDA's, in its namespace: the global one.
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x, y, z;
};

namespace graft::simt {

inline constexpr int kWarp = 32;
inline constexpr std::size_t kSharedLimit = 232448;  // bytes a block may have in all: compute capability 9.0
inline constexpr std::size_t kStaticLimit = 49152;   // of which declared in the kernel
using Where = std::source_location;

struct Geometry {
  dim3 grid, block;
};
struct BlockState {  // what hopper.h keeps for a block
  virtual ~BlockState() = default;
  virtual void end() = 0;  // all lanes have returned; may throw
};
struct Place {  // of the block that runs: what blockIdx, blockDim and gridDim say
  uint3 index{};
  Geometry geometry;
  mutable std::shared_ptr<BlockState> state;  // empty when a block begins
};
struct Fiber;

struct Lane {
  uint3 thread{};      // threadIdx
  unsigned index = 0;  // linear in the block
  const Place* block = nullptr;
  bool exited = false;
  const char* waits = nullptr;  // what it waits in, for the deadlock report
  Where at{};
  Fiber* fiber = nullptr;      // where it is suspended
  std::shared_ptr<void> slot;  // what prims.h keeps for this lane; empty when a block begins
};
extern constinit thread_local Lane* self;  // the lane that runs now

// What a family of lanes does together. `args[i]` is what lane i (of the group) brought, nullptr when the mask does not name it; it lives
// on that lane's stack. Called once, when the last one has come; results are written through the pointers.
using Combine = void (*)(void* const* args, std::uint32_t mask);

// All lanes of `mask` in this warp meet in one operation `kind`; each brings `arg`.
void meet_warp(const char* kind, std::uint32_t mask, void* arg, Combine combine, const Where& at);
// All 128 lanes of a warp group meet (wgmma). args has 128 entries.
void meet_warp_group(const char* kind, void* arg, void (*combine)(void* const* args), const Where& at);
// __syncthreads; returns the number of lanes whose predicate is not 0, as __syncthreads_count.
int sync_block(int predicate, const Where& at);
// bar.sync id, lanes: the lanes that name barrier `id` wait until `lanes` of them are there.
void sync_named(int id, int lanes, const Where& at);
// Waits until ready() says yes; ready is asked again, as this lane, whenever no other lane can run, and now and then. For mbarriers.
void wait_until(const char* kind, bool (*ready)(void*), void* what, const Where& at);

// Shared memory of this block for one declaration (`site` is an address that only it has): the same bytes for every lane.
void* shared_site(const void* site, std::size_t bytes, const Where& at);
void* shared_dynamic(const Where& at);
std::size_t shared_dynamic_bytes();
// 32-bit "address" of a shared-memory byte, as __cvta_generic_to_shared gives; refuses pointers that are not shared memory.
std::uint32_t shared_address(const void* p, const Where& at);
void* shared_pointer(std::uint32_t address);
// f(first byte, bytes, what) for every piece of shared memory that the block has so far.
void each_shared(void (*f)(std::byte* p, std::size_t bytes, void* what), void* what);
void check_shared(const void* p, std::size_t bytes, std::size_t align, const char* what, const Where& at);

[[noreturn]] void fault(const Where& at, const std::string& what);  // names block and lane

inline unsigned lane_of_warp() { return self->index % kWarp; }

// Runs `body` for every thread of the grid, now or, while a graph is captured, at its replays: body holds its arguments by value. Throws
// Error(usage) for a geometry or shared-memory size that no device takes.
void run_grid(Queue& q, dim3 grid, dim3 block, std::size_t dynamic_bytes, const std::function<void()>& body, const Where& at);

// Barriers that were passed although lanes had returned before (legal on the hardware, seldom meant), since the process began.
std::int64_t early_exits();

}  // namespace graft::simt
