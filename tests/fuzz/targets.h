// What fuzzing calls: one function per parser of weights/, from bytes that anybody may have made to everything a reader hands out of them.
// The same functions run under libFuzzer (fuzz_main.cpp) and, over the kept corpus, in the ordinary tests (tests/weights/corpus_test.cpp).
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace graft::fuzz {

struct FuzzTarget {
  std::string name;
  void (*parse)(std::span<const std::byte> bytes);
  Code answer;                      // of the Error that a bad input is answered with; any other exception is a finding
  std::vector<std::string> golden;  // folders of the repository whose files are seeds too; those of tests/fuzz/corpus/<name> always are
};

const std::vector<FuzzTarget>& targets();
const FuzzTarget* find_target(const std::string& name);  // nullptr when there is none

// True when the bytes were taken, false when they were refused as they should be. What else is thrown goes through: a finding.
bool parse(const FuzzTarget& target, std::span<const std::byte> bytes);

// All seeds of a target, in order; `repository` is the root.
std::vector<std::filesystem::path> seeds(const FuzzTarget& target, const std::filesystem::path& repository);

}  // namespace graft::fuzz
