// Hopper's instructions (sm_90a): mbarriers, tensor copies by TMA, products of a warp group (wgmma), register budgets. Each is its PTX
// beside a model for the emulator (hopper_model.h says how strict). PTX ISA: mbarrier, cp.async.bulk.tensor, wgmma, setmaxnreg, elect.sync.
// A kernel that uses them wraps its body in
//   #ifdef GRAFT_HOPPER ... #else __trap(); #endif
// so that the same file compiles for other architectures; its row is refused there (SimtRow::capability).
#pragma once
#include "kernels/simt/prims.h"
#include "kernels/simt/tensor_map.h"
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GRAFT_HOPPER
#endif
#ifndef __CUDACC__
#include "kernels/simt/hopper_model.h"
#endif

#define GRAFT_CALLED_AT [[maybe_unused]] CallSite at = CallSite::current()  // a last parameter: the host's model reports the caller's line

namespace graft::GRAFT_SIMT {

// Multiprocessors of the queue's device: the grid of a kernel whose blocks stay and take one tile after the other. The emulator says 4:
// blocks take several.
inline unsigned multiprocessors([[maybe_unused]] const Queue& q) {
#ifdef __CUDACC__
  int n = 0;
  const cudaError_t e = cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, q.device().index);
  if (e != cudaSuccess) throw Error(Code::device, name_of(q.device()) + ": number of multiprocessors: " + cudaGetErrorString(e));
  return static_cast<unsigned>(n);
#else
  return 4;
#endif
}

// ---- mbarriers ----
// A phase ends when `arrivals` have come and all announced bytes are there. Phases alternate in parity, the first has 0: waiting for parity
// 1 of a new barrier returns at once.
struct Mbarrier {
  std::uint64_t state;
};  // in shared memory

// By one thread; then mbarrier_init_fence by the same, then __syncthreads.
__device__ __forceinline__ void mbarrier_init(Mbarrier* b, int arrivals, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_u32(b)), "r"(arrivals) : "memory");
#else
  model::Hopper::mine().init(b, arrivals, at);
#endif
}
__device__ __forceinline__ void mbarrier_init_fence() {
#ifdef __CUDACC__
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  model::Hopper::mine().fence_barriers();
#endif
}
__device__ __forceinline__ void mbarrier_arrive(Mbarrier* b, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("{\n.reg .b64 token;\nmbarrier.arrive.shared::cta.b64 token, [%0];\n}" ::"r"(shared_u32(b)) : "memory");
#else
  model::Hopper::mine().arrive(b, 0, "mbarrier_arrive", at);
#endif
}
// Announces that copies will bring `bytes` in this phase, and arrives.
__device__ __forceinline__ void mbarrier_arrive_expect_tx(Mbarrier* b, int bytes, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("{\n.reg .b64 token;\nmbarrier.arrive.expect_tx.shared::cta.b64 token, [%0], %1;\n}" ::"r"(shared_u32(b)), "r"(bytes)
               : "memory");
#else
  model::Hopper::mine().arrive(b, bytes, "mbarrier_arrive_expect_tx", at);
#endif
}
// Until the phase of that parity has ended.
__device__ __forceinline__ void mbarrier_wait(Mbarrier* b, unsigned parity, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  unsigned done;
  do {
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(shared_u32(b)), "r"(parity)
                 : "memory");
  } while (!done);
#else
  model::Hopper::mine().wait(b, parity, at);
#endif
}

// What ordinary instructions have written to shared memory becomes visible to TMA stores and wgmma: by the threads that wrote, before the
// barrier behind which the copy or product is issued.
__device__ __forceinline__ void fence_proxy_async() {
#ifdef __CUDACC__
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
  model::Hopper::mine().fence_proxy();
#endif
}

// ---- tensor copies ----
// One thread starts the copy of a box whose first element has these coordinates; `shared` is aligned to 128 bytes, with a swizzle to 8 of
// its spans. The bytes (all of the box's, zeros where it reaches outside) are counted by the mbarrier.
__device__ __forceinline__ void tma_load(const TensorMap& map, void* shared, Mbarrier* b, int x, int y, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
                   shared_u32(shared)),
               "l"(&map), "r"(shared_u32(b)), "r"(x), "r"(y)
               : "memory");
#else
  model::Hopper::mine().load(map, shared, b, {x, y, 0}, 2, at);
#endif
}
__device__ __forceinline__ void tma_load(const TensorMap& map, void* shared, Mbarrier* b, int x, int y, int z, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
                   shared_u32(shared)),
               "l"(&map), "r"(shared_u32(b)), "r"(x), "r"(y), "r"(z)
               : "memory");
#else
  model::Hopper::mine().load(map, shared, b, {x, y, z}, 3, at);
