// The drivers of the offset convolution: zero borders, offset tables, weight panels, tasks. A task is one image (or a run of its pixels
// where images are few); the weight gradient gives each block of images its own sums and adds them in the order of the blocks.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/conv/offsets.h"
#include "kernels/conv/rows.h"

namespace graft {
namespace {

std::int64_t round_up(std::int64_t x, std::int64_t unit) { return (x + unit - 1) / unit * unit; }
std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

// An image with a zero border, in the axis order of its source (channels last stays so). No border: the source itself.
struct Border {
  std::int64_t top, left, bottom, right;
  bool any() const { return top > 0 || left > 0 || bottom > 0 || right > 0; }
};
struct Image {
  std::int64_t sc, sh, sw;  // strides of what the walk reads
  std::int64_t elements;    // of the copy; 0 without border
};
Image image_of(const View& x, const Border& b) {
  if (!b.any()) return {x.stride[1], x.stride[2], x.stride[3], 0};
  const std::int64_t c = x.shape[1], h = x.shape[2] + b.top + b.bottom, w = x.shape[3] + b.left + b.right;
  if (x.stride[1] == 1 && c > 1) return {1, w * c, c, c * h * w};
  return {h * w, w, 1, c * h * w};
}
const float* with_border(const View& x, std::int64_t n, const Border& b, const Image& m, float* copy) {
  const float* src = x.as<const float>() + n * x.stride[0];
  if (m.elements == 0) return src;
  std::memset(copy, 0, static_cast<std::size_t>(m.elements) * sizeof(float));
  const std::int64_t c_count = x.shape[1], h = x.shape[2], w = x.shape[3];
  float* first = copy + b.top * m.sh + b.left * m.sw;
  if (m.sc == 1 && c_count > 1) {
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t i = 0; i < w; ++i)
        std::memcpy(first + y * m.sh + i * m.sw, src + y * x.stride[2] + i * x.stride[3],
                    static_cast<std::size_t>(c_count) * sizeof(float));
    return copy;
  }
  for (std::int64_t c = 0; c < c_count; ++c)
    for (std::int64_t y = 0; y < h; ++y) {
      const float* row = src + c * x.stride[1] + y * x.stride[2];
      float* to = first + c * m.sc + y * m.sh;
      if (x.stride[3] == 1) std::memcpy(to, row, static_cast<std::size_t>(w) * sizeof(float));
      else
        for (std::int64_t i = 0; i < w; ++i) to[i] = row[i * x.stride[3]];
    }
  return copy;
}

// Pixels per task: whole images where there are enough of them.
std::int64_t pieces_of(std::int64_t images, std::int64_t pixels) {
  return images >= 8 ? 1 : std::max<std::int64_t>(1, std::min<std::int64_t>(16, pixels / 96));
}

// One pass over the images: the same taps for every pixel of a phase.
struct Pass {
  std::vector<std::int32_t> offset;     // [taps]
  std::vector<float> panel;             // [group][channel tile][taps][width]
  std::int64_t taps = 0, in_shift = 0;  // in_shift: constant part of the offsets, may be large
  std::int64_t rows = 0, cols = 0, in_row = 0, in_col = 0, out_shift = 0, out_row = 0, out_col = 0;
};

void run_passes(Queue& q, const std::vector<Pass>& passes, const View& in, const Border& border, const View& out, const View& bias,
                bool relu, std::int64_t groups, std::int64_t width) {
  const Image m = image_of(in, border);
  const std::int64_t images = out.shape[0], channels = out.shape[1] / groups, in_channels = in.shape[1] / groups;
  std::int64_t pixels = 0;
  for (const auto& p : passes) pixels = std::max(pixels, p.rows * p.cols);
  const std::int64_t pieces = pieces_of(images, pixels), tiles = round_up(channels, width);
  const std::size_t copy = static_cast<std::size_t>(round_up(m.elements, 16));
  auto* copies = reinterpret_cast<float*>(q.scratch(copy * sizeof(float) * static_cast<std::size_t>(q.threads())));
  q.pool().run(images * pieces, [&](std::int64_t task, int worker) {
    const std::int64_t n = task / pieces, piece = task % pieces;
    const float* base = with_border(in, n, border, m, copies + copy * static_cast<std::size_t>(worker));
    for (const auto& p : passes) {
      const std::int64_t count = p.rows * p.cols;
      const std::int64_t each = round_up((count + pieces - 1) / pieces, 24), begin = std::min(count, piece * each),
                         end = std::min(count, begin + each);
      if (begin == end) continue;
      for (std::int64_t g = 0; g < groups; ++g) {
        ConvWalk w{};
        w.in = base + p.in_shift + g * in_channels * m.sc;
        w.in_row = p.in_row;
        w.in_col = p.in_col;
        w.rows = p.rows;
        w.cols = p.cols;
        w.offset = p.offset.data();
        w.taps = p.taps;
        w.panel = p.panel.data() + g * tiles * p.taps;
        w.channels = channels;
        w.out = out.as<float>() + n * out.stride[0] + g * channels * out.stride[1] + p.out_shift;
        w.out_row = p.out_row;
        w.out_col = p.out_col;
        w.out_channel = out.stride[1];
        w.bias = bias.data ? bias.as<const float>() + g * channels * bias.stride[0] : nullptr;
        w.bias_step = bias.stride[0];
        w.relu = relu;
        conv_offsets::plane(w, begin, end);
      }
    }
  });
}

}  // namespace

