// The normalisations and their gradients as plain loops over any strides: two visits for the statistics, one for the result. The loops
// under `ref` (A = double) and `naive` (A = Accum<T>). Every family is one of three walks over groups; a group is a set of (n, c, s)
// positions of x.
#pragma once
#include <cmath>

#include "kernels/norm/norm.h"

namespace graft::norm_loops {

// mean and rstd are f32 or f64, whatever x is.
inline double stat(const View& v, std::int64_t i) {
  return v.dtype == DType::f64 ? v.as<const double>()[i] : static_cast<double>(v.as<const float>()[i]);
}
template <class A>
void set_stat(const View& v, std::int64_t i, A x) {
  if (v.dtype == DType::f64) v.as<double>()[i] = static_cast<double>(x);
  else v.as<float>()[i] = static_cast<float>(x);
}
template <class T, class A>
A at(const View& v, std::int64_t i) {
  return static_cast<A>(v.as<const T>()[i]);
}

// x[i] for i in a group lies at first + (i / inner) * outer_step + (i % inner) * step; its channel is chan(i).
struct Walk {
  std::int64_t count, inner, outer_step, step;
  std::int64_t offset(std::int64_t i) const { return i / inner * outer_step + i % inner * step; }
};

// The mean is kept as shift + delta, shift being the group's first element: x - shift is exact where x is near it, so an offset of 1000
// with a spread of a few ulp normalises as exactly as one of 0. The rounded sum alone would cost every digit there.
template <class A>
struct Stats {
  A shift = 0, delta = 0, rstd = 0;
  A mean() const { return shift + delta; }
  A centred(A x) const { return (x - shift) - delta; }
};
template <class T, class A>
Stats<A> statistics(const T* x, const Walk& w, double eps, bool rms) {
  Stats<A> s;
  if (!rms && w.count > 0) {
    s.shift = static_cast<A>(x[0]);
    A sum = 0;
    for (std::int64_t i = 0; i < w.count; ++i) sum += static_cast<A>(x[w.offset(i)]) - s.shift;
    s.delta = sum / static_cast<A>(w.count);
  }
  A squares = 0;
  for (std::int64_t i = 0; i < w.count; ++i) {
    const A d = s.centred(static_cast<A>(x[w.offset(i)]));
    squares += d * d;
  }
  s.rstd = 1 / std::sqrt(squares / static_cast<A>(w.count) + static_cast<A>(eps));
  return s;
}

// One group forward. chan(i): index into weight and bias.
template <class T, class A, class C>
void forward(const View& x, const View& y, const View& weight, const View& bias, const Walk& from, const Walk& to, std::int64_t first_x,
             std::int64_t first_y, const Stats<A>& s, C&& chan) {
  for (std::int64_t i = 0; i < from.count; ++i) {
    A v = s.centred(at<T, A>(x, first_x + from.offset(i))) * s.rstd;
    if (weight.data) v *= at<T, A>(weight, chan(i) * weight.stride[0]);
    if (bias.data) v += at<T, A>(bias, chan(i) * bias.stride[0]);
    y.as<T>()[first_y + to.offset(i)] = static_cast<T>(v);
  }
}

// One group backward: dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * weight; mean(g) only when the mean was subtracted.
// Constant statistics: dx = rstd * g.
template <class T, class A, class C>
void backward(const View& dy, const View& x, const View& weight, const View& dx, const Walk& wdy, const Walk& wx, const Walk& wdx,
              std::int64_t fdy, std::int64_t fx, std::int64_t fdx, A mean, A rstd, bool rms, bool constant, C&& chan) {
  A sum = 0, sum_xhat = 0;
  const auto g = [&](std::int64_t i) {
    const A v = at<T, A>(dy, fdy + wdy.offset(i));
    return weight.data ? v * at<T, A>(weight, chan(i) * weight.stride[0]) : v;
  };
  const auto xhat = [&](std::int64_t i) { return (at<T, A>(x, fx + wx.offset(i)) - mean) * rstd; };
  if (!constant) {
    for (std::int64_t i = 0; i < wx.count; ++i) {
      const A v = g(i);
      if (!rms) sum += v;
      sum_xhat += v * xhat(i);
    }
    sum /= static_cast<A>(wx.count);
    sum_xhat /= static_cast<A>(wx.count);
  }
  for (std::int64_t i = 0; i < wx.count; ++i) dx.as<T>()[fdx + wdx.offset(i)] = static_cast<T>(rstd * (g(i) - sum - xhat(i) * sum_xhat));
}

// ---- rows: [rows, cols] ----
template <class T, class A>
void row_forward(const RowNormArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = a.x.shape[1];
  for (std::int64_t r = begin; r < end; ++r) {
    const Walk from{n, n, 0, a.x.stride[1]}, to{n, n, 0, a.y.stride[1]};
    const auto s = statistics<T, A>(a.x.as<const T>() + r * a.x.stride[0], from, a.eps, a.rms);
    if (a.mean.data) set_stat(a.mean, r * a.mean.stride[0], s.mean());
    if (a.rstd.data) set_stat(a.rstd, r * a.rstd.stride[0], s.rstd);
    forward<T, A>(a.x, a.y, a.weight, a.bias, from, to, r * a.x.stride[0], r * a.y.stride[0], s, [](std::int64_t i) { return i; });
  }
}
template <class T, class A>
void row_backward(const RowNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = a.x.shape[1];
  for (std::int64_t r = begin; r < end; ++r) {
    const A mean = a.rms ? A(0) : static_cast<A>(stat(a.mean, r * a.mean.stride[0])),
            rstd = static_cast<A>(stat(a.rstd, r * a.rstd.stride[0]));
    backward<T, A>(a.dy, a.x, a.weight, a.dx, {n, n, 0, a.dy.stride[1]}, {n, n, 0, a.x.stride[1]}, {n, n, 0, a.dx.stride[1]},
                   r * a.dy.stride[0], r * a.x.stride[0], r * a.dx.stride[0], mean, rstd, a.rms, false, [](std::int64_t i) { return i; });
  }
}
// columns [begin, end): sums over rows in blocks of 64, blocks in order
template <class T, class A>
void row_parameters(const RowNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t c = begin; c < end; ++c) {
    A dw = 0, db = 0;
    for (std::int64_t r0 = 0; r0 < a.x.shape[0]; r0 += 64) {
      A w = 0, b = 0;
      for (std::int64_t r = r0; r < a.x.shape[0] && r < r0 + 64; ++r) {
        const A g = at<T, A>(a.dy, r * a.dy.stride[0] + c * a.dy.stride[1]);
        const A mean = a.rms ? A(0) : static_cast<A>(stat(a.mean, r * a.mean.stride[0])),
                rstd = static_cast<A>(stat(a.rstd, r * a.rstd.stride[0]));
        w += g * ((at<T, A>(a.x, r * a.x.stride[0] + c * a.x.stride[1]) - mean) * rstd);
        b += g;
      }
      dw += w;
      db += b;
    }
    if (a.dweight.data) a.dweight.as<T>()[c * a.dweight.stride[0]] = static_cast<T>(dw);
    if (a.dbias.data) a.dbias.as<T>()[c * a.dbias.stride[0]] = static_cast<T>(db);
  }
}

