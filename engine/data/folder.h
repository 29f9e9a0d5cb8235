// Pictures in folders, a folder per class: ROOT/cat/7.png, ROOT/dog/old/8.tif.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/data/source.h"

namespace graft {

// The classes are the folders directly below `root`, sorted bytewise; the pictures are the files below them, at any depth, that end as
// pictures do (decode.h), class by class and in a class sorted bytewise by path: the order is the same on every machine. Links are
// followed. What begins with a dot is passed over; files that do not end as pictures are left out and counted in `notes`. Pictures are
// opened when they are read. Names are bytes and need not be UTF-8. Error(input), one line: no such folder, a folder that cannot be read, a
// class without pictures, no classes. Error(usage) where the folders are splits (train, test). With `keep_empty` a class without pictures
// is a class.
LabelledImages open_image_folder(const std::filesystem::path& root, bool keep_empty = false);
// The same without a source: of each picture its path below `root` as bytes, in the set's order.
struct ImageFolder {
  std::vector<std::string> files, class_names, notes;
  std::vector<std::int64_t> labels;
};
ImageFolder list_image_folder(const std::filesystem::path& root, bool keep_empty = false);

}  // namespace graft
