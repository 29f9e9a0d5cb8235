// Drawn glyphs: each class is a few strokes in the unit square (x right, y down), lines and arcs as polylines. A pixel's ink is its
// distance to the nearest stroke after the distortion.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/base/context.h"
#include "engine/data/dataset.h"
#include "kernels/core/philox.h"

namespace graft {
namespace {

struct Point {
  double x, y;
};
using Stroke = std::vector<Point>;
using Glyph = std::vector<Stroke>;

// An arc around (cx, cy) from angle a to b (degrees, 0 is right, 90 is down).
Stroke arc(double cx, double cy, double rx, double ry, double a, double b) {
  Stroke s;
  for (int i = 0; i <= 16; ++i) {
    const double t = (a + (b - a) * i / 16) * 3.14159265358979 / 180;
    s.push_back({cx + rx * std::cos(t), cy + ry * std::sin(t)});
  }
  return s;
}

const std::vector<Glyph>& digits() {
  static const std::vector<Glyph> all = {
      {arc(.5, .5, .28, .4, 0, 360)},
      {{{.35, .25}, {.52, .1}, {.52, .9}}},
      {arc(.5, .32, .26, .22, 190, 380), {{.74, .4}, {.25, .9}, {.78, .9}}},
      {arc(.47, .3, .26, .2, 200, 440), arc(.47, .7, .29, .2, 270, 520)},
      {{{.62, .9}, {.62, .1}, {.2, .65}, {.82, .65}}},
      {{{.75, .1}, {.32, .1}, {.28, .46}}, arc(.48, .65, .27, .25, 220, 500)},
      {{{.65, .1}, {.4, .3}, {.27, .62}}, arc(.5, .67, .24, .23, 0, 360)},
      {{{.22, .1}, {.78, .1}, {.42, .9}}},
      {arc(.5, .3, .21, .2, 0, 360), arc(.5, .7, .26, .2, 0, 360)},
      {arc(.5, .33, .24, .23, 0, 360), {{.74, .35}, {.66, .68}, {.48, .9}}},
  };
  return all;
}
const std::vector<Glyph>& letters() {
  static const std::vector<Glyph> all = {
      {{{.15, .9}, {.5, .1}, {.85, .9}}, {{.28, .6}, {.72, .6}}},                                // A
      {{{.25, .1}, {.25, .9}}, arc(.25, .3, .45, .2, -90, 90), arc(.25, .7, .52, .2, -90, 90)},  // B
      {arc(.55, .5, .35, .4, 50, 310)},                                                          // C
      {{{.25, .1}, {.25, .9}}, arc(.25, .5, .52, .4, -90, 90)},                                  // D
      {{{.78, .1}, {.25, .1}, {.25, .9}, {.78, .9}}, {{.25, .5}, {.65, .5}}},                    // E
      {{{.78, .1}, {.25, .1}, {.25, .9}}, {{.25, .5}, {.65, .5}}},                               // F
      {arc(.55, .5, .35, .4, 20, 310), {{.88, .62}, {.58, .62}}},                                // G
      {{{.22, .1}, {.22, .9}}, {{.78, .1}, {.78, .9}}, {{.22, .5}, {.78, .5}}},                  // H
      {{{.5, .1}, {.5, .9}}, {{.32, .1}, {.68, .1}}, {{.32, .9}, {.68, .9}}},                    // I
      {{{.7, .1}, {.7, .65}}, arc(.47, .65, .23, .25, 0, 170)},                                  // J
      {{{.25, .1}, {.25, .9}}, {{.78, .1}, {.25, .55}}, {{.4, .45}, {.8, .9}}},                  // K
      {{{.27, .1}, {.27, .9}, {.78, .9}}},                                                       // L
      {{{.15, .9}, {.2, .1}, {.5, .65}, {.8, .1}, {.85, .9}}},                                   // M
      {{{.22, .9}, {.22, .1}, {.78, .9}, {.78, .1}}},                                            // N
      {arc(.5, .5, .38, .4, 0, 360), {{.38, .5}, {.62, .5}}},                                    // O, barred: a plain ring is the digit
      {{{.25, .9}, {.25, .1}}, arc(.25, .32, .5, .22, -90, 90)},                                 // P
      {arc(.48, .48, .34, .38, 0, 360), {{.58, .65}, {.85, .92}}},                               // Q
      {{{.25, .9}, {.25, .1}}, arc(.25, .3, .48, .2, -90, 90), {{.4, .5}, {.8, .9}}},            // R
      {arc(.5, .3, .26, .2, 330, 90), arc(.5, .7, .28, .2, -90, 150)},                           // S
      {{{.15, .1}, {.85, .1}}, {{.5, .1}, {.5, .9}}},                                            // T
      {{{.22, .1}, {.22, .6}}, arc(.5, .6, .28, .3, 180, 0), {{.78, .6}, {.78, .1}}},            // U
      {{{.15, .1}, {.5, .9}, {.85, .1}}},                                                        // V
      {{{.1, .1}, {.3, .9}, {.5, .35}, {.7, .9}, {.9, .1}}},                                     // W
      {{{.2, .1}, {.8, .9}}, {{.8, .1}, {.2, .9}}},                                              // X
      {{{.18, .1}, {.5, .5}, {.82, .1}}, {{.5, .5}, {.5, .9}}},                                  // Y
      {{{.2, .1}, {.8, .1}, {.2, .9}, {.8, .9}}, {{.35, .5}, {.65, .5}}},                        // Z, barred
  };
  return all;
}

double distance(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, n = dx * dx + dy * dy;
  const double t = n > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / n, 0.0, 1.0) : 0;
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

// Uniform numbers of one image, in order.
struct Draw {
  std::uint64_t seed, stream;
  std::uint64_t at = 0;
  double next() {
    const auto w = philox(seed, stream, at / 4);
    return static_cast<double>(unit_float(w[static_cast<std::size_t>(at++ % 4)]));
  }
  double within(double low, double high) { return low + (high - low) * next(); }
};

void draw(const Glyph& g, Draw& r, std::uint8_t* out) {
  constexpr int kSize = 28;
  const double turn = r.within(-0.42, 0.42), slant = r.within(-0.35, 0.35), sx = r.within(0.62, 1.02), sy = r.within(0.62, 1.02);
  const double mx = r.within(-0.11, 0.11), my = r.within(-0.11, 0.11), width = r.within(0.03, 0.075), soft = r.within(0.02, 0.05);
  const double bend_x = r.within(-0.07, 0.07), bend_y = r.within(-0.07, 0.07), phase_x = r.within(0, 6.28), phase_y = r.within(0, 6.28);
  const double ink = r.within(0.65, 1), noise = r.within(0, 0.22), paper = r.within(0, 0.12);
  const double c = std::cos(turn), s = std::sin(turn);
  Glyph bent = g;
  for (auto& stroke : bent)
    for (auto& p : stroke) {
      double x = (p.x - 0.5) * sx + slant * (0.5 - p.y), y = (p.y - 0.5) * sy;
      x += bend_x * std::sin(6.28 * p.y + phase_x);
      y += bend_y * std::sin(6.28 * p.x + phase_y);
      p = {0.5 + mx + c * x - s * y, 0.5 + my + s * x + c * y};
    }
  // a distractor: a short stray stroke
  const Point stray{r.within(0, 1), r.within(0, 1)}, end{stray.x + r.within(-0.25, 0.25), stray.y + r.within(-0.25, 0.25)};
  const bool with_stray = r.next() < 0.5;
  for (int i = 0; i < kSize; ++i)
    for (int j = 0; j < kSize; ++j) {
      const Point p{(j + 0.5) / kSize, (i + 0.5) / kSize};
      double d = 1e9;
      for (const auto& stroke : bent)
        for (std::size_t k = 0; k + 1 < stroke.size(); ++k) d = std::min(d, distance(p, stroke[k], stroke[k + 1]));
      double v = ink / (1 + std::exp((d - width) / (soft * 0.4)));
      if (with_stray) v = std::max(v, 0.5 * ink / (1 + std::exp((distance(p, stray, end) - 0.02) / 0.012)));
      v = paper + (1 - paper) * v + noise * (r.next() - 0.5) * 2;
      out[i * kSize + j] = static_cast<std::uint8_t>(std::clamp(v, 0.0, 1.0) * 255 + 0.5);
    }
}

}  // namespace

Dataset draw_glyphs(const std::string& kind, std::int64_t count, std::uint64_t seed) {
  const bool letter = kind == "letters";
  if (!letter && kind != "digits") throw Error(Code::usage, "no drawn data '" + kind + "'; there are digits and letters");
  const auto& glyphs = letter ? letters() : digits();
  LabelledImages all;
  for (std::size_t k = 0; k < glyphs.size(); ++k)
    all.class_names.push_back(std::string(1, static_cast<char>((letter ? 'A' : '0') + static_cast<int>(k))));
  all.labels.resize(static_cast<std::size_t>(count));
  const Tensor block = Tensor::empty({count, 1, 28, 28}, DType::u8, Device{});
  std::uint8_t* out = block.data<std::uint8_t>();
  parallel_ranges(current_queue().pool(), count, 16, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const auto label = static_cast<std::size_t>(i) % glyphs.size();
      all.labels[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(label);
      Draw r{seed, (letter ? std::uint64_t{1} << 62 : std::uint64_t{1} << 61) + static_cast<std::uint64_t>(i)};
      draw(glyphs[label], r, out + i * 784);
    }
  });
  all.source = images_in_memory(kind, block);
  return make_dataset(kind, std::move(all));
}

}  // namespace graft