// ---- groups of channels: [n, c, s] ----
inline Walk channels_of(const View& v, std::int64_t per) { return {per * v.shape[2], v.shape[2], v.stride[1], v.stride[2]}; }
inline Walk batch_of(const View& v) { return {v.shape[0] * v.shape[2], v.shape[2], v.stride[0], v.stride[2]}; }

template <class T, class A>
void group_forward(const GroupNormArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t per = a.x.shape[1] / a.groups, plane = a.x.shape[2];
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t n = t / a.groups, g = t % a.groups, fx = n * a.x.stride[0] + g * per * a.x.stride[1];
    const Walk from = channels_of(a.x, per);
    const auto s = statistics<T, A>(a.x.as<const T>() + fx, from, a.eps, false);
    if (a.mean.data) set_stat(a.mean, n * a.mean.stride[0] + g * a.mean.stride[1], s.mean());
    if (a.rstd.data) set_stat(a.rstd, n * a.rstd.stride[0] + g * a.rstd.stride[1], s.rstd);
    forward<T, A>(a.x, a.y, a.weight, a.bias, from, channels_of(a.y, per), fx, n * a.y.stride[0] + g * per * a.y.stride[1], s,
                  [=](std::int64_t i) { return g * per + i / plane; });
  }
}
template <class T, class A>
void group_backward(const GroupNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t per = a.x.shape[1] / a.groups, s = a.x.shape[2];
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t n = t / a.groups, g = t % a.groups;
    const A mean = static_cast<A>(stat(a.mean, n * a.mean.stride[0] + g * a.mean.stride[1]));
    const A rstd = static_cast<A>(stat(a.rstd, n * a.rstd.stride[0] + g * a.rstd.stride[1]));
    const auto first = [&](const View& v) { return n * v.stride[0] + g * per * v.stride[1]; };
    backward<T, A>(a.dy, a.x, a.weight, a.dx, channels_of(a.dy, per), channels_of(a.x, per), channels_of(a.dx, per), first(a.dy),
                   first(a.x), first(a.dx), mean, rstd, false, false, [=](std::int64_t i) { return g * per + i / s; });
  }
}
// channels [begin, end): sums over the positions of an image, images in order. mean(n, c) and rstd(n, c) are the group's.
template <class T, class A, class M, class R>
void channel_parameters(const View& dy, const View& x, const View& dweight, const View& dbias, std::int64_t begin, std::int64_t end,
                        M&& mean, R&& rstd) {
  for (std::int64_t c = begin; c < end; ++c) {
    A dw = 0, db = 0;
    for (std::int64_t n = 0; n < x.shape[0]; ++n) {
      const A m = static_cast<A>(mean(n, c)), r = static_cast<A>(rstd(n, c));
      A w = 0, b = 0;
      for (std::int64_t s = 0; s < x.shape[2]; ++s) {
        const A g = at<T, A>(dy, n * dy.stride[0] + c * dy.stride[1] + s * dy.stride[2]);
        w += g * ((at<T, A>(x, n * x.stride[0] + c * x.stride[1] + s * x.stride[2]) - m) * r);
        b += g;
      }
      dw += w;
      db += b;
    }
    if (dweight.data) dweight.as<T>()[c * dweight.stride[0]] = static_cast<T>(dw);
    if (dbias.data) dbias.as<T>()[c * dbias.stride[0]] = static_cast<T>(db);
  }
}
template <class T, class A>
void group_parameters(const GroupNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t per = a.x.shape[1] / a.groups;
  channel_parameters<T, A>(
      a.dy, a.x, a.dweight, a.dbias, begin, end,
      [&](std::int64_t n, std::int64_t c) { return stat(a.mean, n * a.mean.stride[0] + c / per * a.mean.stride[1]); },
      [&](std::int64_t n, std::int64_t c) { return stat(a.rstd, n * a.rstd.stride[0] + c / per * a.rstd.stride[1]); });
}

