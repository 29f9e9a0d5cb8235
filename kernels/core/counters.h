// The Philox counters of a call: (seed, stream, position), by value or moved on by numbers in device memory, so that a captured launch is
// replayed with the next step's. Element i takes word i % 4 of counter i / 4.
#pragma once
#include <cmath>

#include "kernels/core/philox.h"
#include "kernels/core/view.h"

namespace graft {

struct Counters {
  std::uint64_t seed, stream, position;
  const std::int64_t* offset;  // [2], added to stream and position; nullptr: nothing is

  // Args has seed, stream, position and the View `offset`, i64 [2] or absent.
  template <class Args>
  explicit constexpr Counters(const Args& a)
      : seed(a.seed), stream(a.stream), position(a.position), offset(static_cast<const std::int64_t*>(a.offset.data)) {}
  // With the numbers of device memory added; for code that may read that memory.
  constexpr Counters here() const {
    Counters c = *this;
    if (offset) {
      c.stream += static_cast<std::uint64_t>(offset[0]);
      c.position += static_cast<std::uint64_t>(offset[1]);
      c.offset = nullptr;
    }
    return c;
  }
  constexpr PhiloxWords operator[](std::int64_t counter) const {
    return philox(seed, stream, position + static_cast<std::uint64_t>(counter));
  }
};

// Dropout keeps an element where its 32-bit word is at least p * 2^32.
constexpr std::uint32_t dropout_threshold(double p) {
  const double t = std::ceil(p * 0x1p32);
  return t >= 0x1p32 ? 0xffffffffu : static_cast<std::uint32_t>(t);
}

}  // namespace graft
