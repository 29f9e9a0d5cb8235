// A linear probe: a new last layer on the features of a model that stays as it is. The features are computed once (no dropout, no augmentation), so its steps
// cost next to nothing.
#pragma once
#include "engine/data/dataset.h"
#include "engine/nn/layers.h"
#include "engine/train/config.h"

namespace graft {

Tensor features_of(const Module& model, const Dataset& set, const Config& config);  // f32 [n, features]

struct Probe {
  Linear layer;
  double loss = 0;  // of the last step
  std::vector<std::int64_t> predict(const Tensor& features) const;
};
// `steps` of [optim], [schedule] and train.batch on the features of `set`; the layer is drawn and the batches are shuffled by train.seed.
Probe train_probe(const Tensor& features, const Dataset& set, const Config& config, std::int64_t steps);

}  // namespace graft
