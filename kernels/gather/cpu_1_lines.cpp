// gather and scatter in memory order: a task takes a chunk of `inner` and walks i outside, j inside, so that all operands are read along
// their dense axis; where the index does not depend on j (index_select), whole runs are copied or added. Inner axis dense in data and
// output.
#include <algorithm>
#include <cstring>

#include "kernels/gather/plain.h"
#include "kernels/gather/rows.h"

namespace graft {
namespace {
constexpr std::int64_t kChunk = 512;
}

void gather_lines(Queue& q, const GatherArgs& a) {
  const std::int64_t k = a.out.shape[1], inner = a.out.shape[2];
  if (a.out.numel() == 0) return;
  visit(a.out.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.out.shape[0] * k, std::max<std::int64_t>(1, 8192 / inner), [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t t = b; t < e; ++t) {
        const std::int64_t o = t / k, i = t % k;
        const T* in = a.in.as<const T>() + o * a.in.stride[0];
        T* out = a.out.as<T>() + o * a.out.stride[0] + i * a.out.stride[1];
        const std::int64_t* index = a.index.as<const std::int64_t>() + o * a.index.stride[0] + i * a.index.stride[1];
        if (a.index.stride[2] == 0 && index_inside(*index, a.in.shape[1]))
          std::memcpy(static_cast<void*>(out), in + *index * a.in.stride[1], static_cast<std::size_t>(inner) * sizeof(T));
        else
          for (std::int64_t j = 0; j < inner; ++j) {
            const std::int64_t at = index[j * a.index.stride[2]];
            out[j] = index_inside(at, a.in.shape[1]) ? in[at * a.in.stride[1] + j] : missing_value<T>();
          }
      }
    });
  });
}

void scatter_lines(Queue& q, const ScatterArgs& a) {
  const std::int64_t k = a.src.shape[1], inner = a.src.shape[2];
  if (a.src.numel() == 0) return;
  const std::int64_t chunks = (inner + kChunk - 1) / kChunk;
  visit(a.out.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.src.shape[0] * chunks,
                    std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, k * std::min(inner, kChunk))),
                    [&](std::int64_t b, std::int64_t e) {
                      for (std::int64_t t = b; t < e; ++t) {
                        const std::int64_t o = t / chunks, j0 = t % chunks * kChunk, j1 = std::min(inner, j0 + kChunk);
                        T* out = a.out.as<T>() + o * a.out.stride[0];
                        for (std::int64_t i = 0; i < k; ++i) {
                          const T* src = a.src.as<const T>() + o * a.src.stride[0] + i * a.src.stride[1];
                          const std::int64_t* index = a.index.as<const std::int64_t>() + o * a.index.stride[0] + i * a.index.stride[1];
                          for (std::int64_t j = j0; j < j1; ++j) {
                            const std::int64_t at = index[j * a.index.stride[2]];
                            if (!index_inside(at, a.out.shape[1])) continue;
                            T& to = out[at * a.out.stride[1] + j];
                            to = a.add ? scatter_sum(to, src[j]) : src[j];
                          }
                        }
                      }
                    });
  });
}

}  // namespace graft
