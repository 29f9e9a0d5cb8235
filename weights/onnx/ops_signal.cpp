// Fourier transforms as products with matrices of sines (right for any length, slow for long ones; in doubles), windows, and mel scales.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

constexpr std::int64_t kLongest = 1 << 14;  // of a transform: its matrices have the square of it
constexpr double kTurn = 2 * std::numbers::pi;

struct Waves {
  Tensor cosine, sine;  // [bins, n]
};
Waves waves(const Call& c, std::int64_t bins, std::int64_t n, int type) {
  if (n < 1 || n > kLongest) c.refuse("transforms " + std::to_string(n) + " numbers; graft does up to " + std::to_string(kLongest));
  std::vector<double> cosine, sine;
  for (std::int64_t k = 0; k < bins; ++k)
    for (std::int64_t i = 0; i < n; ++i) {
      const double angle = kTurn * static_cast<double>(k * i % n) / static_cast<double>(n);
      cosine.push_back(std::cos(angle));
      sine.push_back(std::sin(angle));
    }
  return {from_doubles(cosine, {bins, n}, type).tensor, from_doubles(sine, {bins, n}, type).tensor};
}
// Of the last axis; imaginary may be undefined. [..., n] -> [..., bins, 2]
Tensor transformed(const Tensor& real, const Tensor& imaginary, const Waves& w, bool inverse) {
  const double sign = inverse ? -1 : 1;
  Tensor re = linear(real, w.cosine), im = mul(linear(real, w.sine), -sign);
  if (imaginary.defined()) {
    re = add(re, mul(linear(imaginary, w.sine), sign));
    im = add(im, linear(imaginary, w.cosine));
  }
  const Tensor y = stack({re, im}, re.rank());
  return inverse ? div(y, static_cast<double>(w.cosine.size(1))) : y;
}

void fourier(Call& c) {
  const Tensor x = c.x(0);
  if (x.rank() < 2 || (x.size(-1) != 1 && x.size(-1) != 2)) c.wrong("wants real or complex numbers along the last axis of " + x.str());
  const std::int64_t along = c.opset < 20 ? c.attr("axis", 1) : c.has(std::size_t{2}) ? c.integer(2) : -2;
  const int a = c.axis(along, x.rank());
  if (a == x.rank() - 1) c.wrong("transforms the axis of real and imaginary parts");
  const bool inverse = c.attr("inverse", 0) != 0, half = c.attr("onesided", 0) != 0;
  const bool back = inverse && half;  // half a spectrum of real numbers, turned back
  if (back && x.size(-1) != 2) c.wrong("turns half a spectrum back that is not complex");
  const std::int64_t n = c.has(std::size_t{1}) ? c.integer(1) : back ? 2 * (x.size(a) - 1) : x.size(a), taken = back ? n / 2 + 1 : n;
  if (n < 1 || n > kLongest) c.refuse("transforms " + std::to_string(n) + " numbers; graft does up to " + std::to_string(kLongest));
  const auto part = [&](std::int64_t k) {
    Tensor t = transpose(cast(select(x, -1, k), DType::f64), a, -1);
    if (t.size(-1) > taken) t = slice(t, -1, 0, taken);
    if (t.size(-1) < taken) {
      std::vector<std::pair<std::int64_t, std::int64_t>> around(static_cast<std::size_t>(t.rank()), {0, 0});
      around.back().second = taken - t.size(-1);
      t = pad(t, around);
    }
    return t;
  };
  const DType own = x.dtype();
  if (back) {
    // Each wave but the first, and but the middle one of an even length, stands for its mirror image as well.
    std::vector<double> twice(static_cast<std::size_t>(taken), 2);
    twice[0] = 1;
    if (n % 2 == 0) twice.back() = 1;
    const Waves w = waves(c, taken, n, kDouble);
    const Tensor counted = from_doubles(twice, {taken}, kDouble).tensor;
    const Tensor y = div(sub(matmul(mul(part(0), counted), w.cosine), matmul(mul(part(1), counted), w.sine)), static_cast<double>(n));
    return c.out(cast(unsqueeze(transpose(y, a, -1), -1), own), c.type(0));
  }
  const Tensor y = transformed(part(0), x.size(-1) == 2 ? part(1) : Tensor{}, waves(c, half ? n / 2 + 1 : n, n, kDouble), inverse);
  c.out(cast(transpose(y, a, y.rank() - 2), own), c.type(0));
}