void conv_offsets_forward(Queue& q, const ConvArgs& a) {
  if (a.y.numel() == 0) return;
  const ConvGeometry& g = a.geometry;
  const Border border{g.pad_top, g.pad_left, g.pad_bottom, g.pad_right};
  const Image m = image_of(a.x, border);
  const std::int64_t cg = a.weight.shape[1], r_count = a.weight.shape[2], s_count = a.weight.shape[3],
                     k_count = a.weight.shape[0] / g.groups;
  const std::int64_t width = conv_offsets::width(), tiles = round_up(k_count, width);
  Pass p;
  p.taps = cg * r_count * s_count;
  p.offset.resize(static_cast<std::size_t>(p.taps));
  p.panel.assign(static_cast<std::size_t>(g.groups * tiles * p.taps), 0.0f);
  std::int64_t l = 0;
  for (std::int64_t c = 0; c < cg; ++c)
    for (std::int64_t r = 0; r < r_count; ++r)
      for (std::int64_t s = 0; s < s_count; ++s, ++l) {
        p.offset[static_cast<std::size_t>(l)] = static_cast<std::int32_t>(c * m.sc + r * g.dilation_h * m.sh + s * g.dilation_w * m.sw);
        const float* wt = a.weight.as<const float>() + c * a.weight.stride[1] + r * a.weight.stride[2] + s * a.weight.stride[3];
        for (std::int64_t k = 0; k < a.weight.shape[0]; ++k) {
          const std::int64_t group = k / k_count, kk = k % k_count;
          p.panel[static_cast<std::size_t>((group * tiles + kk / width * width) * p.taps + l * width + kk % width)] =
              wt[k * a.weight.stride[0]];
        }
      }
  p.rows = a.y.shape[2];
  p.cols = a.y.shape[3];
  p.in_row = g.stride_h * m.sh;
  p.in_col = g.stride_w * m.sw;
  p.out_row = a.y.stride[2];
  p.out_col = a.y.stride[3];
  run_passes(q, {p}, a.x, border, a.y, a.bias, a.relu, g.groups, width);
}

