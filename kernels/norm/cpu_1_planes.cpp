// BatchNorm and GroupNorm over dense planes and their gradients, with vectors (Highway), f32. A group is a set of planes of s positions:
// one channel of all images (batch), or some channels of one image (group). x is read twice for the statistics and once for the result; the
// gradients read dy and x twice. One task is some groups, or some channels for dweight and dbias of group_norm.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/cpu_1_planes.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/norm/rows.h"
#include "kernels/norm/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

HWY_INLINE float value_or(const View& v, std::int64_t i, float other) { return v.data ? v.as<const float>()[i * v.stride[0]] : other; }

// y = ((x - shift) - delta) * rstd * weight + bias over one plane
HWY_INLINE void normalise_plane(F32 d, const float* x, float* y, std::int64_t n, float shift, float delta, float rstd, float weight,
                                float bias) {
  const auto m = hn::Set(d, shift), e = hn::Set(d, delta), s = hn::Set(d, rstd), w = hn::Set(d, weight), b = hn::Set(d, bias);
  each_vector(d, n, [&](std::int64_t k, std::int64_t part) HWY_ATTR {
    store_some(d, hn::MulAdd(hn::Mul(hn::Sub(hn::Sub(load_some(d, x + k, part), m), e), s), w, b), y + k, part);
  });
}
// sum += sum of dy, dot += sum of dy * (x - mean) * rstd over one plane. From plane to plane in double: with four lanes (NEON, SSE4) the
// sums of many planes were less exact than allowed.
HWY_INLINE void gradient_sums(F32 d, const float* dy, const float* x, std::int64_t n, float mean, float rstd, double& sum, double& dot) {
  const auto m = hn::Set(d, mean), s = hn::Set(d, rstd);
  auto total = hn::Zero(d), product = hn::Zero(d);
  each_vector(d, n, [&](std::int64_t k, std::int64_t part) HWY_ATTR {  // dy is 0 beyond the end
    const auto g = load_some(d, dy + k, part);
    total = hn::Add(total, g);
    product = hn::MulAdd(g, hn::Mul(hn::Sub(load_some(d, x + k, part), m), s), product);
  });
  sum += sum_lanes_f64(d, total);
  dot += sum_lanes_f64(d, product);
}
// dx = rstd * (dy * weight - mean_g - xhat * mean_dot) over one plane
HWY_INLINE void gradient_plane(F32 d, const float* dy, const float* x, float* dx, std::int64_t n, float mean, float rstd, float weight,
                               float mean_g, float mean_dot) {
  const auto m = hn::Set(d, mean), s = hn::Set(d, rstd), w = hn::Set(d, weight), g0 = hn::Set(d, mean_g), g1 = hn::Set(d, mean_dot);
  each_vector(d, n, [&](std::int64_t k, std::int64_t part) HWY_ATTR {
    const auto xhat = hn::Mul(hn::Sub(load_some(d, x + k, part), m), s);
    store_some(d, hn::Mul(s, hn::NegMulAdd(xhat, g1, hn::Sub(hn::Mul(load_some(d, dy + k, part), w), g0))), dx + k, part);
  });
}

// channels [begin, end); planes of s dense elements
void batch_forward(const BatchNormArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t images = a.x.shape[0], n = a.x.shape[2];
  for (std::int64_t c = begin; c < end; ++c) {
    const float* x = a.x.as<const float>() + c * a.x.stride[1];
    float *mean_at = a.mean.as<float>() + c * a.mean.stride[0], *rstd_at = a.rstd.as<float>() + c * a.rstd.stride[0];
    float shift = *mean_at, delta = 0;
    if (a.training) {
      const float count = static_cast<float>(images * n);
      float sum = 0, squares = 0;
      shift = images > 0 ? x[0] : 0.0f;
      for (std::int64_t i = 0; i < images; ++i) sum += sum_row(d, x + i * a.x.stride[0], n, shift, 0, false);
      delta = sum / count;
      for (std::int64_t i = 0; i < images; ++i) squares += sum_row(d, x + i * a.x.stride[0], n, shift, delta, true);
      *mean_at = shift + delta;
      *rstd_at = 1 / std::sqrt(squares / count + static_cast<float>(a.eps));
    }
    for (std::int64_t i = 0; i < images; ++i)
      normalise_plane(d, x + i * a.x.stride[0], a.y.as<float>() + i * a.y.stride[0] + c * a.y.stride[1], n, shift, delta, *rstd_at,
                      value_or(a.weight, c, 1), value_or(a.bias, c, 0));
  }
}

