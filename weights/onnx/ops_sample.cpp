// Samples of pictures at places that need not be pixels, and boxes. Places and weights are computed on the host; the pixels are gathered by
// the engine, so that a gradient flows to the picture. One to the places would need more: it is refused when it is asked for.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/tape.h"
#include "weights/onnx/convolve.h"

namespace graft::onnx {
namespace {

Tensor index_tensor(const std::vector<std::int64_t>& v, const Shape& s) { return here(from_ints(v, s, kInt64).tensor); }
void no_gradient(const Call& c, std::size_t i) {
  if (recording() && c.in(i).tensor.requires_grad())
    c.refuse("would need a gradient for its input " + std::to_string(i) + ", which graft does not have");
}

double reflected(double x, double low, double high) {
  const double range = high - low;
  if (range <= 0) return low;
  if (x >= low && x <= high) return x;
  const double d = x < low ? low - x : x - high, n = std::floor(d / range), r = d - n * range;
  const bool even = std::fmod(n, 2) == 0;
  return x < low ? (even ? low + r : high - r) : (even ? high - r : low + r);
}

void grid_sample(Call& c) {
  const Tensor x = c.x(0);
  no_gradient(c, 1);
  const OnnxValue& grid = c.in(1);
  const int axes = x.rank() - 2;
  const Shape& g = grid.tensor.shape();
  if (axes < 1 || g.rank() != axes + 2 || g[0] != x.size(0) || g.back() != axes || x.numel() == 0)
    c.wrong("samples " + x.str() + " at " + grid.tensor.str());
  std::string mode = c.attr("mode", "linear");
  const std::string padding = c.attr("padding_mode", "zeros");
  if (mode == "bilinear") mode = "linear";
  if (mode == "bicubic") mode = "cubic";
  if ((mode != "linear" && mode != "nearest" && mode != "cubic") || (padding != "zeros" && padding != "border" && padding != "reflection"))
    c.wrong("has mode '" + mode + "' and padding '" + padding + "'");
  if (mode == "cubic" && axes != 2) c.refuse("samples cubically in " + std::to_string(axes) + " axes");
  const bool corners = c.attr("align_corners", 0) != 0;
  const std::vector<double> at = grid.tensor.values();
  const std::int64_t n = x.size(0), ch = x.size(1);
  std::int64_t points = 1, pixels = 1;
  for (int i = 1; i <= axes; ++i) points *= g[i], pixels *= x.size(i + 1);
  const std::size_t taps = mode == "nearest"  ? 1
                           : mode == "linear" ? 2
                                              : 4,
                    all = static_cast<std::size_t>(std::llround(std::pow(taps, axes)));
  std::vector<std::vector<std::int64_t>> index(all, std::vector<std::int64_t>(static_cast<std::size_t>(n * points)));
  std::vector<std::vector<double>> weight(all, std::vector<double>(static_cast<std::size_t>(n * points)));
  for (std::size_t p = 0; p < static_cast<std::size_t>(n * points); ++p) {
    std::vector<std::vector<std::pair<std::int64_t, double>>> by_axis;  // the slowest spatial axis first; the grid has the fastest first
    for (int a = 0; a < axes; ++a) {
      const std::int64_t size = x.size(a + 2);
      const auto s = static_cast<double>(size);
      double v = at[p * static_cast<std::size_t>(axes) + static_cast<std::size_t>(axes - 1 - a)];
      v = corners ? (v + 1) / 2 * (s - 1) : ((v + 1) * s - 1) / 2;
      const double low = corners ? 0 : -0.5, high = corners ? s - 1 : s - 0.5;
      if (mode == "nearest") v = std::nearbyint(v);
      if (v < low || v > high) v = padding == "border" ? std::clamp(v, 0.0, s - 1) : padding == "reflection" ? reflected(v, low, high) : v;
      if (!(std::abs(v) < 0x1p40)) v = -0x1p40;
      const auto base = static_cast<std::int64_t>(mode == "nearest" ? std::nearbyint(v) : std::floor(v));
      const double t = v - std::floor(v);
      std::vector<std::pair<std::int64_t, double>> one;
      for (std::size_t k = 0; k < taps; ++k) {
        std::int64_t i = base + static_cast<std::int64_t>(k) - (taps == 4 ? 1 : 0);
        double w = 1;
        if (taps == 2) w = k ? t : 1 - t;
        if (taps == 4) {
          const double d = std::abs(t + 1 - static_cast<double>(k)), q = -0.75;
          w = d <= 1 ? ((q + 2) * d - (q + 3)) * d * d + 1 : ((q * d - 5 * q) * d + 8 * q) * d - 4 * q;
        }
        if (i < 0 || i >= size) {
          if (padding == "zeros") w = 0;
          i = padding == "reflection" ? static_cast<std::int64_t>(reflected(static_cast<double>(i), low, high)) : i;
          i = std::clamp<std::int64_t>(i, 0, size - 1);
        }
        one.emplace_back(i, w);
      }
      by_axis.push_back(std::move(one));
    }
    for (std::size_t k = 0; k < all; ++k) {
      std::int64_t flat = 0;
      double w = 1;
      std::size_t left = k;
      for (int a = 0; a < axes; ++a) {
        const auto& [i, part] = by_axis[static_cast<std::size_t>(a)][left % taps];
        left /= taps;
        flat = flat * x.size(a + 2) + i;
        w *= part;
      }
      index[k][p] = flat;
      weight[k][p] = w;
    }
  }
  const Tensor plane = reshape(x, {n, ch, pixels});
  Tensor y;
  for (std::size_t k = 0; k < all; ++k) {
    const Tensor i = contiguous(expand(index_tensor(index[k], {n, 1, points}), {n, ch, points}));
    const Tensor part = mul(gather(plane, 2, i), from_doubles(weight[k], {n, 1, points}, type_of(x.dtype())).tensor);
    y = y.defined() ? add(y, part) : part;
  }
  Shape out{n, ch};
  for (int i = 1; i <= axes; ++i) out.push_back(g[i]);
  c.out(reshape(y, out), c.type(0));
}

void affine_grid(Call& c) {
  const Tensor theta = c.x(0);
  const std::vector<std::int64_t> size = c.ints(1);
  shape_of(size, c);
  const bool corners = c.attr("align_corners", 0) != 0;
  const auto axes = static_cast<std::int64_t>(size.size()) - 2;
  if (axes < 2 || axes > 3 || theta.rank() != 3 || theta.size(0) != size[0] || theta.size(1) != axes || theta.size(2) != axes + 1)
    c.wrong("has " + theta.str() + " for " + std::to_string(axes) + " axes");
  std::int64_t points = 1;
  for (std::size_t i = 2; i < size.size(); ++i) points *= size[i];
  std::vector<double> base;
  for (std::int64_t p = 0; p < points; ++p) {
    std::int64_t left = p;
    std::vector<double> at;  // the fastest axis first
    for (std::size_t i = size.size(); i-- > 2;) {
      const auto s = static_cast<double>(size[i]), k = static_cast<double>(left % size[i]);
      at.push_back(corners ? (size[i] > 1 ? -1 + 2 * k / (s - 1) : 0) : (2 * k + 1) / s - 1);
      left /= size[i];
    }
    base.insert(base.end(), at.begin(), at.end());
    base.push_back(1);
  }
  Shape out{size[0]};
  for (std::size_t i = 2; i < size.size(); ++i) out.push_back(size[i]);
  out.push_back(axes);
  c.out(reshape(matmul(from_doubles(base, {points, axes + 1}, c.type(0)).tensor, transpose(theta)), out), c.type(0));
}

void roi_align(Call& c) {
  const Tensor x = c.x(0);
  no_gradient(c, 1);
  const std::vector<double> rois = c.x(1).values();
  const std::vector<std::int64_t> of = c.ints(2);
  const std::int64_t ph = c.attr("output_height", 1), pw = c.attr("output_width", 1), ratio = c.attr("sampling_ratio", 0);
  const double scale = c.attr("spatial_scale", 1.0);
  const std::string mode = c.attr("mode", "avg"),
                    coordinates = c.attr("coordinate_transformation_mode", c.opset < 16 ? "output_half_pixel" : "half_pixel");
  const bool half = coordinates == "half_pixel";
  if (x.rank() != 4 || rois.size() != of.size() * 4 || ph < 1 || pw < 1 || ratio < 0 || ratio > 1024 || (mode != "avg" && mode != "max"))
    c.wrong("has inputs that do not fit " + x.str());
  shape_of({static_cast<std::int64_t>(of.size()), x.size(1), ph, pw}, c);
  const std::int64_t ch = x.size(1), h = x.size(2), w = x.size(3);
  Tensors parts;
  for (std::size_t r = 0; r < of.size(); ++r) {
    if (of[r] < 0 || of[r] >= x.size(0)) c.wrong("has a region of picture " + std::to_string(of[r]) + " of " + std::to_string(x.size(0)));
    const double off = half ? 0.5 : 0, left = rois[4 * r] * scale - off, top = rois[4 * r + 1] * scale - off;
    double rw = rois[4 * r + 2] * scale - off - left, rh = rois[4 * r + 3] * scale - off - top;
    if (!half) rw = std::max(rw, 1.0), rh = std::max(rh, 1.0);
    const double bw = rw / static_cast<double>(pw), bh = rh / static_cast<double>(ph);
    if (!(std::abs(bw) < 4096 && std::abs(bh) < 4096)) c.wrong("has a region of impossible size");
    const std::int64_t gw = ratio ? ratio : std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(bw))),
                       gh = ratio ? ratio : std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(bh)));
    std::vector<std::int64_t> index;
    std::vector<double> weight;
    const auto line = [](double v, std::int64_t n, std::int64_t& low, std::int64_t& high, double& t) {
      if (v < -1 || v > static_cast<double>(n)) return false;
      v = std::max(v, 0.0);
      low = static_cast<std::int64_t>(v);
      if (low >= n - 1) low = high = n - 1, t = 0;
      else high = low + 1, t = v - static_cast<double>(low);
      return true;
    };
    for (std::int64_t py = 0; py < ph; ++py)
      for (std::int64_t px = 0; px < pw; ++px)
        for (std::int64_t iy = 0; iy < gh; ++iy)
          for (std::int64_t ix = 0; ix < gw; ++ix) {
            const double y = top + static_cast<double>(py) * bh + (static_cast<double>(iy) + 0.5) * bh / static_cast<double>(gh);
            const double xx = left + static_cast<double>(px) * bw + (static_cast<double>(ix) + 0.5) * bw / static_cast<double>(gw);
            std::int64_t y0 = 0, y1 = 0, x0 = 0, x1 = 0;
            double ty = 0, tx = 0;
            const bool inside = line(y, h, y0, y1, ty) && line(xx, w, x0, x1, tx);
            index.insert(index.end(), {y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1});
            for (const double v : {(1 - ty) * (1 - tx), (1 - ty) * tx, ty * (1 - tx), ty * tx}) weight.push_back(inside ? v : 0);
          }
    if (index.empty()) {
      parts.push_back(Tensor::zeros({1, ch, ph, pw}, x.dtype()));
      continue;
    }
    const auto m = static_cast<std::int64_t>(index.size());
    const Tensor taps = mul(index_select(reshape(select(x, 0, of[r]), {ch, h * w}), 1, index_tensor(index, {m})),
                            from_doubles(weight, {m}, type_of(x.dtype())).tensor);
    const Tensor bins = reshape(taps, {1, ch, ph, pw, gh * gw * 4});
    parts.push_back(mode == "max" ? amax(bins, {4}) : div(sum(bins, {4}), static_cast<double>(gh * gw)));
  }
  c.out(parts.empty() ? Tensor::zeros({0, ch, ph, pw}, x.dtype()) : cat(parts, 0), c.type(0));
}

