#include "cli/data_parts.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/data/classes.h"
#include "engine/train/recipes.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

bool named(const fs::path& p, const std::vector<std::string>& endings) {
  const std::string name = p.filename().native();
  return std::any_of(endings.begin(), endings.end(), [&](const std::string& e) { return name.size() > e.size() && name.ends_with(e); });
}
// "train.tar.gz" is "train".
bool is_part(const fs::path& p) {
  const std::string name = p.filename().native();
  return are_splits({name.substr(0, name.find('.'))});
}

// What lies in a folder decides its data.kind; empty: folders of classes, which are no part of anything.
std::string kind_of(const fs::path& folder) {
  std::error_code ec;
  bool tables = false, parts = false, folders = false, mnist = false, cifar = false;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const fs::path& p = it->path();
    const std::string name = p.filename().native();
    std::error_code no_matter;
    const bool is_folder = it->is_directory(no_matter);
    mnist = mnist || name.starts_with("train-images") || name.starts_with("t10k-images");
    cifar = cifar || (is_folder ? name == "cifar-10-batches-bin" || name == "cifar-100-binary"
                                : name == "data_batch_1.bin" || name == "test_batch.bin" || name == "train.bin" || name == "test.bin");
    if (is_part(p)) tables = tables || (!is_folder && is_table(p)), parts = parts || is_folder || is_archive(p);
    folders = folders || (is_folder && !name.starts_with('.'));
  }
  if (ec)
    throw Error(Code::input, one_line(folder.native()) + ": cannot look into it: " + ec.message() + "; check the path and its permissions");
  if (mnist) return "mnist";
  if (cifar) return "cifar";
  if (parts) return "folder";
  if (tables) return "table";
  if (folders) return "";
  throw Error(Code::input, one_line(folder.native()) +
                               ": holds no data set that is known; a folder per class, train and test as folders, archives or tables, "
                               "MNIST's or CIFAR's files are");
}

}  // namespace

bool is_archive(const fs::path& path) { return named(path, {".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z"}); }

Asked asked_data(const Common& c) {
  std::vector<std::string> words = c.words;
  if (words.empty() || words[0].find('=') != std::string::npos) {
    if (c.files.empty()) throw Error(Code::usage, "name the data first: a recipe, a FILE.toml, or a folder, archive or table");
    return {make_config(c, words, true), {}};
  }
  const fs::path path = words[0];
  std::error_code ec;
  const bool recipe = std::any_of(recipes().begin(), recipes().end(), [&](const Recipe& r) { return r.name == words[0]; });
  const bool there = fs::exists(path, ec);
  if (recipe || path.extension() == ".toml" || (!there && words[0].find('/') == std::string::npos && !is_table(path) && !is_archive(path)))
    return {make_config(c, words, true), {}};
  const std::string shown = one_line(path.native());
  if (!there) throw Error(Code::input, shown + ": there is no such file or folder; check the path");
  const bool folder = fs::is_directory(path, ec);
  if (!folder && !is_table(path) && !is_archive(path))
    throw Error(Code::input, shown + ": is no folder, archive (.tar .tar.gz .zip) or table (.csv .tsv .jsonl); name one of these");
  const std::string kind = folder ? kind_of(path) : "";
  // The keys that only count for files do not apply to what is drawn, so the kind is set first.
  const bool alone = kind.empty();
  std::vector<std::string> keys = {"data.kind=" + (alone ? is_table(path) ? std::string("table") : std::string("folder") : kind),
                                   "data.path=" + words[0]};
  keys.insert(keys.end(), words.begin() + 1, words.end());
  return {make_config(c, keys, false), alone ? path : fs::path()};
}

std::string place_text(const RawParts& parts, AuditPlace place) {
  const auto p = static_cast<std::size_t>(place.part);
  if (!parts.table) return parts.pictures[p].data.where(place.index);
  const TableText& t = *parts.tables[p].table;
  return one_line(t.path.native()) + ":" + std::to_string(t.rows[static_cast<std::size_t>(place.index)].line);
}

}  // namespace graft::cli
