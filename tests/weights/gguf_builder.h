// GGUF files made by hand, right or wrong, and what the tests of GGUF share.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "weights/formats/gguf.h"

namespace graft::gguf_tests {

class GgufBuilder {
 public:
  explicit GgufBuilder(std::uint32_t version = 3) : version_(version) {}

  GgufBuilder& begin(std::uint64_t tensors, std::uint64_t keys) { return raw("GGUF").u32(version_).count(tensors).count(keys); }
  GgufBuilder& raw(std::string_view s) {
    out_ += s;
    return *this;
  }
  template <class T>
  GgufBuilder& put(T v) {
    out_.append(reinterpret_cast<const char*>(&v), sizeof v);
    return *this;
  }
  GgufBuilder& u32(std::uint32_t v) { return put(v); }
  GgufBuilder& u64(std::uint64_t v) { return put(v); }
  GgufBuilder& count(std::uint64_t v) { return version_ == 1 ? put(static_cast<std::uint32_t>(v)) : put(v); }
  GgufBuilder& text(std::string_view s) { return count(s.size()).raw(s); }
  GgufBuilder& key(std::string_view name, GgufType type) { return text(name).u32(static_cast<std::uint32_t>(type)); }
  // Sizes in the file's order, the fastest first.
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& sizes, std::uint32_t type, std::uint64_t offset) {
    text(name).u32(static_cast<std::uint32_t>(sizes.size()));
    for (const std::uint64_t n : sizes) count(n);
    return u32(type).u64(offset);
  }
  GgufBuilder& pad(std::size_t alignment = 32) {
    while (out_.size() % alignment != 0) out_ += '\0';
    return *this;
  }
  const std::string& bytes() const { return out_; }

 private:
  std::uint32_t version_;
  std::string out_;
};

// A new folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "gguf_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void spit(const std::filesystem::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
inline std::span<const std::byte> bytes_of(const std::string& s) { return std::as_bytes(std::span(s.data(), s.size())); }

// The one-line message of the Error(code) that `f` throws.
template <class F>
std::string refusal(F&& f, Code code = Code::input) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.what();
  }
  return "(accepted)";
}

}  // namespace graft::gguf_tests
