// GGUF files made by hand, right or wrong, and what the tests of GGUF share.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/weights/refusal.h"
#include "weights/formats/gguf.h"

namespace graft::gguf_tests {

using test::bytes_of;
using test::read_file;
using test::refusal;
using Folder = test::TempFolder;
using test::write_file;

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

}  // namespace graft::gguf_tests
