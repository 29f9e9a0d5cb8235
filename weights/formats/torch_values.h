// What the values of a pickle mean: which of them are tensors, what they are called, and which bytes of which storage they look at.
// Containers differ only in where storages lie; that is torch_source.cpp's.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/formats/pickle.h"

namespace graft {

// A storage that the pickle speaks of. Tensors share it by its index.
struct PickledStorage {
  std::string key;
  std::string dtype;                // of the first to name it
  std::uint64_t bytes = 0;          // that the pickle says it has
  PickleId at = kNoPickle;          // who named it first
  std::span<const std::byte> data;  // where the bytes are in the pickle itself (numpy, storages pickled by themselves)
  bool inside = false;              // they are
  bool swap = false;                // and big endian
};

struct PickledQuantisation;

struct PickledTensor {
  std::string name;
  std::string dtype;                         // by weights/stored_type.h
  std::vector<std::int64_t> shape, strides;  // strides in elements, as many as sizes
  std::size_t storage = 0;
  std::uint64_t first = 0;  // byte of the storage where its first element lies
  std::uint64_t range = 0;  // bytes from its first to its last element; 0 when it has none
  std::shared_ptr<PickledQuantisation> quantised;
};

// x = scale * (q - zero), for all elements alike or for each place of an axis.
struct PickledQuantisation {
  double scale = 1;
  std::int64_t zero = 0;
  int axis = -1;                // -1: one scale for all
  PickledTensor scales, zeros;  // else these, F64 and I64 (or I32)
};

struct PickledContents {
  std::vector<PickledTensor> tensors;
  std::vector<PickledStorage> storages;
  std::map<std::string, std::string> metadata;
  std::vector<std::string> notes;
  std::deque<std::string> owned;  // bytes that are not in the pickle as they are
};

// How a container reads persistent ids that are not ('storage', type, key, place, size): the tensor of that id. Empty where it has none.
using TensorOfId = std::function<PickledTensor(PickledContents&, PickleId)>;

// All tensors under the root, called by their path. Dicts, lists, ordered dicts and whole modules (their parameters and buffers, as
// state_dict() names them) are walked; numbers, strings and lists of such become metadata. `file_bytes` bounds what tensors may claim
// together. Throws Error(input): a global that is in no list, tensors without a dense form (sparse, nested, quantised otherwise), views
// that leave their storage, negative strides, sizes that overflow, two tensors of one name, storages whose users disagree on their size,
// values that hold themselves, more than four times the file.
PickledContents collect_tensors(const PickleTree& tree, std::uint64_t file_bytes, const TensorOfId& tensor_of_id = {});

// A storage's element type, from the global that names its class; "" with a refusal for types that graft does not read.
std::string storage_dtype(const PickleTree& tree, PickleId global, const std::string& who);

// The bytes that a tensor looks at: checks sizes, strides and storage, and fills first and range. `offset` in elements; `storage_first` and
// `storage_bytes`: the part of the storage it may see.
void place_tensor(const PickleTree& tree, PickleId at, PickledTensor& t, std::int64_t offset, std::uint64_t storage_first,
                  std::uint64_t storage_bytes);

}  // namespace graft
