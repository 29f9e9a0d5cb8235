// What an HDF5 file holds: datasets by their path, and attributes. Data are not touched, only placed. Read are dense unfiltered arrays of
// numbers; what else a dataset can be (chunks, filters, strings, references, compounds, external files) is refused by name. Soft and
// external links are not followed, and said.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "weights/formats/byte_window.h"

namespace graft {

struct Hdf5Dataset {
  std::string path;   // without a leading '/': "model_weights/dense/kernel:0"
  std::string dtype;  // by weights/stored_type.h
  bool swapped;       // big endian
  std::vector<std::int64_t> shape;
  std::uint64_t at, bytes;  // in the window
  std::uint64_t object;     // address of its header: equal for hard links to one dataset
};

struct Hdf5Attribute {
  std::string object;  // path of what has it; empty: the root
  std::string name;
  std::string value;  // text as it stands; numbers and arrays as JSON
};

struct Hdf5Contents {
  std::vector<Hdf5Dataset> datasets;
  std::vector<Hdf5Attribute> attributes;
  std::vector<std::string> notes;
};

bool is_hdf5(std::span<const std::byte> bytes);

// Throws Error(input) with the byte and the dataset's path for what is damaged or not read.
Hdf5Contents read_hdf5(const ByteWindow& window);

}  // namespace graft
