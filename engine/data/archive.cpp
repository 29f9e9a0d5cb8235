#include "engine/data/archive.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "engine/base/text.h"
#include "engine/data/archive_read.h"
#include "engine/data/classes.h"
#include "engine/data/decode.h"

namespace graft {
namespace {

class ArchiveSource : public ImageSource {
 public:
  ArchiveSource(std::string at, std::vector<ArchiveFile> files) : at_(std::move(at)), files_(std::move(files)) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size()); }
  Image read(std::int64_t i) const override { return decode_image(*files_.at(static_cast<std::size_t>(i)).bytes, where(i)); }
  std::string where(std::int64_t i) const override { return at_ + one_line(files_.at(static_cast<std::size_t>(i)).path); }

 private:
  std::string at_;  // "train.tar.gz:", printable
  std::vector<ArchiveFile> files_;
};

// An archive in messages: itself, and what its paths stand behind.
struct Name {
  std::string self, at;  // "data.tar:train", "data.tar:train/"
  std::string operator()(const std::string& path) const { return at + one_line(path); }
};

// ---- folders ----

// The folders that all of them lie in, with the slash: "train/". Where that leaves no folder to tell classes by, the last one stays: it is
// the only class.
std::string shared_folders(const std::vector<ArchiveFile>& files) {
  const auto up = [](const std::string& folder) {
    return folder.substr(0, folder.size() < 2 ? 0 : folder.rfind('/', folder.size() - 2) + 1);
  };
  std::string shared = files[0].path.substr(0, files[0].path.rfind('/') + 1);
  for (const ArchiveFile& f : files)
    while (!f.path.starts_with(shared)) shared = up(shared);
  const bool more =
      std::any_of(files.begin(), files.end(), [&](const ArchiveFile& f) { return f.path.find('/', shared.size()) != std::string::npos; });
  return more ? shared : up(shared);
}
// Takes what it keeps out of `files`.
std::vector<ArchiveFile> by_folder(LabelledImages& set, const Name& name, std::vector<ArchiveFile>& files,
                                   const std::vector<std::string>& folders, bool strip, bool keep_empty) {
  std::vector<ArchiveFile> kept;
  const std::string shared = strip && !files.empty() ? shared_folders(files) : "";
  std::int64_t outside = 0;
  std::string first_outside;
  for (ArchiveFile& f : files) {  // sorted, so that a class lies together
    const std::size_t end = f.path.find('/', shared.size());
    if (end == std::string::npos) {
      if (outside++ == 0) first_outside = f.path;
      continue;
    }
    const std::string_view folder = std::string_view(f.path).substr(shared.size(), end - shared.size());
    if (set.class_names.empty() || set.class_names.back() != folder) set.class_names.emplace_back(folder);
    set.labels.push_back(static_cast<std::int64_t>(set.class_names.size()) - 1);
    kept.push_back(std::move(f));
  }
  const std::string layout = "it wants a folder per class (CLASS/NAME.jpg), or KEY.jpg beside KEY.cls";
  if (kept.empty())
    throw Error(Code::input,
                name.self + (outside ? ": its pictures lie in no folder, without classes; " : ": holds no picture; ") + layout);
  if (strip && are_splits(set.class_names))
    throw Error(Code::usage, name.self + ": its folders are " + some_names(set.class_names) +
                                 ", which are splits and not classes; name the one to read, or pack an archive for each");
  std::vector<std::string> names = set.class_names;
  for (const std::string& folder : folders) {  // a folder where classes are, and nothing in it
    if (!folder.starts_with(shared) || folder.size() == shared.size() || folder.find('/', shared.size()) != std::string::npos) continue;
    const std::string own = folder.substr(shared.size());
    if (std::binary_search(set.class_names.begin(), set.class_names.end(), own)) continue;
    if (keep_empty && std::find(names.begin(), names.end(), own) == names.end()) names.push_back(own);
    else if (!keep_empty)
      throw Error(Code::input,
                  name(folder) + ": this class has no picture (" + kPictureEnds + "); put some there or pack it without the folder");
  }
  if (names.size() > set.class_names.size()) {
    std::sort(names.begin(), names.end());
    for (std::int64_t& l : set.labels)
      l = std::lower_bound(names.begin(), names.end(), set.class_names[static_cast<std::size_t>(l)]) - names.begin();
    set.class_names = std::move(names);
  }
  if (outside)
    set.notes.push_back(std::to_string(outside) + " of the pictures lie outside of the classes' folders and were left out, such as " +
                        one_line(first_outside));
  return kept;
}

// ---- WebDataset ----

