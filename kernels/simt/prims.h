// Instructions that CUDA C++ has no word for: tensor-core products, ldmatrix, asynchronous copies. Each is its PTX beside a plain model for
// the emulator, which reads or writes all lanes' fragments when the last lane of the warp has come. Lane maps: PTX ISA, "Matrix fragments
// for mma" and "ldmatrix". Below, g = lane / 4 and t = lane % 4. All want whole, converged warps, and all but ldmatrix compute
// capability 8.0: code for 7.5 has a trap there, and the rows that use them are refused on such a device.
#pragma once
#include "kernels/simt/simt.h"
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define GRAFT_PTX_80(word, ...) __trap()
#else
#define GRAFT_PTX_80(word, ...) word(__VA_ARGS__)
#endif
#ifndef __CUDACC__
#include <memory>
#include <vector>
#endif

namespace graft::GRAFT_SIMT {

#ifdef __CUDACC__
struct CallSite {  // the host's model reports the caller's line
  static constexpr CallSite current() { return {}; }
};
__device__ __forceinline__ unsigned shared_u32(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }
#else
using CallSite = simt::Where;

namespace model {

template <class T>
float half_of(unsigned pair, int which) {
  T v;
  v.bits = static_cast<std::uint16_t>(pair >> (16 * which));
  return static_cast<float>(v);
}
struct Fragments {
  float* d;
  const unsigned *a, *b;
  const float* c;
};
// D = A B + C, [16, K] times [K, 8]. `put` reads a lane's A and B fragments. The sum is in double, rounded once; the hardware adds exact
// products, cut to a common exponent, so the last bits of f32 may differ.
template <int K, class Put>
void multiply(void* const* args, Put put) {
  double a[16][K], b[K][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) put(*static_cast<const Fragments*>(args[lane]), lane / 4, lane % 4, a, b);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2] = static_cast<const Fragments*>(args[lane])->c[i];
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < K; ++k)
      for (int n = 0; n < 8; ++n) d[m][n] += a[m][k] * b[k][n];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i)
      static_cast<const Fragments*>(args[lane])->d[i] = static_cast<float>(d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]);
}

struct Rows {
  unsigned* r;
  const void* row;
  int count;
};  // of ldmatrix
template <bool Trans>
void load_matrices(void* const* args, std::uint32_t) {
  const int count = static_cast<const Rows*>(args[0])->count;
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < count; ++i) {
      std::uint16_t v[2];
      for (int e = 0; e < 2; ++e) {
        const int row = Trans ? lane % 4 * 2 + e : lane / 4, col = Trans ? lane / 4 : lane % 4 * 2 + e;
        std::memcpy(&v[e], static_cast<const char*>(static_cast<const Rows*>(args[i * 8 + row])->row) + 2 * col, 2);
      }
      static_cast<const Rows*>(args[lane])->r[i] = v[0] | static_cast<unsigned>(v[1]) << 16;
    }
}
template <bool Trans>
void ldmatrix(const char* kind, unsigned* r, const void* row, int count, const CallSite& at) {
  if (static_cast<int>(simt::lane_of_warp()) < 8 * count)
    simt::check_shared(row, 16, 16, kind, at);  // the other lanes' addresses are not looked at
  Rows mine{r, row, count};
  simt::meet_warp(kind, 0xffffffffu, &mine, load_matrices<Trans>, at);
}

// A lane's copies under way. Each is performed at the wait that promises it and not before; from issue until then its 16 bytes are NaN,
// because the hardware may write them at any moment: reading too early and overwriting what others still read are both seen. What nobody
// waits for never arrives.
struct Copies {
  struct Copy {
    void* to;
    const void* from;
    int valid;
  };
  std::vector<Copy> open;                  // not yet in a group
  std::vector<std::vector<Copy> > groups;  // oldest first
  static Copies& mine() {
    if (!simt::self->slot) simt::self->slot = std::make_shared<Copies>();
    return *static_cast<Copies*>(simt::self->slot.get());
  }
  void finish_all_but(std::size_t last) {
    while (groups.size() > last) {
      for (const Copy& c : groups.front()) {
        std::memset(c.to, 0, 16);
        if (c.valid) std::memcpy(c.to, c.from, static_cast<std::size_t>(c.valid));
      }
      groups.erase(groups.begin());
    }
  }
};

}  // namespace model
#endif

