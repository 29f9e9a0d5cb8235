// Coloured shapes. A shape is a signed distance (below 0 inside) in its own coordinates, where it lies in the circle of radius 1; edges are
// a pixel soft.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/base/context.h"
#include "engine/data/drawn.h"
#include "engine/data/draws.h"

namespace graft {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr std::uint64_t kOne = std::uint64_t{3} << 61, kScene = std::uint64_t{7} << 60;  // streams of single shapes and of scenes

struct Point {
  double x, y;
};
using Polygon = std::vector<Point>;

// Distance to the outline, its sign by the even-odd rule.
double distance_to(const Polygon& g, Point p) {
  double nearest = 1e9;
  bool inside = false;
  for (std::size_t i = 0, j = g.size() - 1; i < g.size(); j = i++) {
    const Point a = g[j], b = g[i];
    const double dx = b.x - a.x, dy = b.y - a.y, t = std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy), 0.0, 1.0);
    nearest = std::min(nearest, std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy));
    if ((a.y > p.y) != (b.y > p.y) && p.x < dx * (p.y - a.y) / dy + a.x) inside = !inside;
  }
  return inside ? -nearest : nearest;
}
Polygon spokes(int corners, double inner) {  // a regular polygon, or with inner < 1 a star
  Polygon g;
  const int n = inner < 1 ? 2 * corners : corners;
  for (int i = 0; i < n; ++i) {
    const double radius = inner < 1 && i % 2 == 1 ? inner : 1, angle = 2 * kPi * i / n - kPi / 2;
    g.push_back({radius * std::cos(angle), radius * std::sin(angle)});
  }
  return g;
}
Polygon heart() {
  Polygon g;
  for (int i = 0; i < 48; ++i) {
    const double t = 2 * kPi * i / 48, s = std::sin(t);
    g.push_back({16 * s * s * s / 17.5, -(13 * std::cos(t) - 5 * std::cos(2 * t) - 2 * std::cos(3 * t) - std::cos(4 * t) + 2.5) / 17.5});
  }
  return g;
}
const std::vector<Polygon>& outlines() {  // of those classes that are polygons, by class
  constexpr double c = 0.3, d = 0.95;
  static const std::vector<Polygon> all = {
      {},
      spokes(4, 1),
      spokes(3, 1),
      spokes(5, 0.42),
      {{-c, -d}, {c, -d}, {c, -c}, {d, -c}, {d, c}, {c, c}, {c, d}, {-c, d}, {-c, c}, {-d, c}, {-d, -c}, {-c, -c}},
      {},
      heart(),
      {}};
  return all;
}
double distance_to(std::int64_t shape, Point p) {
  const double r = std::hypot(p.x, p.y);
  switch (shape) {
    case 0: return r - 0.88;
    case 5: return std::abs(r - 0.75) - 0.22;
    case 7: return std::max(r - 0.97, 0.78 - std::hypot(p.x - 0.5, p.y));  // a disc less another
    default: return distance_to(outlines()[static_cast<std::size_t>(shape)], p);
  }
}

using Colour = std::array<double, 3>;
Colour colour_of(Draws& r) { return {r.next(), r.next(), r.next()}; }
double apart(const Colour& a, const Colour& b) {
  return std::abs(0.3 * (a[0] - b[0])) + std::abs(0.59 * (a[1] - b[1])) + std::abs(0.11 * (a[2] - b[2]));
}

// A colour that a person can tell from the ground; the number of draws is always the same.
Colour figure_on(const Colour& ground, Draws& r) {
  Colour best{};
  double gap = -1;
  bool found = false;
  for (int i = 0; i < 8; ++i) {
    const Colour c = colour_of(r);
    if (!found && apart(c, ground) > gap) best = c, gap = apart(c, ground), found = gap > 0.3;
  }
  return best;
}

struct Placed {
  std::int64_t shape;
  double x, y, radius, turn;  // in pixels; of the middle, of the circle around it
  Colour colour;
};
Point own(const Placed& s, double x, double y) {
  const double dx = (x - s.x) / s.radius, dy = (y - s.y) / s.radius, c = std::cos(s.turn), n = std::sin(s.turn);
  return {c * dx + n * dy, -n * dx + c * dy};
}

