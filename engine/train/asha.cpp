#include "engine/train/asha.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/core/error.h"

namespace graft {

std::vector<std::int64_t> asha_rungs(std::int64_t least, std::int64_t most, std::int64_t eta) {
  if (eta < 2) throw Error(Code::usage, "successive halving: eta is " + std::to_string(eta) + "; at least 2 are wanted");
  if (least < 1 || least > most)
    throw Error(Code::usage,
                "successive halving: the least steps, " + std::to_string(least) + ", must be 1 to the budget, " + std::to_string(most));
  std::vector<std::int64_t> rungs;
  for (std::int64_t steps = most; steps >= least; steps /= eta) rungs.push_back(steps);
  std::reverse(rungs.begin(), rungs.end());
  return rungs;
}

std::optional<Promotion> asha_promotion(const std::vector<RungScore>& finished, const std::vector<std::vector<std::int64_t>>& begun,
                                        std::int64_t eta) {
  for (std::int64_t rung = static_cast<std::int64_t>(begun.size()) - 2; rung >= 0; --rung) {
    std::vector<RungScore> here;
    for (const RungScore& s : finished)
      if (s.rung == rung) here.push_back(s);
    std::sort(here.begin(), here.end(), [](const RungScore& a, const RungScore& b) {
      return a.score != b.score ? a.score > b.score : a.configuration < b.configuration;
    });
    here.resize(here.size() / static_cast<std::size_t>(eta));
    const auto& above = begun[static_cast<std::size_t>(rung) + 1];
    for (const RungScore& s : here)
      if (std::isfinite(s.score) && std::find(above.begin(), above.end(), s.configuration) == above.end())
        return Promotion{s.configuration, rung + 1};
  }
  return {};
}

}  // namespace graft
