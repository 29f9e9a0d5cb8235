#include "cli/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>

#include "engine/data/decode.h"
#include "engine/data/resize.h"

namespace graft::cli {
namespace {

constexpr const char* kStyle = R"(
:root { --ground: #fff; --ink: #1b1f24; --quiet: #656d76; --line: #d0d7de; --a0: #656d76; --a1: #b35900; --a2: #2f6fb7; --a3: #1a7f4b; --a4: #7d4a9e; --a5: #a8325e; --good: #1a7f4b; --bad: #b3261e;
  --heat: 47, 111, 183; }
@media (prefers-color-scheme: dark) {
:root { --ground: #14171b; --ink: #e2e6ea; --quiet: #95a0ab; --line: #363d45; --a0: #95a0ab; --a1: #e8a04c; --a2: #5b9be0; --a3: #4fbf86; --a4: #b48be0; --a5: #e07ba6; --good: #4fbf86; --bad: #f2857c;
  --heat: 91, 155, 224; } }
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
a { color: var(--a2); } h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1rem; margin: 1.8rem 0 .3rem; } .quiet { color: var(--quiet); } code { word-break: break-all; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
td, th { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: right; } td.t, th.t { text-align: left; }
.better { color: var(--good); font-weight: 600; } .worse { color: var(--bad); font-weight: 600; } pre { overflow-x: auto; color: var(--quiet); }
svg { width: 100%; min-width: 34rem; height: auto; display: block; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg .zero { stroke: var(--ink); }
.sheet { display: flex; flex-wrap: wrap; gap: .8rem; } figure { margin: 0; width: 7.5rem; } figcaption { font-size: 12px; line-height: 1.3; overflow-wrap: anywhere; }
img { image-rendering: pixelated; min-width: 4rem; max-width: 6rem; }
)";

struct Axis {
  double low, high, from, to;
  double operator()(double v) const { return high > low ? from + (to - from) * (v - low) / (high - low) : (from + to) / 2; }
};
// Distance of grid lines: 1, 2 or 5 times a power of ten, some five of them.
double grid_step(double range) {
  const double raw = range / 5, power = std::pow(10, std::floor(std::log10(raw)));
  return raw / power > 5 ? 10 * power : raw / power > 2 ? 5 * power : 2 * power;
}
std::string at(const char* name, double v) { return std::string(" ") + name + "=\"" + number("%.2f", v) + "\""; }

}  // namespace

std::string number(const char* format, double v) {
  char text[64];
  std::snprintf(text, sizeof text, format, v);
  return text;
}
std::string escaped(const std::string& text) {
  std::string s;
  for (const char c : text) s += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return s;
}
std::string page_head(const std::string& title) {
  return "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, "
         "initial-scale=1\"><title>" +
         escaped(title) + "</title><style>" + kStyle + "</style><h1>" + escaped(title) + "</h1>";
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr const char* kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string s;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) { return i + k < bytes.size() ? std::to_integer<unsigned>(bytes[i + k]) : 0u; };
    const unsigned v = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t k = 0; k < 4; ++k) s += i + k > bytes.size() ? '=' : kLetters[v >> (18 - 6 * k) & 63];
  }
  return s;
}
Image shown_picture(const Image& image, std::int64_t most) {
  const std::int64_t side = std::max(image.height, image.width), bands = image.bands >= 3 ? 3 : 1;
  Image small = image;
  if (side > most)
    small = resize(image, std::max<std::int64_t>(1, image.height * most / side), std::max<std::int64_t>(1, image.width * most / side),
                   Filter::bilinear);
  Image shown = Image::make(small.height, small.width, bands);
  with_depth(small.depth, [&](auto zero) {
    using T = decltype(zero);
    // Floats have no white of their own: they are shown between their least and largest.
    double low = 0, high = small.white();
    if (small.depth == Image::Depth::f32) {
      low = INFINITY, high = -INFINITY;
      for (std::int64_t i = 0; i < small.numel(); ++i)
        if (const double v = static_cast<double>(small.data<T>()[i]); std::isfinite(v)) low = std::min(low, v), high = std::max(high, v);
    }
    const double scale = high > low ? 255 / (high - low) : 0;
    for (std::int64_t p = 0; p < small.height * small.width; ++p)
      for (std::int64_t b = 0; b < bands; ++b) {
        const double v = (static_cast<double>(small.data<T>()[p * small.bands + b]) - low) * scale + 0.5;
        shown.data<std::uint8_t>()[p * bands + b] = std::isfinite(v) ? static_cast<std::uint8_t>(std::clamp(v, 0.0, 255.0)) : 0;
      }
  });
  return shown;
}
std::string thumbnail(const Image& image) {
  return "<img alt=\"\" src=\"data:image/png;base64," + base64(encode_png(shown_picture(image, 96))) + "\">";
}