// Two colours in waves or checks, then the shapes, then noise.
struct Ground {
  Colour base, other;
  double angle, frequency, phase, noise;
  bool checks;
};
Ground ground_of(Draws& r, std::int64_t size) {
  Ground g;
  g.base = colour_of(r);
  for (std::size_t b = 0; b < 3; ++b) g.other[b] = std::clamp(g.base[b] + r.within(-0.12, 0.12), 0.0, 1.0);
  g.angle = r.within(0, kPi);
  g.frequency = 2 * kPi * r.within(1.5, 6) / static_cast<double>(size);
  g.phase = r.within(0, 2 * kPi);
  g.noise = r.within(0, 0.06);
  g.checks = r.next() < 0.5;
  return g;
}
// image: u8 [size, size, 3]; mask: u8 [size, size] or null.
void paint(const Ground& g, const std::vector<Placed>& shapes, std::int64_t size, Draws r, std::uint8_t* image, std::uint8_t* mask) {
  const double c = std::cos(g.angle), s = std::sin(g.angle);
  for (std::int64_t i = 0; i < size; ++i)
    for (std::int64_t j = 0; j < size; ++j) {
      const double x = static_cast<double>(j) + 0.5, y = static_cast<double>(i) + 0.5;
      const double along = std::sin(g.frequency * (c * x + s * y) + g.phase), across = std::sin(g.frequency * (c * y - s * x));
      const double mix = g.checks ? (along * across > 0 ? 1 : 0) : 0.5 + 0.5 * along;
      Colour v;
      for (std::size_t b = 0; b < 3; ++b) v[b] = g.base[b] + mix * (g.other[b] - g.base[b]);
      std::uint8_t label = 0;
      for (const Placed& p : shapes) {
        const double away = distance_to(p.shape, own(p, x, y)) * p.radius, cover = std::clamp(0.5 - away, 0.0, 1.0);
        for (std::size_t b = 0; b < 3; ++b) v[b] += cover * (p.colour[b] - v[b]);
        if (away <= 0) label = static_cast<std::uint8_t>(p.shape + 1);
      }
      for (std::size_t b = 0; b < 3; ++b)
        image[(i * size + j) * 3 + static_cast<std::int64_t>(b)] =
            static_cast<std::uint8_t>(std::clamp(v[b] + g.noise * r.within(-1, 1), 0.0, 1.0) * 255 + 0.5);
      if (mask) mask[i * size + j] = label;
    }
}
Placed placed(std::int64_t shape, double low, double high, std::int64_t size, const Colour& ground, Draws& r) {
  const double side = static_cast<double>(size), radius = side * r.within(low, high);
  Placed p{shape, r.within(radius, side - radius), r.within(radius, side - radius), radius, 0, {}};
  // A cross or a square turned by any angle is itself; a star, triangle, heart and moon too.
  p.turn = r.within(0, 2 * kPi);
  p.colour = figure_on(ground, r);
  return p;
}
// The upright box around the shape: by its corners where it has some, else along its outline's furthest points.
Box box_of(const Placed& p, std::int64_t size) {
  Box b{1e9, 1e9, -1e9, -1e9, p.shape};
  const double c = std::cos(p.turn), s = std::sin(p.turn);
  const auto take = [&](Point q) {
    const double x = p.x + p.radius * (c * q.x - s * q.y), y = p.y + p.radius * (s * q.x + c * q.y);
    b.x0 = std::min(b.x0, x), b.x1 = std::max(b.x1, x), b.y0 = std::min(b.y0, y), b.y1 = std::max(b.y1, y);
  };
  const double radius = p.shape == 0 ? 0.88 : 0.97;  // of the circle that a round shape's outline follows
  if (const Polygon& g = outlines()[static_cast<std::size_t>(p.shape)]; !g.empty()) {
    for (const Point q : g) take(q);
  } else {
    for (int i = 0; i < 720; ++i) {
      const Point q{radius * std::cos(kPi * i / 360), radius * std::sin(kPi * i / 360)};
      if (distance_to(p.shape, q) < 1e-9) take(q);  // where the moon is cut out there is none
    }
  }
  const double side = static_cast<double>(size);
  return {std::clamp(b.x0, 0.0, side), std::clamp(b.y0, 0.0, side), std::clamp(b.x1, 0.0, side), std::clamp(b.y1, 0.0, side), b.label};
}
double area(const Box& b) { return std::max(b.x1 - b.x0, 0.0) * std::max(b.y1 - b.y0, 0.0); }
double shared(const Box& a, const Box& b) {
  return area({std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1), 0});
}
void check(const char* what, std::int64_t size) {
  if (size < 16 || size > 4096)
    throw Error(Code::usage, std::string(what) + ": a size of " + std::to_string(size) + "; it must be 16 to 4096 pixels");
}

}  // namespace

const std::vector<std::string>& shape_names() {
  static const std::vector<std::string> names = {"circle", "square", "triangle", "star", "cross", "ring", "heart", "moon"};
  return names;
}

