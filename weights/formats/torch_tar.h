// PyTorch's first container, before 0.1.10: a tar of four members. `storages`: a pickle of their number, then for each a pickle of (key,
// place, type), its number of elements (i64) and its bytes; then a pickle of views (key, root's key, offset, elements). `tensors`: a pickle
// of their number, then for each a pickle of (key, storage's key, type), ndim (i32, four bytes of nothing), sizes and strides (i64 each)
// and the offset. `pickle`: the object, whose tensors are persistent ids, the keys. `sys_info`: sizes of types.
#pragma once
#include "weights/formats/torch_legacy.h"

namespace graft {

bool looks_like_tar(std::span<const std::byte> file);
TorchLegacy parse_torch_tar(std::span<const std::byte> file, const std::string& path);

}  // namespace graft