// D = A B + C with A: [16, 16], B: [16, 8], C, D: [16, 8]; T is bf16 or f16, sums f32; d may be c. The lower half of a register has the
// smaller column (of A) or row (of B).
//   a[0]: A[g][2t, 2t+1]    a[1]: A[g+8][2t, 2t+1]    a[2]: A[g][2t+8, 2t+9]    a[3]: A[g+8][2t+8, 2t+9]
//   b[0]: B[2t, 2t+1][g]    b[1]: B[2t+8, 2t+9][g]    c[0], c[1]: C[g][2t, 2t+1]    c[2], c[3]: C[g+8][2t, 2t+1]
template <class T>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4],
                                             [[maybe_unused]] CallSite at = CallSite::current()) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
#ifdef __CUDACC__
  if constexpr (std::is_same_v<T, bf16>)
    GRAFT_PTX_80(asm,
                 "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
                 : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
  else
    GRAFT_PTX_80(asm,
                 "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
                 : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#else
  model::Fragments mine{d, a, b, c};
  simt::meet_warp(
      "mma_m16n8k16", 0xffffffffu, &mine,
      [](void* const* args, std::uint32_t) {
        model::multiply<16>(args, [](const model::Fragments& f, int g, int t, auto& A, auto& B) {
          for (int i = 0; i < 8; ++i) A[g + i / 2 % 2 * 8][2 * t + i % 2 + i / 4 * 8] = model::half_of<T>(f.a[i / 2], i % 2);
          for (int i = 0; i < 4; ++i) B[2 * t + i % 2 + i / 2 * 8][g] = model::half_of<T>(f.b[i / 2], i % 2);
        });
      },
      at);
#endif
}

// Nearest tf32 (10 bits of significand, ties away from zero), as the bits of an f32.
__device__ __forceinline__ unsigned to_tf32(float v) {
#ifdef __CUDACC__
  unsigned r = 0;
  GRAFT_PTX_80(asm, "cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v));
  return r;
#else
  const unsigned u = __float_as_uint(v);
  if (v != v) return 0x7fffe000u;
  return (u & 0x7f800000u) == 0x7f800000u ? u : (u + 0x1000u) & 0xffffe000u;
#endif
}
// D = A B + C with A: [16, 8], B: [8, 8], C, D: [16, 8], tf32 in 32-bit registers (the lower 13 bits are not looked at), sums f32; d may be
// c.
//   a[0]: A[g][t]    a[1]: A[g+8][t]    a[2]: A[g][t+4]    a[3]: A[g+8][t+4]    b[0]: B[t][g]    b[1]: B[t+4][g]    c as above
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4],
                                                 [[maybe_unused]] CallSite at = CallSite::current()) {
#ifdef __CUDACC__
  GRAFT_PTX_80(asm, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
               : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#else
  model::Fragments mine{d, a, b, c};
  simt::meet_warp(
      "mma_m16n8k8_tf32", 0xffffffffu, &mine,
      [](void* const* args, std::uint32_t) {
        model::multiply<8>(args, [](const model::Fragments& f, int g, int t, auto& A, auto& B) {
          for (int i = 0; i < 4; ++i) A[g + i % 2 * 8][t + i / 2 * 4] = __uint_as_float(f.a[i] & 0xffffe000u);
          for (int i = 0; i < 2; ++i) B[t + i * 4][g] = __uint_as_float(f.b[i] & 0xffffe000u);
        });
      },
      at);
#endif
}

// Matrices of 8 x 8 16-bit elements out of shared memory: lane 8 i + j brings the address of row j (16 bytes, aligned to 16) of matrix i,
// and every lane gets r[i]: M[g][2t, 2t+1] of matrix i, with `trans` M[2t, 2t+1][g]. x2 looks at the addresses of lanes 0 to 15 only.
#ifdef __CUDACC__
#define GRAFT_LDMATRIX_X4(shape)                                                           \
  asm volatile("ldmatrix.sync.aligned.m8n8.x4" shape ".shared.b16 {%0, %1, %2, %3}, [%4];" \
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                            \
               : "r"(shared_u32(row))                                                      \
               : "memory")
#define GRAFT_LDMATRIX_X2(shape)                                                   \
  asm volatile("ldmatrix.sync.aligned.m8n8.x2" shape ".shared.b16 {%0, %1}, [%2];" \
               : "=r"(r[0]), "=r"(r[1])                                            \
               : "r"(shared_u32(row))                                              \
               : "memory")
#else
#define GRAFT_LDMATRIX_X4(shape) model::ldmatrix<sizeof(shape) != 1>("ldmatrix_x4" shape, r, row, 4, at)
#define GRAFT_LDMATRIX_X2(shape) model::ldmatrix<sizeof(shape) != 1>("ldmatrix_x2" shape, r, row, 2, at)
#endif
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row, [[maybe_unused]] CallSite at = CallSite::current()) {
  GRAFT_LDMATRIX_X4("");
}
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void* row, [[maybe_unused]] CallSite at = CallSite::current()) {
  GRAFT_LDMATRIX_X4(".trans");
}
__device__ __forceinline__ void ldmatrix_x2(unsigned (&r)[2], const void* row, [[maybe_unused]] CallSite at = CallSite::current()) {
  GRAFT_LDMATRIX_X2("");
}
__device__ __forceinline__ void ldmatrix_x2_trans(unsigned (&r)[2], const void* row, [[maybe_unused]] CallSite at = CallSite::current()) {
  GRAFT_LDMATRIX_X2(".trans");
}
#undef GRAFT_LDMATRIX_X4
#undef GRAFT_LDMATRIX_X2

