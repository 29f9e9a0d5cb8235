// From [data] to three sets: what is learned from, what is held out to judge by, and the test set, which is read only when somebody asks
// for it.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <tuple>

#include "cli/common.h"
#include "cli/data_parts.h"
#include "engine/base/text.h"
#include "engine/data/archive.h"
#include "engine/data/cifar.h"
#include "engine/data/drawn.h"
#include "engine/data/folder.h"
#include "engine/data/table.h"
#include "engine/train/input.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

enum class Part { train, validation, test };
const char* name_of(Part p) { return p == Part::train ? "train" : p == Part::validation ? "validation" : "test"; }
std::vector<std::string> names_of(Part p) {
  switch (p) {
    case Part::train: return {"train", "training"};
    case Part::validation: return {"validation", "valid", "val", "dev"};
    default: return {"test", "testing"};
  }
}
// The folder or file below `path` that holds a part, by its usual names; empty where there is none.
fs::path part_in(const fs::path& path, Part part, const std::vector<std::string>& endings, bool folders) {
  std::error_code ec;
  for (const std::string& name : names_of(part)) {
    if (folders && fs::is_directory(path / name, ec)) return path / name;
    for (const std::string& e : endings)
      if (fs::is_regular_file(path / (name + e), ec)) return path / (name + e);
  }
  return {};
}
const std::vector<std::string> kArchives = {".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".zip"};
const std::vector<std::string> kTables = {".csv", ".tsv", ".jsonl"};

// The labels of `d` by the class names of another set. Error(input) for a class that is not among them.
Dataset by_classes(Dataset d, const std::vector<std::string>& names, const std::string& whose) {
  std::vector<std::int64_t> number;
  for (const std::string& n : d.class_names) {
    const auto it = std::find(names.begin(), names.end(), n);
    if (it == names.end())
      throw Error(Code::input,
                  one_line(d.name) + ": class '" + one_line(n) + "' is not one of " + whose + "; the same classes are wanted in each part");
    number.push_back(it - names.begin());
  }
  Tensor labels = Tensor::empty({d.size()}, DType::i64, Device{});
  for (std::int64_t i = 0; i < d.size(); ++i)
    labels.data<std::int64_t>()[i] = number[static_cast<std::size_t>(d.labels.data<std::int64_t>()[i])];
  d.labels = labels;
  d.classes = static_cast<std::int64_t>(names.size());
  d.class_names = names;
  return d;
}

Dataset from_drawn(const std::string& kind, Drawn drawn) {
  LabelledImages all;
  all.source = images_in_memory(kind, drawn.block);
  all.labels = std::move(drawn.labels);
  all.class_names = std::move(drawn.class_names);
  return make_dataset(kind, std::move(all));
}
bool is_drawn(const std::string& kind) { return kind == "digits" || kind == "letters" || kind == "shapes" || kind == "spirals"; }
bool cifar_files_in(const fs::path& path,
                    const std::vector<const char*>& files = {"data_batch_1.bin", "test_batch.bin", "train.bin", "test.bin"}) {
  std::error_code ec;
  for (const char* folder : {"", "cifar-10-batches-bin", "cifar-100-binary"})
    for (const char* file : files)
      if (fs::is_regular_file(path / folder / file, ec)) return true;
  return false;
}

// One part as its files have it; empty where there is no such part. `notes` get what was left out. For an audit a class without pictures is
// no error.
Dataset read_part(const Config& c, Part part, std::vector<std::string>& notes, bool audit = false) {
  const auto set_of = [&](std::string name, LabelledImages images) {
    notes = images.notes;
    // Names of folders are any bytes, and a checkpoint keeps what the classes are called as text: so they are called from here on.
    for (std::string& n : images.class_names) n = one_line(n);
    std::vector<std::string> names = images.class_names;
    std::sort(names.begin(), names.end());
    if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
      throw Error(Code::input, one_line(name) + ": two classes are both called '" + *twice + "' as text; rename a folder");
    return make_dataset(std::move(name), std::move(images));
  };
  const auto kind = c.get<std::string>("data.kind");
  const auto seed = static_cast<std::uint64_t>(c.get<std::int64_t>("data.seed"));
  if (is_drawn(kind)) {
    if (part == Part::validation) return {};
    const std::int64_t count = c.get<std::int64_t>(part == Part::train ? "data.train_count" : "data.test_count");
    const std::uint64_t of_part = seed * 2 + (part == Part::test);
    if (kind == "shapes") return from_drawn(kind, draw_shapes(count, of_part));
    if (kind == "spirals") return from_drawn(kind, draw_spirals(count, of_part));
    return draw_glyphs(kind, count, of_part);
  }
  const fs::path path = c.get<std::string>("data.path");
  if (path.empty())
    throw Error(Code::usage, "data.path is empty; data.kind=" + kind + " wants the folder with the files: data.path=FOLDER");
  std::error_code ec;
  if (!fs::is_directory(path, ec))
    throw Error(Code::input, path.string() + ": is not a folder; data.path names the one with the files of data.kind=" + kind);
  if (kind == "mnist") return part == Part::validation ? Dataset{} : load_mnist(path, part == Part::train);
  if (kind == "cifar" && cifar_files_in(path))
    return part == Part::validation ? Dataset{} : set_of(std::string("cifar ") + name_of(part), load_cifar(path, part == Part::train));
  const bool table = kind == "table";
  const fs::path at = part_in(path, part, table ? kTables : kArchives, !table);
  if (at.empty()) {
    if (part != Part::train) return {};
    throw Error(
        Code::input,
        path.string() + (table ? ": has no train.csv, train.tsv or train.jsonl"
                               : ": has no train folder and no train.tar, .tar.gz or .zip, with a folder of pictures per class in it"));
  }
  if (!table)
    return set_of(at.string(), fs::is_directory(at, ec) ? open_image_folder(at, audit) : open_image_archive(at, "", kArchiveLimit, audit));
  const fs::path train = part == Part::train ? at : part_in(path, Part::train, kTables, false);
  if (train.empty()) throw Error(Code::input, path.string() + ": has no train table, whose columns and classes rule the others");
  const TableFormat format = table_format(train, c.get<std::string>("data.target"));
  return make_dataset(at.string(), read_table(at, format));
}

// The same for a verb that learns from it or judges by it: what was left out is said on stderr, a line each. It is no progress, so --quiet
// does not hush it.
Dataset read_part_aloud(const Config& c, Part part) {
  constexpr std::size_t kMost = 4;
  std::vector<std::string> notes;
  Dataset d = read_part(c, part, notes);
  const char* begin = isatty(2) ? "\r\033[K" : "";
  for (std::size_t i = 0; i < std::min(kMost, notes.size()); ++i)
    std::fprintf(stderr, "%sgraft: %s: %s\n", begin, one_line(d.name).c_str(), notes[i].c_str());
  if (notes.size() > kMost)
    std::fprintf(stderr, "graft: %s: and %zu more; graft data check lists them\n", one_line(d.name).c_str(), notes.size() - kMost);
  return d;
}

// The set without, and with only, the pictures that data.validation holds out.
std::pair<Dataset, Dataset> hold_out(const Dataset& d, double held_out, const Config& c) {
  const std::int64_t n = d.size(), held = held_out < 1 ? std::max<std::int64_t>(1, std::llround(held_out * static_cast<double>(n)))
                                                       : static_cast<std::int64_t>(held_out);
  if (held_out >= 1 && held_out != std::floor(held_out))
    throw Error(Code::usage,
                "data.validation = " + c.value_text("data.validation") + ": below 1 it is a share, from 1 on a whole number of images");
  if (held >= n)
    throw Error(Code::usage, "data.validation holds out " + std::to_string(held) + " of " + std::to_string(n) + " images; choose fewer");
  const auto order = permutation(n, static_cast<std::uint64_t>(c.get<std::int64_t>("data.seed")), 0x76616c6964ull);
  return {subset(d, {order.begin() + held, order.end()}), subset(d, {order.begin(), order.begin() + held})};
}

Error no_test_part(const Config& c, const std::string& otherwise) {
  return Error(Code::input,
               c.get<std::string>("data.path") + ": has no test part, a folder, archive or table called test; put it there" + otherwise);
}

}  // namespace

