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
    if (!std::isfinite(out.loss)) throw Error(Code::diverged, "the probe's loss is " + std::to_string(out.loss) + " at step " + std::to_string(step + 1) + "; lower optim.lr");
  }
  return out;
}

std::vector<std::int64_t> Probe::predict(const Tensor& features) const {
  NoGrad off;
  Run run;
  return argmax(layer.forward(features, run), 1).host<std::int64_t>();
}

}  // namespace graft
