// What a row's answer is held against: `ref` in f64 on the very inputs of the call, and how far an honest row may be from it.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/spec.h"

namespace graft::lab {

struct Verdicts {
  std::string wrong;  // empty, or "'y' [3,4] is 1, wants 2 (...)"
  double error = 0;   // largest |V - T| over the float outputs
};

// The truth of one round's last call. For the shapes that the tests only time, since ref's plain loops would take seconds to minutes, the
// best CPU row that serves f64 stands in, and the allowance, at most twice the naive row's error elsewhere, is eight times the error of the
// best CPU row in the case's own dtype and 8 roundings in f32 of the largest element: orders of rounding differ by less, a lower precision
// by thousands. Rows that came from outside (peers, a user's file) are never asked.
class Oracle {
 public:
  // rows from outside: indices from `trusted` on
  Oracle(const Spec& spec, const ErasedCase& c, DType t, int trusted, Queue& host);
  // Draws the inputs of `seed`, stirred by `stir_seed`, and computes.
  void ask(std::uint64_t seed, std::uint64_t stir_seed);
  double cost() const { return cost_; }  // s that the last question took
  Verdicts judge(const std::vector<View>& outputs) const;

 private:
  int best(const std::vector<View>& views) const;
  const Spec& spec_;
  const ErasedCase& case_;
  DType dtype_;
  int trusted_;
  Queue& host_;
  int ref_ = -1, naive_ = -1;
  double cost_ = 0;
  std::vector<std::vector<double>> expect_;
  std::vector<double> allowance_;
};

}  // namespace graft::lab
