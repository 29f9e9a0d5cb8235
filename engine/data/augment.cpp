#include "engine/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/data/colour.h"
#include "engine/data/draws.h"
#include "engine/data/policy.h"
#include "engine/data/transforms.h"
#include "kernels/core/error.h"

namespace graft {
namespace {

// Places of a picture's numbers: position = index + 2^40 (256 kind + block). Block 0 of `map` lies at the index itself.
enum class Kind : std::uint64_t { map, part, pad, flips, colours, hole, policy };
constexpr std::uint64_t kIndexBits = 40;
Draws draws(Kind kind, std::uint64_t seed, std::uint64_t epoch, std::int64_t index) {
  return {seed, 0x617567ull + epoch * 2 + 1, static_cast<std::uint64_t>(index) + (static_cast<std::uint64_t>(kind) << (kIndexBits + 8)),
          std::uint64_t{1} << kIndexBits};
}

// A random rectangle of `area` shares and a ratio a / b with even logarithm, fitting where fits(a, b) says so; none after ten tries.
template <class Fits>
std::optional<std::pair<std::int64_t, std::int64_t>> random_sides(Draws& r, double pixels, double small, double large, double narrow,
                                                                  double wide, Fits fits) {
  for (int i = 0; i < 10; ++i) {
    const double wanted = pixels * r.within(small, large), ratio = std::exp(r.within(std::log(narrow), std::log(wide)));
    const auto a = static_cast<std::int64_t>(std::nearbyint(std::sqrt(wanted * ratio))),
               b = static_cast<std::int64_t>(std::nearbyint(std::sqrt(wanted / ratio)));
    if (fits(a, b)) return std::pair{a, b};
  }
  return std::nullopt;
}

void random_part(Sample& s, const Augment& a, Draws r) {
  const std::int64_t h = s.image.height, w = s.image.width, to_h = a.height > 0 ? a.height : h, to_w = a.width > 0 ? a.width : w;
  const double narrow = a.ratio[0], wide = a.ratio[1];
  const auto sides = random_sides(r, static_cast<double>(h) * static_cast<double>(w), a.area[0], a.area[1], narrow, wide,
                                  [&](std::int64_t x, std::int64_t y) { return x > 0 && y > 0 && x <= w && y <= h; });
  if (sides) {
    const std::int64_t y = r.below(h - sides->second + 1), x = r.below(w - sides->first + 1);
    crop(s, y, x, sides->second, sides->first);
  } else {  // the largest part in the middle whose ratio is allowed
    const double own = static_cast<double>(w) / static_cast<double>(h);
    const auto fitted = [](double v, std::int64_t most) {
      return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::nearbyint(v)), 1, most);
    };
    const std::int64_t ph = own < narrow ? fitted(static_cast<double>(w) / narrow, h) : h,
                       pw = own > wide ? fitted(static_cast<double>(h) * wide, w) : w;
    crop(s, (h - ph) / 2, (w - pw) / 2, ph, pw);
  }
  resize(s, to_h, to_w, Filter::bilinear);
}

void colours(Image& image, const Augment& a, Draws r) {
  // Four numbers for the order, four for the amounts, whichever of them are used.
  std::array<double, 4> key{};
  for (double& k : key) k = r.next();
  std::array<int, 4> order{0, 1, 2, 3};
  std::sort(order.begin(), order.end(), [&](int x, int y) {
    return std::pair{key[static_cast<std::size_t>(x)], x} < std::pair{key[static_cast<std::size_t>(y)], y};
  });
  const auto factor = [&](double x) { return r.within(std::max(0.0, 1 - x), 1 + x); };
  const double light = factor(a.brightness), range = factor(a.contrast), colour = factor(a.saturation), turn = r.within(-a.hue, a.hue);
  for (const int which : order) {
    if (which == 0 && a.brightness > 0) brightness(image, light);
    if (which == 1 && a.contrast > 0) contrast(image, range);
    if (which == 2 && a.saturation > 0) saturation(image, colour);
    if (which == 3 && a.hue > 0) hue(image, turn);
  }
}

void random_hole(Image& image, double probability, Draws r) {
  if (!(r.next() < probability)) return;
  const std::int64_t h = image.height, w = image.width;
  const auto sides = random_sides(r, static_cast<double>(h) * static_cast<double>(w), 0.02, 0.33, 0.3, 3.3,
                                  [&](std::int64_t y, std::int64_t x) { return y < h && x < w; });
  if (!sides) return;
  const std::int64_t y = r.below(h - sides->first + 1), x = r.below(w - sides->second + 1);
  erase(image, y, x, sides->first, sides->second);
}

}  // namespace