#endif
}
// The other way; `shared` is free again after tma_store_wait_read, memory is written after tma_store_wait, both by the thread that stored
// and committed.
__device__ __forceinline__ void tma_store(const TensorMap& map, const void* shared, int x, int y, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map), "r"(shared_u32(shared)),
               "r"(x), "r"(y)
               : "memory");
#else
  model::Hopper::mine().store(map, shared, {x, y, 0}, 2, at);
#endif
}
__device__ __forceinline__ void tma_store(const TensorMap& map, const void* shared, int x, int y, int z, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(&map), "r"(shared_u32(shared)),
               "r"(x), "r"(y), "r"(z)
               : "memory");
#else
  model::Hopper::mine().store(map, shared, {x, y, z}, 3, at);
#endif
}
__device__ __forceinline__ void tma_store_commit() {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#else
  model::Hopper::mine().commit_stores();
#endif
}
// All of this thread's groups of stores but the latest N.
template <int N>
__device__ __forceinline__ void tma_store_wait_read(GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
#else
  model::Hopper::mine().finish_stores(N, at);
#endif
}
template <int N>
__device__ __forceinline__ void tma_store_wait(GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(N) : "memory");
#else
  model::Hopper::mine().finish_stores(N, at);
#endif
}
__device__ __forceinline__ void tma_prefetch([[maybe_unused]] const TensorMap& map) {  // the map itself
#ifdef __CUDACC__
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
#endif
}

// ---- wgmma ----
// Where an operand lies, as TMA leaves a tile of rows as wide as the swizzle's span (64 elements for b128). Lines are rows of A or columns
// of B.
//   dense along k: a line is a row of the tile; `stride`: bytes from 8 lines to the next 8; `leading` counts without swizzle only: from 8
//   k's to the next 8 dense along lines (mn-major): a k is a row of the tile; `stride`: bytes from 8 k's to the next 8; `leading`: from a
//   span of lines to the next
//     (without swizzle: `leading` from 8 k's to the next 8, `stride` from 8 lines to the next)
// The next 16 k's are 32 bytes on, or 16 rows of the tile on. Tiles begin at multiples of 8 spans.
__device__ __forceinline__ std::uint64_t wgmma_descriptor(const void* shared, Swizzle s, unsigned leading, unsigned stride,
                                                          GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  const unsigned address = shared_u32(shared);
#else
  const unsigned address = simt::shared_address(shared, at);
  if (address % 16 || leading % 16 || stride % 16 || leading >= 1 << 18 || stride >= 1 << 18)
    simt::fault(at, "wgmma_descriptor: address and strides are multiples of 16 bytes below 2^18");
#endif
  return std::uint64_t{(address & 0x3ffff) >> 4} | std::uint64_t{leading >> 4} << 16 | std::uint64_t{stride >> 4} << 32 |
         static_cast<std::uint64_t>(s) << 62;
}
__device__ __forceinline__ std::uint64_t wgmma_advanced(std::uint64_t descriptor, unsigned bytes) { return descriptor + (bytes >> 4); }

#ifdef __CUDACC__
#define GRAFT_REGISTERS_32                                                 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define GRAFT_REGISTERS_64                                                           \
  GRAFT_REGISTERS_32                                                                 \
  ", "                                                                               \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define GRAFT_REGISTERS_128                                                                      \
  GRAFT_REGISTERS_64                                                                             \
  ", "                                                                                           \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define GRAFT_SUMS_8(i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define GRAFT_SUMS_32(i) GRAFT_SUMS_8(i), GRAFT_SUMS_8(i + 8), GRAFT_SUMS_8(i + 16), GRAFT_SUMS_8(i + 24)
#define GRAFT_SUMS_64(i) GRAFT_SUMS_32(i), GRAFT_SUMS_32(i + 32)
#define GRAFT_SUMS_128(i) GRAFT_SUMS_64(i), GRAFT_SUMS_64(i + 64)
// r is n / 2, the number of registers; a, b, add, a_mn and b_mn are the operands behind them
#define GRAFT_WGMMA(n, type, r, a_at, b_at, add_at, a_mn_at, b_mn_at)                                                             \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type \
               " {" GRAFT_REGISTERS_##r "}, %" #a_at ", %" #b_at ", p, 1, 1, %" #a_mn_at ", %" #b_mn_at ";\n}"                    \
               : GRAFT_SUMS_##r(0)                                                                                                \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(static_cast<int>(AMn)), "n"(static_cast<int>(BMn))               \
               : "memory")
#endif

