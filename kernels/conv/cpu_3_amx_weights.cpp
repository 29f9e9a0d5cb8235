// The weight gradient of convolutions of stride 1 on AMX tiles (simd/amx_tile.h): for each filter tap a product of channels of x by
// channels of dy, whose steps are pixels. x is split once into planes of bf16, a channel after the other, with its border: 32 pixels from
// anywhere on are then a row of a tile, whatever the tap, and nothing is unfolded. dy is packed as columns in the same numbering of pixels,
// that of x, with zeros where a row of x is longer than one of dy. Images are taken together until there are 64 steps or L2 is full. A
// block of images has sums of its own, which are added in the order of the blocks. Bound: 2 n k p q c r s FLOPs at the rate of tiles, a
// sixth of it for f32.
#include "kernels/simd/amx_tile.h"

#ifdef GRAFT_HAVE_AMX
#include <vector>

#include "kernels/conv/rows.h"

HWY_PUSH_ATTRIBUTES(GRAFT_AMX_TARGETS)
namespace graft {
namespace {
using amx::ceil_div;
using amx::kDepth;
using amx::kPanel;
using amx::kParts;
using amx::kTile;

// Channels of x as lines: planes of pixels.
struct Planes {
  const std::byte* first;      // of the first channel and part, at the tap
  const std::int64_t* offset;  // of a step
  std::int64_t row_bytes, part_bytes;
  const std::byte* tile(std::int64_t s, int part, int t) const { return first + offset[s] + part * part_bytes + t * kTile * row_bytes; }
};

template <class T>
struct Weights {
  static constexpr int P = kParts<T>;
  static constexpr std::int64_t kStep = P * 2 * amx::kTileBytes;
  static constexpr std::int64_t kSums = kPanel * kPanel;

  const ConvWeightGradArgs& a;
  const ConvGeometry& g = a.geometry;
  std::int64_t cg = a.dweight.shape[1], kg = a.dweight.shape[0] / g.groups, images = a.dy.shape[0];
  std::int64_t r_count = a.dweight.shape[2], s_count = a.dweight.shape[3], taps = r_count * s_count;
  std::int64_t width = a.x.shape[3] + g.pad_left + g.pad_right;  // of the bordered image
  std::int64_t steps = ceil_div(a.dy.shape[2] * width, kDepth);  // of an image
  // A plane holds whatever a tap reaches from the last step, an odd number of lines of cache: rows of a tile fall on different sets.
  std::int64_t reach = steps * kDepth + (r_count - 1) * g.dilation_h * width + (s_count - 1) * g.dilation_w;
  std::int64_t plane = (std::max(reach, (a.x.shape[2] + g.pad_top + g.pad_bottom) * width + kTile) * 2 / 128 * 2 + 3) * 64;  // bytes
  std::int64_t c_blocks = ceil_div(cg, kPanel), k_panels = ceil_div(kg, kPanel);
  std::int64_t image = g.groups * c_blocks * kPanel * plane * P;  // bytes of an image's planes
  // Images taken together: 64 steps or more, of which planes and columns stay in L2.
  std::int64_t together = std::clamp<std::int64_t>(
      std::min(ceil_div(64, steps), (std::int64_t{1} << 20) / (image / g.groups + k_panels * steps * kStep)), 1, images);
  std::int64_t sums = g.groups * taps * c_blocks * k_panels * kSums;

