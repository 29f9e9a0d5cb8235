// What a model's features are worth as they are: a linear probe (a new last layer) and the nearest neighbours. The features are computed
// once (no dropout, no augmentation), so the probe's steps cost next to nothing.
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

// The class of each test row by its k nearest training rows: similarity is the cosine, a neighbour's vote counts exp(similarity / 0.07), as
// in Wu et al. 2018. Equal sums: the smaller class. A row of zeros is at right angles to all. features: f32 [n, d] and [m, d], labels: n of
// them in [0, classes). Error(usage) for other shapes, a label outside, or k outside [1, n]. It needs no training and no setting but k: a
// floor that fine-tuning must beat.
std::vector<std::int64_t> knn_predict(const Tensor& train_features, const std::vector<std::int64_t>& labels, std::int64_t classes,
                                      const Tensor& test_features, std::int64_t k);

}  // namespace graft
