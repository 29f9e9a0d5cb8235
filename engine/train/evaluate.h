// A model judged on labelled images; and the watch for over-fitting, which compares how it does on images it learns from and on others.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/nn/layers.h"

namespace graft {

struct Evaluation {
  double accuracy = 0, loss = 0;
  std::int64_t images = 0;
  std::vector<std::int64_t> predictions;  // per image, in the loader's order
  std::vector<float> losses;              // per image: cross-entropy
};
// `images`: the dtype in which the model takes them. `workers`: threads that make batches ahead.
Evaluation evaluate(const Module& model, const Loader& data, DType images = DType::f32, int workers = 0);

// "the model's outputs for 3 of 64 images are not finite, first for image 7"; empty where all are: such an accuracy says nothing.
std::string not_finite(const Evaluation& e);
void want_finite(const Evaluation& e);  // Error(diverged) with that

// What the watch remembers from evaluation to evaluation; part of a checkpoint.
struct OverfitState {
  std::int64_t seen = 0, rising = 0;           // evaluations; those since the least loss on held-out images
  double least_loss = 0, train_loss_then = 0;  // the least held-out loss, and the training images' loss at that time
  bool said = false;
};
// A line when over-fitting has become plain: for three evaluations the loss on held-out images has been above its least while that on
// training images fell further, and accuracy differs by more than three standard errors of the two shares. Said once. Empty otherwise.
std::string watch_overfitting(OverfitState& state, const Evaluation& train, const Evaluation& held_out);

}  // namespace graft