bool Augment::any() const {
  return shift > 0 || rotate > 0 || scale > 0 || crop_pad > 0 || !area.empty() || flip > 0 || flip_vertical > 0 || brightness > 0 ||
         contrast > 0 || saturation > 0 || hue > 0 || erase > 0 || policy != "none";
}

void Augment::check() const {
  const auto must = [](bool ok, const std::string& what, const std::string& rule) {
    if (!ok) throw Error(Code::usage, "augment." + what + ": the value is out of range; it must be " + rule);
  };
  const auto number = [&](double v, double low, double high, const char* name) {
    must(v >= low && v <= high, std::string(name) + " = " + std::to_string(v),
         "between " + std::to_string(low) + " and " + std::to_string(high));
  };
  must(shift >= 0, "shift", "0 or more");
  must(crop_pad >= 0, "crop_pad", "0 or more");
  must(height >= 0 && width >= 0, "height, width", "0 or more");
  number(rotate, 0, 180, "rotate");
  must(scale >= 0 && scale < 1, "scale", "at least 0 and below 1");
  must(area.empty() || (area.size() == 2 && area[0] > 0 && area[0] <= area[1] && area[1] <= 1), "area",
       "empty or two shares, the smaller first, above 0 and at most 1");
  must(ratio.size() == 2 && ratio[0] > 0 && ratio[0] <= ratio[1] && std::isfinite(ratio[1]), "ratio",
       "two numbers above 0, the smaller first");
  number(flip, 0, 1, "flip");
  number(flip_vertical, 0, 1, "flip_vertical");
  number(brightness, 0, 1000, "brightness");
  number(contrast, 0, 1000, "contrast");
  number(saturation, 0, 1000, "saturation");
  number(hue, 0, 0.5, "hue");
  number(erase, 0, 1, "erase");
  must(policy == "none" || policy == "randaugment", "policy = " + policy, "none or randaugment");
  must(policy_ops >= 1 && policy_ops <= 14, "policy_ops", "1 to 14");
  must(policy_magnitude >= 0 && policy_magnitude <= 30, "policy_magnitude", "0 to 30");
  number(mixup, 0, 1000, "mixup");
  number(cutmix, 0, 1000, "cutmix");
}

void augment(Sample& s, const Augment& a, std::uint64_t seed, std::uint64_t epoch, std::int64_t index) {
  if (index < 0 || index >= std::int64_t{1} << kIndexBits)
    throw Error(Code::usage, "augment: no picture " + std::to_string(index) + "; the index must be 0 to 2^40 - 1");
  if ((!a.area.empty() && a.area.size() != 2) || a.ratio.size() != 2) a.check();
  const auto of = [&](Kind kind) { return draws(kind, seed, epoch, index); };
  if (!a.area.empty()) random_part(s, a, of(Kind::part));
  if (a.crop_pad > 0) {
    const std::int64_t h = s.image.height, w = s.image.width, n = a.crop_pad;
    Draws r = of(Kind::pad);
    const std::int64_t y = r.below(2 * n + 1), x = r.below(2 * n + 1);
    pad(s, n, n, n, n);
    crop(s, y, x, h, w);
  }
  if (a.shift > 0 || a.rotate > 0 || a.scale > 0) {
    Draws r = of(Kind::map);
    const auto spread = [&] { return 2 * r.next() - 1; };
    Affine map;
    map.rotate = spread() * a.rotate;
    map.scale = 1 + spread() * a.scale;
    map.shift_x = std::round(spread() * static_cast<double>(a.shift));
    map.shift_y = std::round(spread() * static_cast<double>(a.shift));
    affine(s, map);
  }
  if (a.flip > 0 || a.flip_vertical > 0) {
    Draws r = of(Kind::flips);
    const double across = r.next(), down = r.next();
    if (across < a.flip) flip_horizontal(s);
    if (down < a.flip_vertical) flip_vertical(s);
  }
  if (a.policy == "randaugment") rand_augment(s, a.policy_ops, a.policy_magnitude, of(Kind::policy));
  if (a.brightness > 0 || a.contrast > 0 || a.saturation > 0 || a.hue > 0) colours(s.image, a, of(Kind::colours));
  if (a.erase > 0) random_hole(s.image, a.erase, of(Kind::hole));
}

}  // namespace graft