std::string plot(const std::vector<PlotSeries>& series, const PlotOptions& o) {
  double low = o.zero ? 0 : INFINITY, high = o.zero ? 0 : -INFINITY, first = INFINITY, last = -INFINITY;
  const auto across = [&](double v) { return o.log_x ? std::log(v) : v; };
  std::vector<double> marks;
  for (const PlotSeries& s : series)
    for (const PlotPoint& p : s.points) {
      if (!std::isfinite(p.y)) continue;
      low = std::min({low, p.y, p.low < p.high ? p.low : p.y});
      high = std::max({high, p.y, p.low < p.high ? p.high : p.y});
      first = std::min(first, across(p.x)), last = std::max(last, across(p.x));
      marks.push_back(p.x);
    }
  if (marks.empty()) return {};
  const double pad = std::max((high - low) * 0.08, std::max(1e-12, std::abs(high) * 1e-3));
  low -= pad, high += pad;
  const Axis x{first, last, 70, 640}, y{low, high, 250, 15};
  std::string s = "<div class=\"scroll\"><svg viewBox=\"0 0 780 290\" role=\"img\">";
  const double step = grid_step(high - low);
  for (double v = std::ceil(low / step) * step; v <= high; v += step) {
    const bool zero = std::abs(v) < step / 1e6;
    s += "<line class=\"" + std::string(zero && o.zero ? "zero" : "grid") + "\"" + at("x1", 70) + at("x2", 640) + at("y1", y(v)) +
         at("y2", y(v)) + "/><text" + at("x", 62) + at("y", y(v) + 4) + " text-anchor=\"end\">" + number("%g", zero ? 0 : v) + "</text>";
  }
  if (!o.marks && o.log_x) {
    marks.clear();
    for (double e = std::ceil(first / std::log(10.0) - 1e-9); e <= last / std::log(10.0) + 1e-9; ++e) marks.push_back(std::pow(10, e));
  } else if (!o.marks && last > first) {
    marks.clear();
    const double along = grid_step(last - first);
    for (double v = std::ceil(first / along) * along; v <= last; v += along) marks.push_back(v);
  }
  std::sort(marks.begin(), marks.end());
  marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
  for (const double m : marks)
    s += "<text" + at("x", x(across(m))) + at("y", 268) + " text-anchor=\"middle\">" + number("%g", m) + "</text>";
  s += "<text" + at("x", 355) + at("y", 286) + " text-anchor=\"middle\">" + escaped(o.x_label) + "</text>";

  std::vector<std::pair<double, const PlotSeries*>> labels;
  for (std::size_t k = 0; k < series.size(); ++k) {
    const PlotSeries& one = series[k];
    const std::string color = "var(--a" + std::to_string(one.color % 6) + ")";
    const double shift =
        o.marks ? 3 * (static_cast<double>(k) - static_cast<double>(series.size() - 1) / 2) : 0;  // whiskers beside each other
    std::string path;
    double end = 0;
    for (const PlotPoint& p : one.points) {
      if (!std::isfinite(p.y)) continue;
      const double px = x(across(p.x)) + shift;
      path += (path.empty() ? "M" : "L") + number("%.2f", px) + " " + number("%.2f", y(p.y));
      if (p.low < p.high)
        s += "<line stroke=\"" + color + "\" stroke-width=\"2\"" + at("x1", px) + at("x2", px) + at("y1", y(p.low)) + at("y2", y(p.high)) +
             "/>";
      if (o.marks || one.dots) s += "<circle fill=\"" + color + "\"" + at("cx", px) + at("cy", y(p.y)) + " r=\"3.5\"/>";
      end = y(p.y);
    }
    if (path.empty()) continue;
    if (!one.dots) s += "<path fill=\"none\" stroke=\"" + color + "\" stroke-width=\"1.5\" d=\"" + path + "\"/>";
    labels.emplace_back(end, &one);
  }
  std::sort(labels.begin(), labels.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  double under = -1e9;
  for (const auto& [end, one] : labels) {
    under = std::max(end, under + 15);
    s += "<text style=\"fill:var(--a" + std::to_string(one->color % 6) + ")\"" + at("x", 654) + at("y", under + 4) + ">" +
         escaped(one->name) + "</text>";
  }
  return s + "</svg></div>";
}

}  // namespace graft::cli
