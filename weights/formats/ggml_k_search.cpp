// Quantising to the K types: graft's own search for the least squared error, part by part. A part is first fitted alone: several steps of
// its grid are tried, for each the scale (and minimum) that are best for the quants it gives are solved for, and quants and scale are
// improved in turn. Then d and dmin are chosen so that the largest scale and minimum fit their integers, rounded to f16, and each part
// takes of the integers around its fit the ones with the least error in the numbers a reader will compute. Every block is a function of its
// own floats, so threads change nothing.
#include <algorithm>
#include <cmath>

#include "weights/formats/ggml_codecs.h"

namespace graft {
namespace {

// To the nearest whole number, for |v| below 2^22: adding 1.5 * 2^23 leaves no room for a fraction. Vectorises on every machine.
inline float nearest(float v) {
  constexpr float kShift = 12582912.0f;
  return (v + kShift) - kShift;
}
inline float clamped(float v, float lo, float hi) { return std::min(std::max(v, lo), hi); }

// Four running sums, added at the end: a fixed order, and one vector.
struct Lanes {
  float at[4] = {};
  float sum() const { return (at[0] + at[1]) + (at[2] + at[3]); }
};

// ---- x = scale q + offset, q from 0 to Most, offset <= 0 ----
struct Line {
  float scale = 0, offset = 0;
};

template <int N, int Most>
struct LineFit {
  const float* x;
  Lanes sum_x_lanes, sum_xx_lanes;
  float sum_x, sum_xx;
  Line best;
  float least;

  explicit LineFit(const float* part) : x(part) {
    for (int i = 0; i < N; i += 4)
      for (int j = 0; j < 4; ++j) {
        sum_x_lanes.at[j] += x[i + j];
        sum_xx_lanes.at[j] += x[i + j] * x[i + j];
      }
    sum_x = sum_x_lanes.sum();
    sum_xx = sum_xx_lanes.sum();
    least = sum_xx;  // of the line that is 0 everywhere
  }