void want_test_part(const Config& c, const std::string& otherwise) {
  const auto kind = c.get<std::string>("data.kind");
  if (is_drawn(kind)) return;
  const fs::path path = c.get<std::string>("data.path");
  if (kind == "mnist") return want_mnist(path, false);
  if (kind == "cifar" && cifar_files_in(path, {"test_batch.bin", "test.bin"})) return;
  const bool table = kind == "table";
  if (part_in(path, Part::test, table ? kTables : kArchives, !table).empty()) throw no_test_part(c, otherwise);
}

Data load_data(const Config& c, const Wanted& wanted) {
  const auto kind = c.get<std::string>("data.kind");
  const bool made_here = is_drawn(kind);
  const auto seed = static_cast<std::uint64_t>(c.get<std::int64_t>("data.seed"));
  const auto classes = c.get<std::vector<std::int64_t>>("data.classes");
  const auto held_out = c.get<double>("data.validation");
  Data d;
  std::vector<std::string> names = wanted.classes;
  std::string whose = "the checkpoint's";
  const auto ready = [&](Dataset set, std::int64_t count) {
    if (!set.source) return set;
    if (!names.empty() && set.class_names != names && classes.empty()) set = by_classes(std::move(set), names, whose);
    if (!classes.empty()) set = only_classes(set, classes);
    if (!made_here && count > set.size())
      throw Error(Code::usage, set.name + " has " + std::to_string(set.size()) + " images but " + std::to_string(count) + " are asked for");
    if (!made_here && count > 0 && count < set.size()) {
      auto order = permutation(set.size(), seed, 0x636f756e74ull);
      order.resize(static_cast<std::size_t>(count));
      set = subset(set, order);
    }
    return set;
  };
  if (wanted.train) {
    d.train = ready(read_part_aloud(c, Part::train), c.get<std::int64_t>("data.train_count"));
    if (names.empty() && classes.empty()) names = d.train.class_names, whose = "the training images'";
    if (held_out > 0) {
      std::tie(d.train, d.validation) = hold_out(d.train, held_out, c);
    } else {
      d.validation = ready(read_part_aloud(c, Part::validation), 0);
    }
    if (const auto k = c.get<std::int64_t>("data.per_class"); k > 0) d.train = per_class(d.train, k, seed);
    if (d.train.size() == 0)
      throw Error(Code::usage, d.train.name + ": no training image is left; look at data.classes and data.train_count");
  }
  if (wanted.test) {
    d.test = ready(read_part_aloud(c, Part::test), c.get<std::int64_t>("data.test_count"));
    if (!d.test.source) throw no_test_part(c, "");
    if (d.test.size() == 0) throw Error(Code::usage, d.test.name + ": no test image is left; look at data.classes");
  }
  return d;
}

