#include "engine/data/folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/data/classes.h"
#include "engine/data/decode.h"

namespace graft {
namespace {
namespace fs = std::filesystem;

class FolderSource : public ImageSource {
 public:
  FolderSource(fs::path root, std::vector<std::string> files) : root_(std::move(root)), files_(std::move(files)) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size()); }
  Image read(std::int64_t i) const override {
    const fs::path path = root_ / files_.at(static_cast<std::size_t>(i));
    constexpr std::uint64_t kFileLimit = std::uint64_t{8} << 30;  // more than the largest picture takes, whatever it is packed with
    std::string bytes;
    try {
      bytes = read_text(path, kFileLimit);  // not mapped: a file that is cut while it is read must not end the program
    } catch (const Error& e) {
      throw Error(e.code(), one_line(e.what()));  // its name may hold any bytes
    } catch (const std::bad_alloc&) {
      throw Error(Code::memory, where(i) + ": the file does not fit in memory; leave it out or read fewer at a time (fewer workers)");
    }
    return decode_image(std::as_bytes(std::span(bytes)), where(i));
  }
  std::string where(std::int64_t i) const override { return one_line((root_ / files_.at(static_cast<std::size_t>(i))).native()); }

 private:
  fs::path root_;
  std::vector<std::string> files_;  // below root
};

// A walk through the folders below one class.
struct Walk {
  const fs::path& root;
  std::vector<std::string> pictures;  // paths below root
  std::int64_t others = 0;
  std::string first_other;  // bytewise, so that the note is the same everywhere
  std::vector<std::pair<dev_t, ino_t>> above = {};

  void other(const std::string& name) {
    if (others++ == 0 || path_before(name, first_other)) first_other = name;
  }
  // Adds what is in root/below; names of folders in it go to `folders` where that is given, else they are walked too.
  void add(const std::string& below, std::vector<std::string>* folders) {
    const fs::path folder = below.empty() ? root : root / below;
    const auto fail = [&](const std::string& action, int number) {
      return Error(Code::input, one_line(file_error(folder, action, number).what()));
    };
    struct stat s {};
    if (::stat(folder.c_str(), &s) != 0) throw fail("look into", errno);
    const std::pair id{s.st_dev, s.st_ino};
    if (std::find(above.begin(), above.end(), id) != above.end())
      throw Error(Code::input, one_line(folder.native()) + ": is a link to a folder that it lies in; remove it");
    above.push_back(id);
    std::error_code ec;
    fs::directory_iterator it(folder, ec);
    if (ec) throw fail("look into", ec.value());
    for (; it != fs::directory_iterator(); it.increment(ec)) {
      const std::string name = it->path().filename().native();
      const std::string path = below.empty() ? name : below + '/' + name;
      std::error_code no_matter;
      if (name.starts_with('.')) continue;
      if (it->is_directory(no_matter)) {
        if (folders) folders->push_back(name);
        else add(path, nullptr);
      } else if (named_like_picture(name)) {
        pictures.push_back(path);
      } else {
        other(path);
      }
    }
    if (ec) throw fail("look into", ec.value());
    above.pop_back();
  }
};

}  // namespace

ImageFolder list_image_folder(const fs::path& given, bool keep_empty) {
  const fs::path root = given.has_filename() ? given : given.parent_path();  // "train/" is "train"
  const std::string shown = one_line(root.native());
  std::error_code ec;
  if (given.empty())
    throw Error(Code::usage, "the folder of pictures is empty text; name a folder that holds a folder per class, such as data/train");
  if (!fs::is_directory(root, ec)) throw Error(Code::input, shown + ": no such folder; name one that holds a folder per class");

  ImageFolder set;
  Walk walk{root, {}, 0, {}};
  walk.add("", &set.class_names);
  const std::string layout = "it wants a folder per class: " + shown + "/CLASS/NAME.png";
  if (set.class_names.empty())
    throw Error(Code::input,
                shown + (walk.pictures.empty() ? ": holds no folder; " : ": the pictures lie directly in it, without classes; ") + layout);
  if (!walk.pictures.empty()) {
    const std::string& first = *std::min_element(walk.pictures.begin(), walk.pictures.end(), path_before);
    set.notes.push_back(std::to_string(walk.pictures.size()) +
                        " of the pictures lie outside of the classes' folders and were left out, such as " + one_line(first));
    walk.pictures.clear();
  }
  std::sort(set.class_names.begin(), set.class_names.end());
  if (are_splits(set.class_names))
    throw Error(Code::usage, shown + ": its folders are " + some_names(set.class_names) +
                                 ", which are splits and not classes; name one of them, such as " + shown + "/" + set.class_names[0]);
  for (std::size_t c = 0; c < set.class_names.size(); ++c) {
    walk.add(set.class_names[c], nullptr);
    if (walk.pictures.empty() && !keep_empty)
      throw Error(Code::input, shown + "/" + one_line(set.class_names[c]) + ": this class has no picture (" + kPictureEnds +
                                   "); put some there or remove the folder");
    std::sort(walk.pictures.begin(), walk.pictures.end(), path_before);
    set.labels.insert(set.labels.end(), walk.pictures.size(), static_cast<std::int64_t>(c));
    set.files.insert(set.files.end(), std::make_move_iterator(walk.pictures.begin()), std::make_move_iterator(walk.pictures.end()));
    walk.pictures.clear();
  }
  if (walk.others) set.notes.push_back(left_out(walk.others, walk.first_other));
  return set;
}

LabelledImages open_image_folder(const fs::path& given, bool keep_empty) {
  ImageFolder folder = list_image_folder(given, keep_empty);
  const fs::path root = given.has_filename() ? given : given.parent_path();
  return {std::make_shared<FolderSource>(root, std::move(folder.files)), std::move(folder.labels), std::move(folder.class_names),
          std::move(folder.notes)};
}

}  // namespace graft