// ---- channels over the batch: [n, c, s] ----
template <class T, class A>
void batch_forward(const BatchNormArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t c = begin; c < end; ++c) {
    const Walk from = batch_of(a.x);
    Stats<A> s;
    if (a.training) {
      s = statistics<T, A>(a.x.as<const T>() + c * a.x.stride[1], from, a.eps, false);
      set_stat(a.mean, c * a.mean.stride[0], s.mean());
      set_stat(a.rstd, c * a.rstd.stride[0], s.rstd);
    } else {
      s.shift = static_cast<A>(stat(a.mean, c * a.mean.stride[0]));
      s.rstd = static_cast<A>(stat(a.rstd, c * a.rstd.stride[0]));
    }
    forward<T, A>(a.x, a.y, a.weight, a.bias, from, batch_of(a.y), c * a.x.stride[1], c * a.y.stride[1], s,
                  [=](std::int64_t) { return c; });
  }
}
template <class T, class A>
void batch_backward(const BatchNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t c = begin; c < end; ++c) {
    const A mean = static_cast<A>(stat(a.mean, c * a.mean.stride[0])), rstd = static_cast<A>(stat(a.rstd, c * a.rstd.stride[0]));
    if (a.dx.data)
      backward<T, A>(a.dy, a.x, a.weight, a.dx, batch_of(a.dy), batch_of(a.x), batch_of(a.dx), c * a.dy.stride[1], c * a.x.stride[1],
                     c * a.dx.stride[1], mean, rstd, false, !a.training, [=](std::int64_t) { return c; });
  }
  channel_parameters<T, A>(
      a.dy, a.x, a.dweight, a.dbias, begin, end, [&](std::int64_t, std::int64_t c) { return stat(a.mean, c * a.mean.stride[0]); },
      [&](std::int64_t, std::int64_t c) { return stat(a.rstd, c * a.rstd.stride[0]); });
}

}  // namespace graft::norm_loops
