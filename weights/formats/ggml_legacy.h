// The container that ggml had before GGUF: magic "lmgg", numbers whose order only the model's own program knows, a vocabulary, and tensors
// without alignment until the file ends. Two layouts are known, by what must be equal in them: whisper.cpp's (models/convert-pt-to-ggml.py)
// and that of ggml's GPT-2 example. Read only, F32 and F16.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "weights/formats/readers.h"

namespace graft {

class LegacyGgmlSource : public Source {
 public:
  // Error(input) as for GGUF, and for other models' layouts.
  explicit LegacyGgmlSource(const std::filesystem::path& path);
  // `bytes` is the whole file and must outlive what bytes() gives; `path` is only for messages.
  LegacyGgmlSource(std::span<const std::byte> bytes, const std::string& path);
  KeptBytes bytes(std::size_t i) const override;

  std::string model;                          // "whisper" or "gpt2"
  std::map<std::string, std::int64_t> sizes;  // "n_vocab", "n_text_layer", ... as the model's program calls them
  std::vector<std::string> tokens;            // by number; bytes
  std::vector<float> mel_filters;             // Whisper's, [n_mels, mel_bins] row-major
  std::int64_t mel_bins = 0;

 private:
  void read(std::span<const std::byte> bytes, const std::string& path);
  FilePtr map_;
  std::span<const std::byte> all_;
};

}  // namespace graft
