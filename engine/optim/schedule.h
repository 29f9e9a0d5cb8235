// Learning rate schedules: the factor on a group's rate as a pure function of the step, so a run can be resumed anywhere.
#pragma once
#include <cstdint>
#include <string>

namespace graft {

struct Schedule {
  std::string name = "constant";  // constant, step, cosine, linear, polynomial, one-cycle
  std::int64_t total = 1;         // steps of the whole run
  std::int64_t warmup = 0;        // steps in which the factor rises linearly from 0; then the schedule proper begins (not one-cycle)
  std::int64_t step_size = 1;     // step: steps between two falls
  double gamma = 0.1;             // step: factor of each fall
  double power = 1;               // polynomial
  double final_factor = 0;        // at the end: cosine, linear, polynomial, one-cycle
  double pct_start = 0.3, div_factor = 25;  // one-cycle (Smith 2018, as torch's OneCycleLR with cosine annealing)

  // The factor of the step'th update, from 0. Throws Error(usage) for an unknown name.
  double factor(std::int64_t step) const;
};

}  // namespace graft
