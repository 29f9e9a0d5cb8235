// A checkpoint of one or many safetensors files: which files belong to it, and that they agree with their index.
#include <algorithm>
#include <set>
#include <unordered_map>

#include "weights/formats/json_guard.h"
#include "weights/formats/safetensors.h"
#include "weights/formats/shard_index.h"

namespace graft {

namespace fs = std::filesystem;

namespace {

bool ends_with(const std::string& s, std::string_view end) {
  return s.size() >= end.size() && s.compare(s.size() - end.size(), end.size(), end) == 0;
}
bool is_index(const fs::path& p) { return ends_with(p.filename().string(), ".index.json"); }

// Moves the contents of one file into the checkpoint.
void add(Checkpoint& to, SafetensorsFile&& file) {
  for (auto& note : file.notes) to.notes.push_back(file.path + ": " + note);
  if (file.has_metadata) {
    if (!to.metadata_order) to.metadata_order.emplace();
    for (const std::string& key : file.metadata_order)
      if (!to.metadata.count(key)) to.metadata_order->push_back(key);
  }
  for (auto& [key, value] : file.metadata) {
    const auto [at, is_new] = to.metadata.emplace(key, value);
    if (!is_new && at->second != value)
      to.warnings.push_back(file.path + ": metadata " + in_quotes(key) + " differs from an earlier shard's; the earlier one is kept");
  }
  std::move(file.entries.begin(), file.entries.end(), std::back_inserter(to.tensors));
}

Checkpoint open_single(const fs::path& path) {
  Checkpoint c;
  c.path = path.string();
  add(c, SafetensorsFile::open(path));
  return c;
}

Checkpoint open_index(const fs::path& path) {
  Checkpoint c;
  c.path = path.string();
  const ShardIndex map = read_shard_index(path);
  const std::set<std::string> shards = shards_of(path, map);
  const fs::path folder = path.parent_path();

  std::unordered_map<std::string, std::string> holder;  // tensor to the shard that has it
  for (const auto& shard : shards) {
    SafetensorsFile file = SafetensorsFile::open(folder / shard);
    std::vector<std::string> unmapped;
    for (const auto& e : file.entries) {
      const auto [at, is_new] = holder.emplace(e.name, shard);
      if (!is_new)
        throw Error(Code::input, file.path + ": tensor " + in_quotes(e.name) + " at byte " + std::to_string(e.offset) +
                                     " is in the shard " + in_quotes(at->second) +
                                     " too; one name is one tensor, have the shards written anew");
      if (!map.count(e.name)) unmapped.push_back(e.name);
    }
    if (!unmapped.empty())
      c.warnings.push_back(file.path + ": holds " + std::to_string(unmapped.size()) +
                           " tensors that the index leaves out: " + quoted_list(unmapped) + "; they are read all the same");
    add(c, std::move(file));
  }
  for (const auto& [name, m] : map) {
    const auto at = holder.find(name);
    if (at != holder.end() && at->second == m.file) continue;
    throw Error(Code::input, c.path + ": tensor " + in_quotes(name) + " at byte " + std::to_string(m.byte) + " is not in its shard " +
                                 in_quotes(m.file) + (at == holder.end() ? " or any other" : " but in " + in_quotes(at->second)) +
                                 "; get the index and the shards from the same place");
  }

  std::vector<std::string> strangers;
  std::error_code error;
  for (const auto& f : fs::directory_iterator(folder.empty() ? fs::path(".") : folder, error)) {
    const std::string name = f.path().filename().string();
    if (ends_with(name, ".safetensors") && !shards.count(name)) strangers.push_back(name);
  }
  std::sort(strangers.begin(), strangers.end());
  if (!strangers.empty())
    c.warnings.push_back(c.path + ": does not name the files " + quoted_list(strangers) + " beside it; they were not read");
  return c;
}

Checkpoint open_folder(const fs::path& folder) {
  const fs::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (fs::exists(single)) {
    Checkpoint c = open_single(single);
    if (fs::exists(index)) c.warnings.push_back(folder.string() + ": holds model.safetensors and an index; the index was not read");
    return c;
  }
  if (fs::exists(index)) return open_index(index);
  std::vector<std::string> indexes, files;
  for (const auto& f : fs::directory_iterator(folder)) {
    const std::string name = f.path().filename().string();
    if (ends_with(name, ".safetensors.index.json")) indexes.push_back(name);
    else if (ends_with(name, ".safetensors")) files.push_back(name);
  }
  std::sort(indexes.begin(), indexes.end());
  std::sort(files.begin(), files.end());
  if (indexes.size() == 1) return open_index(folder / indexes[0]);
  if (indexes.empty() && files.size() == 1) return open_single(folder / files[0]);
  if (indexes.empty() && files.empty())
    throw Error(Code::input,
                folder.string() + ": holds no .safetensors file and no .safetensors.index.json; name the folder or file of the weights");
  throw Error(Code::input,
              folder.string() + ": holds several candidates: " + quoted_list(indexes.empty() ? files : indexes) + "; name the one to read");
}

}  // namespace

Checkpoint open_checkpoint(const fs::path& path) {
  try {
    if (fs::is_directory(path)) return open_folder(path);
    return is_index(path) ? open_index(path) : open_single(path);
  } catch (const fs::filesystem_error& e) { throw file_error(path, "open", e.code().value()); }
}

const SafetensorsEntry* Checkpoint::find(std::string_view name) const {
  for (const auto& e : tensors)
    if (e.name == name) return &e;
  return nullptr;
}

}  // namespace graft