Drawn draw_shapes(std::int64_t count, std::uint64_t seed, std::int64_t size) {
  check("shapes", size);
  if (count < 1) throw Error(Code::usage, "shapes: " + std::to_string(count) + " pictures; it must be at least 1");
  const auto classes = static_cast<std::int64_t>(shape_names().size());
  Drawn d{Tensor::empty({count, 3, size, size}, DType::u8, Device{}), std::vector<std::int64_t>(static_cast<std::size_t>(count)),
          shape_names()};
  std::uint8_t* out = d.block.data<std::uint8_t>();
  const std::int64_t plane = size * size;
  parallel_ranges(host_queue().pool(), count, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint8_t> image(static_cast<std::size_t>(plane * 3));
    for (std::int64_t i = begin; i < end; ++i) {
      d.labels[static_cast<std::size_t>(i)] = i % classes;
      Draws r{seed, kOne + static_cast<std::uint64_t>(i)};
      const Ground g = ground_of(r, size);
      const Placed shape = placed(i % classes, 0.25, 0.45, size, g.base, r);
      paint(g, {shape}, size, r, image.data(), nullptr);
      for (std::int64_t p = 0; p < plane; ++p)
        for (std::int64_t b = 0; b < 3; ++b) out[(i * 3 + b) * plane + p] = image[static_cast<std::size_t>(p * 3 + b)];
    }
  });
  return d;
}

Sample draw_shape_sample(std::int64_t index, std::uint64_t seed, std::int64_t size) {
  check("shapes", size);
  if (index < 0) throw Error(Code::usage, "shapes: picture " + std::to_string(index) + "; the index must be 0 or more");
  const auto classes = static_cast<std::int64_t>(shape_names().size());
  Draws r{seed, kScene + static_cast<std::uint64_t>(index)};
  const Ground g = ground_of(r, size);
  const std::int64_t wanted = 1 + r.below(4);
  std::vector<Placed> shapes;
  Sample s{Image::make(size, size, 3), {}, Image::make(size, size, 1)};
  // The first class goes round, so that all are there; a place that hides too much of another is drawn again, at most ten times, then there
  // is one shape less.
  for (std::int64_t k = 0; k < wanted; ++k) {
    const std::int64_t shape = k == 0 ? index % classes : r.below(classes);
    for (int i = 0; i < 10; ++i) {
      const Placed p = placed(shape, 0.12, 0.24, size, g.base, r);
      const Box b = box_of(p, size);
      const bool hides =
          std::any_of(s.boxes.begin(), s.boxes.end(), [&](const Box& o) { return shared(b, o) > 0.25 * std::min(area(b), area(o)); });
      if (hides) continue;
      shapes.push_back(p);
      s.boxes.push_back(b);
      break;
    }
  }
  paint(g, shapes, size, r, s.image.data<std::uint8_t>(), s.mask->data<std::uint8_t>());
  return s;
}

Drawn draw_spirals(std::int64_t count, std::uint64_t seed, std::int64_t classes, double noise) {
  if (count < 1) throw Error(Code::usage, "spirals: " + std::to_string(count) + " points; it must be at least 1");
  if (classes < 2 || classes > 100) throw Error(Code::usage, "spirals: " + std::to_string(classes) + " arms; it must be 2 to 100");
  if (!(noise >= 0) || !std::isfinite(noise))
    throw Error(Code::usage, "spirals: noise of " + std::to_string(noise) + "; it must be 0 or more");
  Drawn d{Tensor::empty({count, 2, 1, 1}, DType::f32, Device{}), std::vector<std::int64_t>(static_cast<std::size_t>(count)), {}};
  for (std::int64_t c = 0; c < classes; ++c) d.class_names.push_back("arm " + std::to_string(c));
  float* out = d.block.data<float>();
  for (std::int64_t i = 0; i < count; ++i) {
    d.labels[static_cast<std::size_t>(i)] = i % classes;
    Draws r{seed, 0x73706972616cull, static_cast<std::uint64_t>(i), std::uint64_t{1} << 48};
    const double t = r.next(), u = r.next(), v = r.next();
    const double radius = 0.05 + 0.95 * t, angle = 3 * kPi * t + 2 * kPi * static_cast<double>(i % classes) / static_cast<double>(classes);
    const double far = noise * std::sqrt(-2 * std::log(1 - u));  // Box and Muller
    out[2 * i] = static_cast<float>(radius * std::cos(angle) + far * std::cos(2 * kPi * v));
    out[2 * i + 1] = static_cast<float>(radius * std::sin(angle) + far * std::sin(2 * kPi * v));
  }
  return d;
}

}  // namespace graft
