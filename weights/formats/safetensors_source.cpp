// A safetensors checkpoint as a Source: its entries are spans of their files already.
#include "weights/formats/readers.h"
#include "weights/formats/safetensors.h"

namespace graft {
namespace {

class SafetensorsSource : public Source {
 public:
  explicit SafetensorsSource(Checkpoint c) : entries_(std::move(c.tensors)) {
    path = c.path;
    format = "safetensors";
    metadata = std::move(c.metadata);
    metadata_order = std::move(c.metadata_order);
    warnings = std::move(c.warnings);
    notes = std::move(c.notes);
    for (const SafetensorsEntry& e : entries_) {
      const std::string of = e.file->path().string();
      if (files.empty() || files.back() != of) files.push_back(of);  // entries come file by file
      tensors.push_back({e.name, e.dtype, e.shape, {}, e.offset, e.bytes.size(), files.size() - 1, -1});
    }
    if (files.empty()) files.push_back(path);
  }
  KeptBytes bytes(std::size_t i) const override { return {entries_[i].bytes, entries_[i].file}; }

 private:
  std::vector<SafetensorsEntry> entries_;
};

}  // namespace

SourcePtr open_safetensors(const std::filesystem::path& path) { return std::make_unique<SafetensorsSource>(open_checkpoint(path)); }

}  // namespace graft
