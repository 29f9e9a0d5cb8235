// CUDA's words for the host compiler: what a .cu may say, given a meaning by the emulator. See simt.h.
#pragma once
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels/simt/emulator.h"

#define __global__ static
#define __device__
#define __host__
#define __constant__ const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#ifndef __restrict__
#define __restrict__ __restrict
#endif

#define threadIdx (::graft::simt::self->thread)
#define blockIdx (::graft::simt::self->block->index)
#define blockDim (::graft::simt::self->block->geometry.block)
#define gridDim (::graft::simt::self->block->geometry.grid)
inline constexpr int warpSize = 32;

#define GRAFT_SHARED(type, name, dims) \
  typedef type name##_array dims;      \
  static const char name##_site = 0;   \
  name##_array& name =                 \
      *static_cast<name##_array*>(::graft::simt::shared_site(&name##_site, sizeof(name##_array), ::graft::simt::Where::current()))
#define GRAFT_DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(::graft::simt::shared_dynamic(::graft::simt::Where::current()))

// ---- vector types ----
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

// ---- barriers and fences ----
inline void __syncthreads(const graft::simt::Where& at = graft::simt::Where::current()) { graft::simt::sync_block(0, at); }
inline int __syncthreads_count(int p, const graft::simt::Where& at = graft::simt::Where::current()) {
  return graft::simt::sync_block(p, at);
}
inline int __syncthreads_or(int p, const graft::simt::Where& at = graft::simt::Where::current()) {
  return graft::simt::sync_block(p, at) != 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, const graft::simt::Where& at = graft::simt::Where::current()) {
  char nothing = 0;
  graft::simt::meet_warp(
      "__syncwarp", mask, &nothing, [](void* const*, std::uint32_t) {}, at);
}
inline void __threadfence() {
#if defined(__SANITIZE_THREAD__)  // which does not know fences
  static std::atomic<int> all{0};
  all.fetch_add(1);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
inline void __threadfence_block() {}

// ---- warp operations ----
namespace graft::simt {

template <class T>
struct Shuffle {
  T value;
  T result;
  unsigned source;  // lane that this one reads
  Where at;
};
// Every lane of the mask gets the value of its source lane; a source outside of the mask is an error.
template <class T>
T shuffle(const char* kind, unsigned mask, T value, unsigned source, const Where& at) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "a shuffle moves 4 or 8 bytes, as CUDA's");
  Shuffle<T> mine{value, value, source, at};
  meet_warp(
      kind, mask, &mine,
      [](void* const* args, std::uint32_t m) {
        for (unsigned i = 0; i < kWarp; ++i) {
          if (!(m >> i & 1)) continue;
          auto& s = *static_cast<Shuffle<T>*>(args[i]);
          if (!(m >> s.source & 1))
            fault(s.at,
                  "shuffle: lane " + std::to_string(i) + " reads lane " + std::to_string(s.source) + ", which the mask does not name");
          s.result = static_cast<const Shuffle<T>*>(args[s.source])->value;
        }
      },
      at);
  return mine.result;
}
inline unsigned shuffle_width(int width, const Where& at) {
  if (width < 1 || width > kWarp || (width & (width - 1)))
    fault(at, "a shuffle of width " + std::to_string(width) + ": wants a power of 2, at most 32");
  return static_cast<unsigned>(width);
}
struct Vote {
  bool predicate;
  unsigned ballot;
};
inline unsigned ballot(const char* kind, unsigned mask, bool predicate, const Where& at) {
  Vote mine{predicate, 0};
  meet_warp(
      kind, mask, &mine,
      [](void* const* args, std::uint32_t m) {
        unsigned bits = 0;
        for (unsigned i = 0; i < kWarp; ++i)
          if ((m >> i & 1) && static_cast<Vote*>(args[i])->predicate) bits |= 1u << i;
        for (unsigned i = 0; i < kWarp; ++i)
          if (m >> i & 1) static_cast<Vote*>(args[i])->ballot = bits;
      },
      at);
  return mine.ballot;
}

}  // namespace graft::simt

