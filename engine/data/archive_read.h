// The files of an archive in memory, for archive.cpp alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace graft {

struct ArchiveFile {
  std::string path;  // "train/cat/1.jpg": no "." parts, no slash at either end
  std::shared_ptr<const std::vector<std::byte>> bytes;
};
struct ArchiveContents {
  std::vector<ArchiveFile> files;                 // pictures and .cls, sorted by path_before, each path once
  std::vector<std::string> folders;               // that the archive names by themselves
  std::int64_t others = 0, links = 0, twice = 0;  // files left out, links left out, names that came again
  std::string first_other, first_link, first_twice;
};
// What lies below `inside` (empty: all), with paths from there. Throws as open_image_archive does.
ArchiveContents read_archive(const std::filesystem::path& path, const std::string& inside, std::uint64_t limit);

}  // namespace graft
