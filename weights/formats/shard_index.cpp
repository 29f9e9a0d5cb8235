#include "weights/formats/shard_index.h"

#include <algorithm>
#include <system_error>

#include "engine/base/file.h"
#include "weights/formats/json_guard.h"

namespace graft {

namespace fs = std::filesystem;

namespace {

class IndexReader : public JsonEvents {
 public:
  IndexReader(const std::string& path, ShardIndex& map) : path_(path), map_(map) {}
  bool found() const { return found_; }

  void key(const std::string& name, std::uint64_t byte) override {
    (level_ == 1 ? section_ : name_) = name;
    key_byte_ = byte;
  }
  bool begin(Kind kind, std::uint64_t byte) override {
    if (level_ == 1 && section_ == "weight_map") {
      if (kind != Kind::object) refuse("weight_map is not an object", byte);
      found_ = true;
    } else if (level_ == 1) {
      return false;  // "metadata" and what else tools put beside it
    } else if (level_ == 2) {
      not_text(byte);
    }
    ++level_;
    return true;
  }
  void end(std::uint64_t) override { --level_; }
  void natural(std::uint64_t, std::uint64_t byte) override { scalar(byte); }
  void other(Kind, std::uint64_t byte) override { scalar(byte); }
  void text(const std::string& file, std::uint64_t byte) override {
    if (level_ == 1) return scalar(byte);
    if (file.empty() || file == "." || file.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos ||
        file.find("..") != std::string::npos)
      throw Error(Code::input,
                  path_ + ": the index names the path " + in_quotes(file) + " at byte " + std::to_string(byte) + " (tensor " +
                      in_quotes(name_) +
                      "); a shard is a file name in the index's own folder, without separators and '..': have the index written anew");
    map_[name_] = {file, key_byte_};
  }

 private:
  void scalar(std::uint64_t byte) const {
    if (level_ == 2) not_text(byte);
    if (section_ == "weight_map") refuse("weight_map is not an object", byte);
  }
  [[noreturn]] void not_text(std::uint64_t byte) const { refuse("the file of tensor " + in_quotes(name_) + " is not a string", byte); }
  [[noreturn]] void refuse(const std::string& what, std::uint64_t byte) const {
    throw Error(Code::input, path_ + ": " + what + " at byte " + std::to_string(byte) +
                                 "; weight_map maps tensor names to file names, have the index written anew");
  }

  const std::string& path_;
  ShardIndex& map_;
  int level_ = 0;  // 1: in the index, 2: in weight_map
  bool found_ = false;
  std::string section_, name_;
  std::uint64_t key_byte_ = 0;
};

}  // namespace

std::string quoted_list(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 8;
  std::string s;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) s += (i ? ", " : "") + in_quotes(names[i]);
  if (names.size() > kShown) s += " and " + std::to_string(names.size() - kShown) + " more";
  return s;
}

ShardIndex read_shard_index(const fs::path& path) {
  const std::string name = path.string();
  ShardIndex map;
  IndexReader reader(name, map);
  parse_json(read_text(path, 100'000'000), name, "the index", 0, reader);
  if (!reader.found())
    throw Error(Code::input,
                name + ": the index has no weight_map at byte 0; it maps tensor names to file names, have the index written anew");
  return map;
}

std::set<std::string> shards_of(const fs::path& path, const ShardIndex& map) {
  std::set<std::string> shards;
  for (const auto& [name, m] : map) shards.insert(m.file);
  const fs::path folder = path.parent_path();
  std::vector<std::string> missing;
  for (const auto& shard : shards) {
    std::error_code error;
    if (!fs::exists(folder / shard, error)) missing.push_back(shard);
  }
  if (!missing.empty()) {
    std::string all;  // every one: they are fetched in one go
    for (const auto& m : missing) all += (all.empty() ? "" : ", ") + in_quotes(m);
    throw Error(Code::input, path.string() + ": " + std::to_string(missing.size()) + " of " + std::to_string(shards.size()) +
                                 " shards are missing: " + all + "; get them into the same folder");
  }
  return shards;
}

}  // namespace graft
