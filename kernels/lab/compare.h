// Two documents of `graft kernels bench --json`, row by row: was it faster, or is that noise?
#pragma once
#include <string>
#include <vector>

#include "kernels/lab/report.h"

namespace graft::lab {

struct Compared {
  std::string key;      // "family variant shape dtype, 2 threads, cpu"
  std::string verdict;  // "faster", "slower", "same", "noisy", "only in A", "only in B"
  double ratio = 0;     // B's time / A's; below 1 B is faster
  Interval interval;    // of the ratio, from the intervals of both medians
  double a = 0, b = 0;  // s
};
struct Comparison {
  std::vector<std::string> remarks;  // different machines, devices, cache states: a ratio says little then
  std::vector<Compared> rows;
  bool slower = false;
};
// Throws Error(input), one line with the file's name, when it cannot be read or is not such a document.
Json read_document(const std::string& path);
// `threshold`: a difference up to this share of the time is no difference. A row is slower (faster) when the whole interval lies beyond it,
// same when the whole interval lies within it or contains 1 and is no wider than twice the noise bound of the runs; else the runs cannot
// tell, and it is noisy.
Comparison compare(const Json& a, const Json& b, double threshold);

}  // namespace graft::lab
