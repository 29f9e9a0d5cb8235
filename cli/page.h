// Pages without network: one HTML file, readable in light and dark and on a phone, with plots as SVG.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/data/image.h"

namespace graft::cli {

std::string number(const char* format, double v);  // printf's
std::string escaped(const std::string& text);
// <!doctype html> up to the title as a heading; the caller writes the rest and "</html>".
std::string page_head(const std::string& title);

// The picture as a screen shows it: at most `most` pixels high or wide, one band or the first three, 8 bits; floats between their least and
// largest finite value.
Image shown_picture(const Image& image, std::int64_t most);
// <img> with the picture inside it, at most 96 pixels high or wide.
std::string thumbnail(const Image& image);
std::string base64(std::span<const std::byte> bytes);

struct PlotPoint {
  double x = 0, y = 0, low = 0, high = 0;  // low < high draws a whisker
};
struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;  // by rising x
  int color = 0;                  // of six
  bool dots = false;              // a dot at each point, and no line
};
struct PlotOptions {
  std::string x_label;
  bool log_x = false, zero = false;  // zero: the axis of y shows it
  bool marks = false;                // a dot at each point, and its x below the axis
};
// An <svg> in a <div> that scrolls sideways where the screen is narrow; empty where there is nothing to draw.
std::string plot(const std::vector<PlotSeries>& series, const PlotOptions& options);

}  // namespace graft::cli