// Starts a copy of 16 bytes from global to shared memory, both aligned to 16: the first `valid` of them, then zeros; with valid = 0 nothing
// is read. The bytes are there for this thread after a commit and a wait that covers it, for others after a barrier behind that wait.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, int valid = 16,
                                            [[maybe_unused]] CallSite at = CallSite::current()) {
#ifdef __CUDACC__
  GRAFT_PTX_80(asm volatile, "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_u32(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(valid)
               : "memory");
#else
  simt::check_shared(shared, 16, 16, "cp_async_16", at);
  if (reinterpret_cast<std::uintptr_t>(global) % 16) simt::fault(at, "cp_async_16: the global address is not a multiple of 16");
  if (valid < 0 || valid > 16) simt::fault(at, "cp_async_16: " + std::to_string(valid) + " valid bytes, wants 0 to 16");
  std::memset(shared, 0xff, 16);
  model::Copies::mine().open.push_back({shared, global, valid});
#endif
}
// The copies that this thread started since its last commit become one group, maybe an empty one.
__device__ __forceinline__ void cp_async_commit() {
#ifdef __CUDACC__
  GRAFT_PTX_80(asm volatile, "cp.async.commit_group;" ::: "memory");
#else
  auto& mine = model::Copies::mine();
  mine.groups.push_back(std::move(mine.open));
  mine.open.clear();
#endif
}
// Waits for this thread's groups but the latest N.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
#ifdef __CUDACC__
  GRAFT_PTX_80(asm volatile, "cp.async.wait_group %0;" ::"n"(N) : "memory");
#else
  model::Copies::mine().finish_all_but(N);
#endif
}

}  // namespace graft::GRAFT_SIMT
#undef GRAFT_PTX_80
