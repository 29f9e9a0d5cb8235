// Damage to the real files at hand: cut at every 997th byte, and bits of all that is not tensors' data flipped. Never a crash, never a
// silent load: a damaged file is refused, or what became different can be seen in its listing (a name, a shape, a type), or it is as it
// was.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "tests/weights/damage.h"

namespace graft {
namespace {
namespace fs = std::filesystem;

std::vector<fs::path> real_files() {
  const char* given = std::getenv("GRAFT_TEST_DATA");
  const fs::path data = given ? fs::path(given) : fs::path(GRAFT_SOURCE_DIR) / "../shared/data";
  std::vector<fs::path> all;
  for (const char* folder : {"checkpoints", "tokenizers"}) {
    std::error_code ec;
    for (const auto& f : fs::directory_iterator(data / folder, ec))
      if (folder == std::string("checkpoints") || f.path().extension() == ".gguf") all.push_back(f.path());
  }
  std::sort(all.begin(), all.end());
  return all;
}

// A copy that a test may damage, its bytes, and what it holds.
struct Victim {
  damage::TempFolder folder;
  fs::path path;
  std::string bytes;
  std::vector<StoredTensor> tensors;
  std::vector<std::string> data;
  bool checksums = false;

  explicit Victim(const fs::path& from) : path(folder / ("victim" + from.extension().string())), bytes(damage::read_file(from)) {
    damage::write_file(path, bytes);
    const auto s = open_source(path);
    tensors = s->tensors;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const KeptBytes b = s->bytes(i);
      data.emplace_back(reinterpret_cast<const char*>(b.data.data()), b.data.size());
    }
    checksums = bytes.starts_with("PK");
  }
  // Bytes that are no tensor's data: the header, wherever the format has it.
  std::vector<std::size_t> structure() const {
    std::vector<bool> covered(bytes.size(), false);
    for (const StoredTensor& t : tensors)
      if (t.offset != 0)
        std::fill_n(covered.begin() + static_cast<std::ptrdiff_t>(t.offset), std::min<std::size_t>(t.bytes, bytes.size() - t.offset), true);
    std::vector<std::size_t> at;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      if (!covered[i]) at.push_back(i);
    return at;
  }
};

bool same_layout(const StoredTensor& a, const StoredTensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.strides == b.strides && a.offset == b.offset && a.bytes == b.bytes &&
         a.file == b.file && a.storage == b.storage;
}

TEST(RealFiles, CutAtEvery997thByte) {
  const auto files = real_files();
  if (files.empty()) GTEST_SKIP() << "the real files are not here (GRAFT_TEST_DATA)";
  for (const fs::path& file : files) {
    const Victim v(file);
    int refused = 0;
    std::size_t last = v.bytes.size();
    for (std::size_t n = (v.bytes.size() - 1) / 997 * 997;; n -= 997) {
      fs::resize_file(v.path, last = n);
      try {
        open_source(v.path);
        ADD_FAILURE() << file << " cut at " << n << " was taken";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Code::input) << file << " cut at " << n << ": " << e.what();
        ++refused;
      }
      if (n == 0) break;
    }
    EXPECT_EQ(last, 0u);
    std::printf("%-36s %5d cuts, all refused\n", file.filename().c_str(), refused);
  }
}

TEST(RealFiles, BitsOfTheirHeadersFlipped) {
  const auto files = real_files();
  if (files.empty()) GTEST_SKIP() << "the real files are not here (GRAFT_TEST_DATA)";
  for (const fs::path& file : files) {
    const Victim v(file);
    const std::vector<std::size_t> at = v.structure();
    // All bits of small headers, else about three thousand of them, every bit of a byte in its turn.
    const std::size_t bits = 8 * at.size(), step = std::max<std::size_t>(1, bits / 3000) | 1;
    int refused = 0, names = 0, layouts = 0, beside = 0;
    std::fstream out(v.path, std::ios::binary | std::ios::in | std::ios::out);
    const auto put = [&](std::size_t i, char c) { out.seekp(static_cast<std::streamoff>(i)).put(c).flush(); };
    for (std::size_t b = 0; b < bits; b += step) {
      const std::size_t i = at[b / 8];
      const std::string damage =
          file.filename().string() + " with bit " + std::to_string(b % 8) + " of byte " + std::to_string(i) + " flipped";
      put(i, static_cast<char>(v.bytes[i] ^ (1 << (b % 8))));
      try {
        const auto s = open_source(v.path);
        bool layout = s->tensors.size() != v.tensors.size(), name = false;
        for (std::size_t k = 0; !layout && k < v.tensors.size(); ++k) {
          layout = !same_layout(s->tensors[k], v.tensors[k]);
          name = name || s->tensors[k].name != v.tensors[k].name;
        }
        for (std::size_t k = 0; k < s->tensors.size(); ++k) {
          const KeptBytes bytes = s->bytes(k);
          ASSERT_EQ(bytes.data.size(), s->tensors[k].bytes) << damage;
          // Listed as it was: then its numbers are what they were, or this were a silent load.
          if (!layout) {
            ASSERT_EQ(std::memcmp(bytes.data.data(), v.data[k].data(), v.data[k].size()), 0)
                << damage << " changes the numbers of " << v.tensors[k].name;
          }
        }
        ++(layout ? layouts : name ? names : beside);
        EXPECT_FALSE(v.checksums && (layout || name)) << damage << " passes the archive's checksums";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Code::input) << damage << ": " << e.what();
        EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << damage << ": " << e.what();
        ++refused;
      }
      put(i, v.bytes[i]);
    }
    EXPECT_TRUE(damage::taken(v.path, "mended")) << file;
    EXPECT_GT(refused, 0) << file;
    std::printf(
        "%-36s %6zu bytes of header: %5d flips refused, %4d change a name, %4d a shape or type or place, %4d nothing of the tensors\n",
        file.filename().c_str(), at.size(), refused, names, layouts, beside);
  }
}

}  // namespace
}  // namespace graft