struct BoxEdges {
  double y0, x0, y1, x1;
  double area() const { return (y1 - y0) * (x1 - x0); }
};
double overlap(const BoxEdges& a, const BoxEdges& b) {
  const double h = std::min(a.y1, b.y1) - std::max(a.y0, b.y0), w = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  if (h <= 0 || w <= 0) return 0;
  const double all = a.area() + b.area() - h * w;
  return all > 0 ? h * w / all : 0;
}
void suppress(Call& c) {
  const Tensor boxes = c.x(0), scores = c.x(1);
  if (boxes.rank() != 3 || scores.rank() != 3 || boxes.size(2) != 4 || boxes.size(0) != scores.size(0) || boxes.size(1) != scores.size(2))
    c.wrong("has boxes " + boxes.str() + " and scores " + scores.str());
  const std::int64_t most = c.has(std::size_t{2}) ? c.integer(2) : 0;
  const double iou = c.has(std::size_t{3}) ? c.number(3) : 0;
  const bool centre = c.attr("center_point_box", 0) != 0, limited = c.has(std::size_t{4});
  const double least = limited ? c.number(4) : 0;
  const std::vector<double> b = boxes.values(), s = scores.values();
  std::vector<std::int64_t> out;
  for (std::int64_t n = 0; n < scores.size(0); ++n) {
    std::vector<BoxEdges> edges;
    for (std::int64_t i = 0; i < boxes.size(1); ++i) {
      const double* p = &b[static_cast<std::size_t>((n * boxes.size(1) + i) * 4)];
      edges.push_back(centre ? BoxEdges{p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2}
                             : BoxEdges{std::min(p[0], p[2]), std::min(p[1], p[3]), std::max(p[0], p[2]), std::max(p[1], p[3])});
    }
    for (std::int64_t k = 0; k < scores.size(1); ++k) {
      const double* of = s.data() + (n * scores.size(1) + k) * scores.size(2);
      std::vector<std::int64_t> order;
      for (std::int64_t i = 0; i < scores.size(2); ++i)
        if (!limited || of[i] > least) order.push_back(i);
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t p, std::int64_t q) { return of[p] > of[q]; });
      std::vector<std::int64_t> kept;
      for (const std::int64_t i : order) {
        if (static_cast<std::int64_t>(kept.size()) >= most) break;
        if (std::none_of(kept.begin(), kept.end(), [&](std::int64_t j) {
              return overlap(edges[static_cast<std::size_t>(i)], edges[static_cast<std::size_t>(j)]) > iou;
            }))
          kept.push_back(i);
      }
      for (const std::int64_t i : kept) out.insert(out.end(), {n, k, i});
    }
  }
  c.out(from_ints(out, {static_cast<std::int64_t>(out.size() / 3), 3}, kInt64));
}