// dx[h] takes dy[p] where p stride + r dilation = h + pad. Positions of one phase h = phase + stride i see the same taps r, at p = p0(r) +
// i.
void conv_offsets_input_grad(Queue& q, const ConvInputGradArgs& a) {
  if (a.dx.numel() == 0) return;
  const ConvGeometry& g = a.geometry;
  const std::int64_t cg = a.weight.shape[1], r_count = a.weight.shape[2], s_count = a.weight.shape[3], kg = a.weight.shape[0] / g.groups;
  const std::int64_t h = a.dx.shape[2], w = a.dx.shape[3];
  const auto before = [](std::int64_t taps, std::int64_t dilation, std::int64_t pad, std::int64_t stride) {
    return std::max<std::int64_t>(0, -floor_div(pad - (taps - 1) * dilation, stride));
  };
  const Border border{before(r_count, g.dilation_h, g.pad_top, g.stride_h), before(s_count, g.dilation_w, g.pad_left, g.stride_w),
                      std::max<std::int64_t>(0, (h - 1 + g.pad_top) / g.stride_h - (a.dy.shape[2] - 1)),
                      std::max<std::int64_t>(0, (w - 1 + g.pad_left) / g.stride_w - (a.dy.shape[3] - 1))};
  const Image m = image_of(a.dy, border);
  const std::int64_t width = conv_offsets::width(), tiles = round_up(cg, width);
  std::vector<Pass> passes;
  for (std::int64_t ph = 0; ph < std::min(g.stride_h, h); ++ph)
    for (std::int64_t pw = 0; pw < std::min(g.stride_w, w); ++pw) {
      Pass p;
      std::vector<std::array<std::int64_t, 3>> taps;  // k, r, s
      for (std::int64_t k = 0; k < kg; ++k)
        for (std::int64_t r = 0; r < r_count; ++r)
          for (std::int64_t s = 0; s < s_count; ++s) {
            const std::int64_t y = ph + g.pad_top - r * g.dilation_h, x = pw + g.pad_left - s * g.dilation_w;
            if (floor_div(y, g.stride_h) * g.stride_h != y || floor_div(x, g.stride_w) * g.stride_w != x) continue;
            taps.push_back({k, r, s});
            p.offset.push_back(static_cast<std::int32_t>(k * m.sc + (floor_div(y, g.stride_h) + border.top) * m.sh +
                                                         (floor_div(x, g.stride_w) + border.left) * m.sw));
          }
      p.taps = static_cast<std::int64_t>(taps.size());
      p.panel.assign(static_cast<std::size_t>(std::max<std::int64_t>(1, g.groups * tiles * p.taps)), 0.0f);
      for (std::int64_t l = 0; l < p.taps; ++l) {
        const auto [k, r, s] = taps[static_cast<std::size_t>(l)];
        for (std::int64_t group = 0; group < g.groups; ++group) {
          const float* wt =
              a.weight.as<const float>() + (group * kg + k) * a.weight.stride[0] + r * a.weight.stride[2] + s * a.weight.stride[3];
          for (std::int64_t c = 0; c < cg; ++c)
            p.panel[static_cast<std::size_t>((group * tiles + c / width * width) * p.taps + l * width + c % width)] =
                wt[c * a.weight.stride[1]];
        }
      }
      p.rows = (h - ph + g.stride_h - 1) / g.stride_h;
      p.cols = (w - pw + g.stride_w - 1) / g.stride_w;
      p.in_row = m.sh;
      p.in_col = m.sw;
      p.out_shift = ph * a.dx.stride[2] + pw * a.dx.stride[3];
      p.out_row = g.stride_h * a.dx.stride[2];
      p.out_col = g.stride_w * a.dx.stride[3];
      passes.push_back(std::move(p));
    }
  run_passes(q, passes, a.dy, border, a.dx, a.bias, false, g.groups, width);
}

