// A run's checkpoints: a folder per step, each complete or not there. Files are written into step-N.new with a manifest that names their
// sizes and XXH3-128 hashes, then the folder is renamed; `last` and `best` are links. After a crash, a full disk or flipped bits the newest
// folder whose files are what its manifest says is the one to go on from, and what is wrong with every newer one is told.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/tensor.h"

namespace graft {

// One file of a checkpoint: NAME.safetensors.
struct CheckpointPart {
  std::string name;  // "model", "training"
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::map<std::string, std::string> metadata;
};

class Checkpoints {
 public:
  // keep: how many of the newest stay, at least 1; the best one stays beside them.
  Checkpoints(std::filesystem::path folder, std::int64_t keep);

  // Throws Error as write_atomically does (Code::stopped on a full disk); what was there before stays as it was. `best`: the link moves
  // here too.
  void save(std::int64_t step, const std::vector<CheckpointPart>& parts, bool best);

  struct Found {
    std::int64_t step;
    std::filesystem::path folder;
  };
  // Reads every byte of the newest, and of older ones until one is whole. Each damaged one gives a line: file, what was found, what was
  // wanted.
  std::optional<Found> newest_whole(std::vector<std::string>& damage) const;
  // Before a run goes on from `step`: leftovers of a killed process are removed, folders of later steps, which are damaged, are renamed to
  // step-N.damaged.
  void clear_after(std::int64_t step);

  // The links to the checkpoints of these steps, where they are there: a process killed between a checkpoint and its links leaves the old
  // ones.
  void set_links(std::int64_t last, std::int64_t best);

  const std::filesystem::path& folder() const { return folder_; }
  static std::string name_of(std::int64_t step);  // "step-00000042"

 private:
  std::vector<Found> all() const;  // newest first
  std::filesystem::path folder_;
  std::int64_t keep_;
};

}  // namespace graft
