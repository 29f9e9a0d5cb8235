// How a configuration wants pictures to enter its model: [data] and [augment].
#pragma once
#include "engine/data/dataset.h"
#include "engine/train/config.h"

namespace graft {

InputFormat input_format(const Config& config);
// Batches for training: shuffled by train.seed, augmented.
LoaderOptions training_options(const Config& config);
// Batches for judging: in order, as they are, train.eval_batch at a time.
LoaderOptions judging_options(const Config& config);
int loader_workers(const Config& config, const Dataset& data);  // data.workers, or what suits the set's source

// data.normalize for these pictures: mean and deviation of each band where white is 1, over at most `most` of them, spread evenly. In f64.
std::vector<double> measured_normalize(const Dataset& data, const InputFormat& format, std::int64_t most = 10000);

}  // namespace graft
