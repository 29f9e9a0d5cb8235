// What the device rungs of copy share: a copy without conversion moves unsigned integers of the element's size, and one with conversion
// goes between floats, so that there are 4 + 12 kernels of each kind and not 64.
#pragma once
#include <cstdint>
#include <type_traits>

#include "kernels/copy/copy.h"

namespace graft {

// f.operator()<From, To>() for equal dtypes and pairs of floats.
template <class F>
void visit_raw_or_floats(DType from, DType to, F&& f) {
  if (from == to) {
    switch (size_of(from)) {
      case 1: f.template operator()<std::uint8_t, std::uint8_t>(); return;
      case 2: f.template operator()<std::uint16_t, std::uint16_t>(); return;
      case 4: f.template operator()<std::uint32_t, std::uint32_t>(); return;
      default: f.template operator()<std::uint64_t, std::uint64_t>(); return;
    }
  }
  visit_float(from, [&]<class From>() {
    visit_float(to, [&]<class To>() {
      if constexpr (!std::is_same_v<From, To>) f.template operator()<From, To>();
    });
  });
}

// Elements that a thread of cuda_2_vectors.cu moves: 16 bytes of the narrower side.
constexpr int pack_of(std::size_t from_bytes, std::size_t to_bytes) {
  return static_cast<int>(16 / (from_bytes < to_bytes ? from_bytes : to_bytes));
}

}  // namespace graft