void short_time(Call& c) {
  Tensor x = c.x(0);
  const int type = c.type(0);
  const std::int64_t step = c.integer(1);
  const Tensor window = c.has(std::size_t{2}) ? cast(c.x(2), x.dtype()) : Tensor{};
  const std::int64_t n = c.has(std::size_t{3}) ? c.integer(3) : window.defined() ? window.numel() : 0;
  if (x.rank() == 2) x = unsqueeze(x, 2);
  if (x.rank() != 3 || step < 1 || n < 1 || x.size(1) < n || (window.defined() && window.numel() != n))
    c.wrong("cuts " + x.str() + " into frames of " + std::to_string(n));
  const std::int64_t frames = (x.size(1) - n) / step + 1, bins = c.attr("onesided", 1) != 0 ? n / 2 + 1 : n;
  shape_of({frames, n}, c);
  std::vector<std::int64_t> at;
  for (std::int64_t f = 0; f < frames; ++f)
    for (std::int64_t i = 0; i < n; ++i) at.push_back(f * step + i);
  const Tensor index = here(from_ints(at, {frames * n}, kInt64).tensor);
  const auto part = [&](std::int64_t k) {
    const Tensor t = reshape(index_select(select(x, 2, k), 1, index), {x.size(0), frames, n});
    return window.defined() ? mul(t, reshape(window, {n})) : t;
  };
  c.out(transformed(part(0), x.size(2) == 2 ? part(1) : Tensor{}, waves(c, bins, n, type), false), type);
}

// a - b cos + d cos of twice
void window(Call& c, double a, double b, double d) {
  const std::int64_t n = c.integer(0);
  shape_of({n}, c);
  const double period = c.attr("periodic", 1) != 0 ? static_cast<double>(n) : static_cast<double>(n - 1);
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i) {
    const double angle = period > 0 ? kTurn * static_cast<double>(i) / period : 0;
    v.push_back(a - b * std::cos(angle) + d * std::cos(2 * angle));
  }
  c.out(cast_value(from_doubles(v, {n}, kDouble), static_cast<int>(c.attr("output_datatype", 1)), c));
}
void hann(Call& c) { window(c, 0.5, 0.5, 0); }
void hamming(Call& c) { window(c, 25.0 / 46, 21.0 / 46, 0); }
void blackman(Call& c) { window(c, 0.42, 0.5, 0.08); }

void mel(Call& c) {
  const std::int64_t bands = c.integer(0), length = c.integer(1), rate = c.integer(2);
  const double low = c.number(3), high = c.number(4);
  if (bands < 1 || bands > 1 << 20 || length < 1 || rate < 1 || !(low >= 0 && high > low)) c.wrong("has an impossible scale");
  const std::int64_t rows = length / 2 + 1;
  const Shape shape = shape_of({rows, bands}, c);
  const auto to_mel = [](double f) { return 2595 * std::log10(1 + f / 700); };
  const double first = to_mel(low), step = (to_mel(high) - first) / static_cast<double>(bands + 2);
  std::vector<std::int64_t> edge;
  for (std::int64_t i = 0; i < bands + 2; ++i)
    edge.push_back(static_cast<std::int64_t>(
        std::floor(static_cast<double>(length + 1) * 700 * (std::pow(10, (static_cast<double>(i) * step + first) / 2595) - 1) /
                   static_cast<double>(rate))));
  std::vector<double> v(static_cast<std::size_t>(rows * bands), 0);
  const auto put = [&](std::int64_t row, std::int64_t band, double value) {
    if (row >= 0 && row < rows) v[static_cast<std::size_t>(row * bands + band)] = value;
  };
  for (std::int64_t b = 0; b < bands; ++b) {
    const std::int64_t from = edge[static_cast<std::size_t>(b)], mid = edge[static_cast<std::size_t>(b + 1)],
                       to = edge[static_cast<std::size_t>(b + 2)];
    if (mid == from) put(mid, b, 1);
    for (std::int64_t r = from; mid > from && r <= mid; ++r) put(r, b, static_cast<double>(r - from) / static_cast<double>(mid - from));
    for (std::int64_t r = mid; to > mid && r < to; ++r) put(r, b, static_cast<double>(to - r) / static_cast<double>(to - mid));
  }
  c.out(cast_value(from_doubles(v, shape, kDouble), static_cast<int>(c.attr("output_datatype", 1)), c));
}

constexpr Operator kTable[] = {
    {"DFT", fourier},           {"STFT", short_time},         {"HannWindow", hann},
    {"HammingWindow", hamming}, {"BlackmanWindow", blackman}, {"MelWeightMatrix", mel},
};

}  // namespace

std::span<const Operator> signal_operators() { return kTable; }

}  // namespace graft::onnx
