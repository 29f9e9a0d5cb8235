// PyTorch's container of 0.1.10 to 1.5, which torch.save still writes on request and inside of plain pickles: five pickles one after
// another (a magic number, the version 1001, the sizes of types, the object, the keys of its storages), then each storage as its number of
// elements (i64) and its bytes.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "weights/formats/torch_values.h"

namespace graft {

bool looks_like_torch_legacy(std::span<const std::byte> file);

struct TorchLegacy {
  std::shared_ptr<const PickleTree> tree;
  PickledContents contents;
  std::vector<std::span<const std::byte>> places;  // of the contents' storages
};
TorchLegacy parse_torch_legacy(std::span<const std::byte> file, const std::string& path);

// A file of that kind whose object is one storage. `part` says in messages where the bytes come from.
PickledStorage read_legacy_storage(std::span<const std::byte> file, const std::string& path, const std::string& part);

}  // namespace graft
