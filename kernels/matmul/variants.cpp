#include <tuple>

#include "kernels/core/cuda_backend.h"
#include "kernels/matmul/rows.h"

namespace graft {
namespace {

constexpr Limit<MatmulArgs> b_rows{
    "B dense along n", [](const MatmulArgs& a) {
      return a.b.shape[2] <= 1 || a.b.stride[2] == 1 ? yes() : no("B has stride " + std::to_string(a.b.stride[2]) + " along n");
    }};
constexpr Limit<MatmulArgs> worth_packing{"m n k at least 512", [](const MatmulArgs& a) {
                                            return a.c.shape[1] * a.c.shape[2] * a.a.shape[2] >= 512 ? yes() : no("too small to pack");
                                          }};

// On a Xeon with two threads bf16 is 3 to 6 times as fast as where it is widened and f16 2.5 times. f32 has to make up for packing three
// parts: 128^3, 64x128x9216 and 256x256x64 are slower than vectors, 192^3, 64x512x512 and 9216x128x64 up to a fifth faster, 512^3 and more
// by half.
constexpr Limit<MatmulArgs> amx_tiles{
    "AMX; bf16, f16 with m, n at least 16, k at least 32; f32 with each at least 64, m n at least 2^14, m n k at least 7 * 2^20",
    [](const MatmulArgs& a) {
      const std::int64_t m = a.c.shape[1], n = a.c.shape[2], k = a.a.shape[2];
      if (a.c.dtype == DType::f64) return no("dtype is f64");
      const bool whole = a.c.dtype == DType::f32;
      for (const auto& [name, size, least] :
           {std::tuple{"m", m, whole ? 64 : 16}, std::tuple{"n", n, whole ? 64 : 16}, std::tuple{"k", k, whole ? 64 : 32}})
        if (size < least) return no(std::string(name) + " is " + std::to_string(size) + ", less than " + std::to_string(least));
      return !whole || (m * n >= 1 << 14 && m * n * k >= 7 << 20) ? yes() : no("too small to make up for packing f32 in three parts");
    }};

// ---- CUDA rungs ----
constexpr Limit<MatmulArgs> fills_a_tile{
    "m n at least 256, k at least 8", [](const MatmulArgs& a) {
      if (a.c.shape[1] * a.c.shape[2] < 256)
        return no("C has " + std::to_string(a.c.shape[1] * a.c.shape[2]) + " elements: less than a quarter of a tile");
      return a.a.shape[2] >= 8 ? yes() : no("k is " + std::to_string(a.a.shape[2]));
    }};
Verdict at_least(const MatmulArgs& a, std::int64_t side) {
  for (const auto& [name, size] : {std::pair{"m", a.c.shape[1]}, std::pair{"n", a.c.shape[2]}})
    if (size < side) return no(std::string(name) + " is " + std::to_string(size) + ": most of a 64 x 64 tile would be empty");
  return a.a.shape[2] >= 8 ? yes() : no("k is " + std::to_string(a.a.shape[2]));
}
constexpr Limit<MatmulArgs> fills_registers{"m, n at least 32, k at least 8", [](const MatmulArgs& a) { return at_least(a, 32); }};

// Rows (or columns) that begin at multiples of 16 bytes.
Verdict pieces_of(const View& v, const char* name) {
  const std::int64_t piece = 16 / static_cast<std::int64_t>(size_of(v.dtype));
  if (v.stride[1] != 1 && v.stride[2] != 1) return no(std::string(name) + " is dense along neither axis");
  const std::int64_t step = v.stride[2] == 1 ? v.stride[1] : v.stride[2];
  if (step % piece != 0 || (v.shape[0] > 1 && v.stride[0] % piece != 0))
    return no(std::string(name) + " has rows that do not begin at multiples of 16 bytes");
  return reinterpret_cast<std::uintptr_t>(v.data) % 16 == 0 ? yes() : no(std::string(name) + " does not begin at a multiple of 16 bytes");
}
Verdict in_pieces(const MatmulArgs& a, std::int64_t side) {
  for (const Verdict& v : {at_least(a, side), pieces_of(a.a, "A"), pieces_of(a.b, "B")})
    if (!v) return v;
  return yes();
}
bool is_half(DType t) { return t == DType::bf16 || t == DType::f16; }
constexpr Limit<MatmulArgs> pieces{"m, n at least 32; A and B dense along one axis, rows aligned to 16 bytes",
                                   [](const MatmulArgs& a) { return in_pieces(a, 32); }};
constexpr Limit<MatmulArgs> full_pieces{
    "f32, f64; m, n at least 32; A and B dense along one axis, rows aligned to 16 bytes", [](const MatmulArgs& a) {
      return is_half(a.c.dtype) ? no("C is " + std::string(name_of(a.c.dtype)) + ": 3_vectors widens it on the way") : in_pieces(a, 32);
    }};
constexpr Limit<MatmulArgs> half_pieces{
    "bf16, f16; m, n at least 16; A and B dense along one axis, rows aligned to 16 bytes", [](const MatmulArgs& a) {
      return is_half(a.c.dtype) ? in_pieces(a, 16) : no("C is " + std::string(name_of(a.c.dtype)) + ": tensor cores would cut it to tf32");
    }};
constexpr Limit<MatmulArgs> few_tiles{"at most 64 tiles of 64 x 64, k at least 512; A and B dense along one axis, rows aligned to 16 bytes",
                                      [](const MatmulArgs& a) {
                                        if (const Verdict v = in_pieces(a, 16); !v) return v;
                                        return split_k(a).parts > 1 ? yes() : no("enough tiles, or k too short to be split");
                                      }};
// TMA takes positive strides and 32-bit coordinates; the tiles want to be full and one for every second multiprocessor of a large device at
// least.
constexpr Limit<MatmulArgs> full_wgmma_tiles{
    "compute capability 9.0; bf16, f16; m, n above 64, k at least 64, 64 tiles of 128 x 128; A and B dense along one axis, rows aligned to "
    "16 bytes",
    [](const MatmulArgs& a) {
      if (const Verdict v = half_pieces.check(a); !v) return v;
      for (const auto& [name, size, least] :
           {std::tuple{"m", a.c.shape[1], 65}, std::tuple{"n", a.c.shape[2], 65}, std::tuple{"k", a.a.shape[2], 64}}) {
        if (size < least) return no(std::string(name) + " is " + std::to_string(size) + ": most of a stage would be empty");
        if (size > 0x7fffff00) return no(std::string(name) + " is " + std::to_string(size) + ": TMA's coordinates have 32 bits");
      }
      for (const auto& [name, v] : {std::pair{"A", a.a}, std::pair{"B", a.b}})
        if (v.stride[0] < 0 || v.stride[1] <= 0 || v.stride[2] <= 0) return no(std::string(name) + " has a stride that TMA cannot take");
      const std::int64_t tiles = wgmma_tiles(a, 128);
      if (tiles < 64) return no("C has " + std::to_string(tiles) + " tiles of 128 x 128: most multiprocessors would idle");
      return tiles <= 0x7fffffff ? yes() : no("C has more than 2^31 tiles");
    }};

// ---- vendor rows ----
Verdict one_axis_dense(const View& v, const char* name) {
  for (int axis : {1, 2}) {
    const int far = 3 - axis;
    if ((v.shape[axis] <= 1 || v.stride[axis] == 1) && (v.shape[far] <= 1 || v.stride[far] >= v.shape[axis])) return yes();
  }
  return no(std::string(name) + " is dense along neither axis");
}
constexpr Limit<MatmulArgs> as_cublaslt{
    "A and B dense along one axis, C along n; no gelu (theirs is the tanh one); f64 without bias and activation", [](const MatmulArgs& a) {
      if (a.a.shape[2] == 0) return no("k is 0");
      if (a.epilogue == Epilogue::gelu) return no("cuBLASLt's gelu is the tanh approximation");
      if (a.c.dtype == DType::f64 && (a.bias.data || a.epilogue != Epilogue::none)) return no("cuBLASLt has no epilogue in f64");
      if (a.bias.data && a.bias.shape[0] > 1 && a.bias.stride[0] != 1) return no("bias is not dense");
      if (a.c.shape[2] > 1 && a.c.stride[2] != 1) return no("C is not dense along n");
      for (const Verdict& v : {one_axis_dense(a.a, "A"), one_axis_dense(a.b, "B"), one_axis_dense(a.c, "C")})
        if (!v) return v;
      return yes();
    }};

}  // namespace

const Family<MatmulArgs>& matmul_family() {
  static const Family<MatmulArgs> family(
      "matmul",
      {
          host("ref", matmul_ref, any<MatmulArgs>, 0, "one product sum after the other, in double"),
          host("naive", matmul_naive, any<MatmulArgs>, 1, "one product sum after the other"),
          host("cpu.1_blocked", matmul_blocked, b_rows, 10, "rows of sums, B read along its rows"),
          host("cpu.2_packed", matmul_packed, worth_packing, 20, "packed panels, register tiles", matmul_packed_scratch),
          amx_row<MatmulArgs>("cpu.3_amx", GRAFT_AMX_BODY(matmul_amx), amx_tiles, 30, "AMX tiles; f32 in three parts of bf16",
                              GRAFT_AMX_BODY(matmul_amx_scratch)),
      },
      {
          {"0_naive", GRAFT_BODIES(matmul_thread_product), any<MatmulArgs>, 1, "one thread per element of C"},
          {"1_tiled", GRAFT_BODIES(matmul_tiled), fills_a_tile, 10, "32 x 32 tiles in shared memory"},
          {"2_registers", GRAFT_BODIES(matmul_registers), fills_registers, 20, "8 x 8 or 4 x 4 of C in each thread's registers"},
          {"3_vectors", GRAFT_BODIES(matmul_vectors), pieces, 30, "16 bytes per load and store"},
          {"4_async",
           GRAFT_BODIES(matmul_async),
           full_pieces,
           40,
           "four stages filled by cp.async while the threads multiply",
           nullptr,
           false,
           {80}},
          {"5_mma", GRAFT_BODIES(matmul_mma), half_pieces, 50, "tensor cores, swizzled shared memory, four stages", nullptr, false, {80}},
          {"6_split_k",
           GRAFT_BODIES(matmul_split_k),
           few_tiles,
           60,
           "k split over blocks, parts folded in order",
           matmul_split_k_scratch,
           false,
           {80}},
          {"7_wgmma",
           GRAFT_HOPPER_BODIES(matmul_wgmma),
           full_wgmma_tiles,
           70,
           "Hopper: wgmma fed by TMA through a ring of mbarriers, blocks that stay",
           nullptr,
           false,
           {90, true}},
      },
      {
          {"cublaslt", GRAFT_VENDOR(matmul_cublaslt, cublaslt), as_cublaslt, 5, "cublasLtMatmul, the heuristic's first choice",
           vendor_workspace<MatmulArgs>},
      });
  return family;
}

}  // namespace graft
