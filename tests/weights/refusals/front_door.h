// What a user sees of a file that graft does not take: a verb (`inspect FILE`, `import FILE ...`) ends with exit code 3, nothing on stdout,
// one line on stderr that begins with the file's name, and does so at once, in little memory, and without leaving anything behind. The
// tests of each family of files are a file of this folder; together they are a program of their own, because the memory that the kernel
// reports of a child begins with what its parent had.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/temp_folder.h"

namespace graft::front_door {

struct Seen {
  int code = -1;
  std::string out, err;
  double ms = 0, processor_ms = 0;
  long rss_kb = 0;
};
// `graft` with these arguments.
Seen seen(const std::vector<std::string>& arguments);

// A refusal as it must be. `subject`: the path that the line begins with. `header`: bytes that the reader may hold beside its 64 MB.
// `longest`: of the line.
struct Expected {
  std::string subject;
  std::vector<std::string> parts;
  std::uint64_t header = 0;
  std::size_t longest = 1000;
};
void refused(const std::filesystem::path& folder, const std::vector<std::string>& arguments, const Expected& expected);

// Little-endian numbers, written and put in place of others.
std::string le(std::uint64_t v, int width);
void patch(std::string& s, std::size_t at, std::uint64_t v, int width);
// A safetensors file: its header, and one with tensors of a type and shape whose numbers are all `fill`.
std::string file_of(const std::string& json, const std::string& data = "");
std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets);
struct Plain {
  std::string name, dtype;  // F32, F16, I32, I8, U8, F8_E4M3
  std::vector<std::int64_t> shape;
  float fill = 0.5f;  // of F32; the bytes of others are 1
};
std::string safetensors_of(const std::vector<Plain>& tensors);

class FrontDoor : public testing::Test {
 protected:
  static void TearDownTestSuite();
  test::TempFolder dir;
  // `graft inspect` of a file of these bytes; of a file of tests/golden under its own name.
  void is(const std::string& name, const std::string& bytes, const std::vector<std::string>& parts) const;
  void golden(const std::string& of, const std::vector<std::string>& parts) const;
  // `graft import` of the file `name`, which is there, with what else is said; and of one of these bytes.
  void not_imported(const std::string& name, const std::vector<std::string>& parts, const std::vector<std::string>& more = {}) const;
  void not_imported_bytes(const std::string& name, const std::string& bytes, const std::vector<std::string>& parts,
                          const std::vector<std::string>& more = {}) const;
  static std::string golden_bytes(const std::string& of);
};

}  // namespace graft::front_door
