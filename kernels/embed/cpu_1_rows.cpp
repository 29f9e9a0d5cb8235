// embed as memcpy of whole rows. Its gradient first sorts positions by id (counting sort, stable), then each row of the table adds its own
// positions in their order: n additions in all, no atomics, the same bits for any number of threads. Rows dense in memory.
#include <algorithm>
#include <cstring>

#include "kernels/embed/by_id.h"
#include "kernels/embed/rows.h"

namespace graft {

void embed_rows(Queue& q, const EmbedArgs& a) {
  const std::int64_t dim = a.out.shape[1];
  const std::size_t size = size_of(a.out.dtype);
  parallel_ranges(
      q.pool(), a.out.shape[0], std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, dim)), [&](std::int64_t b, std::int64_t e) {
        for (std::int64_t i = b; i < e; ++i) {
          const std::int64_t id = a.ids.as<const std::int64_t>()[i * a.ids.stride[0]];
          std::byte* out = a.out.as<std::byte>() + static_cast<std::size_t>(i * a.out.stride[0]) * size;
          if (id < 0 || id >= a.table.shape[0]) {
            std::memset(out, is_float(a.out.dtype) ? 0xff : 0, static_cast<std::size_t>(dim) * size);  // all bits set: a NaN of any width
            continue;
          }
          std::memcpy(out, a.table.as<const std::byte>() + static_cast<std::size_t>(id * a.table.stride[0]) * size,
                      static_cast<std::size_t>(dim) * size);
        }
      });
}

void embed_grad_sorted(Queue& q, const EmbedGradArgs& a) {
  const std::int64_t vocab = a.dtable.shape[0], dim = a.dtable.shape[1];
  const PositionsById positions(a);
  visit_float(a.dtable.dtype, [&]<class T>() {
    using A = Accum<T>;
    parallel_ranges(q.pool(), vocab, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, dim)),
                    [&](std::int64_t b, std::int64_t e) {
                      constexpr std::int64_t kChunk = 256;
                      for (std::int64_t row = b; row < e; ++row) {
                        const auto own = positions.of(row, a);
                        T* out = a.dtable.as<T>() + row * a.dtable.stride[0];
                        for (std::int64_t j0 = 0; j0 < dim; j0 += kChunk) {
                          const std::int64_t count = std::min(kChunk, dim - j0);
                          A sum[kChunk] = {};
                          for (const std::int64_t* at = own.begin; at != own.end; ++at) {
                            const T* g = a.dout.as<const T>() + *at * a.dout.stride[0] + j0;
                            for (std::int64_t j = 0; j < count; ++j) sum[j] += static_cast<A>(g[j]);
                          }
                          for (std::int64_t j = 0; j < count; ++j) out[j0 + j] = static_cast<T>(sum[j]);
                        }
                      }
                    });
  });
}

}  // namespace graft
