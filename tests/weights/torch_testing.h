// What the tests of zip, pickle and PyTorch files share: folders that go, refusals by their sentence, golden listings, damage.
#pragma once
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tests/weights/refusal.h"
#include "weights/source.h"
#include "weights/stored_type.h"

namespace graft::torch_testing {

namespace fs = std::filesystem;
using test::bytes_of;
using test::read_file;
using test::refusal;
using test::TempFolder;
using test::write_file;

inline const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/torch";

// The file's message: its name first, a byte, a next step, and every one of `parts`.
inline void refused(const std::function<void()>& f, const std::vector<std::string>& parts) {
  const std::string message = refusal(f);
  EXPECT_NE(message.find(": "), std::string::npos) << message;
  EXPECT_NE(message.find(" at byte "), std::string::npos) << message;
  EXPECT_NE(message.find(';'), std::string::npos) << "no next step: " << message;
  EXPECT_LT(message.size(), 600u) << message;
  for (const auto& part : parts) EXPECT_NE(message.find(part), std::string::npos) << "wanted '" << part << "' in: " << message;
}

// The elements in row-major order as bytes.
inline std::string dense_bytes(const Source& s, std::size_t i) {
  const StoredTensor& t = s.tensors[i];
  const KeptBytes kept = s.bytes(i);
  EXPECT_EQ(kept.data.size(), t.bytes) << t.name;
  const std::string raw(reinterpret_cast<const char*>(kept.data.data()), kept.data.size());
  if (t.strides.empty()) return raw;
  const auto width = static_cast<std::size_t>(stored_type(t.dtype)->bits) / 8;
  std::string out;
  std::size_t n = 1;
  for (const auto d : t.shape) n *= static_cast<std::size_t>(d);
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t rest = k, at = 0;
    for (std::size_t d = t.shape.size(); d-- > 0; rest /= static_cast<std::size_t>(t.shape[d]))
      at += rest % static_cast<std::size_t>(t.shape[d]) * static_cast<std::size_t>(t.strides[d]);
    out += raw.substr(at * width, width);
  }
  return out;
}
inline std::string hex(const std::string& bytes) {
  static const char* const kHex = "0123456789abcdef";
  std::string s;
  for (const char c : bytes) s += {kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
  return s;
}
// A line per tensor as make_torch.py writes it.
inline std::vector<std::string> listing(const Source& s) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < s.tensors.size(); ++i) {
    const StoredTensor& t = s.tensors[i];
    std::string shape;
    for (const auto d : t.shape) shape += (shape.empty() ? "" : ",") + std::to_string(d);
    lines.push_back(t.name + " " + t.dtype + " " + shape + " : " + hex(dense_bytes(s, i)));
  }
  return lines;
}
inline std::vector<std::string> golden_lines(const std::string& name) {
  std::vector<std::string> lines;
  std::ifstream in(kGolden / (name + ".txt"));
  EXPECT_TRUE(in) << name;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Where the real files are, or empty.
inline fs::path checkpoint(const std::string& name) {
  const char* data = std::getenv("GRAFT_TEST_DATA");
  const fs::path path = (data ? fs::path(data) : fs::path(GRAFT_SOURCE_DIR) / "../shared/data") / "checkpoints" / name;
  std::error_code ec;
  return fs::exists(path, ec) ? path : fs::path();
}

}  // namespace graft::torch_testing