  // Takes the line that is best for the quants of (x - low) * inverse, when it is better than what there was.
  bool offer(float low, float inverse) {
    Lanes q_lanes, qq_lanes, qx_lanes;
    for (int i = 0; i < N; i += 4)
      for (int j = 0; j < 4; ++j) {
        const float q = nearest(clamped((x[i + j] - low) * inverse, 0.0f, static_cast<float>(Most)));
        q_lanes.at[j] += q;
        qq_lanes.at[j] += q * q;
        qx_lanes.at[j] += q * x[i + j];
      }
    const float sum_q = q_lanes.sum(), sum_qq = qq_lanes.sum(), sum_qx = qx_lanes.sum();
    if (!(sum_qq > 0)) return false;
    const float determinant = static_cast<float>(N) * sum_qq - sum_q * sum_q;
    Line l;
    if (determinant > 0) {
      l.scale = (static_cast<float>(N) * sum_qx - sum_x * sum_q) / determinant;
      l.offset = (sum_qq * sum_x - sum_q * sum_qx) / determinant;
    }
    if (!(determinant > 0) || l.offset > 0) l = {sum_qx / sum_qq, 0.0f};
    if (!(l.scale > 0)) return false;
    const float error = sum_xx + l.scale * l.scale * sum_qq + static_cast<float>(N) * l.offset * l.offset +
                        2.0f * (l.scale * l.offset * sum_q - l.scale * sum_qx - l.offset * sum_x);
    if (!(error < least)) return false;
    least = error;
    best = l;
    return true;
  }
};

template <int N, int Most>
Line fit_line(const float* x) {
  float lo = x[0], hi = x[0];
  for (int i = 1; i < N; ++i) {
    lo = std::min(lo, x[i]);
    hi = std::max(hi, x[i]);
  }
  lo = std::min(lo, 0.0f);
  if (!(hi > lo)) return {0.0f, lo};  // all the same and not above 0
  const float range = hi - lo;
  LineFit<N, Most> fit(x);
  // A step of the grid that is smaller than range / Most cuts the ends off, a larger one leaves quants unused. Few quants gain more from
  // cutting.
  constexpr float kFrom = Most == 3 ? -0.8f : -0.9f, kTo = Most == 3 ? 1.6f : 0.2f * static_cast<float>(Most);
  constexpr float kStep = Most == 3 ? 0.15f : (Most == 15 ? 0.2f : 0.36f);
  for (float more = kFrom; more <= kTo; more += kStep) fit.offer(lo, (static_cast<float>(Most) + more) / range);
  // The lower end cut off as well.
  if constexpr (Most == 3)
    for (float more = 0.2f; more <= 1.6f; more += 0.35f) fit.offer(lo + range * (more / (6.0f + 2.0f * more)), (3.0f + more) / range);
  for (int turn = 0; turn < 4 && fit.best.scale > 0; ++turn)
    if (!fit.offer(fit.best.offset, 1.0f / fit.best.scale)) break;
  if (!(fit.best.scale > 0)) return {range / static_cast<float>(Most), lo};
  return fit.best;
}

// Squared error of a part in the numbers a reader computes; the quants to `q`.
template <int N>
float settle(const float* x, float scale, float min, float lo, float hi, std::uint8_t* q, float up) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  if (!std::isfinite(inverse)) return std::numeric_limits<float>::infinity();
  Lanes error;
  float quants[N];
  for (int i = 0; i < N; i += 4)
    for (int j = 0; j < 4; ++j) {
      const float v = nearest(clamped((x[i + j] + min) * inverse, lo, hi)), e = scale * v - min - x[i + j];
      quants[i + j] = v + up;
      error.at[j] += e * e;
    }
  for (int i = 0; i < N; ++i) q[i] = static_cast<std::uint8_t>(static_cast<int>(quants[i]));
  return error.sum();
}

float rounded_half(float v) { return f16::to_float(f16::from_float(v)); }

// All parts of a super-block: quants, and the integers that their scales and minima became, with d and dmin.
template <int N, int Most, int MostScale>
struct LineBlock {
  static constexpr int kParts = 256 / N;
  std::uint8_t q[256];
  int scale[kParts], min[kParts];
  float d, dmin;

