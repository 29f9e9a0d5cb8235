// The containers that open_source knows, in the order in which they are asked. Each reader is a file of this folder and is listed in weights/open.cpp; the first that
// recognises the beginning of a file reads it.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/base/file.h"
#include "weights/source.h"

namespace graft {

class ZipView;  // zip.h

using SourcePtr = std::unique_ptr<Source>;
using FilePtr = std::shared_ptr<const MappedFile>;

SourcePtr open_safetensors(const std::filesystem::path& path);  // file, index, or folder of either

// PyTorch: zip, TorchScript, the old magic, tar, plain pickles. `file` is the whole file and is kept alive by `keeper` (or by the caller, where that is empty).
bool looks_like_torch(std::span<const std::byte> file);  // those that are no zip
SourcePtr open_torch(std::span<const std::byte> file, const std::string& path, std::shared_ptr<const void> keeper = nullptr);
bool is_torch_zip(const ZipView& zip);
SourcePtr open_torch_zip(const ZipView& zip);
bool is_torch_index(const std::filesystem::path& index);  // an index.json whose shards are PyTorch's
SourcePtr open_torch_index(const std::filesystem::path& index);
// What of a model's folder to open: its one index of PyTorch's shards, pytorch_model.bin, or its one other file of PyTorch's. Error(input) where there are several.
std::optional<std::filesystem::path> torch_in_folder(const std::filesystem::path& folder);

}  // namespace graft