RawParts raw_parts(const Asked& asked, bool test) {
  RawParts all;
  std::error_code ec;
  const Config& c = asked.config;
  all.table = asked.alone.empty() ? c.get<std::string>("data.kind") == "table" : is_table(asked.alone);
  const auto add_table = [&](const std::string& name, const fs::path& at) {
    TablePart part{name, {}, ""};
    try {
      part.table = read_table_text(at);
    } catch (const Error& e) {
      if (e.code() == Code::bug) throw;
      part.problem = e.what();
    }
    all.tables.push_back(std::move(part));
  };
  const auto add_pictures = [&](const std::string& name, const std::function<Dataset(std::vector<std::string>&)>& open) {
    AuditPart part{name, {}, {}, ""};
    try {
      part.data = open(part.notes);
      if (!part.data.source) return;  // there is no such part
    } catch (const Error& e) {
      if (e.code() == Code::bug || e.code() == Code::usage) throw;
      part.problem = e.what();
    }
    all.pictures.push_back(std::move(part));
  };
  const auto from_files = [&](const fs::path& at, const std::string& inside, std::vector<std::string>& notes) {
    LabelledImages images = fs::is_directory(at, ec) ? open_image_folder(at, true) : open_image_archive(at, inside, kArchiveLimit, true);
    notes = images.notes;
    return make_dataset(at.string(), std::move(images));
  };
  if (!asked.alone.empty()) {
    const fs::path& at = asked.alone;
    if (all.table) {
      add_table("all", at);
      return all;
    }
    try {
      add_pictures("all", [&](auto& notes) { return from_files(at, "", notes); });
    } catch (const Error& e) {  // an archive whose folders are parts
      if (e.code() != Code::usage || fs::is_directory(at, ec)) throw;
      for (const Part part : {Part::train, Part::validation, Part::test})
        for (const std::string& inside : part == Part::test && !test ? std::vector<std::string>{} : names_of(part)) {
          add_pictures(name_of(part), [&](auto& notes) { return from_files(at, inside, notes); });
          if (all.pictures.back().problem.empty()) break;
          all.pictures.pop_back();  // it has no such folder
        }
    }
    return all;
  }
  for (const Part part : {Part::train, Part::validation, Part::test}) {
    if (part == Part::test && !test) continue;
    const std::string name = name_of(part);
    std::vector<std::string> unheard;
    if (all.table) {
      const fs::path path = c.get<std::string>("data.path"), at = part_in(path, part, kTables, false);
      if (!at.empty()) add_table(name, at);
      else if (part == Part::train) read_part(c, part, unheard, true);  // says what is missing
    } else {
      add_pictures(name, [&](auto& notes) {
        Dataset d = read_part(c, part, notes, true);
        const auto classes = c.get<std::vector<std::int64_t>>("data.classes");
        return d.source && !classes.empty() ? only_classes(d, classes) : d;
      });
    }
  }
  if (const auto held_out = c.get<double>("data.validation");
      held_out > 0 && !all.pictures.empty() && all.pictures[0].name == "train" && all.pictures[0].problem.empty()) {
    if (all.pictures.size() > 1 && all.pictures[1].name == "validation")
      all.pictures.erase(all.pictures.begin() + 1);  // not looked at in training either
    auto [rest, held] = hold_out(all.pictures[0].data, held_out, c);
    all.pictures[0].data = std::move(rest);
    all.pictures.insert(all.pictures.begin() + 1, {"validation", std::move(held), {}, ""});
  }
  return all;
}

Config settled(Config c, const Dataset& data) {
  const Origin measured{Layer::flag, 0, "measured on the training images"};
  if (c.get<std::int64_t>("model.classes") == 0)
    c.set("model.classes=" + std::to_string(data.classes), Origin{Layer::flag, 0, "the data's classes"});
  if (c.get<std::vector<double>>("data.normalize").empty()) {
    std::string list;
    for (const double v : measured_normalize(data, input_format(c))) {
      char text[32];
      std::snprintf(text, sizeof text, "%s%.6g", list.empty() ? "" : ", ", v);
      list += text;
    }
    c.set("data.normalize=[" + list + "]", measured);
  }
  return c;
}

}  // namespace graft::cli