  explicit LineBlock(const float* x) {
    Line lines[kParts];
    float largest = 0, deepest = 0;
    for (int p = 0; p < kParts; ++p) {
      lines[p] = fit_line<N, Most>(x + N * p);
      largest = std::max(largest, lines[p].scale);
      deepest = std::max(deepest, -lines[p].offset);
    }
    d = rounded_half(largest / static_cast<float>(MostScale));
    dmin = rounded_half(deepest / static_cast<float>(MostScale));
    for (int p = 0; p < kParts; ++p) {
      const int s0 = d > 0 ? static_cast<int>(nearest(clamped(lines[p].scale / d, 0.0f, static_cast<float>(MostScale)))) : 0;
      const int m0 = dmin > 0 ? static_cast<int>(nearest(clamped(-lines[p].offset / dmin, 0.0f, static_cast<float>(MostScale)))) : 0;
      float least = std::numeric_limits<float>::infinity();
      for (int s = std::max(s0 - 1, 0); s <= std::min(s0 + 1, d > 0 ? MostScale : 0); ++s)
        for (int m = std::max(m0 - 1, 0); m <= std::min(m0 + 1, dmin > 0 ? MostScale : 0); ++m) {
          std::uint8_t tried[N];
          const float error =
              settle<N>(x + N * p, d * static_cast<float>(s), dmin * static_cast<float>(m), 0.0f, static_cast<float>(Most), tried, 0.0f);
          if (!(error < least)) continue;
          least = error;
          scale[p] = s;
          min[p] = m;
          std::memcpy(q + N * p, tried, N);
        }
      if (std::isinf(least)) {  // no scale of d can be divided by: the part is zeros
        scale[p] = min[p] = 0;
        std::memset(q + N * p, 0, N);
      }
    }
  }
};

// ---- x = scale q, q from -Middle to Middle - 1, scale of either sign ----
template <int Middle>
float fit_scale(const float* x) {
  float peak = 0;
  for (int i = 0; i < 16; ++i)
    if (std::abs(x[i]) > std::abs(peak)) peak = x[i];
  if (peak == 0 || !std::isfinite(1.0f / peak)) return 0;
  float scale = 0, most = 0;
  const auto offer = [&](float inverse) {
    Lanes qq, qx;
    for (int i = 0; i < 16; i += 4)
      for (int j = 0; j < 4; ++j) {
        const float v = nearest(clamped(x[i + j] * inverse, static_cast<float>(-Middle), static_cast<float>(Middle - 1)));
        qq.at[j] += v * v;
        qx.at[j] += v * x[i + j];
      }
    const float sum_qq = qq.sum(), sum_qx = qx.sum();
    // The error is sum x^2 - qx^2 / qq.
    if (!(sum_qq > 0) || !(sum_qx * sum_qx > most * sum_qq)) return false;
    most = sum_qx * sum_qx / sum_qq;
    scale = sum_qx / sum_qq;
    return true;
  };
  constexpr float kLow = Middle == 4 ? 0.60f : 0.90f, kHigh = Middle == 4 ? 1.40f : 1.10f, kStep = Middle == 4 ? 0.05f : 0.006f;
  for (float part = kLow; part <= kHigh; part += kStep) {
    offer(-static_cast<float>(Middle) * part / peak);
    if constexpr (Middle == 4) offer(static_cast<float>(Middle) * part / peak);
  }
  for (int turn = 0; turn < 4 && scale != 0; ++turn)
    if (!offer(1.0f / scale)) break;
  return scale;
}

template <int Middle, int MostScale>
struct ScaleBlock {
  std::uint8_t q[256];  // plus Middle
  int scale[16];        // -MostScale to MostScale - 1
  float d;

  explicit ScaleBlock(const float* x) {
    float scales[16], largest = 0;
    for (int p = 0; p < 16; ++p) {
      scales[p] = fit_scale<Middle>(x + 16 * p);
      if (std::abs(scales[p]) > std::abs(largest)) largest = scales[p];
    }
    d = rounded_half(largest / static_cast<float>(-MostScale));
    for (int p = 0; p < 16; ++p) {
      const int s0 =
          d != 0 ? static_cast<int>(nearest(clamped(scales[p] / d, static_cast<float>(-MostScale), static_cast<float>(MostScale - 1)))) : 0;
      float least = std::numeric_limits<float>::infinity();
      for (int s = std::max(s0 - 1, -MostScale); s <= std::min(s0 + 1, MostScale - 1); ++s) {
        std::uint8_t tried[16];
        const float error = settle<16>(x + 16 * p, d * static_cast<float>(s), 0.0f, static_cast<float>(-Middle),
                                       static_cast<float>(Middle - 1), tried, static_cast<float>(Middle));
        if (!(error < least)) continue;
        least = error;
        scale[p] = s;
        std::memcpy(q + 16 * p, tried, 16);
      }
      if (std::isinf(least)) {
        scale[p] = 0;
        std::memset(q + 16 * p, Middle, 16);
      }
    }
  }
};

// Two low bits of 256 quants to 64 bytes, four that lie 32 apart to a byte.
void put_pairs(const std::uint8_t* q, std::uint8_t* to) {
  for (int b = 0; b < 64; ++b) {
    const std::uint8_t* v = q + 128 * (b / 32) + b % 32;
    to[b] = static_cast<std::uint8_t>((v[0] & 3) | ((v[32] & 3) << 2) | ((v[64] & 3) << 4) | ((v[96] & 3) << 6));
  }
}

// The 12 bytes of eight 6-bit scales and minima that scale_and_min reads.
void put_scales(const int* scale, const int* min, std::uint8_t* to) {
  for (int j = 0; j < 4; ++j) {
    to[j] = static_cast<std::uint8_t>(scale[j] | ((scale[j + 4] >> 4) << 6));
    to[j + 4] = static_cast<std::uint8_t>(min[j] | ((min[j + 4] >> 4) << 6));
    to[j + 8] = static_cast<std::uint8_t>((scale[j + 4] & 15) | ((min[j + 4] & 15) << 4));
  }
}

// Low nibbles of 64 quants to 32 bytes.
void put_nibbles(const std::uint8_t* q, std::uint8_t* to) {
  for (int j = 0; j < 256; j += 64, to += 32)
    for (int l = 0; l < 32; ++l) to[l] = static_cast<std::uint8_t>((q[j + l] & 15) | ((q[j + 32 + l] & 15) << 4));
}

}  // namespace

