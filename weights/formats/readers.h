// The containers that open_source knows, in the order in which they are asked. Each reader is a file of this folder and is listed in weights/open.cpp; the first that
// recognises the beginning of a file reads it.
#pragma once
#include <filesystem>
#include <memory>

#include "engine/base/file.h"
#include "weights/source.h"

namespace graft {

using SourcePtr = std::unique_ptr<Source>;
using FilePtr = std::shared_ptr<const MappedFile>;

SourcePtr open_safetensors(const std::filesystem::path& path);  // file, index, or folder of either
SourcePtr open_onnx(const std::filesystem::path& path);         // a ModelProto

}  // namespace graft
