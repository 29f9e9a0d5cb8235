// Convolution and its input gradient on AMX tiles (simd/amx_tile.h). An image is split into parts of bf16 once, channels last, 32 channels
// of a pixel in 64 bytes per part: 16 pixels of a row of outputs, at one filter tap, are then a tile that lies in the image, `pixel bytes`
// from row to row, and nothing is unfolded. A step of the sum is a tap and 32 channels; filters are packed as columns. Rows of outputs are
// cut into equal pieces of at most 16 pixels, two of which meet 32 channels at a time. The input gradient is the same walk over dy with
// flipped taps, one pass per phase of the stride. A task is an image, or some of its rows where images are few. Bound: 2 n k p q c r s
// FLOPs at the rate of tiles, a sixth of it for f32.
#include "kernels/simd/amx_tile.h"

#ifdef GRAFT_HAVE_AMX
#include <vector>

#include "kernels/conv/passes.h"
#include "kernels/conv/rows.h"

HWY_PUSH_ATTRIBUTES(GRAFT_AMX_TARGETS)
namespace graft {
namespace {
using amx::ceil_div;
using amx::kDepth;
using amx::kPanel;
using amx::kParts;
using amx::kTile;
using amx::Side;

// Tiles of A in a split image: two pieces of up to 16 pixels.
struct Pixels {
  const std::byte* piece[2];
  const std::int64_t* offset;  // of a step
  std::int64_t row_bytes;      // from pixel to pixel
  const std::byte* tile(std::int64_t s, int part, int t) const { return piece[t] + offset[s] + part * 64; }
};

template <class T>
struct Walk {
  static constexpr int P = kParts<T>;
  static constexpr std::int64_t kChannels = P * 64;  // bytes of 32 channels of a pixel

  const ConvPasses& c;
  std::int64_t cg = c.in.shape[1] / c.groups, kg = c.out.shape[1] / c.groups;  // channels of a group
  std::int64_t blocks = ceil_div(cg, kDepth), panels = ceil_div(kg, kPanel);
  std::int64_t height = c.in.shape[2] + c.border.top + c.border.bottom, width = c.in.shape[3] + c.border.left + c.border.right;
  std::int64_t pixel = c.groups * blocks * kChannels, row = width * pixel, image = height * row;  // bytes
  std::int64_t images = c.out.shape[0];
  bool shared = images < 8;  // tasks are rows of outputs; all images are split before

  std::int64_t steps(const ConvPass& p) const { return static_cast<std::int64_t>(p.taps.size()) * blocks; }
  std::int64_t filter_bytes(const ConvPass& p) const { return steps(p) * P * 2 * amx::kTileBytes; }  // of a panel

  // One row of an image. largest: of what is in it.
  void split_row(std::int64_t n, std::int64_t y, float scale, std::byte* to, amx::Largest& largest) const {
    std::byte* line = to + y * row;
    const std::int64_t in_y = y - c.border.top, w = c.in.shape[3];
    if (in_y < 0 || in_y >= c.in.shape[2]) {
      std::memset(line, 0, static_cast<std::size_t>(row));
      return;
    }
    std::memset(line, 0, static_cast<std::size_t>(c.border.left * pixel));
    std::memset(line + (c.border.left + w) * pixel, 0, static_cast<std::size_t>(c.border.right * pixel));
    const T* from = c.in.as<const T>() + n * c.in.stride[0] + in_y * c.in.stride[2];
    for (std::int64_t g = 0; g < c.groups; ++g)
      for (std::int64_t b = 0; b < blocks; ++b)
        for (std::int64_t x = 0; x < w; x += kTile)
          amx::split_tile<Side::a>(from + x * c.in.stride[3] + (g * cg + b * kDepth) * c.in.stride[1], c.in.stride[3], c.in.stride[1],
                                   std::min(kTile, w - x), std::min(kDepth, cg - b * kDepth), scale,
                                   line + (c.border.left + x) * pixel + (g * blocks + b) * kChannels, pixel, 64, largest);
  }
  float split_image(std::int64_t n, std::byte* to) const {
    amx::Largest largest;
    for (std::int64_t y = 0; y < height; ++y) split_row(n, y, 1, to, largest);
    const float scale = amx::scale_for(largest.value());
    if (scale != 1)
      for (std::int64_t y = 0; y < height; ++y) split_row(n, y, scale, to, largest);
    return scale;
  }

