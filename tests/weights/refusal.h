// What tests of refusals have in common: the one line of an Error.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "kernels/core/error.h"
#include "tests/temp_folder.h"

namespace graft::test {

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

}  // namespace graft::test