  // 16 numbers as parts, `apart` bytes from one to the next; returns the first parts, each in 32 bits.
  static __m512i split16(__m512 x, __mmask16 lanes, std::byte* to, std::int64_t apart) {
    const __m512 high = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(0xffff0000u)));
    const auto cut = [&](__m512 v) { return _mm512_srli_epi32(_mm512_castps_si512(v), 16); };
    const __m512i first = cut(x);
    _mm256_mask_storeu_epi16(to, lanes, _mm512_cvtepi32_epi16(first));
    if constexpr (P > 1) {
      x = _mm512_sub_ps(x, _mm512_and_ps(x, high));
      const __m256i second = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
      _mm256_mask_storeu_epi16(to + apart, lanes, second);
      if constexpr (P > 2) {
        x = _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16)));
        _mm256_mask_storeu_epi16(to + 2 * apart, lanes, _mm512_cvtepi32_epi16(cut(x)));
      }
    }
    return first;
  }

  // Planes of x for a group's channels, [channel][part][pixel].
  float split_planes(std::int64_t n, std::int64_t group, float scale, std::byte* to) const {
    amx::Largest largest;
    const std::int64_t h = a.x.shape[2], w = a.x.shape[3];
    const T* from = a.x.as<const T>() + n * a.x.stride[0] + group * cg * a.x.stride[1];
    std::memset(to, 0, static_cast<std::size_t>(c_blocks * kPanel * P * plane));
    alignas(64) float channels[kTile * kTile];
    for (std::int64_t c = 0; c < cg; c += kTile)
      for (std::int64_t y = 0; y < h; ++y)
        for (std::int64_t x = 0; x < w; x += kTile) {
          const std::int64_t here = std::min(kTile, cg - c), pixels = std::min(kTile, w - x);
          const T* at = from + c * a.x.stride[1] + y * a.x.stride[2] + x * a.x.stride[3];
          amx::gather<kTile, kTile>(at, a.x.stride[1], a.x.stride[3], here, pixels, scale, channels, 0);
          std::byte* place = to + c * P * plane + ((y + g.pad_top) * width + g.pad_left + x) * 2;
          for (std::int64_t l = 0; l < here; ++l)
            largest.take(split16(_mm512_load_ps(channels + l * kTile), amx::first_lanes(pixels), place + l * P * plane, plane));
        }
    return largest.value();
  }
  // dy of a group as columns, [panel][step], at step `first` of `all`. turned: [steps x kDepth + kTile][kTile]
  float pack_columns(std::int64_t n, std::int64_t group, float scale, std::int64_t first, std::int64_t all, float* turned,
                     std::byte* to) const {
    amx::Largest largest;
    const std::int64_t p_count = a.dy.shape[2], q_count = a.dy.shape[3];
    const T* from = a.dy.as<const T>() + n * a.dy.stride[0] + group * kg * a.dy.stride[1];
    for (std::int64_t k = 0; k < kg; k += kTile) {
      std::memset(turned, 0, static_cast<std::size_t>(steps * kDepth + kTile) * kTile * sizeof(float));
      for (std::int64_t p = 0; p < p_count; ++p)
        for (std::int64_t q = 0; q < q_count; q += kTile)
          amx::gather<kTile, kTile>(from + k * a.dy.stride[1] + p * a.dy.stride[2] + q * a.dy.stride[3], a.dy.stride[3], a.dy.stride[1],
                                    std::min(kTile, q_count - q), std::min(kTile, kg - k), scale, turned + (p * width + q) * kTile, 0);
      std::byte* panel = to + (k / kPanel * all + first) * kStep + k % kPanel / kTile * amx::kTileBytes;
      for (std::int64_t s = 0; s < steps; ++s)
        for (std::int64_t r = 0; r < kTile; ++r) {
          const float* pair = turned + (s * kDepth + 2 * r) * kTile;
          largest.take(amx::split<P>(_mm512_load_ps(pair), _mm512_load_ps(pair + kTile), panel + s * kStep + r * 64, 2 * amx::kTileBytes));
        }
    }
    return largest.value();
  }

  // to[tap][c block][k panel] += products of images [begin, end) at taps [t0, t1), for one group.
  void block(std::int64_t begin, std::int64_t end, std::int64_t group, std::int64_t t0, std::int64_t t1, std::byte* scratch,
             float* to) const {
    const std::int64_t most = together * steps;
    std::byte *planes = scratch, *columns = planes + together * image / g.groups;
    auto* turned = reinterpret_cast<float*>(columns + k_panels * most * kStep);
    std::vector<std::int64_t> offset;
    for (std::int64_t s = 0; s < most; ++s) offset.push_back(s / steps * image / g.groups + s % steps * kDepth * 2);
    const amx::Tiles tiles;
    alignas(64) float tile[kSums];
    for (std::int64_t n = begin; n < end; n += together) {
      const std::int64_t count = std::min(together, end - n), all = count * steps;
      const auto scaled = [&](auto&& one) {  // one image after the other, once more where they are small
        const auto largest = [&](float scale) {
          float v = 0;
          for (std::int64_t i = 0; i < count; ++i) v = std::max(v, one(i, scale));
          return v;
        };
        const float scale = amx::scale_for(largest(1));
        if (scale != 1) largest(scale);
        return scale;
      };
      const float x_scale = scaled([&](std::int64_t i, float s) { return split_planes(n + i, group, s, planes + i * image / g.groups); });
      const float dy_scale =
          scaled([&](std::int64_t i, float s) { return pack_columns(n + i, group, s, i * steps, all, turned, columns); });
      for (std::int64_t t = t0; t < t1; ++t)
        for (std::int64_t c = 0; c < c_blocks; ++c)
          for (std::int64_t k = 0; k < k_panels; ++k) {
            const std::int64_t shift = t / s_count * g.dilation_h * width + t % s_count * g.dilation_w;
            const Planes lines{planes + c * kPanel * P * plane + shift * 2, offset.data(), P * plane, plane};
            const std::byte* panel = columns + k * all * kStep;
            amx::multiply_lines<P>(lines, cg - c * kPanel > kTile, panel, kg - k * kPanel, all, panel + kStep, {}, tile);
            amx::unscale(tile, kPanel, x_scale, dy_scale);
            float* sum = to + ((t * c_blocks + c) * k_panels + k) * kSums;
            for (std::int64_t i = 0; i < kSums; i += kTile)
              _mm512_storeu_ps(sum + i, _mm512_add_ps(_mm512_loadu_ps(sum + i), _mm512_load_ps(tile + i)));
          }
    }
  }

  // What tiles cannot sum, one product after the other.
  float repaired(std::int64_t group, std::int64_t k, std::int64_t c, std::int64_t r, std::int64_t s) const {
    float sum = 0;
    for (std::int64_t n = 0; n < images; ++n)
      for (std::int64_t p = 0; p < a.dy.shape[2]; ++p)
        for (std::int64_t q = 0; q < a.dy.shape[3]; ++q) {
          const std::int64_t y = p + r * g.dilation_h - g.pad_top, x = q + s * g.dilation_w - g.pad_left;
          if (y < 0 || x < 0 || y >= a.x.shape[2] || x >= a.x.shape[3]) continue;
          const auto at = [](const View& v, std::int64_t i, std::int64_t j, std::int64_t u, std::int64_t w) {
            return static_cast<float>(v.as<const T>()[i * v.stride[0] + j * v.stride[1] + u * v.stride[2] + w * v.stride[3]]);
          };
          sum += at(a.dy, n, group * kg + k, p, q) * at(a.x, n, group * cg + c, y, x);
        }
    return sum;
  }

  void run(Queue& queue) const {
    // Blocks of images (at most 16, and 64 MiB of sums in all); where these are few, the taps are cut as well.
    const std::int64_t most = std::clamp<std::int64_t>((std::int64_t{64} << 20) / (sums * 4), 1, 16),
                       blocks = std::min(most, ceil_div(images, together));
    const std::int64_t each = ceil_div(images, blocks), cuts = std::min(taps, ceil_div(8, blocks));
    const std::int64_t own = (together * image / g.groups + k_panels * together * steps * kStep +
                              (steps * kDepth + kTile) * kTile * static_cast<std::int64_t>(sizeof(float)));
    const std::size_t shared = static_cast<std::size_t>(blocks * sums) * sizeof(float);
    std::byte* scratch = queue.scratch(shared + static_cast<std::size_t>(own * queue.threads()));
    auto* all = reinterpret_cast<float*>(scratch);
    queue.pool().run(blocks * g.groups * cuts, [&](std::int64_t task, int worker) {
      const std::int64_t cut = task % cuts, group = task / cuts % g.groups, b = task / cuts / g.groups;
      const std::int64_t t0 = taps * cut / cuts, t1 = taps * (cut + 1) / cuts, tap_sums = c_blocks * k_panels * kSums;
      float* to = all + b * sums + group * taps * tap_sums;
      std::memset(to + t0 * tap_sums, 0, static_cast<std::size_t>((t1 - t0) * tap_sums) * sizeof(float));
      block(b * each, std::min(images, (b + 1) * each), group, t0, t1, scratch + shared + worker * own, to);
    });
    queue.pool().run(g.groups * kg, [&](std::int64_t task, int) {
      const std::int64_t group = task / kg, k = task % kg;
      for (std::int64_t c = 0; c < cg; ++c)
        for (std::int64_t t = 0; t < taps; ++t) {
          const float* from =
              all + (((group * taps + t) * c_blocks + c / kPanel) * k_panels + k / kPanel) * kSums + c % kPanel * kPanel + k % kPanel;
          float sum = from[0];
          for (std::int64_t b = 1; b < blocks; ++b) sum += from[b * sums];
          if (!std::isfinite(sum)) sum = repaired(group, k, c, t / s_count, t % s_count);
          const auto& stride = a.dweight.stride;
          a.dweight.as<T>()[task * stride[0] + c * stride[1] + t / s_count * stride[2] + t % s_count * stride[3]] = static_cast<T>(sum);
        }
    });
  }
};
}  // namespace

void conv_amx_weight_grad(Queue& q, const ConvWeightGradArgs& a) {
  if (a.dbias.data) conv_bias_grad(q, a);
  if (a.dweight.numel() == 0) return;
  if (a.x.dtype == DType::f32) Weights<float>{a}.run(q);
  else if (a.x.dtype == DType::bf16) Weights<bf16>{a}.run(q);
  else Weights<f16>{a}.run(q);
}
}  // namespace graft
HWY_POP_ATTRIBUTES
#endif