void columns_to_image(Call& c) {
  const Tensor x = c.x(0);
  const std::vector<std::int64_t> image = c.ints(1), block = c.ints(2);
  const std::size_t axes = image.size();
  const auto stride = positive_list(c, "strides", axes), dilation = positive_list(c, "dilations", axes);
  std::vector<std::int64_t> pads = c.list("pads");
  if (pads.empty()) pads.assign(2 * axes, 0);
  if (x.rank() != 3 || block.size() != axes || pads.size() != 2 * axes || axes == 0) c.wrong("has attributes that do not fit " + x.str());
  std::vector<std::int64_t> padded, places, before, after;
  for (std::size_t i = 0; i < axes; ++i) {
    if (image[i] < 0 || block[i] < 1 || pads[i] < 0 || pads[i + axes] < 0) c.wrong("has an impossible block or image");
    padded.push_back(image[i] + pads[i] + pads[i + axes]);
    places.push_back((padded[i] - (dilation[i] * (block[i] - 1) + 1)) / stride[i] + 1);
    before.push_back(-pads[i]), after.push_back(-pads[i + axes]);
    if (places.back() < 1)
      c.wrong("has a block of " + std::to_string(block[i]) + " that has no place in an image of " + std::to_string(padded.back()));
  }
  const std::int64_t taps = shape_of(block, c).numel(), spots = shape_of(places, c).numel(), area = shape_of(padded, c).numel();
  if (x.size(1) % taps || x.size(2) != spots)
    c.wrong("has columns " + x.str() + " for " + std::to_string(taps) + " taps at " + std::to_string(spots) + " places");
  const std::int64_t n = x.size(0), ch = x.size(1) / taps;
  std::vector<std::int64_t> to;
  for (std::int64_t k = 0; k < taps; ++k)
    for (std::int64_t p = 0; p < spots; ++p) {
      std::int64_t lk = k, lp = p, flat = 0, step = 1;
      for (std::size_t i = axes; i-- > 0;) {
        flat += (lp % places[i] * stride[i] + lk % block[i] * dilation[i]) * step;
        lk /= block[i], lp /= places[i], step *= padded[i];
      }
      to.push_back(flat);
    }
  const Tensor index = contiguous(expand(index_tensor(to, {1, 1, taps * spots}), {n, ch, taps * spots}));
  Shape out{n, ch};
  for (const std::int64_t d : padded) out.push_back(d);
  c.out(framed(reshape(scatter_add(Tensor::zeros({n, ch, area}, x.dtype()), 2, index, reshape(x, {n, ch, taps * spots})), out), before,
               after),
        c.type(0));
}

constexpr Operator kTable[] = {
    {"GridSample", grid_sample},     {"AffineGrid", affine_grid},  {"RoiAlign", roi_align},
    {"NonMaxSuppression", suppress}, {"Col2Im", columns_to_image},
};

}  // namespace

std::span<const Operator> sample_operators() { return kTable; }

}  // namespace graft::onnx
