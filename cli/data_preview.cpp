// graft data preview: a sheet of pictures, a row per class, of the training part. With --augment each stands beside what training makes of
// it in its first epoch.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "cli/data.h"
#include "cli/page.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/data/decode.h"
#include "engine/data/resize.h"
#include "engine/train/input.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

struct Tile {
  std::optional<Image> image, made;  // as its file has it; as training sees it
  std::string where, problem;
};

// A batch's picture, [1, c, h, w], back where white is 255.
Image denormalised(const Batch& b, const InputFormat& f) {
  const Shape& s = b.images.shape();
  Image image = Image::make(s[2], s[3], s[1]);
  const float* from = b.images.data<float>();
  const std::int64_t pixels = s[2] * s[3];
  for (std::int64_t p = 0; p < pixels; ++p)
    for (std::int64_t k = 0; k < s[1]; ++k) {
      const double v = (static_cast<double>(from[k * pixels + p]) * f.deviation_of(k) + f.mean_of(k)) * 255 + 0.5;
      image.data<std::uint8_t>()[p * s[1] + k] = std::isfinite(v) ? static_cast<std::uint8_t>(std::clamp(v, 0.0, 255.0)) : 0;
    }
  return image;
}

// The picture in a square of `side`, grey around it; small ones are enlarged by whole numbers.
void put(Image& sheet, const Image& given, std::int64_t top, std::int64_t left, std::int64_t side) {
  Image image = shown_picture(given, side);
  if (const std::int64_t times = side / std::max(image.height, image.width); times > 1)
    image = resize(image, image.height * times, image.width * times, Filter::nearest);
  const std::int64_t y0 = top + (side - image.height) / 2, x0 = left + (side - image.width) / 2;
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t x = 0; x < image.width; ++x)
      for (std::int64_t b = 0; b < 3; ++b)
        sheet.data<std::uint8_t>()[((y0 + y) * sheet.width + x0 + x) * 3 + b] =
            image.data<std::uint8_t>()[(y * image.width + x) * image.bands + (image.bands == 3 ? b : 0)];
}
std::vector<std::byte> png_of(const std::vector<std::vector<Tile>>& rows, std::int64_t columns, bool augmented) {
  constexpr std::int64_t kSide = 96, kGap = 4;
  const std::int64_t wide = augmented ? 2 : 1, step = wide * kSide + (wide - 1) * kGap / 2 + kGap * 2;
  Image sheet = Image::make(static_cast<std::int64_t>(rows.size()) * (kSide + kGap) + kGap, columns * step + kGap, 3);
  std::fill(sheet.bytes.begin(), sheet.bytes.end(), std::byte{128});
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t k = 0; k < rows[r].size(); ++k) {
      const std::int64_t top = kGap + static_cast<std::int64_t>(r) * (kSide + kGap), left = kGap + static_cast<std::int64_t>(k) * step;
      if (rows[r][k].image) put(sheet, *rows[r][k].image, top, left, kSide);
      if (rows[r][k].made) put(sheet, *rows[r][k].made, top, left + kSide + kGap / 2, kSide);
    }
  return encode_png(sheet);
}
std::string html_of(const std::vector<std::vector<Tile>>& rows, const std::vector<std::string>& names, const std::string& title) {
  std::string s = page_head(title) + "<p class=\"quiet\"><code>" + escaped(one_line(command_line())) + "</code></p>";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    s += "<h2>" + escaped(names[r]) + "</h2><div class=\"sheet\">";
    if (rows[r].empty()) s += "<p class=\"quiet\">no picture</p>";
    for (const Tile& t : rows[r]) {
      s += "<figure>" + (t.image ? thumbnail(*t.image) : std::string()) + (t.made ? " " + thumbnail(*t.made) : std::string()) +
           "<figcaption class=\"quiet\">" + escaped(t.problem.empty() ? t.where : t.problem) + "</figcaption></figure>";
    }
    s += "</div>";
  }
  return s + "</html>\n";
}

}  // namespace

int data_preview(const Common& c, std::int64_t count, bool augmented) {
  const Session session(c);
  const fs::path out = c.out;
  if (c.out.empty()) throw Error(Code::usage, "--out is missing; name the new file, sheet.html or sheet.png");
  const bool png = out.extension() == ".png";
  if (!png && out.extension() != ".html") throw Error(Code::usage, "--out " + one_line(c.out) + ": must end in .html or .png");
  if (fs::exists(fs::symlink_status(out))) throw Error(Code::usage, "--out " + one_line(c.out) + ": is there already; name a new file");
  if (count < 1 || count > 1000) throw Error(Code::usage, "--count " + std::to_string(count) + ": must be 1 to 1000");
  const Asked asked = asked_data(c);
  const RawParts parts = raw_parts(asked, false);
  if (parts.table) throw Error(Code::usage, "data preview: a table has no pictures; graft data check looks at its rows");
  const AuditPart& part = parts.pictures.at(0);
  if (!part.problem.empty()) throw Error(Code::input, part.problem);
  const Dataset& d = part.data;
  LoaderOptions options = training_options(asked.config);
  options.shuffle = false,
  options.batch = 1;  // what becomes of picture i does not depend on its place; mixing wants others of the batch and is not shown
  std::optional<Loader> loader;
  if (augmented) loader.emplace(d, options);
  std::vector<std::vector<Tile>> rows(static_cast<std::size_t>(d.classes));
  std::int64_t columns = 1, unreadable = 0;
  for (std::int64_t i = 0; i < d.size(); ++i) {
    auto& row = rows[static_cast<std::size_t>(d.labels.data<std::int64_t>()[i])];
    if (static_cast<std::int64_t>(row.size()) >= count) continue;
    Tile t{{}, {}, d.where(i), ""};
    try {
      t.image = shown_picture(d.image(i), 96);
      if (loader) t.made = denormalised(loader->get(0, i, nullptr), options.format);
    } catch (const Error& e) {
      if (e.code() != Code::input) throw;
      t.problem = one_line(e.what());
      if (unreadable++ == 0 && !c.quiet) std::fprintf(stderr, "%s; its place stays empty\n", t.problem.c_str());
    }
    row.push_back(std::move(t));
    columns = std::max(columns, static_cast<std::int64_t>(row.size()));
  }
  std::vector<std::string> names;
  for (const std::string& n : d.class_names) names.push_back(one_line(n));
  if (png) write_atomically(out, png_of(rows, columns, augmented));
  else
    write_atomically(out, std::string_view(html_of(
                              rows, names, "Data: " + (c.words.empty() ? std::string("the configuration") : one_line(c.words[0])))));
  if (c.json) {
    print_json(Json{{"verb", "data preview"}, {"out", one_line(c.out)}, {"rows", names}, {"columns", columns}, {"unreadable", unreadable}});
    return 0;
  }
  std::printf("%s: %zu rows, from the top:\n", one_line(c.out).c_str(), names.size());
  for (const std::string& n : names) std::printf("  %s\n", n.c_str());
  return 0;
}

}  // namespace graft::cli
