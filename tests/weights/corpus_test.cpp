// The corpus of the fuzz targets, file by file: what fuzzing has found stays mended, and every seed is read or refused in the way it should
// be.
#include <gtest/gtest.h>

#include "tests/fuzz/targets.h"
#include "tests/weights/damage.h"

namespace graft {
namespace {

TEST(Corpus, EveryFileIsReadOrRefused) {
  for (const fuzz::FuzzTarget& target : fuzz::targets()) {
    int taken = 0, refused = 0;
    for (const auto& file : fuzz::seeds(target, GRAFT_SOURCE_DIR)) {
      const std::string bytes = damage::read_file(file);
      const std::vector<std::byte> exact(reinterpret_cast<const std::byte*>(bytes.data()),
                                         reinterpret_cast<const std::byte*>(bytes.data()) + bytes.size());
      try {
        ++(fuzz::parse(target, exact) ? taken : refused);
      } catch (const std::exception& e) { ADD_FAILURE() << target.name << " on " << file << ": " << e.what(); }
    }
    EXPECT_GT(taken, 0) << target.name << " has no seed that is read: its fuzzing would begin at nothing";
    EXPECT_GT(refused, 0) << target.name << " has no seed that is refused";
    std::printf("%-18s %3d read, %3d refused\n", target.name.c_str(), taken, refused);
  }
}

TEST(Corpus, NoFolderWithoutATarget) {
  for (const auto& f : std::filesystem::directory_iterator(std::filesystem::path(GRAFT_SOURCE_DIR) / "tests/fuzz/corpus"))
    EXPECT_NE(fuzz::find_target(f.path().filename().string()), nullptr) << f.path();
}

}  // namespace
}  // namespace graft