// channels [begin, end)
void batch_backward(const BatchNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t images = a.x.shape[0], n = a.x.shape[2];
  for (std::int64_t c = begin; c < end; ++c) {
    const float* x = a.x.as<const float>() + c * a.x.stride[1];
    const float* dy = a.dy.as<const float>() + c * a.dy.stride[1];
    const float mean = value_or(a.mean, c, 0), rstd = value_or(a.rstd, c, 0), weight = value_or(a.weight, c, 1);
    double sum = 0, dot = 0;
    for (std::int64_t i = 0; i < images; ++i) gradient_sums(d, dy + i * a.dy.stride[0], x + i * a.x.stride[0], n, mean, rstd, sum, dot);
    if (a.dweight.data) a.dweight.as<float>()[c * a.dweight.stride[0]] = static_cast<float>(dot);
    if (a.dbias.data) a.dbias.as<float>()[c * a.dbias.stride[0]] = static_cast<float>(sum);
    if (!a.dx.data) continue;
    // constant statistics: both means vanish, also where the sums are not finite
    const auto mean_of = [&](double v) { return a.training ? static_cast<float>(v) * weight / static_cast<float>(images * n) : 0.0f; };
    for (std::int64_t i = 0; i < images; ++i)
      gradient_plane(d, dy + i * a.dy.stride[0], x + i * a.x.stride[0], a.dx.as<float>() + i * a.dx.stride[0] + c * a.dx.stride[1], n, mean,
                     rstd, weight, mean_of(sum), mean_of(dot));
  }
}

// groups [begin, end) of n * groups
void group_forward(const GroupNormArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t n = a.x.shape[2], width = a.x.shape[1] / a.groups;
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t image = t / a.groups, g = t % a.groups, c0 = g * width;
    const float* x = a.x.as<const float>() + image * a.x.stride[0] + c0 * a.x.stride[1];
    const float shift = x[0], count = static_cast<float>(width * n);
    float sum = 0, squares = 0;
    for (std::int64_t c = 0; c < width; ++c) sum += sum_row(d, x + c * a.x.stride[1], n, shift, 0, false);
    const float delta = sum / count;
    for (std::int64_t c = 0; c < width; ++c) squares += sum_row(d, x + c * a.x.stride[1], n, shift, delta, true);
    const float rstd = 1 / std::sqrt(squares / count + static_cast<float>(a.eps));
    if (a.mean.data) a.mean.as<float>()[image * a.mean.stride[0] + g * a.mean.stride[1]] = shift + delta;
    if (a.rstd.data) a.rstd.as<float>()[image * a.rstd.stride[0] + g * a.rstd.stride[1]] = rstd;
    for (std::int64_t c = 0; c < width; ++c)
      normalise_plane(d, x + c * a.x.stride[1], a.y.as<float>() + image * a.y.stride[0] + (c0 + c) * a.y.stride[1], n, shift, delta, rstd,
                      value_or(a.weight, c0 + c, 1), value_or(a.bias, c0 + c, 0));
  }
}

HWY_INLINE float stat_at(const View& v, std::int64_t image, std::int64_t g) {
  return v.as<const float>()[image * v.stride[0] + g * v.stride[1]];
}

