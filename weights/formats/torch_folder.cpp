// A model's folder as the hub keeps it for PyTorch: pytorch_model.bin, or shards with an index.
#include <algorithm>
#include <system_error>
#include <unordered_map>

#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/readers.h"
#include "weights/formats/shard_index.h"
#include "weights/formats/zip.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

// Several sources as one.
class TorchShards : public Source {
 public:
  void add(SourcePtr shard) {
    std::int64_t storages = 0;
    for (const StoredTensor& t : shard->tensors) {
      StoredTensor mine = t;
      mine.file += files.size();
      if (mine.storage >= 0) {
        storages = std::max(storages, mine.storage + 1);
        mine.storage += storages_;
      }
      where_.emplace_back(shards_.size(), where_.size() - first_);
      tensors.push_back(std::move(mine));
    }
    first_ = where_.size();
    storages_ += storages;
    files.insert(files.end(), shard->files.begin(), shard->files.end());
    for (const auto& [key, value] : shard->metadata)
      if (const auto [at, fresh] = metadata.emplace(key, value); !fresh && at->second != value)
        warnings.push_back(shard->path + ": metadata " + in_quotes(key) + " differs from an earlier shard's; the earlier one is kept");
    warnings.insert(warnings.end(), shard->warnings.begin(), shard->warnings.end());
    for (const std::string& note : shard->notes) notes.push_back(shard->path + ": " + note);
    if (shards_.empty()) format = shard->format + ", in shards";
    shards_.push_back(std::move(shard));
  }
  KeptBytes bytes(std::size_t i) const override { return shards_[where_[i].first]->bytes(where_[i].second); }

 private:
  std::vector<SourcePtr> shards_;
  std::vector<std::pair<std::size_t, std::size_t>> where_;
  std::size_t first_ = 0;
  std::int64_t storages_ = 0;
};

bool is_torch_file(const fs::path& path) {
  const FilePtr file = MappedFile::open(path);
  if (!looks_like_zip(file->bytes())) return looks_like_torch(file->bytes());
  return is_torch_zip(ZipView::open(file));
}

}  // namespace

bool is_torch_index(const fs::path& index) {
  const ShardIndex map = read_shard_index(index);
  if (map.empty()) return false;
  const auto shards = shards_of(index, map);
  return is_torch_file(index.parent_path() / *shards.begin());
}

SourcePtr open_torch_index(const fs::path& index) {
  const ShardIndex map = read_shard_index(index);
  auto all = std::make_unique<TorchShards>();
  all->path = index.string();
  std::unordered_map<std::string, std::string> holder;  // tensor to the shard that has it
  for (const std::string& shard : shards_of(index, map)) {
    const FilePtr file = MappedFile::open(index.parent_path() / shard);
    SourcePtr source = open_torch(file->bytes(), file->path().string(), file);
    std::vector<std::string> unmapped;
    for (const StoredTensor& t : source->tensors) {
      const auto [at, fresh] = holder.emplace(t.name, shard);
      if (!fresh)
        throw Error(Code::input, source->path + ": tensor " + in_quotes(t.name) + " at byte " + std::to_string(t.offset) +
                                     " is in the shard " + in_quotes(at->second) +
                                     " too; one name is one tensor, have the shards written anew");
      if (!map.count(t.name)) unmapped.push_back(t.name);
    }
    if (!unmapped.empty())
      all->warnings.push_back(source->path + ": holds " + std::to_string(unmapped.size()) +
                              " tensors that the index leaves out: " + quoted_list(unmapped) + "; they are read all the same");
    all->add(std::move(source));
  }
  for (const auto& [name, m] : map)
    if (const auto at = holder.find(name); at == holder.end() || at->second != m.file)
      throw Error(Code::input, all->path + ": tensor " + in_quotes(name) + " at byte " + std::to_string(m.byte) + " is not in its shard " +
                                   in_quotes(m.file) + (at == holder.end() ? " or any other" : " but in " + in_quotes(at->second)) +
                                   "; get the index and the shards from the same place");
  return all;
}

std::optional<fs::path> torch_in_folder(const fs::path& folder) {
  std::error_code ec;
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (fs::exists(folder / name, ec)) return folder / name;
  std::vector<std::string> files;
  for (const auto& f : fs::directory_iterator(folder, ec)) {
    if (!f.is_regular_file(ec)) continue;
    const std::string name = f.path().filename().string();
    // What a trainer leaves beside the weights; each can be named by itself.
    if (name == "training_args.bin" || name == "optimizer.pt" || name == "optimizer.bin" || name == "scheduler.pt" ||
        name == "rng_state.pth" || name.starts_with("rng_state_"))
      continue;
    std::error_code empty;
    if (fs::file_size(f.path(), empty) > 0 && is_torch_file(f.path())) files.push_back(name);
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) return {};
  if (files.size() > 1)
    throw Error(Code::input, folder.string() + ": holds several candidates at byte 0: " + quoted_list(files) + "; name the one to read");
  return folder / files[0];
}

}  // namespace graft
