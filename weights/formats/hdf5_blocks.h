// The storage of an HDF5 file, below what it means: superblock, object headers with their messages, and the two kinds of groups: symbol
// tables in version-1 B-trees (what h5py writes by default), and links in headers or fractal heaps (what it writes where it tracks the
// order). From the HDF5 file format specification, version 3.0.
//
// Why not the HDF5 library: it trusts what it reads. 1.10.8 died or never returned for 19 of 2,829 flipped bytes of a 14 kB file, and an
// importer meets damaged files. Here every address, length and count is checked against the file, checksums where the format has them, and
// all walking is on a budget that grows with the file.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/formats/byte_window.h"

namespace graft {

struct Hdf5Message {
  std::uint16_t type;
  std::uint8_t flags;
  std::uint64_t at, size;  // of its body, in the window
};

struct Hdf5Link {
  std::string name;
  std::uint64_t object;  // address of the object header; kHdf5Nowhere: a soft or external link
};

inline constexpr std::uint64_t kHdf5Nowhere = ~std::uint64_t{0};  // an address that is not set
inline constexpr std::string_view kHdf5Magic = "\x89HDF\r\n\x1a\n";

class Hdf5Blocks {
 public:
  // Reads the superblock. All throw Error(input) on what is damaged or not read by graft, with the byte.
  explicit Hdf5Blocks(const ByteWindow& window);

  std::uint64_t root() const { return root_; }  // object header of the root group
  std::uint64_t end() const { return end_; }    // first byte after what the superblock counts as the file

  std::vector<Hdf5Message> messages(std::uint64_t object);
  // The links of a group in the order of their names (symbol tables) or of their heap; empty for what is no group.
  std::vector<Hdf5Link> links(const std::vector<Hdf5Message>& messages);
  // Bodies of attribute messages, those in the header and those in a heap of their own.
  std::vector<Hdf5Message> attributes(const std::vector<Hdf5Message>& messages);
  // What a variable-length element refers to: object `index` of the collection at `address`.
  std::string_view global_object(std::uint64_t address, std::uint32_t index);

  void spend(std::uint64_t at);  // one step of the budget

 private:
  struct Heap;
  void check_sum(std::uint64_t at, std::uint64_t size, const char* what);  // `size` bytes at `at` and their checksum behind them
  void symbol_table(std::uint64_t node, int level, std::uint64_t names, std::uint64_t names_size, std::vector<Hdf5Link>& out);
  Hdf5Link link(std::uint64_t at, std::uint64_t size);
  Heap heap(std::uint64_t at);
  Hdf5Message managed(const Heap& heap, std::uint64_t offset, std::uint64_t size, std::uint64_t id_at);
  // Heap objects in the order of the version-2 B-tree at `tree`, whose records have a heap id of `id_size` bytes at `id_at`.
  std::vector<Hdf5Message> heap_objects(const Heap& heap, std::uint64_t tree, int type, std::uint64_t id_at, std::uint64_t id_size);

  const ByteWindow& w_;
  std::uint64_t root_ = 0, end_ = 0, budget_ = 0;
  std::map<std::uint64_t, std::map<std::uint32_t, std::string_view>> heaps_;  // global heaps by address, each walked once
};

}  // namespace graft
