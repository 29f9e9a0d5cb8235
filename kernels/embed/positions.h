// Where the positions sorted by id lie in scratch; private to the family. Shared by the table of rows (how many bytes) and the kernels
// (sort.h).
#pragma once
#include <cstddef>
#include <cstdint>

namespace graft {

inline constexpr int kSortChunk = 1024;  // keys per block
inline constexpr int kSortDigits = 256;  // 8 bits a pass

struct SortedPositions {
  std::int32_t *keys[2], *order[2];  // [n] each: an id and where it stood, before and after a pass
  std::int32_t* counts;              // [digits, chunks]
  std::int32_t* start;               // [vocab + 1]: the positions of id v are order[start[v]..start[v + 1]]
  std::size_t bytes;

  SortedPositions(std::byte* base, std::int64_t n, std::int64_t vocab) : bytes(0) {
    const auto take = [&](std::int64_t count) {
      auto* p = base ? reinterpret_cast<std::int32_t*>(base + bytes) : nullptr;
      bytes += (static_cast<std::size_t>(count) * sizeof(std::int32_t) + 63) / 64 * 64;
      return p;
    };
    for (int side = 0; side < 2; ++side) {
      keys[side] = take(n);
      order[side] = take(n);
    }
    counts = take(kSortDigits * ((n + kSortChunk - 1) / kSortChunk));
    start = take(vocab + 1);
  }
};

}  // namespace graft