// The hardware looks at the low five bits of a lane number or distance, and a group's edge gives the lane its own value.
template <class T>
T __shfl_sync(unsigned mask, T v, int source, int width = 32, const graft::simt::Where& at = graft::simt::Where::current()) {
  const unsigned w = graft::simt::shuffle_width(width, at), lane = graft::simt::lane_of_warp();
  return graft::simt::shuffle("__shfl_sync", mask, v, (lane & ~(w - 1)) + (static_cast<unsigned>(source) & (w - 1)), at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32, const graft::simt::Where& at = graft::simt::Where::current()) {
  const unsigned w = graft::simt::shuffle_width(width, at), lane = graft::simt::lane_of_warp(),
                 other = lane ^ (static_cast<unsigned>(lanes) & 31);
  return graft::simt::shuffle("__shfl_xor_sync", mask, v, other / w > lane / w ? lane : other, at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, const graft::simt::Where& at = graft::simt::Where::current()) {
  const unsigned w = graft::simt::shuffle_width(width, at), lane = graft::simt::lane_of_warp(), d = by & 31;
  return graft::simt::shuffle("__shfl_down_sync", mask, v, lane % w + d < w ? lane + d : lane, at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, const graft::simt::Where& at = graft::simt::Where::current()) {
  const unsigned w = graft::simt::shuffle_width(width, at), lane = graft::simt::lane_of_warp(), d = by & 31;
  return graft::simt::shuffle("__shfl_up_sync", mask, v, lane % w >= d ? lane - d : lane, at);
}
inline unsigned __ballot_sync(unsigned mask, int p, const graft::simt::Where& at = graft::simt::Where::current()) {
  return graft::simt::ballot("__ballot_sync", mask, p != 0, at);
}
inline int __any_sync(unsigned mask, int p, const graft::simt::Where& at = graft::simt::Where::current()) {
  return graft::simt::ballot("__any_sync", mask, p != 0, at) != 0;
}
inline int __all_sync(unsigned mask, int p, const graft::simt::Where& at = graft::simt::Where::current()) {
  return graft::simt::ballot("__all_sync", mask, p != 0, at) == mask;
}

// ---- atomics: return the value before ----
template <class T>
T atomicAdd(T* p, std::type_identity_t<T> v) {
  return std::atomic_ref<T>(*p).fetch_add(v);
}
template <class T>
T atomicExch(T* p, std::type_identity_t<T> v) {
  return std::atomic_ref<T>(*p).exchange(v);
}
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> compare, std::type_identity_t<T> v) {
  std::atomic_ref<T>(*p).compare_exchange_strong(compare, v);
  return compare;
}
template <class T>
T atomicMax(T* p, std::type_identity_t<T> v) {
  std::atomic_ref<T> a(*p);
  T now = a.load();
  while (now < v && !a.compare_exchange_weak(now, v)) {}
  return now;
}
template <class T>
T atomicMin(T* p, std::type_identity_t<T> v) {
  std::atomic_ref<T> a(*p);
  T now = a.load();
  while (v < now && !a.compare_exchange_weak(now, v)) {}
  return now;
}

// ---- arithmetic ----
inline int __popc(unsigned v) { return std::popcount(v); }
inline int __clz(int v) { return std::countl_zero(static_cast<unsigned>(v)); }
inline int __ffs(int v) { return v ? std::countr_zero(static_cast<unsigned>(v)) + 1 : 0; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32); }
inline float __int_as_float(int v) { return std::bit_cast<float>(v); }
inline int __float_as_int(float v) { return std::bit_cast<int>(v); }
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float rsqrtf(float v) { return 1.0f / std::sqrt(v); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float v) { return std::exp(v); }
template <class T>
T __ldg(const T* p) {
  return *p;
}

namespace graft::emu {

struct LaunchOn {  // the queue, and the line that launches
  Queue& q;
  simt::Where at;
  LaunchOn(Queue& queue, simt::Where where = simt::Where::current()) : q(queue), at(where) {}
};

template <class... P, class... A>
void launch(LaunchOn on, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t dynamic_bytes, A&&... args) {
  simt::run_grid(
      on.q, grid, block, dynamic_bytes, [kernel, ... values = static_cast<P>(args)] { kernel(values...); }, on.at);
}

}  // namespace graft::emu
