// PyTorch's checkpoints as a Source: the tensors that a pickle names, over storages that lie wherever the container has them.
#pragma once
#include <functional>
#include <mutex>

#include "weights/formats/readers.h"
#include "weights/formats/torch_values.h"
#include "weights/formats/zip.h"

namespace graft {

// Where a storage's bytes are: in the file as they stand, or in a member of a zip.
struct StoragePlace {
  std::span<const std::byte> data;
  std::uint64_t offset = 0;           // in the file; 0 where they do not lie there as they are
  const ZipMember* member = nullptr;  // of the source's archive
  bool swap = false;                  // big endian
};

// Where a span lies in the file, or 0 where it does not (strings that were decoded).
std::uint64_t offset_in(std::span<const std::byte> file, std::span<const std::byte> part);

class TorchSource : public Source {
 public:
  // `places` has one for each of the contents' storages. `tree` and `keeper` keep what they point into.
  TorchSource(std::string of, std::string kind, std::shared_ptr<const PickleTree> tree, PickledContents contents,
              std::vector<StoragePlace> places, std::shared_ptr<const void> keeper, std::shared_ptr<const ZipView> archive = nullptr);
  KeptBytes bytes(std::size_t i) const override;

 private:
  KeptBytes storage(std::size_t s) const;
  KeptBytes range(const PickledTensor& t) const;
  KeptBytes dequantised(const PickledTensor& t) const;
  std::shared_ptr<const PickleTree> tree_;
  PickledContents contents_;
  std::vector<StoragePlace> places_;
  std::shared_ptr<const void> keeper_;
  std::shared_ptr<const ZipView> archive_;
  // Inflated members while somebody holds them: many tensors may look at one.
  mutable std::mutex lock_;
  mutable std::map<std::size_t, std::weak_ptr<const void>> inflated_;
  mutable std::map<std::size_t, std::span<const std::byte>> inflated_bytes_;
};

}  // namespace graft
