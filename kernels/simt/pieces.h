// Memory moved in pieces of up to 16 bytes, the widest access a thread has.
#pragma once
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {

// N elements that are read and written at once, on a boundary of their size, 16 bytes at most.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Piece {
  T v[N];
};

// Rows that are only moved: f.operator()<V>() with the widest V on whose boundary `boundary` lies, which is the addresses and byte strides
// of all rows or-ed.
template <class F>
void visit_piece(std::uint64_t boundary, F&& f) {
  if (boundary % 16 == 0) f.template operator()<uint4>();
  else if (boundary % 8 == 0) f.template operator()<std::uint64_t>();
  else if (boundary % 4 == 0) f.template operator()<std::uint32_t>();
  else if (boundary % 2 == 0) f.template operator()<std::uint16_t>();
  else f.template operator()<std::uint8_t>();
}
// The 32-bit pattern w all over a piece.
template <class V>
__device__ __forceinline__ V filled(unsigned w) {
  if constexpr (sizeof(V) == 16) return make_uint4(w, w, w, w);
  else return static_cast<V>(std::uint64_t{w} << 32 | w);
}

}  // namespace graft::GRAFT_SIMT
