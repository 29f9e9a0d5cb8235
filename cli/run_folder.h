// A run's folder: config.toml, env.json, log.jsonl, metrics.csv, events for TensorBoard, report.json and checkpoints. One process at a time
// works in it.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/common.h"
#include "engine/train/events.h"
#include "engine/train/trainer.h"
#include "weights/checkpoints.h"

namespace graft::cli {

// runs/NAME-k with the first free k, or `out`, which must be new; it is made here.
std::filesystem::path new_run_folder(const std::string& out, const std::string& name);

// Such a folder for a verb that finishes or leaves nothing: it goes again with the object unless keep() was called.
class NewRun {
 public:
  NewRun(const std::string& out, const std::string& name) : path_(new_run_folder(out, name)) {}
  ~NewRun();
  NewRun(const NewRun&) = delete;
  const std::filesystem::path& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  std::filesystem::path path_;
  bool kept_ = false;
};

class RunFolder {
 public:
  // runs/NAME-k with the first free k, or c.out, which must be new. The configuration and the surroundings are written.
  static RunFolder make(const Common& c, const Config& config, const std::string& name);
  // One that is there. Error(input) when it is none, Error(usage) when another process works in it.
  static RunFolder open(const std::filesystem::path& path);
  ~RunFolder();
  RunFolder(RunFolder&& o) noexcept;
  RunFolder(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  Config config() const;                     // as it was written
  std::filesystem::path started_in() const;  // where relative paths of the configuration begin; empty where nobody knows
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }

  void began() { made_ = false; }  // there is something to keep: until then a folder made here goes again when something throws

  // Opens log.jsonl and metrics.csv for more; what they say of steps after `step` is cut off. Events go on in a new file, which says the
  // same of older ones.
  void open_logs(std::int64_t step);
  void log(const StepReport& r);
  void log(const EpochReport& r);
  void flush();
  std::string log_text();                                    // all of log.jsonl
  void report(const Json& report, const std::string& html);  // report.json, and report.html unless it is empty

 private:
  explicit RunFolder(std::filesystem::path path);
  std::filesystem::path path_;
  int lock_ = -1;
  bool made_ = false;
  std::ofstream log_, metrics_;
  std::optional<EventWriter> events_;
};

// The parts of a training checkpoint: model and training; with adapters (peft.method=lora) also `adapter`, lora_A and lora_B, and `base`,
// the weights without them.
std::vector<CheckpointPart> checkpoint_parts(const Built& built, const Config& config, const TrainState& state);
TrainState read_train_state(const std::filesystem::path& checkpoint);  // Error(input) when it is not one that training can go on from
std::vector<std::pair<std::string, Tensor>> read_adapters(
    const std::filesystem::path& checkpoint);  // `adapter` and `base`; empty where there are none

}  // namespace graft::cli
