// The containers that open_source knows, in the order in which they are asked. Each reader is a file of this folder and is listed in weights/open.cpp; the first that
// recognises the beginning of a file reads it.
#pragma once
#include <filesystem>
#include <memory>
#include <span>

#include "engine/base/file.h"
#include "weights/source.h"

namespace graft {

using SourcePtr = std::unique_ptr<Source>;
using FilePtr = std::shared_ptr<const MappedFile>;

class ZipView;  // weights/formats/zip.h

SourcePtr open_safetensors(const std::filesystem::path& path);  // file, index, or folder of either
SourcePtr open_gguf(const std::filesystem::path& path);         // a GGUF file, or any piece of a split one
SourcePtr open_legacy_ggml(const std::filesystem::path& path);  // what came before GGUF: "lmgg"
SourcePtr open_npy(const FilePtr& file);                        // where is_npy (npy.h)
bool is_npz(const ZipView& zip);
SourcePtr open_npz(const FilePtr& file, ZipView zip);
SourcePtr open_hdf5(const FilePtr& file);                       // where is_hdf5 (hdf5.h)
bool is_keras_archive(const ZipView& zip);
SourcePtr open_keras_archive(const FilePtr& file, const ZipView& zip);
bool is_llm_c(std::span<const std::byte> file);
SourcePtr open_llm_c(const FilePtr& file);
bool is_llama2_c(std::span<const std::byte> file);  // by the header's sizes and the length of the file: there is nothing else to know it by, so it is asked last
SourcePtr open_llama2_c(const FilePtr& file);

}  // namespace graft
