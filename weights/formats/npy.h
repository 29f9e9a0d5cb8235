// NumPy's arrays: .npy (versions 1 to 3) and .npz (a zip of them). The header is a Python literal; it is parsed by a grammar of exactly
// what numpy writes, never evaluated. From numpy/lib/_format_impl.py of NumPy 2.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "weights/formats/byte_window.h"

namespace graft {

struct NpyArray {
  std::string dtype;                         // by weights/stored_type.h
  bool swapped = false;                      // big endian
  std::vector<std::int64_t> shape, strides;  // strides in elements for Fortran order, else empty
  std::uint64_t at = 0, bytes = 0;           // of the data in the window
  std::string note;                          // legal but unusual; empty: nothing
  bool objects = false;  // a pickle of Python objects in place of numbers (open_npy_objects reads it); then there is no dtype
};

bool is_npy(std::span<const std::byte> bytes);

// `size`: of the whole .npy, of which the window may hold the beginning alone (as much as the header takes). Throws Error(input): another
// version, a header that is no such literal or longer than numpy's own limit of 10,000 bytes, types without numbers (strings, structures,
// dates), sizes that overflow or are not those of the data. `what` names the array in messages ("tensor \"a\"", or empty).
NpyArray read_npy(const ByteWindow& window, std::uint64_t size, const std::string& what);
// How many bytes from the beginning read_npy wants at most.
inline constexpr std::uint64_t kNpyHeaderMost = 12 + 10000;

// As numpy.save writes it: version 1 (2 where the header is long), its end at a multiple of 64. Error(usage) for a dtype that numpy has
// not.
std::string npy_header(const std::string& dtype, std::span<const std::int64_t> shape);

struct NpzItem {
  std::string name;   // numpy's key: the member is name + ".npy"
  std::string dtype;  // plain types of weights/stored_type.h that numpy has; BF16 goes as |V2
  std::vector<std::int64_t> shape;
};
// Stored, every array's data at a multiple of 64 of the file, so that readers can map them. `bytes(i)`: item i, row-major and little
// endian. Error(usage) for types numpy has not, sizes that are not the shape's, names that are there twice or leave the folder; otherwise
// as write_atomically.
void write_npz(const std::filesystem::path& path, const std::vector<NpzItem>& items,
               const std::function<std::span<const std::byte>(std::size_t)>& bytes);

}  // namespace graft
