#include "engine/train/step.h"

#include <algorithm>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "kernels/core/graph.h"

namespace graft {

struct TrainStep::Captured {
  Batch inputs;
  Tensor loss, norm;
  std::unique_ptr<Graph> graph;
};

TrainStep::TrainStep(const Module& model, Optimizer& optimizer, Ema* ema, const StepOptions& options)
    : model_(model), optimizer_(optimizer), ema_(ema), o_(options), params_(optimizer.parameters()) {
  if (!o_.graph) {
    why_ = "not asked for";
    return;
  }
  if (current_queue().device().kind == DeviceKind::cpu) {
    why_ = "the CPU's work is done when a call returns, there is nothing to replay";
    return;
  }
  try {
    optimizer_.scalars_on_device(true);
    offset_ = Tensor::zeros({2}, DType::i64);
  } catch (const Error& e) {
    why_ = e.what();
  }
}
TrainStep::~TrainStep() {
  captured_.clear();
  if (o_.graph && current_queue().device().kind != DeviceKind::cpu) optimizer_.scalars_on_device(false);
}

RandomState TrainStep::random(std::int64_t step) const { return {o_.seed, stream_of("dropout") + static_cast<std::uint64_t>(step), 0}; }

Tensor TrainStep::gradients(const Batch& batch, const RandomState& random) {
  Run run{true, random};  // its position moves on from micro-batch to micro-batch
  const std::int64_t n = batch.images.size(0), parts = std::min(n, o_.accumulate);
  optimizer_.zero_grad();
  Tensor total;
  for (std::int64_t p = 0; p < parts; ++p) {
    const std::int64_t begin = n * p / parts, end = n * (p + 1) / parts;
    const bool whole = parts == 1;
    const Tensor images = whole ? batch.images : slice(batch.images, 0, begin, end), labels = whole ? batch.labels : slice(batch.labels, 0, begin, end);
    Tensor loss = cross_entropy(model_.forward(cast(images, o_.images), run), labels, o_.loss);
    if (!whole) loss = mul(loss, static_cast<double>(end - begin) / static_cast<double>(n));  // each image counts alike, in ragged parts too
    backward(loss);
    NoGrad off;
    total = total.defined() ? add(total, loss.detach()) : loss.detach();
  }
  return total;
}

void TrainStep::plain(const Batch& batch, std::int64_t step, double lr_factor) {
  loss_ = gradients(batch, random(step));
  double scale = 1;
  if (o_.clip_norm > 0) {
    norm_ = grad_norm_value(params_);
    scale = clip_factor(norm_.item(), o_.clip_norm);
  }
  optimizer_.step(lr_factor, scale);
  if (ema_) ema_->update();
}

// The same with everything that changes read from device memory; advance() and offset_ come before.
void TrainStep::body(const Batch& batch) {
  RandomState from_memory = random(0);
  from_memory.offset = offset_;
  loss_ = gradients(batch, from_memory);
  Tensor scale;
  if (o_.clip_norm > 0) {
    NoGrad off;
    norm_ = grad_norm_value(params_);
    scale = minimum(div(o_.clip_norm, add(norm_, 1e-6)), Tensor::scalar(1, DType::f64));
  }
  optimizer_.update(scale);
  if (ema_) ema_->update();
}

void TrainStep::run(const Batch& batch, std::int64_t step, double lr_factor) {
  norm_ = {};
  if (!why_.empty()) return plain(batch, step, lr_factor);
  auto& captured = captured_[batch.images.size(0)];
  if (!captured) {  // the first of its size makes what lasts: states of the optimizer, scratch
    captured = std::make_unique<Captured>();
    return plain(batch, step, lr_factor);
  }
  Captured& c = *captured;
  optimizer_.advance(lr_factor);
  offset_.set_values({static_cast<double>(step), 0});
  NoGrad off;
  if (!c.graph) {
    c.inputs = {clone(batch.images).detach(), clone(batch.labels).detach()};
    c.graph = std::make_unique<Graph>(current_queue());
    try {
      c.graph->capture([&] {
        EnableGrad on;
        body(c.inputs);
      });
    } catch (const Error& e) {
      if (e.code() != Code::usage && e.code() != Code::memory && e.code() != Code::device) throw;
      why_ = e.what();
      captured_.clear();
      EnableGrad on;
      body(batch);  // this step is counted already
      optimizer_.scalars_on_device(false);
      return;
    }
    c.loss = loss_;
    c.norm = norm_;
  } else {
    copy_into(c.inputs.images, batch.images);
    copy_into(c.inputs.labels, batch.labels);
  }
  c.graph->replay();
  ++replays_;
  loss_ = c.loss;
  norm_ = c.norm;
}

double TrainStep::loss() const { return loss_.item(); }
double TrainStep::grad_norm() const { return norm_.defined() ? norm_.item() : 0; }

}  // namespace graft
