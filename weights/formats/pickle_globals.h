// The list of what a pickle may name. Nothing of it is run: a row says what is meant by an object that claims to come from there.
#pragma once
#include <string>
#include <string_view>

namespace graft {

enum class PickleRole {
  // values of Python
  mapping,
  default_mapping,
  counter,
  sequence,
  set_of,
  bytes_of,
  encode,
  reconstructor,
  text_of,
  plain_type,
  // tensors
  rebuild_tensor,
  rebuild_tensor_v2,
  rebuild_tensor_v3,
  rebuild_parameter,
  rebuild_parameter_with_state,
  rebuild_qtensor,
  rebuild_from_type,
  tensor_class,
  parameter_class,
  typed_storage,
  untyped_storage,
  storage_bytes,
  size,
  device,
  dtype,
  name,
  layout,
  int_list,
  tensor_list,
  tagged,
  // tensors that graft has no counterpart of
  sparse,
  nested,
  meta,
  wrapper,
  // numpy
  numpy_reconstruct,
  numpy_scalar,
  numpy_array,
  numpy_dtype,
  numpy_frombuffer,
  numpy_type,
  opaque,  // harmless, and nobody reads what it holds
};

struct PickleGlobal {
  std::string_view name;  // "torch._utils._rebuild_tensor_v2"; Python 3's names, numpy without _core and core
  PickleRole role;
  std::string_view dtype;  // of storages, dtypes and old tensor classes: as weights/stored_type.h names it; "" where it has none
};

// Python 2's and numpy's other names brought to the list's.
std::string normal_global(std::string_view module, std::string_view name);
// Its row in the list, or -1.
int find_global(std::string_view normal_name);
const PickleGlobal& pickle_global(int row);

}  // namespace graft