// Registers of d may be touched before, by all 128 lanes.
__device__ __forceinline__ void wgmma_fence(GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#else
  char nothing = 0;
  simt::meet_warp_group(
      "wgmma_fence", &nothing, [](void* const*) { model::Hopper::mine().group().fenced = true; }, at);
#endif
}
// D = A B, plus D when `add`, with A: [64, 16], B: [16, N], D: [64, N]; T is bf16 or f16, sums f32. AMn, BMn: that operand is dense along
// m, n (else along k).
//   with w, g, t = the lane's warp in the group, lane % 32 / 4, lane % 4:  d[i]: D[16 w + g + 8 (i / 2 % 2)][8 (i / 4) + 2 t + i % 2]
// Starts only: until a wgmma_wait that covers it d is not looked at, and the operands stay as they are.
template <class T, int N, bool AMn, bool BMn>
__device__ __forceinline__ void wgmma_m64k16(float (&d)[N / 2], std::uint64_t a, std::uint64_t b, bool add, GRAFT_CALLED_AT) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
  static_assert(N == 64 || N == 128 || N == 256);
#ifdef __CUDACC__
  if constexpr (std::is_same_v<T, bf16>) {
    if constexpr (N == 64) GRAFT_WGMMA(64, "bf16", 32, 32, 33, 34, 35, 36);
    else if constexpr (N == 128) GRAFT_WGMMA(128, "bf16", 64, 64, 65, 66, 67, 68);
    else GRAFT_WGMMA(256, "bf16", 128, 128, 129, 130, 131, 132);
  } else {
    if constexpr (N == 64) GRAFT_WGMMA(64, "f16", 32, 32, 33, 34, 35, 36);
    else if constexpr (N == 128) GRAFT_WGMMA(128, "f16", 64, 64, 65, 66, 67, 68);
    else GRAFT_WGMMA(256, "f16", 128, 128, 129, 130, 131, 132);
  }
#else
  model::Hopper::Issue mine{d, a, b, add, &at};
  simt::meet_warp_group(
      "wgmma_m64k16", &mine, [](void* const* args) { model::Hopper::mine().issue<T>(args, N, AMn, BMn); }, at);
#endif
}
// The products started since the last commit become one group.
__device__ __forceinline__ void wgmma_commit(GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
  char nothing = 0;
  simt::meet_warp_group(
      "wgmma_commit", &nothing, [](void* const*) { model::Hopper::mine().commit_products(); }, at);
#endif
}
// Waits for all groups but the latest N: their operands are free, and sums that no later group adds to are there.
template <int N>
__device__ __forceinline__ void wgmma_wait(GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
#else
  simt::meet_warp_group(
      "wgmma_wait", &at, [](void* const* args) { model::Hopper::mine().finish_products(N, *static_cast<const CallSite*>(args[0])); }, at);
#endif
}
// Waits for all of them and keeps the compiler from reading d earlier.
template <int R>
__device__ __forceinline__ void wgmma_wait_all([[maybe_unused]] float (&d)[R], CallSite at = CallSite::current()) {
  wgmma_wait<0>(at);
#ifdef __CUDACC__
#pragma unroll
  for (int i = 0; i < R; ++i) asm volatile("" : "+f"(d[i])::"memory");
#endif
}
#ifdef __CUDACC__
#undef GRAFT_REGISTERS_32
#undef GRAFT_REGISTERS_64
#undef GRAFT_REGISTERS_128
#undef GRAFT_SUMS_8
#undef GRAFT_SUMS_32
#undef GRAFT_SUMS_64
#undef GRAFT_SUMS_128
#undef GRAFT_WGMMA
#endif

// ---- the warp group's register budget, roles ----
// Registers per lane from here on, by all lanes of a warp group: a multiple of 8 from 24 to 256. The whole block has 65536; taking more
// waits until others have given.
template <int N>
__device__ __forceinline__ void give_registers(GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
#else
  const auto set = [](void* const* args) { model::Hopper::mine().set_registers(N, false, *static_cast<const CallSite*>(args[0])); };
  simt::meet_warp_group("give_registers", &at, set, at);
  simt::wait_until(
      "give_registers", [](void*) { return model::Hopper::mine().registers_fit(); }, nullptr, at);
#endif
}
template <int N>
__device__ __forceinline__ void take_registers(GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
#else
  const auto set = [](void* const* args) { model::Hopper::mine().set_registers(N, true, *static_cast<const CallSite*>(args[0])); };
  simt::meet_warp_group("take_registers", &at, set, at);
  simt::wait_until(
      "take_registers (the block's registers are given out)", [](void*) { return model::Hopper::mine().registers_fit(); }, nullptr, at);
#endif
}
// True in one lane of a whole warp.
__device__ __forceinline__ bool elect_one(GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  unsigned elected;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(elected));
  return elected;
#else
  __syncwarp(0xffffffffu, at);
  return simt::lane_of_warp() == 0;
#endif
}
// Barrier `id` (1 to 15; 0 is __syncthreads) of `threads` threads, whole warps.
__device__ __forceinline__ void sync_some(int id, int threads, GRAFT_CALLED_AT) {
#ifdef __CUDACC__
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  simt::sync_named(id, threads, at);
#endif
}

}  // namespace graft::GRAFT_SIMT
#undef GRAFT_CALLED_AT
