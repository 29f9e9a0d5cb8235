// Tensor maps: how TMA sees a tensor in global memory and the box of it that one copy moves. The same facts make a CUtensorMap (nvcc) or
// are kept as they are (emulator). Rules: CUDA driver API, cuTensorMapEncodeTiled.
#pragma once
#include <string>

#include "kernels/core/error.h"
#include "kernels/simt/simt.h"
#ifdef __CUDACC__
#include <cudaTypedefs.h>
#endif

namespace graft::GRAFT_SIMT {

// How 16-byte pieces of shared memory are permuted, numbered as in wgmma's descriptors: the bits of an address that number a piece inside
// of the span are XORed with the bits from 7 on, so that pieces one below the other lie in different banks.
enum class Swizzle : unsigned { none, b128, b64, b32 };
constexpr unsigned swizzle_pieces(Swizzle s) { return s == Swizzle::b128 ? 8 : s == Swizzle::b64 ? 4 : s == Swizzle::b32 ? 2 : 1; }
constexpr unsigned swizzled(unsigned address, Swizzle s) { return address ^ (address >> 7 & (swizzle_pieces(s) - 1)) << 4; }

// Axis 0 is the dense one. A box that reaches outside of the tensor loads zeros there and stores nothing.
struct TensorTile {
  const char* name = "";  // for errors
  void* data = nullptr;   // aligned to 16 bytes
  DType dtype = DType::bf16;
  int rank = 2;                        // 2 or 3
  std::int64_t size[3] = {1, 1, 1};    // elements along each axis, axis 0 the dense one
  std::int64_t stride[3] = {1, 1, 1};  // elements; of axes 1 and 2 a multiple of 16 bytes
  int box[3] = {1, 1, 1};              // at most 256 each; with a swizzle exactly its span wide
  Swizzle swizzle = Swizzle::none;
  constexpr int box_bytes() const { return box[0] * box[1] * (rank == 3 ? box[2] : 1) * static_cast<int>(size_of(dtype)); }
};

// Throws Error(bug) naming the rule that `t` breaks: a row's limit refuses such operands before.
inline void check_tensor_tile(const TensorTile& t) {
  const auto refuse = [&](const std::string& what) { throw Error(Code::bug, std::string("tensor map of ") + t.name + ": " + what); };
  const auto bytes = static_cast<std::int64_t>(size_of(t.dtype));
  if (t.rank != 2 && t.rank != 3) refuse("rank " + std::to_string(t.rank) + ", wants 2 or 3");
  if (reinterpret_cast<std::uintptr_t>(t.data) % 16) refuse("the address is not a multiple of 16 bytes");
  if (t.stride[0] != 1) refuse("axis 0 has stride " + std::to_string(t.stride[0]) + ", wants 1");
  for (int d = 0; d < t.rank; ++d) {
    const std::string axis = "axis " + std::to_string(d);
    if (t.size[d] < 1 || t.size[d] > std::int64_t{1} << 32)
      refuse(axis + " has " + std::to_string(t.size[d]) + " elements, wants 1 to 2^32");
    if (t.box[d] < 1 || t.box[d] > 256) refuse("a box of " + std::to_string(t.box[d]) + " along " + axis + ", wants 1 to 256");
    if (d > 0 && (t.stride[d] <= 0 || t.stride[d] * bytes % 16 || t.stride[d] * bytes >= std::int64_t{1} << 40))
      refuse(axis + " has a stride of " + std::to_string(t.stride[d] * bytes) + " bytes, wants a multiple of 16 below 2^40");
  }
  const std::int64_t row = t.box[0] * bytes, span = 16 * swizzle_pieces(t.swizzle);
  if (row % 16) refuse("rows of the box have " + std::to_string(row) + " bytes, wants a multiple of 16");
  if (t.swizzle != Swizzle::none && row != span)
    refuse("rows of the box have " + std::to_string(row) + " bytes, the swizzle spans " + std::to_string(span));
}

// A kernel takes it as `const __grid_constant__ TensorMap`.
#ifdef __CUDACC__
struct TensorMap {
  CUtensorMap map;
};
inline TensorMap tensor_map(const TensorTile& t) {
  check_tensor_tile(t);
  static const auto encode = [] {  // out of the driver that the runtime has loaded: nothing links to libcuda
    void* f = nullptr;
    cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
    const cudaError_t e = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000, cudaEnableDefault, &found);
#else
    const cudaError_t e = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &f, cudaEnableDefault, &found);
#endif
    if (e != cudaSuccess || found != cudaDriverEntryPointSuccess)
      throw Error(Code::device, "cuda: the driver has no cuTensorMapEncodeTiled: it is older than CUDA 12.0; update it");
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(f);
  }();
  constexpr CUtensorMapSwizzle swizzles[] = {CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_SWIZZLE_64B,
                                             CU_TENSOR_MAP_SWIZZLE_32B};
  const CUtensorMapDataType type = t.dtype == DType::bf16  ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                   : t.dtype == DType::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                   : t.dtype == DType::f32 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                                   : t.dtype == DType::f64 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT64
                                   : t.dtype == DType::i32 ? CU_TENSOR_MAP_DATA_TYPE_INT32
                                   : t.dtype == DType::i64 ? CU_TENSOR_MAP_DATA_TYPE_INT64
                                                           : CU_TENSOR_MAP_DATA_TYPE_UINT8;
  cuuint64_t size[3], stride[3];
  cuuint32_t box[3], ones[3] = {1, 1, 1};
  for (int d = 0; d < 3; ++d) {
    size[d] = static_cast<cuuint64_t>(t.size[d]);
    stride[d] = static_cast<cuuint64_t>(t.stride[d]) * size_of(t.dtype);
    box[d] = static_cast<cuuint32_t>(t.box[d]);
  }
  TensorMap m;
  const CUresult r =
      encode(&m.map, type, static_cast<cuuint32_t>(t.rank), t.data, size, stride + 1, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
             swizzles[static_cast<unsigned>(t.swizzle)], CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (r != CUDA_SUCCESS)
    throw Error(Code::device, std::string("cuda: tensor map of ") + t.name + ": the driver refuses it, error " + std::to_string(r));
  return m;
}
#else
struct TensorMap : TensorTile {};
inline TensorMap tensor_map(const TensorTile& t) {
  check_tensor_tile(t);
  TensorMap m{t};
  if (t.rank == 2) m.size[2] = m.box[2] = 1, m.stride[2] = 0;
  return m;
}
#endif

}  // namespace graft::GRAFT_SIMT