// "train/0001.seg.png" is the key "train/0001" and the end "seg.png".
std::size_t key_length(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return std::min(path.find('.', slash == std::string::npos ? 0 : slash), path.size());
}
std::int64_t label_of(const std::string& where, const std::vector<std::byte>& bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  constexpr std::int64_t kClasses = 1 << 20;
  std::int64_t label = -1;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), label);
  if (problem != std::errc() || end != text.data() + text.size() || label < 0 || label >= kClasses)
    throw Error(Code::input, where + ": its label is \"" + one_line(text.substr(0, 40)) + "\"; it must be a whole number from 0 to " +
                                 std::to_string(kClasses - 1) + ", as text");
  return label;
}
std::vector<ArchiveFile> by_cls(LabelledImages& set, const Name& name, ArchiveContents& contents) {
  std::unordered_map<std::string, std::int64_t> labels;
  for (const ArchiveFile& f : contents.files)
    if (const std::size_t n = key_length(f.path); f.path.substr(n) == ".cls")
      labels[f.path.substr(0, n)] = label_of(name(f.path), *f.bytes);
  std::unordered_set<std::string> seen;
  std::vector<ArchiveFile> kept;
  std::int64_t classes = 0;
  for (ArchiveFile& f : contents.files) {
    const std::string key = f.path.substr(0, key_length(f.path));
    const std::string end = f.path.substr(key.size());
    if (end == ".cls") continue;
    if (std::count(end.begin(), end.end(), '.') != 1) {  // "seg.png": another picture of the key
      if (contents.others++ == 0) contents.first_other = f.path;
      continue;
    }
    const auto label = labels.find(key);
    if (label == labels.end())
      throw Error(Code::input, name(f.path) + ": has no label; put " + one_line(key) + ".cls beside it, as the others have");
    if (!seen.insert(key).second)
      throw Error(Code::input, name(f.path) + ": is the second picture of " + one_line(key) + "; one is wanted for each .cls");
    classes = std::max(classes, label->second + 1);
    set.labels.push_back(label->second);
    kept.push_back(std::move(f));
  }
  for (const ArchiveFile& f : contents.files)
    if (const std::size_t n = key_length(f.path); f.path.substr(n) == ".cls" && !seen.contains(f.path.substr(0, n)))
      throw Error(Code::input, name(f.path) + ": has no picture beside it (" + kPictureEnds + ")");
  std::vector<std::int64_t> counts(static_cast<std::size_t>(classes));
  for (const std::int64_t label : set.labels) ++counts[static_cast<std::size_t>(label)];
  std::vector<std::string> none;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    set.class_names.push_back(std::to_string(c));
    if (!counts[c]) none.push_back(std::to_string(c));
  }
  if (!none.empty()) set.notes.push_back("no picture has label " + some_names(none));
  return kept;
}

}  // namespace

LabelledImages open_image_archive(const std::filesystem::path& path, const std::string& inside, std::uint64_t limit, bool keep_empty) {
  if (path.empty()) throw Error(Code::usage, "the archive's name is empty text; name one, such as data/train.tar.gz");
  Name name{one_line(path.native()), one_line(path.native()) + ":"};
  ArchiveContents contents = read_archive(path, inside, limit);
  if (!inside.empty()) name = {name.at + one_line(inside), name.at + one_line(inside) + (inside.ends_with('/') ? "" : "/")};
  LabelledImages set;
  const bool web = std::any_of(contents.files.begin(), contents.files.end(),
                               [](const ArchiveFile& f) { return f.path.substr(key_length(f.path)) == ".cls"; });
  if (!web)
    std::erase_if(contents.files, [&](const ArchiveFile& f) {
      if (named_like_picture(f.path)) return false;
      if (contents.others++ == 0) contents.first_other = f.path;  // ".x.cls": no label of anything
      return true;
    });
  std::vector<ArchiveFile> kept =
      web ? by_cls(set, name, contents) : by_folder(set, name, contents.files, contents.folders, inside.empty(), keep_empty);
  if (contents.others) set.notes.push_back(left_out(contents.others, contents.first_other));
  if (contents.links)
    set.notes.push_back(std::to_string(contents.links) + " symbolic links are no files of the archive and were left out, such as " +
                        one_line(contents.first_link));
  if (contents.twice)
    set.notes.push_back(std::to_string(contents.twice) + " names come more than once; the later file counts, such as " +
                        one_line(contents.first_twice));
  set.source = std::make_shared<ArchiveSource>(std::move(name.at), std::move(kept));
  return set;
}

}  // namespace graft