void conv_offsets_weight_grad(Queue& q, const ConvWeightGradArgs& a) {
  const ConvGeometry& g = a.geometry;
  if (a.dbias.data) conv_bias_grad(q, a);
  const std::int64_t cg = a.dweight.shape[1], r_count = a.dweight.shape[2], s_count = a.dweight.shape[3],
                     kg = a.dweight.shape[0] / g.groups;
  const std::int64_t taps = cg * r_count * s_count, images = a.dy.shape[0], p_count = a.dy.shape[2], q_count = a.dy.shape[3],
                     pixels = p_count * q_count;
  if (a.dweight.numel() == 0) return;
  const Border border{g.pad_top, g.pad_left, g.pad_bottom, g.pad_right};
  const Image m = image_of(a.x, border);
  const std::int64_t width = conv_offsets::width(), tiles = round_up(kg, width), sums = g.groups * tiles * taps;

  std::vector<std::int32_t> tap_offset, pixel_offset;
  for (std::int64_t c = 0; c < cg; ++c)
    for (std::int64_t r = 0; r < r_count; ++r)
      for (std::int64_t s = 0; s < s_count; ++s)
        tap_offset.push_back(static_cast<std::int32_t>(c * m.sc + r * g.dilation_h * m.sh + s * g.dilation_w * m.sw));
  for (std::int64_t p = 0; p < p_count; ++p)
    for (std::int64_t t = 0; t < q_count; ++t)
      pixel_offset.push_back(static_cast<std::int32_t>(p * g.stride_h * m.sh + t * g.stride_w * m.sw));

  // Blocks of images with sums of their own (at most 16, and 64 MiB in all); where these are few, the taps are cut as well.
  const std::int64_t most = std::clamp<std::int64_t>((std::int64_t{64} << 20) / std::max<std::int64_t>(1, sums * 4), 1, 16);
  const std::int64_t blocks = std::max<std::int64_t>(1, std::min(most, images)), each = (images + blocks - 1) / blocks;
  const std::int64_t cuts = std::clamp<std::int64_t>(blocks >= 8 ? 1 : taps / 24, 1, 16), tap_piece = round_up((taps + cuts - 1) / cuts, 6);
  const std::size_t copy = static_cast<std::size_t>(round_up(m.elements, 16)), packed = static_cast<std::size_t>(kWeightBlock * width);
  const std::size_t shared = static_cast<std::size_t>(round_up(blocks * sums, 16));
  auto* scratch = reinterpret_cast<float*>(q.scratch((shared + (copy + packed) * static_cast<std::size_t>(q.threads())) * sizeof(float)));
  std::memset(scratch, 0, shared * sizeof(float));
  const bool plane = p_count <= 1 || a.dy.stride[2] == q_count * a.dy.stride[3];
  q.pool().run(blocks * cuts, [&](std::int64_t task, int worker) {
    const std::int64_t block = task / cuts, cut = task % cuts;
    float* own = scratch + shared + (copy + packed) * static_cast<std::size_t>(worker);
    for (std::int64_t n = block * each; n < std::min(images, (block + 1) * each); ++n) {
      const float* base = with_border(a.x, n, border, m, own);
      for (std::int64_t group = 0; group < g.groups; ++group) {
        ConvWeightWalk w{};
        w.in = base + group * cg * m.sc;
        w.pixel_offset = pixel_offset.data();
        w.tap_offset = tap_offset.data();
        w.tap_begin = std::min(taps, cut * tap_piece);
        w.tap_end = std::min(taps, w.tap_begin + tap_piece);
        w.tap_stride = taps;
        w.pixels = pixels;
        w.dy = a.dy.as<const float>() + n * a.dy.stride[0] + group * kg * a.dy.stride[1];
        w.dy_channel = a.dy.stride[1];
        w.dy_row = a.dy.stride[2];
        w.dy_col = a.dy.stride[3];
        w.dy_cols = q_count;
        w.dy_plane = plane;
        w.channels = kg;
        w.packed = own + copy;
        w.sums = scratch + block * sums + group * tiles * taps;
        conv_offsets::weights(w);
      }
    }
  });
  parallel_ranges(q.pool(), g.groups * taps, std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, kg * blocks)),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t i = begin; i < end; ++i) {
                      const std::int64_t group = i / taps, l = i % taps, c = l / (r_count * s_count), r = l / s_count % r_count,
                                         s = l % s_count;
                      for (std::int64_t k = 0; k < kg; ++k) {
                        const float* from = scratch + (group * tiles + k / width * width) * taps + l * width + k % width;
                        float sum = from[0];
                        for (std::int64_t b = 1; b < blocks; ++b) sum += from[b * sums];
                        a.dweight.as<float>()[(group * kg + k) * a.dweight.stride[0] + c * a.dweight.stride[1] + r * a.dweight.stride[2] +
                                              s * a.dweight.stride[3]] = sum;
                      }
                    }
                  });
}

}  // namespace graft
