// One way to begin, trained on some images within a budget and judged on others: what graft compare and graft advise are made of.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/common.h"

namespace graft::cli {

// scratch; or from the checkpoint: knn (neighbours among features), probe (a last layer on fixed features), frozen (the last layer alone,
// with dropout and augmentation), lora (low-rank additions), full.
const std::vector<std::string_view>& arms();

// Equal for all arms: so many steps, or as many as fit into so many seconds or FLOPs.
struct Budget {
  enum class Kind { steps, seconds, flops } kind = Kind::steps;
  double value = 0;
};
Budget parse_budget(const std::string& text);  // 300st, 30s, 1e12flop; Error(usage)

struct Trained {
  std::vector<std::int64_t> predictions;
  double seconds = 0, flops = 0;  // of the training; what judging costs is nobody's
  std::int64_t steps = 0;
};

// What a verb that keeps nothing of unfinished work throws after a signal. `what`: an arm, or what else was learning from `data`.
Error stopped_within(const std::string& what, const Dataset& data);

class Experiment {
 public:
  // The configuration of the arms; init.from is empty in it.
  Experiment(Config config, std::string from, const Budget& budget) : config_(std::move(config)), from_(std::move(from)), budget_(budget) {}
  double lr() const { return config_.get<double>("optim.lr"); }
  std::uint64_t seed() const { return static_cast<std::uint64_t>(config_.get<std::int64_t>("train.seed")); }

  // One training of an arm on `data`, judged on `test`. Error(stopped) where a signal has come by its end, Error(diverged) as train().
  Trained run(const std::string& arm, const Dataset& data, const Dataset& test, double lr, std::uint64_t seed) const;
  // Does the arm have a learning rate to choose?
  static bool learns(const std::string& arm) { return arm != "knn"; }
  // A learning rate among `count` (a third of the recipe's, it, 3, 10, ... times it), by a fifth of `data` that is held out; the recipe's
  // where the data are too few or count is 1. `tried` gets each rate with its accuracy; `progress` is called after each.
  double tuned(const std::string& arm, const Dataset& data, std::int64_t count, std::vector<std::pair<double, double>>& tried,
               const std::function<void()>& progress) const;

 private:
  Config with_steps(Config c, std::int64_t steps) const;
  std::int64_t steps_for(double seconds_each, double flops_each, double seconds_before = 0, double flops_before = 0) const;
  Trained trained(Config c, const std::string& arm, const Dataset& data, const Dataset& test) const;
  Trained probe(const Config& c, const Dataset& data, const Dataset& test) const;
  Trained knn(const Config& c, const Dataset& data, const Dataset& test) const;
  Config config_;
  std::string from_;
  Budget budget_;
};

// What both verbs leave out of the trainer: evaluations on the way, checkpoints, preflight.
void only_the_end(Config& config, const std::string& verb);
std::vector<std::int8_t> right_of(const std::vector<std::int64_t>& predictions, const Dataset& test);
// [seed][image]: 1 where only `a` is right, -1 where only `b` is.
std::vector<std::vector<std::int8_t>> differences(const std::vector<std::vector<std::int8_t>>& a,
                                                  const std::vector<std::vector<std::int8_t>>& b);
double share(const std::vector<std::int8_t>& right);

}  // namespace graft::cli
