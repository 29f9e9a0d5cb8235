// What the tests of readers share: a folder that goes with the test, the sentence of a refusal, and sweeps that damage a file in every way
// a disk or a download does.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "kernels/core/error.h"
#include "tests/weights/refusal.h"
#include "weights/source.h"
#include "weights/stored_type.h"

namespace graft::damage {

namespace fs = std::filesystem;
using test::read_file;
using test::TempFolder;
using test::write_file;

// The same, of Error(input) and short enough to be read.
inline std::string refusal(const std::function<void()>& f) {
  const std::string what = test::refusal(f);
  EXPECT_LT(what.size(), 900u) << what;
  return what;
}
// Opening `path` and loading all of it is refused with every one of `parts`.
inline void refused(const fs::path& path, const std::vector<std::string>& parts) {
  const std::string message = refusal([&] {
    const auto s = open_source(path);
    for (std::size_t i = 0; i < s->tensors.size(); ++i) s->load(i);
  });
  EXPECT_NE(message.find("byte"), std::string::npos) << message;
  EXPECT_NE(message.find(';'), std::string::npos) << "no next step: " << message;
  for (const auto& part : parts) EXPECT_NE(message.find(part), std::string::npos) << "wanted '" << part << "' in: " << message;
}

struct SweepCount {
  int opened = 0, refused = 0;  // of the flips and large numbers; cuts must all be refused
};

// Opens and loads what is at `path`. True when everything was taken; false when it was refused by an Error(input). Whatever is taken has
// the sizes it says. Anything else fails the test.
inline bool taken(const fs::path& path, const std::string& damage) {
  try {
    const auto s = open_source(path);
    for (std::size_t i = 0; i < s->tensors.size(); ++i) {
      const StoredTensor& t = s->tensors[i];
      EXPECT_LT(t.file, s->files.size()) << damage;
      const StoredType* type = stored_type(t.dtype);
      if (!type) {
        ADD_FAILURE() << damage << ": the dtype " << t.dtype;
        return true;
      }
      const KeptBytes b = s->bytes(i);
      EXPECT_EQ(b.data.size(), t.bytes) << damage << ": " << t.name;
      if (t.strides.empty()) { EXPECT_EQ(stored_bytes(*type, t.shape), b.data.size()) << damage << ": " << t.name; }
      if (type->loads) { EXPECT_EQ(s->load(i).shape(), Shape(t.shape)) << damage << ": " << t.name; }
    }
    return true;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input) << damage << ": " << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << damage << ": " << e.what();
  }
  return false;
}

// Cuts the file `victim` (which opening `path` reads) at about `cuts` lengths, all of which must be refused, and damages about `flips` of
// its places: one bit, or eight bytes that become a large number. The file is as it was afterwards.
inline SweepCount sweep(const fs::path& path, const fs::path& victim, std::size_t cuts, std::size_t flips) {
  SweepCount count;
  const std::string whole = read_file(victim);
  EXPECT_TRUE(taken(path, "undamaged")) << path;
  const auto opens = [&](const std::string& damage) { return taken(path, victim.filename().string() + " " + damage); };
  const auto see = [&](const std::string& damage) { ++(opens(damage) ? count.opened : count.refused); };
  // Changed in place: a file that is written anew each time costs a disk a millisecond or more.
  std::fstream out(victim, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](std::size_t at, std::string_view bytes) {
    out.seekp(static_cast<std::streamoff>(at)).write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
  };
  const std::size_t step = std::max<std::size_t>(1, whole.size() / flips);
  for (std::size_t i = 0, k = 0; i < whole.size(); i += step, ++k) {
    const char flipped = static_cast<char>(whole[i] ^ (1 << (k % 8)));
    put(i, {&flipped, 1});
    see("with bit " + std::to_string(k % 8) + " of byte " + std::to_string(i) + " flipped");
    put(i, {&whole[i], 1});
    const std::size_t eight = i / 8 * 8;
    if (i % 8 >= step || eight + 8 > whole.size()) continue;
    constexpr std::uint64_t kLarge[] = {~std::uint64_t{0}, ~std::uint64_t{0} >> 1, std::uint64_t{1} << 40, 0x7fffffff7fffffffu, 0};
    put(eight, {reinterpret_cast<const char*>(&kLarge[k % 5]), 8});
    see("with a large number at " + std::to_string(eight));
    put(eight, std::string_view(whole).substr(eight, 8));
  }
  EXPECT_TRUE(taken(path, "undamaged again")) << path;
  const std::size_t shorter = std::max<std::size_t>(1, whole.size() / cuts);
  for (std::size_t n = whole.size() - 1;; n -= std::min(n, shorter)) {
    fs::resize_file(victim, n);
    EXPECT_FALSE(opens("cut at " + std::to_string(n))) << victim << " cut at " << n;
    if (n == 0) break;
  }
  out.close();
  write_file(victim, whole);
  return count;
}

}  // namespace graft::damage
