// The containers that open_source knows, in the order in which they are asked. Each reader is a file of this folder and is listed in
// weights/open.cpp; the first that recognises the beginning of a file reads it.
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
SourcePtr open_gguf(const std::filesystem::path& path);         // a GGUF file, or any piece of a split one
SourcePtr open_legacy_ggml(const std::filesystem::path& path);  // what came before GGUF: "lmgg"
SourcePtr open_npy(const FilePtr& file);                        // where is_npy (npy.h)
struct NpyArray;                                                // npy.h
// What lies in an array of objects: `stream` is the pickle behind its header, at byte `base` of `path` (0 where it is packed) in the member
// `part`; `keeper` keeps it. A Source of the arrays inside, which may be none. Error(input) for what the closed machine does not take
// (pickle.h), and for a pickle that is no array of objects of the header's shape.
SourcePtr open_npy_objects(const NpyArray& header, std::span<const std::byte> stream, const std::string& path, const std::string& part,
                           std::uint64_t base, std::shared_ptr<const void> keeper);
SourcePtr open_onnx(const std::filesystem::path& path);  // where looks_like_onnx (weights/onnx/proto.h)
bool is_npz(const ZipView& zip);
SourcePtr open_npz(const FilePtr& file, ZipView zip);
SourcePtr open_hdf5(const FilePtr& file);  // where is_hdf5 (hdf5.h)
bool is_keras_archive(const ZipView& zip);
SourcePtr open_keras_archive(const FilePtr& file, const ZipView& zip);
bool is_llm_c(std::span<const std::byte> file);
SourcePtr open_llm_c(const FilePtr& file);
bool is_llama2_c(std::span<const std::byte>
                     file);  // by the header's sizes and the length of the file: there is nothing else to know it by, so it is asked last
SourcePtr open_llama2_c(const FilePtr& file);

// PyTorch: zip, TorchScript, the old magic, tar, plain pickles. `file` is the whole file and is kept alive by `keeper` (or by the caller,
// where that is empty).
bool looks_like_torch(std::span<const std::byte> file);  // those that are no zip
SourcePtr open_torch(std::span<const std::byte> file, const std::string& path, std::shared_ptr<const void> keeper = nullptr);
bool is_torch_zip(const ZipView& zip);
SourcePtr open_torch_zip(const ZipView& zip);
bool is_torch_index(const std::filesystem::path& index);  // an index.json whose shards are PyTorch's
SourcePtr open_torch_index(const std::filesystem::path& index);
// What of a model's folder to open: its one index of PyTorch's shards, pytorch_model.bin, or its one other file of PyTorch's. Error(input)
// where there are several.
std::optional<std::filesystem::path> torch_in_folder(const std::filesystem::path& folder);

}  // namespace graft
