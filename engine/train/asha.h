// Asynchronous successive halving (Li et al.: A system for massively parallel hyperparameter tuning; MLSys 2020): many configurations get
// few steps, the best of them eta times as many, and so on. No bracket is waited for: whoever has time asks what to do next.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace graft {

// Steps of each rung, rising, the last one `most`: most / eta^k, rounded down, as long as that is at least `least`. Error(usage) unless 1
// <= least <= most and eta >= 2.
std::vector<std::int64_t> asha_rungs(std::int64_t least, std::int64_t most, std::int64_t eta);

// What a configuration scored on a rung; more is better, -infinity: it failed there.
struct RungScore {
  std::int64_t configuration = 0, rung = 0;
  double score = 0;
};
struct Promotion {
  std::int64_t configuration = 0, rung = 0;  // to be trained on this rung
};
// From the highest rung down: of the n that finished a rung the best floor(n / eta) may go on, and the best of those that have not is the
// one to promote. `begun[k]`: the configurations that were promoted to rung k or are being trained there. Failed ones never go on. Equal
// scores: the smaller number is better. Nothing when no rung has one: then a new configuration begins on rung 0.
std::optional<Promotion> asha_promotion(const std::vector<RungScore>& finished, const std::vector<std::vector<std::int64_t>>& begun,
                                        std::int64_t eta);

}  // namespace graft
