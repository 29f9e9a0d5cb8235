#include "engine/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "kernels/core/error.h"

namespace graft {
namespace {
constexpr double kPi = 3.14159265358979323846;
double cosine(double from, double to, double share) { return to + (from - to) / 2 * (1 + std::cos(kPi * share)); }
}  // namespace

double Schedule::factor(std::int64_t step) const {
  static constexpr std::string_view known[] = {"constant", "step", "cosine", "linear", "polynomial", "one-cycle"};
  if (std::find(std::begin(known), std::end(known), name) == std::end(known))
    throw Error(Code::usage, "no schedule '" + name + "'; there are constant, step, cosine, linear, polynomial and one-cycle");
  if (name == "one-cycle") {
    const double rise = pct_start * static_cast<double>(total) - 1, all = static_cast<double>(total) - 1, t = static_cast<double>(step);
    if (t <= rise) return cosine(1 / div_factor, 1, rise > 0 ? t / rise : 1);
    return cosine(1, final_factor, all > rise ? std::min(1.0, (t - rise) / (all - rise)) : 1);
  }
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
  const double t = static_cast<double>(step - warmup), span = static_cast<double>(std::max<std::int64_t>(1, total - warmup));
  const double share = std::min(1.0, t / span);
  if (name == "constant") return 1;
  if (name == "step") return std::pow(gamma, std::floor(t / static_cast<double>(std::max<std::int64_t>(1, step_size))));
  if (name == "cosine") return cosine(1, final_factor, share);
  if (name == "linear") return 1 + (final_factor - 1) * share;
  return final_factor + (1 - final_factor) * std::pow(1 - share, power);  // polynomial
}

}  // namespace graft
