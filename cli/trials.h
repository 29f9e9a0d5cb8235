// The trainings of a study in SQLite: what was asked for, what runs, what came out. Each change is one transaction, so a process that is
// killed loses what it was training and nothing else. Several processes may work on one study: each holds a lock that the system drops when
// it dies, and what it was training is then given to the next that asks.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/train/search.h"

namespace graft::cli {

struct Trial {
  std::int64_t id = 0;             // from 1, in the order in which they began
  std::string kind = "search";     // search; default and winner: with other seeds, for the noise; test
  std::int64_t configuration = 0;  // of a search, from 0; -1: the default
  std::int64_t rung = 0, steps = 0, seed = 0;
  Point values;                   // one per searched key
  std::string state = "running";  // running, open (given back), done, failed, pruned (a rung's loser; set when the search ends)
  double score = 0, loss = 0;     // NaN: none
  double seconds = 0;
  std::string weights_hash, note;  // note: why it failed
  std::string right;               // for each validation image 1 where it was right, else 0; for the noise alone
  std::string detail;              // JSON: the curve of a range test
};

// What a process that asks for work is told, by the trials that there are (all but `right`, by id).
struct NextTrial {
  enum class Kind { work, wait, done } kind = Kind::done;
  Trial trial;  // work: without id
};

class Trials {
 public:
  // The study in `file`. `create` is not empty: it is made of these names and values unless one is there. Error(input) when there is none,
  // or it is damaged or another program's; Error(stopped) on a full disk.
  explicit Trials(const std::filesystem::path& file, const std::map<std::string, std::string>& create = {});
  ~Trials();
  Trials(const Trials&) = delete;

  const std::map<std::string, std::string>& study() const { return study_; }

  // A trial that nobody trains any more; else what `next` says, in one transaction with what it was asked about.
  NextTrial claim(const std::function<NextTrial(const std::vector<Trial>&)>& next);
  void finish(const Trial& t);      // state and results of one that was claimed
  void give_back(std::int64_t id);  // it was not finished
  void prune(const std::vector<std::int64_t>& ids);
  std::vector<Trial> all();  // by id, with `right`

 private:
  struct Database;
  std::unique_ptr<Database> db_;
  std::map<std::string, std::string> study_;
  std::int64_t worker_ = 0;
  int lock_ = -1;
};

}  // namespace graft::cli
