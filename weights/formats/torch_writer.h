// Writing PyTorch's zip: what torch.load(weights_only=True) takes. One OrderedDict of dense or strided tensors, protocol 2, storages stored
// at multiples of 64 bytes. Tensors that were in the same memory stay so: a tie is one storage with two names. The same tensors give the
// same bytes.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/tensor.h"

namespace graft {

struct TorchItem {
  std::string name, dtype;  // any of weights/stored_type.h that PyTorch has
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  // in elements; empty: row-major
  std::int64_t storage = -1;          // items with the same number, not -1, may lie in the same memory
  std::uint64_t offset = 0;           // where it begins, in bytes on any one scale; 0 in all of a storage: not known
};

// `bytes_of(i)` gives the item's bytes as Source::bytes does (row-major, or with strides the range from the first to the last element); it
// may be called twice, and its result must hold until the next call. `wrapped_in`: the key of a dict around the names ("state_dict"), or
// empty. Items share a storage where their ranges of it overlap and hold the same bytes; else each gets its own. Atomic
// (engine/base/file.h). Error(usage): a name twice, a name that is no UTF-8, a dtype that PyTorch has not, strides that are negative;
// Error(bug): bytes of another length than the shape's.
void write_torch(const std::filesystem::path& path, const std::vector<TorchItem>& items,
                 const std::function<std::span<const std::byte>(std::size_t)>& bytes_of, const std::string& wrapped_in = "");
// Of the CPU's tensors; views keep their strides, and those of one storage stay together.
void write_torch(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                 const std::string& wrapped_in = "");

}  // namespace graft
