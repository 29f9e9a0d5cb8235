// What the numbers of a tensor are like, in one pass, in double: for people who look into a checkpoint, and for the warnings of an import.
#pragma once
#include <cstdint>

#include "engine/tensor/tensor.h"

namespace graft {

struct TensorStatistics {
  std::int64_t count = 0, nan = 0, infinite = 0, zero = 0;
  double least = 0, most = 0, mean = 0, deviation = 0;  // of the finite ones; 0 where there is none
};
// `t` on the CPU, dense. The same bits for any number of threads (one is used).
TensorStatistics statistics_of(const Tensor& t);

}  // namespace graft
