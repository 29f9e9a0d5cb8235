// The drivers of the offset convolution: zero borders, offset tables, weight panels, tasks. A task is one image (or a run of its pixels
// where images are few); the weight gradient gives each block of images its own sums and adds them in the order of the blocks.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/conv/offsets.h"
#include "kernels/conv/passes.h"
#include "kernels/conv/rows.h"

namespace graft {
namespace {

std::int64_t round_up(std::int64_t x, std::int64_t unit) { return (x + unit - 1) / unit * unit; }

// An image with a zero border, in the axis order of its source (channels last stays so). No border: the source itself.
struct Image {
  std::int64_t sc, sh, sw;  // strides of what the walk reads
  std::int64_t elements;    // of the copy; 0 without border
};
Image image_of(const View& x, const ConvBorder& b) {
  if (!b.any()) return {x.stride[1], x.stride[2], x.stride[3], 0};
  const std::int64_t c = x.shape[1], h = x.shape[2] + b.top + b.bottom, w = x.shape[3] + b.left + b.right;
  if (x.stride[1] == 1 && c > 1) return {1, w * c, c, c * h * w};
  return {h * w, w, 1, c * h * w};
}
const float* with_border(const View& x, std::int64_t n, const ConvBorder& b, const Image& m, float* copy) {
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

// The tables of a pass: [taps] for an input channel after the other, and filters as [group][channel tile][taps][width].
struct Tables {
  std::vector<std::int32_t> offset;
  std::vector<float> panel;
};
Tables tables_of(const ConvPasses& c, const ConvPass& p, const Image& m, std::int64_t width) {
  const std::int64_t in_channels = c.in.shape[1] / c.groups, channels = c.out.shape[1] / c.groups;
  const std::int64_t taps = in_channels * static_cast<std::int64_t>(p.taps.size()), tiles = round_up(channels, width);
  Tables t;
  t.panel.assign(static_cast<std::size_t>(std::max<std::int64_t>(1, c.groups * tiles * taps)), 0.0f);
  std::int64_t l = 0;
  for (std::int64_t i = 0; i < in_channels; ++i)
    for (const ConvTap& tap : p.taps) {
      t.offset.push_back(static_cast<std::int32_t>(i * m.sc + tap.y * m.sh + tap.x * m.sw));
      for (std::int64_t group = 0; group < c.groups; ++group) {
        const float* weight = c.weight.as<const float>() + group * c.group_step + tap.weight + i * c.in_step;
        for (std::int64_t k = 0; k < channels; ++k)
          t.panel[static_cast<std::size_t>((group * tiles + k / width * width) * taps + l * width + k % width)] = weight[k * c.out_step];
      }
      ++l;
    }
  return t;
}

void run_passes(Queue& q, const ConvPasses& c) {
  if (c.out.numel() == 0) return;
  const View &in = c.in, &out = c.out;
  const Image m = image_of(in, c.border);
  const std::int64_t width = conv_offsets::width(), images = out.shape[0], channels = out.shape[1] / c.groups;
  std::vector<Tables> tables;
  std::int64_t pixels = 0;
  for (const auto& p : c.passes) {
    tables.push_back(tables_of(c, p, m, width));
    pixels = std::max(pixels, p.rows * p.cols);
  }
  const std::int64_t pieces = pieces_of(images, pixels), tiles = round_up(channels, width);
  const std::size_t copy = static_cast<std::size_t>(round_up(m.elements, 16));
  auto* copies = reinterpret_cast<float*>(q.scratch(copy * sizeof(float) * static_cast<std::size_t>(q.threads())));
  q.pool().run(images * pieces, [&](std::int64_t task, int worker) {
    const std::int64_t n = task / pieces, piece = task % pieces;
    const float* base = with_border(in, n, c.border, m, copies + copy * static_cast<std::size_t>(worker));
    for (std::size_t pass = 0; pass < c.passes.size(); ++pass) {
      const ConvPass& p = c.passes[pass];
      const std::int64_t count = p.rows * p.cols, taps = static_cast<std::int64_t>(tables[pass].offset.size());
      const std::int64_t each = round_up((count + pieces - 1) / pieces, 24), begin = std::min(count, piece * each),
                         end = std::min(count, begin + each);
      if (begin == end) continue;
      for (std::int64_t g = 0; g < c.groups; ++g) {
        ConvWalk w{};
        w.in = base + g * (in.shape[1] / c.groups) * m.sc;
        w.in_row = p.step_y * m.sh;
        w.in_col = p.step_x * m.sw;
        w.rows = p.rows;
        w.cols = p.cols;
        w.offset = tables[pass].offset.data();
        w.taps = taps;
        w.panel = tables[pass].panel.data() + g * tiles * taps;
        w.channels = channels;
        w.out = out.as<float>() + n * out.stride[0] + g * channels * out.stride[1] + p.out_shift;
        w.out_row = p.out_row;
        w.out_col = p.out_col;
        w.out_channel = out.stride[1];
        w.bias = c.bias.data ? c.bias.as<const float>() + g * channels * c.bias.stride[0] : nullptr;
        w.bias_step = c.bias.stride[0];
        w.relu = c.relu;
        conv_offsets::plane(w, begin, end);
      }
    }
  });
}

}  // namespace

void conv_offsets_forward(Queue& q, const ConvArgs& a) { run_passes(q, forward_passes(a)); }
void conv_offsets_input_grad(Queue& q, const ConvInputGradArgs& a) { run_passes(q, input_grad_passes(a)); }

void conv_offsets_weight_grad(Queue& q, const ConvWeightGradArgs& a) {
  const ConvGeometry& g = a.geometry;
  if (a.dbias.data) conv_bias_grad(q, a);
  const std::int64_t cg = a.dweight.shape[1], r_count = a.dweight.shape[2], s_count = a.dweight.shape[3],
                     kg = a.dweight.shape[0] / g.groups;
  const std::int64_t taps = cg * r_count * s_count, images = a.dy.shape[0], p_count = a.dy.shape[2], q_count = a.dy.shape[3],
                     pixels = p_count * q_count;
  if (a.dweight.numel() == 0) return;
  const ConvBorder border{g.pad_top, g.pad_left, g.pad_bottom, g.pad_right};
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