void quantise_q2_k(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 256, to += 84) {
    const LineBlock<16, 3, 15> b(from);
    for (int p = 0; p < 16; ++p) to[p] = static_cast<std::uint8_t>(b.scale[p] | (b.min[p] << 4));
    put_pairs(b.q, to + 16);
    put_half(to + 80, b.d);
    put_half(to + 82, b.dmin);
  }
}

void quantise_q3_k(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 256, to += 110) {
    const ScaleBlock<4, 32> b(from);
    std::memset(to, 0, 32);
    for (int i = 0; i < 256; ++i) to[i % 32] |= static_cast<std::uint8_t>((b.q[i] >> 2) << (i / 32));
    put_pairs(b.q, to + 32);
    std::uint8_t* s = to + 96;
    std::memset(s, 0, 12);
    for (int p = 0; p < 16; ++p) {
      const int v = b.scale[p] + 32;
      s[p % 8] |= static_cast<std::uint8_t>((v & 15) << (4 * (p / 8)));
      s[8 + p % 4] |= static_cast<std::uint8_t>((v >> 4) << (2 * (p / 4)));
    }
    put_half(to + 108, b.d);
  }
}

void quantise_q4_k(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 256, to += 144) {
    const LineBlock<32, 15, 63> b(from);
    put_half(to, b.d);
    put_half(to + 2, b.dmin);
    put_scales(b.scale, b.min, to + 4);
    put_nibbles(b.q, to + 16);
  }
}

void quantise_q5_k(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 256, to += 176) {
    const LineBlock<32, 31, 63> b(from);
    put_half(to, b.d);
    put_half(to + 2, b.dmin);
    put_scales(b.scale, b.min, to + 4);
    std::memset(to + 16, 0, 32);
    for (int i = 0; i < 256; ++i) to[16 + i % 32] |= static_cast<std::uint8_t>((b.q[i] >> 4) << (i / 32));
    put_nibbles(b.q, to + 48);
  }
}

void quantise_q6_k(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 256, to += 210) {
    const ScaleBlock<32, 128> b(from);
    for (int half = 0; half < 2; ++half) {
      const std::uint8_t* q = b.q + 128 * half;
      std::uint8_t *low = to + 64 * half, *high = to + 128 + 32 * half;
      for (int l = 0; l < 32; ++l) {
        low[l] = static_cast<std::uint8_t>((q[l] & 15) | ((q[l + 64] & 15) << 4));
        low[l + 32] = static_cast<std::uint8_t>((q[l + 32] & 15) | ((q[l + 96] & 15) << 4));
        high[l] = static_cast<std::uint8_t>((q[l] >> 4) | ((q[l + 32] >> 4) << 2) | ((q[l + 64] >> 4) << 4) | ((q[l + 96] >> 4) << 6));
      }
    }
    for (int p = 0; p < 16; ++p) to[192 + p] = static_cast<std::uint8_t>(static_cast<std::int8_t>(b.scale[p]));
    put_half(to + 208, b.d);
  }
}

}  // namespace graft