  // The filters of 32 output channels of a group, step after step.
  float pack_filters(const ConvPass& p, std::int64_t g, std::int64_t panel, std::byte* to) const {
    const auto all = [&](float scale) {
      amx::Largest largest;
      std::byte* at = to;
      for (const ConvTap& tap : p.taps)
        for (std::int64_t b = 0; b < blocks; ++b, at += P * 2 * amx::kTileBytes)
          for (std::int64_t k = panel * kPanel; k < std::min(kg, (panel + 1) * kPanel); k += kTile)
            amx::split_tile<Side::b>(c.weight.as<const T>() + g * c.group_step + tap.weight + k * c.out_step + b * kDepth * c.in_step,
                                     c.out_step, c.in_step, std::min(kTile, kg - k), std::min(kDepth, cg - b * kDepth), scale,
                                     at + (k - panel * kPanel) / kTile * amx::kTileBytes, 64, 2 * amx::kTileBytes, largest);
      return largest.value();
    };
    const float scale = amx::scale_for(all(1));
    if (scale != 1) all(scale);
    return scale;
  }

  // What tiles cannot sum, one product after the other.
  float repaired(const ConvPass& p, std::int64_t n, std::int64_t g, std::int64_t i, std::int64_t j, std::int64_t k) const {
    float sum = 0;
    for (const ConvTap& tap : p.taps) {
      const std::int64_t y = i * p.step_y + tap.y - c.border.top, x = j * p.step_x + tap.x - c.border.left;
      if (y < 0 || x < 0 || y >= c.in.shape[2] || x >= c.in.shape[3]) continue;
      const T* in = c.in.as<const T>() + n * c.in.stride[0] + g * cg * c.in.stride[1] + y * c.in.stride[2] + x * c.in.stride[3];
      const T* w = c.weight.as<const T>() + g * c.group_step + tap.weight + k * c.out_step;
      for (std::int64_t l = 0; l < cg; ++l) sum += static_cast<float>(in[l * c.in.stride[1]]) * static_cast<float>(w[l * c.in_step]);
    }
    return sum;
  }

  // `count` pixels from (i, j) on and up to kPanel channels from k on of group g: sums, which bias and ReLU change.
  void finish(const ConvPass& p, std::int64_t n, std::int64_t g, std::int64_t i, std::int64_t j, std::int64_t count, std::int64_t k,
              float* sums) const {
    const std::int64_t channels = std::min(kPanel, kg - k);
    if (!amx::all_finite(sums, count, channels))
      for (std::int64_t t = 0; t < count; ++t)
        for (std::int64_t l = 0; l < channels; ++l)
          if (float& v = sums[t * kPanel + l]; !std::isfinite(v)) v = repaired(p, n, g, i, j + t, k + l);
    T* out = c.out.as<T>() + n * c.out.stride[0] + (g * kg + k) * c.out.stride[1] + p.out_shift + i * p.out_row + j * p.out_col;
    for (std::int64_t l = 0; l < channels; l += kTile) {
      const std::int64_t here = std::min(kTile, channels - l);
      __m512 bias = _mm512_setzero_ps();
      if (c.bias.data) bias = amx::load(c.bias.as<const T>() + (g * kg + k + l) * c.bias.stride[0], c.bias.stride[0], here);
      const auto value = [&](std::int64_t t) {
        __m512 v = _mm512_add_ps(_mm512_loadu_ps(sums + t * kPanel + l), bias);
        if (c.relu) v = _mm512_max_ps(_mm512_setzero_ps(), v);  // the second where one is NaN
        return v;
      };
      if (p.out_col != 1 || c.out.stride[1] == 1) {
        for (std::int64_t t = 0; t < count; ++t) amx::store(value(t), out + t * p.out_col + l * c.out.stride[1], c.out.stride[1], here);
      } else {
        alignas(64) float turned[kTile * kTile];
        for (std::int64_t t = 0; t < count; ++t) _mm512_storeu_ps(sums + t * kPanel + l, value(t));
        amx::transpose16(sums + l, kPanel, turned, kTile, 0);
        for (std::int64_t q = 0; q < here; ++q) amx::store(_mm512_load_ps(turned + q * kTile), out + (l + q) * c.out.stride[1], 1, count);
      }
    }
  }

