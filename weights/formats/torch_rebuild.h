// Objects of a pickle that are tensors: PyTorch's rebuild functions and numpy's arrays, read as the data they are.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "weights/formats/pickle_globals.h"
#include "weights/formats/torch_values.h"

namespace graft {

class TorchRebuild {
 public:
  // Storages and bytes of their own go to `out`, which outlives this.
  TorchRebuild(const PickleTree& tree, PickledContents& out, const TensorOfId& of_id) : t_(tree), out_(out), of_id_(of_id) {}

  const PickleGlobal* row(PickleId object) const;  // of the list, by what makes the object; nullptr for classes that it has not
  bool is_tensor(PickleId id) const { return is_tensor(id, 0); }
  PickledTensor tensor(PickleId id, const std::string& name) { return tensor(id, name, 0); }  // of what is_tensor
  // Error(input) for tensors that have no dense form here: sparse, nested, without numbers, subclasses.
  [[noreturn]] void refuse_kind(PickleId id, PickleRole role, const std::string& name) const;
  void refuse_foreign(PickleId id, PickleRole role, const std::string& name) const;  // when it is one

  // ---- numpy ----
  std::optional<std::string> numpy_number(PickleId scalar);  // as JSON; nothing for what is no number
  // The list of a numpy array of objects, and whether it is without axes; kNoPickle where `id` is none.
  PickleId object_array(PickleId id, bool& single) const;
  std::vector<std::int64_t> array_shape(PickleId object_array) const;

 private:
  struct NumpyType {
    std::string_view dtype;  // "" where graft has none
    std::uint64_t width = 0;
    bool swap = false, object = false;
  };
  struct StoragePart {
    std::size_t storage;
    std::uint64_t first, bytes;
    std::string dtype;
  };
  bool is_tensor(PickleId id, int depth) const;
  PickledTensor tensor(PickleId id, const std::string& name, int depth);
  PickleId argument(PickleId object, std::size_t i) const;  // kNoPickle where there are fewer
  std::int64_t whole(PickleId id, const std::string& name, const char* what) const;
  std::vector<std::int64_t> wholes(PickleId id, const std::string& name, const char* what) const;
  bool names_storage(PickleId id) const;
  StoragePart storage(PickleId id, const std::string& name);
  StoragePart pickled_storage(PickleId id, const std::string& name);
  PickledTensor torch_tensor(PickleId id, const std::string& name, PickleRole role, PickleId args, int depth);
  void quantise(PickledTensor& t, PickleId parameters, const std::string& name, int depth);
  std::string_view raw_bytes(PickleId id, const std::string& name);

  NumpyType numpy_type(PickleId dtype) const;
  PickleId array_dtype(PickleId id) const;
  PickledTensor numpy_tensor(PickleId id, const std::string& name);

  const PickleTree& t_;
  PickledContents& out_;
  const TensorOfId& of_id_;
  std::map<std::string, std::size_t> by_key_;  // storages that the container has, by the key that the file gives them
  std::map<PickleId, std::size_t> inside_;     // those that lie in the pickle itself: no key of a file can mean one of them
};

}  // namespace graft
