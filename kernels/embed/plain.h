// Lookup and its gradient, element by element. The loops under `ref` (A = double) and `naive` (A = Accum<T>).
#pragma once
#include "kernels/embed/embed.h"

namespace graft {

template <class T>
constexpr void embed_one(const EmbedArgs& a, std::int64_t i, std::int64_t j) {
  const std::int64_t id = a.ids.as<const std::int64_t>()[i * a.ids.stride[0]];
  a.out.as<T>()[i * a.out.stride[0] + j * a.out.stride[1]] =
      index_inside(id, a.table.shape[0]) ? a.table.as<const T>()[id * a.table.stride[0] + j * a.table.stride[1]] : missing_value<T>();
}
template <class T>
void embed_walk(const EmbedArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i)
    for (std::int64_t j = 0; j < a.out.shape[1]; ++j) embed_one<T>(a, i, j);
}

// dtable[row, j]: looks at every id
template <class T, class A>
constexpr void embed_grad_one(const EmbedGradArgs& a, std::int64_t row, std::int64_t j) {
  const std::int64_t* ids = a.ids.as<const std::int64_t>();
  A sum = 0;
  if (row != a.padding_index)
    for (std::int64_t i = 0; i < a.ids.shape[0]; ++i)
      if (ids[i * a.ids.stride[0]] == row) sum += static_cast<A>(a.dout.as<const T>()[i * a.dout.stride[0] + j * a.dout.stride[1]]);
  a.dtable.as<T>()[row * a.dtable.stride[0] + j * a.dtable.stride[1]] = static_cast<T>(sum);
}
// rows [begin, end) of the table
template <class T, class A>
void embed_grad_walk(const EmbedGradArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row)
    for (std::int64_t j = 0; j < a.dtable.shape[1]; ++j) embed_grad_one<T, A>(a, row, j);
}

}  // namespace graft