  // Rows [begin, end) of outputs of a pass.
  void rows(const ConvPass& p, std::int64_t n, std::int64_t begin, std::int64_t end, const std::byte* split, float scale,
            const std::byte* filters, const float* filter_scale) const {
    const std::int64_t cuts = ceil_div(p.cols, kTile), piece = ceil_div(p.cols, cuts), count = (end - begin) * cuts;
    std::vector<std::int64_t> offset;
    for (const ConvTap& tap : p.taps)
      for (std::int64_t b = 0; b < blocks; ++b) offset.push_back(tap.y * row + tap.x * pixel + b * kChannels);
    const amx::Tiles tiles(piece);
    alignas(64) float sums[kPanel * kPanel];
    for (std::int64_t g = 0; g < c.groups; ++g)
      for (std::int64_t q = 0; q < panels; ++q) {
        const std::byte* panel = filters + (g * panels + q) * filter_bytes(p);
        for (std::int64_t at = 0; at < count; at += 2) {
          std::int64_t i[2], j[2];
          Pixels pixels{{}, offset.data(), p.step_x * pixel};
          for (std::int64_t t = 0; t < 2; ++t) {
            const std::int64_t which = std::min(at + t, count - 1);
            i[t] = begin + which / cuts;
            j[t] = std::min(which % cuts * piece, p.cols - piece);  // the last of a row may do again what the one before has done
            pixels.piece[t] = split + i[t] * p.step_y * row + j[t] * p.step_x * pixel + g * blocks * kChannels;
          }
          const std::int64_t two = at + 1 < count;
          amx::multiply_lines<P>(pixels, two, panel, kg - q * kPanel, steps(p), panel + P * 2 * amx::kTileBytes, {}, sums);
          amx::unscale(sums, kPanel, scale, filter_scale[g * panels + q]);
          for (std::int64_t t = 0; t <= two; ++t) finish(p, n, g, i[t], j[t], piece, q * kPanel, sums + t * kTile * kPanel);
        }
      }
  }

  void run(Queue& queue) const {
    const auto threads = static_cast<std::size_t>(queue.threads());
    const std::int64_t all_panels = c.groups * panels;
    std::vector<std::int64_t> filters;  // where those of a pass begin
    std::int64_t bytes = 0;
    for (const auto& p : c.passes) filters.push_back(bytes), bytes += all_panels * filter_bytes(p);
    std::byte* packed = queue.scratch(static_cast<std::size_t>(bytes) +
                                      static_cast<std::size_t>(image) * (shared ? static_cast<std::size_t>(images) : threads));
    std::byte* split = packed + bytes;
    std::vector<float> filter_scale(c.passes.size() * static_cast<std::size_t>(all_panels)), scale(static_cast<std::size_t>(images), 1);
    queue.pool().run(static_cast<std::int64_t>(filter_scale.size()), [&](std::int64_t task, int) {
      const std::int64_t q = task % all_panels;
      const auto pass = static_cast<std::size_t>(task / all_panels);
      filter_scale[static_cast<std::size_t>(task)] =
          pack_filters(c.passes[pass], q / panels, q % panels, packed + filters[pass] + q * filter_bytes(c.passes[pass]));
    });
    const auto part = [&](std::int64_t n, std::int64_t i, std::int64_t parts, const std::byte* from, float image_scale) {
      for (std::size_t k = 0; k < c.passes.size(); ++k) {
        const ConvPass& p = c.passes[k];
        rows(p, n, p.rows * i / parts, p.rows * (i + 1) / parts, from, image_scale, packed + filters[k],
             &filter_scale[k * static_cast<std::size_t>(all_panels)]);
      }
    };
    if (!shared) {
      queue.pool().run(images, [&](std::int64_t n, int worker) {
        std::byte* own = split + worker * image;
        part(n, 0, 1, own, split_image(n, own));
      });
      return;
    }
    std::vector<float> largest(static_cast<std::size_t>(images * height));
    const auto split_all = [&](bool again) {
      queue.pool().run(images * height, [&](std::int64_t task, int) {
        const std::int64_t n = task / height;
        const float s = scale[static_cast<std::size_t>(n)];
        if (again && s == 1) return;
        amx::Largest row_largest;
        split_row(n, task % height, s, split + n * image, row_largest);
        largest[static_cast<std::size_t>(task)] = row_largest.value();
      });
    };
    split_all(false);
    bool again = false;
    for (std::int64_t n = 0; n < images; ++n) {
      float most = 0;
      for (std::int64_t y = 0; y < height; ++y) most = std::max(most, largest[static_cast<std::size_t>(n * height + y)]);
      const float s = scale[static_cast<std::size_t>(n)] = amx::scale_for(most);
      again |= s != 1;
    }
    if (again) split_all(true);
    const std::int64_t parts = std::clamp<std::int64_t>(c.passes[0].rows / 2, 1, 16);
    queue.pool().run(images * parts, [&](std::int64_t task, int) {
      const std::int64_t n = task / parts;
      part(n, task % parts, parts, split + n * image, scale[static_cast<std::size_t>(n)]);
    });
  }
};

void walk(Queue& q, const ConvPasses& c) {
  if (c.out.numel() == 0) return;
  if (c.out.dtype == DType::f32) Walk<float>{c}.run(q);
  else if (c.out.dtype == DType::bf16) Walk<bf16>{c}.run(q);
  else Walk<f16>{c}.run(q);
}
}  // namespace

void conv_amx_forward(Queue& q, const ConvArgs& a) { walk(q, forward_passes(a)); }
void conv_amx_input_grad(Queue& q, const ConvInputGradArgs& a) { walk(q, input_grad_passes(a)); }
}  // namespace graft
HWY_POP_ATTRIBUTES
#endif
