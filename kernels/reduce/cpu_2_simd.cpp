// sum, mean, sum of squares, maximum and minimum with vectors (Highway) on f32, bf16 and f16. Rows (inner == 1, axis dense): four vectors
// of partial results per row, combined in a fixed order. Columns (inner dense): a vector per group of columns walks the axis. Cut as in
// blocks.h.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/cpu_2_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/reduce/blocks.h"
#include "kernels/reduce/fold.h"
#include "kernels/reduce/rows.h"
#include "kernels/simd/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

template <R op>
HWY_INLINE F32Vec start(F32 d) {
  if constexpr (op == R::max) return hn::Set(d, -HUGE_VALF);
  else if constexpr (op == R::min) return hn::Set(d, HUGE_VALF);
  else return hn::Zero(d);
}
template <R op>
HWY_INLINE F32Vec meet(F32Vec a, F32Vec b) {
  if constexpr (op == R::max) return hn::IfThenElse(hn::Or(hn::Gt(b, a), hn::IsNaN(b)), b, a);
  else if constexpr (op == R::min) return hn::IfThenElse(hn::Or(hn::Lt(b, a), hn::IsNaN(b)), b, a);
  else return hn::Add(a, b);
}
template <R op>
HWY_INLINE F32Vec take(F32Vec a, F32Vec x) {
  if constexpr (op == R::sum_of_squares) return hn::Add(a, hn::Mul(x, x));
  else return meet<op>(a, x);
}

// x: n dense elements -> one value
template <R op, class T>
float row(const T* x, std::int64_t n) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  F32Vec v[4] = {start<op>(d), start<op>(d), start<op>(d), start<op>(d)};
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
    for (int k = 0; k < 4; ++k) v[k] = take<op>(v[k], load_f32(d, x + i + k * lanes));
  for (; i + lanes <= n; i += lanes) v[0] = take<op>(v[0], load_f32(d, x + i));
  const auto all = meet<op>(meet<op>(v[0], v[1]), meet<op>(v[2], v[3]));
  float one[HWY_MAX_BYTES / 4];
  hn::StoreU(all, d, one);
  Fold<op, float, float> f, g;
  for (std::int64_t half = lanes / 2; half > 0; half /= 2)  // pairs of lanes: a sum of 16 in 4 roundings instead of 15
    for (std::int64_t l = 0; l < half; ++l) {
      f.v = one[l];
      g.v = one[l + half];
      f.merge(g);
      one[l] = f.v;
    }
  f.v = one[0];
  for (; i < n; ++i) f.add(static_cast<float>(x[i]), i);
  return f.v;
}

// columns [0, count) of `rows` rows, `step` elements apart -> out[0, count)
template <R op, class T>
void columns(const T* x, std::int64_t rows, std::int64_t step, std::int64_t count, float* out) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  for (; j + 4 * lanes <= count; j += 4 * lanes) {
    F32Vec v[4] = {start<op>(d), start<op>(d), start<op>(d), start<op>(d)};
    for (std::int64_t k = 0; k < rows; ++k)
      for (int l = 0; l < 4; ++l) v[l] = take<op>(v[l], load_f32(d, x + k * step + j + l * lanes));
    for (int l = 0; l < 4; ++l) hn::StoreU(v[l], d, out + j + l * lanes);
  }
  for (; j + lanes <= count; j += lanes) {
    F32Vec v = start<op>(d);
    for (std::int64_t k = 0; k < rows; ++k) v = take<op>(v, load_f32(d, x + k * step + j));
    hn::StoreU(v, d, out + j);
  }
  for (; j < count; ++j) {
    Fold<op, float, float> f;
    for (std::int64_t k = 0; k < rows; ++k) f.add(static_cast<float>(x[k * step + j]), k);
    out[j] = f.v;
  }
}

template <class F>
void visit_simd(R op, DType t, F&& f) {
  const auto typed = [&]<R o>() {
    if (t == DType::f32) f.template operator()<o, float>();
    else if (t == DType::bf16) f.template operator()<o, bf16>();
    else f.template operator()<o, f16>();
  };
  switch (op) {
    case R::max: typed.template operator()<R::max>(); break;
    case R::min: typed.template operator()<R::min>(); break;
    case R::sum_of_squares: typed.template operator()<R::sum_of_squares>(); break;
    default: typed.template operator()<R::sum>(); break;
  }
}
void rows_any(R op, DType t, const void* x, std::int64_t n, float* out) {
  visit_simd(op, t, [&]<R o, class T>() { *out = row<o>(static_cast<const T*>(x), n); });
}
void columns_any(R op, DType t, const void* x, std::int64_t rows, std::int64_t step, std::int64_t count, float* out) {
  visit_simd(op, t, [&]<R o, class T>() { columns<o>(static_cast<const T*>(x), rows, step, count, out); });
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(rows_any);
HWY_EXPORT(columns_any);

void reduce_simd(Queue& q, const ReduceArgs& a) {
  const ReducePlan p = reduce_plan(a.in);
  const auto row = HWY_DYNAMIC_DISPATCH(rows_any);
  const auto columns = HWY_DYNAMIC_DISPATCH(columns_any);
  auto* partial = p.blocks > 1 ? reinterpret_cast<float*>(q.scratch(reduce_blocks_scratch(a, 1))) : nullptr;
  const auto size = static_cast<std::int64_t>(size_of(a.in.dtype));
  const auto store = [&](std::int64_t o, std::int64_t j, float v) {
    if (a.op == R::mean) v /= static_cast<float>(p.n);
    visit_float(a.out.dtype, [&]<class T>() { a.out.as<T>()[o * a.out.stride[0] + j * a.out.stride[1]] = static_cast<T>(v); });
  };
  parallel_ranges(q.pool(), p.tasks(), std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, p.block * p.chunk)),
                  [&](std::int64_t b, std::int64_t e) {
                    for (std::int64_t t = b; t < e; ++t) {
                      const std::int64_t c = t % p.chunks, block = t / p.chunks % p.blocks, o = t / p.chunks / p.blocks;
                      const std::int64_t j0 = c * p.chunk, count = std::min(p.inner, j0 + p.chunk) - j0;
                      const std::int64_t k0 = block * p.block, rows = std::min(p.n, k0 + p.block) - k0;
                      const std::byte* x =
                          a.in.as<const std::byte>() + (o * a.in.stride[0] + k0 * a.in.stride[1] + j0 * a.in.stride[2]) * size;
                      float piece[kColumnChunk];
                      if (p.inner == 1) row(a.op, a.in.dtype, x, rows, piece);
                      else columns(a.op, a.in.dtype, x, rows, a.in.stride[1], count, piece);
                      for (std::int64_t j = 0; j < count; ++j) {
                        if (partial) partial[(block * p.outer + o) * p.inner + j0 + j] = piece[j];
                        else store(o, j0 + j, piece[j]);
                      }
                    }
                  });
  if (!partial) return;
  for (std::int64_t o = 0; o < p.outer; ++o)
    for (std::int64_t j = 0; j < p.inner; ++j) {
      float v = partial[o * p.inner + j];
      for (std::int64_t block = 1; block < p.blocks; ++block) {
        const float w = partial[(block * p.outer + o) * p.inner + j];
        if (a.op == R::max) v = w > v || w != w ? w : v;
        else if (a.op == R::min) v = w < v || w != w ? w : v;
        else v += w;
      }
      store(o, j, v);
    }
}
}  // namespace graft
#endif