// groups [begin, end) of n * groups
void group_backward(const GroupNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t n = a.x.shape[2], width = a.x.shape[1] / a.groups;
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t image = t / a.groups, g = t % a.groups, c0 = g * width;
    const float mean = stat_at(a.mean, image, g), rstd = stat_at(a.rstd, image, g), count = static_cast<float>(width * n);
    const float* x = a.x.as<const float>() + image * a.x.stride[0] + c0 * a.x.stride[1];
    const float* dy = a.dy.as<const float>() + image * a.dy.stride[0] + c0 * a.dy.stride[1];
    double sum = 0, dot = 0;
    for (std::int64_t c = 0; c < width; ++c) {
      double s = 0, p = 0;
      gradient_sums(d, dy + c * a.dy.stride[1], x + c * a.x.stride[1], n, mean, rstd, s, p);
      sum += s * value_or(a.weight, c0 + c, 1);
      dot += p * value_or(a.weight, c0 + c, 1);
    }
    for (std::int64_t c = 0; c < width; ++c)
      gradient_plane(d, dy + c * a.dy.stride[1], x + c * a.x.stride[1],
                     a.dx.as<float>() + image * a.dx.stride[0] + (c0 + c) * a.dx.stride[1], n, mean, rstd, value_or(a.weight, c0 + c, 1),
                     static_cast<float>(sum) / count, static_cast<float>(dot) / count);
  }
}
// channels [begin, end); images in order
void group_parameters(const GroupNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t width = a.x.shape[1] / a.groups;
  for (std::int64_t c = begin; c < end; ++c) {
    double sum = 0, dot = 0;
    for (std::int64_t i = 0; i < a.x.shape[0]; ++i)
      gradient_sums(d, a.dy.as<const float>() + i * a.dy.stride[0] + c * a.dy.stride[1],
                    a.x.as<const float>() + i * a.x.stride[0] + c * a.x.stride[1], a.x.shape[2], stat_at(a.mean, i, c / width),
                    stat_at(a.rstd, i, c / width), sum, dot);
    if (a.dweight.data) a.dweight.as<float>()[c * a.dweight.stride[0]] = static_cast<float>(dot);
    if (a.dbias.data) a.dbias.as<float>()[c * a.dbias.stride[0]] = static_cast<float>(sum);
  }
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(batch_forward);
HWY_EXPORT(batch_backward);
HWY_EXPORT(group_forward);
HWY_EXPORT(group_backward);
HWY_EXPORT(group_parameters);

namespace {
std::int64_t grain(std::int64_t cost) { return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, cost)); }
}  // namespace

void batch_norm_simd(Queue& q, const BatchNormArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(batch_forward);
  parallel_ranges(q.pool(), a.x.shape[1], grain(a.x.shape[0] * a.x.shape[2]), [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void batch_norm_grad_simd(Queue& q, const BatchNormGradArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(batch_backward);
  parallel_ranges(q.pool(), a.x.shape[1], grain(a.x.shape[0] * a.x.shape[2]), [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void group_norm_simd(Queue& q, const GroupNormArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(group_forward);
  parallel_ranges(q.pool(), a.x.shape[0] * a.groups, grain(a.x.shape[1] / a.groups * a.x.shape[2]),
                  [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void group_norm_grad_simd(Queue& q, const GroupNormGradArgs& a) {
  const auto groups = HWY_DYNAMIC_DISPATCH(group_backward);
  const auto channels = HWY_DYNAMIC_DISPATCH(group_parameters);
  if (a.dx.data)
    parallel_ranges(q.pool(), a.x.shape[0] * a.groups, grain(a.x.shape[1] / a.groups * a.x.shape[2]),
                    [&](std::int64_t b, std::int64_t e) { groups(a, b, e); });
  if (a.dweight.data || a.dbias.data)
    parallel_ranges(q.pool(), a.x.shape[1], grain(a.x.shape[0] * a.x.shape[2]), [&](std::int64_t b, std::int64_t e) { channels(a, b, e); });
}
}  // namespace graft
#endif
