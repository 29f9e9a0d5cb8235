// Positions sorted by their id on the host (counting sort, stable): a row of the table finds its positions side by side, in their order.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/embed/embed.h"

namespace graft {

struct PositionsById {
  std::vector<std::int64_t> start, order;

  explicit PositionsById(const EmbedGradArgs& a)
      : start(static_cast<std::size_t>(a.dtable.shape[0]) + 2, 0), order(static_cast<std::size_t>(a.ids.shape[0])) {
    const std::int64_t n = a.ids.shape[0], vocab = a.dtable.shape[0];
    const std::int64_t* ids = a.ids.as<const std::int64_t>();
    const auto id_of = [&](std::int64_t i) {  // ids of no row count as row `vocab`, which nobody sums
      const std::int64_t id = ids[i * a.ids.stride[0]];
      return static_cast<std::size_t>(id >= 0 && id < vocab ? id : vocab);
    };
    for (std::int64_t i = 0; i < n; ++i) ++start[id_of(i) + 1];
    for (std::int64_t v = 0; v <= vocab; ++v) start[static_cast<std::size_t>(v) + 1] += start[static_cast<std::size_t>(v)];
    std::vector<std::int64_t> next(start.begin(), start.end() - 1);
    for (std::int64_t i = 0; i < n; ++i) order[static_cast<std::size_t>(next[id_of(i)]++)] = i;
  }
  // The positions that the row of the table sums: none for the row of padding.
  struct Span {
    const std::int64_t *begin, *end;
  };
  Span of(std::int64_t row, const EmbedGradArgs& a) const {
    const std::int64_t first = start[static_cast<std::size_t>(row)];
    const std::int64_t last = row == a.padding_index ? first : start[static_cast<std::size_t>(row) + 1];
    return {order.data() + first, order.data() + last};
  }
};

}  // namespace graft
