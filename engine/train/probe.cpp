#include "engine/train/probe.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/train/input.h"
#include "engine/train/trainer.h"

namespace graft {

Tensor features_of(const Module& model, const Dataset& set, const Config& c) {
  NoGrad off;
  Run run;
  const Loader loader(set, judging_options(c));
  Tensors parts;
  for (std::int64_t i = 0; i < loader.batches(); ++i)
    parts.push_back(cast(model.features(cast(loader.get(0, i).to(current_queue().device()).images, image_dtype(c)), run), DType::f32));
  return cat(parts, 0).detach();
}

Probe train_probe(const Tensor& features, const Dataset& set, const Config& c, std::int64_t steps) {
  const auto seed = static_cast<std::uint64_t>(c.get<std::int64_t>("train.seed"));
  const Device device = current_queue().device();
  const Params params = Params::init(seed);
  Probe out{Linear(params / "probe", features.size(1), set.classes)};
  Optimizer optimizer = make_optimizer(c, params);
  const std::int64_t n = set.size(), batch = std::min(n, c.get<std::int64_t>("train.batch")), per_epoch = (n + batch - 1) / batch;
  const Schedule schedule = make_schedule(c, steps, per_epoch);
  CrossEntropyOptions loss_options;
  loss_options.smoothing = c.get<double>("train.label_smoothing");
  Run run;
  std::vector<std::int64_t> order;
  for (std::int64_t step = 0; step < steps; ++step) {
    if (step % per_epoch == 0) order = permutation(n, seed, 0x70726f6265ull + static_cast<std::uint64_t>(step / per_epoch));
    const std::int64_t begin = step % per_epoch * batch, count = std::min(batch, n - begin);
    Tensor rows = Tensor::empty({count}, DType::i64, Device{}), labels = Tensor::empty({count}, DType::i64, Device{});
    for (std::int64_t i = 0; i < count; ++i) {
      rows.data<std::int64_t>()[i] = order[static_cast<std::size_t>(begin + i)];
      labels.data<std::int64_t>()[i] = set.labels.data<std::int64_t>()[rows.data<std::int64_t>()[i]];
    }
    const Tensor loss = cross_entropy(out.layer.forward(index_select(features, 0, rows.to(device)), run), labels.to(device), loss_options);
    optimizer.zero_grad();
    backward(loss);
    optimizer.step(schedule.factor(step));
    out.loss = loss.item();
    if (!std::isfinite(out.loss))
      throw Error(Code::diverged,
                  "the probe's loss is " + std::to_string(out.loss) + " at step " + std::to_string(step + 1) + "; lower optim.lr");
  }
  return out;
}

std::vector<std::int64_t> Probe::predict(const Tensor& features) const {
  NoGrad off;
  Run run;
  return argmax(layer.forward(features, run), 1).host<std::int64_t>();
}

std::vector<std::int64_t> knn_predict(const Tensor& train_features, const std::vector<std::int64_t>& labels, std::int64_t classes,
                                      const Tensor& test_features, std::int64_t k) {
  if (train_features.rank() != 2 || test_features.rank() != 2 || train_features.size(1) != test_features.size(1))
    throw Error(Code::usage, "knn: features are " + train_features.str() + " and " + test_features.str() +
                                 " but must be [n, d] and [m, d] of one model");
  const std::int64_t n = train_features.size(0), m = test_features.size(0);
  if (static_cast<std::int64_t>(labels.size()) != n)
    throw Error(Code::usage, "knn: " + std::to_string(labels.size()) + " labels for " + std::to_string(n) + " rows");
  if (k < 1 || k > n)
    throw Error(Code::usage, "knn: k is " + std::to_string(k) + " but must be 1 to " + std::to_string(n) + ", the number of training rows");
  for (const std::int64_t l : labels)
    if (l < 0 || l >= classes)
      throw Error(Code::usage, "knn: label " + std::to_string(l) + " is outside 0 to " + std::to_string(classes - 1));
  constexpr double kTemperature = 0.07;
  constexpr std::int64_t kRows = 256;  // at a time: the table of similarities stays small
  NoGrad off;
  const auto directions = [](const Tensor& x) { return div(x, clamp(sqrt(sum(square(x), {1}, true)), 1e-12, INFINITY)); };
  const Tensor known = transpose(directions(cast(train_features, DType::f32)), 0, 1);
  std::vector<std::int64_t> out;
  for (std::int64_t begin = 0; begin < m; begin += kRows) {
    const Tensor rows = directions(cast(slice(test_features, 0, begin, std::min(m, begin + kRows)), DType::f32));
    const Sorted near = topk(matmul(rows, known), k, 1);
    const std::vector<float> similarity = near.values.host<float>();
    const std::vector<std::int64_t> which = near.indices.host<std::int64_t>();
    for (std::int64_t r = 0; r < rows.size(0); ++r) {
      std::vector<double> votes(static_cast<std::size_t>(classes), 0);
      for (std::int64_t i = r * k; i < (r + 1) * k; ++i)
        votes[static_cast<std::size_t>(labels[static_cast<std::size_t>(which[static_cast<std::size_t>(i)])])] +=
            std::exp(similarity[static_cast<std::size_t>(i)] / kTemperature);
      out.push_back(std::max_element(votes.begin(), votes.end()) - votes.begin());
    }
  }
  return out;
}

}  // namespace graft
