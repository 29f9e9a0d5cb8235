// The page of a run: one file, no network, light and dark. A plot per family, shape and dtype: a bar to the median, a line over the
// quartiles; and the roofline with every row in it.
#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/lab/report.h"

namespace graft::lab {
namespace {

std::string escaped(const std::string& text) {
  std::string s;
  for (char c : text) s += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return s;
}
std::string number(const char* format, double v) {
  char text[64];
  std::snprintf(text, sizeof text, format, v);
  return text;
}
std::string time_text(double s) {
  return s < 1e-6   ? number("%.3g ns", s * 1e9)
         : s < 1e-3 ? number("%.3g us", s * 1e6)
         : s < 1    ? number("%.3g ms", s * 1e3)
                    : number("%.3g s", s);
}
std::string at(const char* name, double v) { return std::string(" ") + name + "=\"" + number("%.2f", v) + "\""; }

constexpr const char* kStyle = R"(
:root { --ground: #fff; --ink: #1b1f24; --quiet: #656d76; --line: #d0d7de; --bar: #2f6fb7; --best: #1a7f4b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
:root { --ground: #14171b; --ink: #e2e6ea; --quiet: #95a0ab; --line: #363d45; --bar: #5b9be0; --best: #4fbf86; --bad: #f2857c; } }
body { background: var(--ground); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1rem; margin: 1.6rem 0 .3rem; } .quiet, svg .quiet { color: var(--quiet); fill: var(--quiet); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: right; }
td:first-child, th:first-child { text-align: left; } .bad { color: var(--bad); text-align: left; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .bar { fill: var(--bar); } svg .best { fill: var(--best); }
svg .whisker, svg .axis { stroke: var(--ink); } svg .grid { stroke: var(--line); } svg .roof { stroke: var(--bad); fill: none; stroke-width: 1.5; }
)";

std::string bars(const std::vector<const Result*>& rows) {
  double longest = 0, best = INFINITY;
  for (const Result* r : rows)
    if (r->caught.empty()) longest = std::max(longest, r->q3), best = std::min(best, r->median);
  if (longest <= 0) return {};
  const double left = 170, wide = 400, step = 24;
  std::string s =
      "<svg viewBox=\"0 0 900 " + std::to_string(static_cast<int>(step * static_cast<double>(rows.size()) + 8)) + "\" role=\"img\">";
  double y = 4;
  for (const Result* r : rows) {
    s += "<text" + at("x", left - 8) + at("y", y + 14) + " text-anchor=\"end\">" + escaped(r->variant) + "</text>";
    if (r->caught.empty()) {
      const double x = left + wide * r->median / longest;
      s += "<rect class=\"" + std::string(r->median == best ? "best" : "bar") + "\"" + at("x", left) + at("y", y + 3) +
           at("width", x - left) + at("height", 14) + "/>";
      s += "<line class=\"whisker\"" + at("x1", left + wide * r->q1 / longest) + at("x2", left + wide * r->q3 / longest) +
           at("y1", y + 10) + at("y2", y + 10) + "/>";
      std::string text = time_text(r->median);
      if (r->of_roofline) text += ", " + number("%.0f", 100 * *r->of_roofline) + " % of " + r->bound_by;
      if (r->ratio) text += ", " + number("%.2f", r->ratio->value) + " times " + r->ratio->against;
      if (r->noisy) text += ", noisy";
      s += "<text class=\"quiet\"" + at("x", left + wide * std::max(r->q3, r->median) / longest + 8) + at("y", y + 14) + ">" +
           escaped(text) + "</text>";
    } else {
      s += "<text" + at("x", left) + at("y", y + 14) + ">caught, no time</text>";
    }
    y += step;
  }
  return s + "</svg>";
}

// FLOPs per byte against FLOP/s, both logarithmic; roofs by memory and by multiply-adds.
std::string roofline(const Document& d) {
  if (d.levels.empty() || d.flops_f32 <= 0) return {};
  std::vector<const Result*> rows;
  for (const Result& r : d.rows)
    if (r.caught.empty() && r.flops_rate > 0 && r.bytes_rate > 0) rows.push_back(&r);
  if (rows.empty()) return {};
  const double top = std::max(d.flops_f32, d.flops_16);
  double x0 = INFINITY, x1 = top / d.levels.back().rate * 4, y0 = top;
  for (const Result* r : rows)
    x0 = std::min(x0, r->flops_rate / r->bytes_rate), x1 = std::max(x1, r->flops_rate / r->bytes_rate), y0 = std::min(y0, r->flops_rate);
  x0 = std::floor(std::log10(x0)), x1 = std::ceil(std::log10(x1)), y0 = std::floor(std::log10(y0));
  const double y1 = std::ceil(std::log10(2 * top)), left = 70, wide = 780, high = 340;
  const auto px = [&](double v) { return left + wide * (std::log10(v) - x0) / (x1 - x0); };
  const auto py = [&](double v) { return 10 + high * (y1 - std::log10(v)) / (y1 - y0); };
  std::string s = "<h2>Roofline</h2><svg viewBox=\"0 0 900 400\" role=\"img\">";
  for (double e = x0; e <= x1; ++e)
    s += "<line class=\"grid\"" + at("x1", px(std::pow(10, e))) + at("x2", px(std::pow(10, e))) + at("y1", 10) + at("y2", 10 + high) +
         "/><text class=\"quiet\"" + at("x", px(std::pow(10, e))) + at("y", high + 28) + " text-anchor=\"middle\">" +
         number("%g", std::pow(10, e)) + "</text>";
  for (double e = y0; e <= y1; ++e)
    s += "<line class=\"grid\"" + at("x1", left) + at("x2", left + wide) + at("y1", py(std::pow(10, e))) + at("y2", py(std::pow(10, e))) +
         "/><text class=\"quiet\"" + at("x", left - 6) + at("y", py(std::pow(10, e)) + 4) + " text-anchor=\"end\">" +
         number("%g", std::pow(10, e - 9)) + "</text>";
  const auto roof = [&](double rate, double flops, const std::string& name) {
    const double from = std::max(std::pow(10, x0), std::pow(10, y0) / rate), knee = std::min(flops / rate, std::pow(10, x1));
    s += "<path class=\"roof\" d=\"M" + number("%.1f", px(from)) + " " + number("%.1f", py(from * rate)) + "L" + number("%.1f", px(knee)) +
         " " + number("%.1f", py(knee * rate)) + "L" + number("%.1f", px(std::pow(10, x1))) + " " + number("%.1f", py(flops)) +
         "\"><title>" + escaped(name) + "</title></path>";
  };
  roof(d.levels.back().rate, d.flops_f32, "memory, f32");
  if (d.flops_16 > d.flops_f32) roof(d.levels.back().rate, d.flops_16, "memory, 16 bits");
  for (const Result* r : rows)
    s += "<circle class=\"bar\"" + at("cx", px(r->flops_rate / r->bytes_rate)) + at("cy", py(r->flops_rate)) + " r=\"4\"><title>" +
         escaped(r->family + " " + r->variant + " " + r->shape + " " + r->dtype + ", " + time_text(r->median)) + "</title></circle>";
  return s + "<text class=\"quiet\"" + at("x", left + wide / 2) + at("y", high + 48) +
         " text-anchor=\"middle\">FLOPs per byte; upwards GFLOP/s</text></svg>";
}

}  // namespace

std::string html_of(const Document& d) {
  std::string s =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>graft "
      "kernels "
      "bench</title><style>" +
      std::string(kStyle) + "</style><h1>graft kernels bench</h1><p>" +
      escaped(d.date + ", graft " + d.version + ", " + d.machine.cpu + ", " + std::to_string(d.threads) + " threads, device " + d.device +
              " (" + d.machine.device + "), caches " + (d.options.cold ? "flushed" : "warm") + ", seed " + std::to_string(d.seed));
  for (const auto& p : d.peers) s += escaped("; " + p);
  s += "</p>";
  if (d.device == "emu")
    s += "<p><b>Times of the emulator mean nothing: it shows that the kernels compute right, not how fast they are.</b></p>";
  if (!d.levels.empty()) {
    s += "<p class=\"quiet\">Measured in this run: " + number("%.1f", d.flops_f32 * 1e-9) + " GFLOP/s f32";
    for (const Level& l : d.levels) s += ", " + number("%.1f", l.rate * 1e-9) + " GB/s " + escaped(l.name);
    s += ".</p>";
  }
  std::map<std::string, std::vector<const Result*>> plots;
  std::vector<std::string> order;
  for (const Result& r : d.rows) {
    const std::string key = r.family + " " + r.shape + " " + r.dtype;
    if (plots[key].empty()) order.push_back(key);
    plots[key].push_back(&r);
  }
  for (const auto& key : order) s += "<h2>" + escaped(key) + "</h2>" + bars(plots[key]);
  s += roofline(d) +
       "<h2>All "
       "rows</h2><table><tr><th>row</th><th>median</th><th>quartiles</th><th>min</th><th>calls</th><th>GFLOP/s</th><th>GB/s</th><th>of the "
       "roofline</th><th>error</th>"
       "<th>MHz</th></tr>";
  for (const Result& r : d.rows) {
    s += "<tr><td>" + escaped(r.family + " " + r.variant + " " + r.shape + " " + r.dtype) + "</td>";
    if (!r.caught.empty()) {
      s += "<td colspan=\"9\" class=\"bad\">caught: " + escaped(r.caught) + "</td></tr>";
      continue;
    }
    for (const std::string& cell :
         {time_text(r.median) + (r.noisy ? " noisy" : ""), time_text(r.q1) + " - " + time_text(r.q3), time_text(r.min),
          std::to_string(r.samples), number("%.1f", r.flops_rate * 1e-9), number("%.1f", r.bytes_rate * 1e-9),
          r.of_roofline ? number("%.0f", 100 * *r.of_roofline) + " % of " + r.bound_by : std::string("-"), number("%.2g", r.error),
          r.clock_mhz ? number("%.0f", *r.clock_mhz) : std::string("-")})
      s += "<td>" + escaped(cell) + "</td>";
    s += "</tr>";
  }
  return s + "</table></html>\n";
}

}  // namespace graft::lab
