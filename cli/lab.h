// A short look at this machine's kernels: for the demo.
#pragma once
#include <string>
#include <vector>

#include "kernels/lab/report.h"

namespace graft::cli {

// Of each family the first benchmark shape in f32, the plain row beside the one that is chosen, `seconds` of calls a row, on the queue of
// this thread.
lab::Document quick_bench(const std::vector<std::string>& families, double seconds);

}  // namespace graft::cli
