// Pictures in an archive: tar (plain or packed by gzip, bzip2, xz, zstd), zip, 7z. Nothing is unpacked to the disk.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/data/source.h"

namespace graft {

// Empty where this build reads archives; else why not and how to get it.
std::string why_no_archives();

// The archive is read once, here; its pictures stay in memory as they are packed in their files (PNG, JPEG, TIFF), and each is unpacked
// when it is read, from any thread.
inline constexpr std::uint64_t kArchiveLimit = std::uint64_t{16} << 30;  // bytes

// Two layouts:
//   folders      cat/1.jpg, train/cat/2.jpg: folders that all pictures share are stripped; the next one is the class. Classes, order and
//   notes as
//                open_image_folder has them. With `inside` ("train") only what lies in that folder is taken, and the classes are the
//                folders directly below it.
//   WebDataset   KEY.jpg beside KEY.cls, a text file with the label; taken where there is a .cls. Other files of a KEY are left out. Sorted
//   bytewise by path;
//                the classes are called 0, 1, ... up to the largest label.
// A name that comes twice counts once, the later one, as in unpacking; a hard link is the file that it links to; other links are left out
// and noted. Error(input), one line: no such file, no archive, damaged or cut off, more than `limit` bytes of pictures, no classes, a class
// without pictures, a picture without its .cls and the other way round, a label that is no number. Error(usage) where the folders are
// splits and `inside` is empty. Error(memory). With `keep_empty` a class without pictures is a class.
LabelledImages open_image_archive(const std::filesystem::path& path, const std::string& inside = "", std::uint64_t limit = kArchiveLimit,
                                  bool keep_empty = false);

}  // namespace graft
