// What tests of data need: small pictures, and the message of an error.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "engine/data/decode.h"
#include "kernels/core/error.h"
#include "tests/temp_folder.h"

namespace graft::test {

inline std::string text_of(const std::vector<std::byte>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// A PNG of one gray value: the smallest picture that tells which one it is.
inline std::string gray_png(int value, std::int64_t height = 1, std::int64_t width = 1) {
  Image image = Image::make(height, width, 1);
  std::fill(image.bytes.begin(), image.bytes.end(), static_cast<std::byte>(value));
  return text_of(encode_png(image));
}

// The message of the Error(code) that `f` must throw: one line.
template <class F>
std::string refused(Code code, F f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}
// The same, and the message must say all of `words`.
template <class F>
void refused(F f, const std::vector<std::string>& words, Code code = Code::usage) {
  const std::string said = refused(code, f);
  for (const std::string& w : words) EXPECT_NE(said.find(w), std::string::npos) << said << "\n  does not say: " << w;
}

}  // namespace graft::test
