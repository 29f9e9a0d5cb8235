#include "engine/train/step.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/finite.h"
#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "kernels/core/graph.h"

namespace graft {
namespace {

// Statistics as they are now, to be put back.
class KeptStatistics {
 public:
  explicit KeptStatistics(const Tensors& now) : now_(now) {
    NoGrad off;
    for (const Tensor& t : now_) before_.push_back(clone(t).detach());
  }
  void put_back() const {
    NoGrad off;
    for (std::size_t i = 0; i < before_.size(); ++i) copy_into(now_[i], before_[i]);
  }

 private:
  const Tensors& now_;
  Tensors before_;
};

}  // namespace

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
  } catch (const Error& e) { why_ = e.what(); }
}
TrainStep::~TrainStep() {
  captured_.clear();
  if (o_.graph && current_queue().device().kind != DeviceKind::cpu) optimizer_.scalars_on_device(false);
}

void TrainStep::forget_captured() { captured_.clear(); }

RandomState TrainStep::random(std::int64_t step) const { return {o_.seed, stream_of("dropout") + static_cast<std::uint64_t>(step), 0}; }

Tensor TrainStep::gradients(const Batch& batch, const RandomState& random) {
  Run run{true, random, o_.recompute};  // its position moves on from micro-batch to micro-batch
  const std::int64_t n = batch.images.size(0), parts = std::min(n, o_.accumulate);
  optimizer_.zero_grad();
  Tensor total;
  for (std::int64_t p = 0; p < parts; ++p) {
    const std::int64_t begin = n * p / parts, end = n * (p + 1) / parts;
    const bool whole = parts == 1;
    const Tensor images = whole ? batch.images : slice(batch.images, 0, begin, end),
                 labels = whole ? batch.labels : slice(batch.labels, 0, begin, end);
    const Tensor logits = model_.forward(cast(images, o_.images), run);
    Tensor loss = cross_entropy(logits, labels, o_.loss);
    if (batch.partners.defined()) {  // mixed images: each label counts by its share
      const Tensor others = whole ? batch.partners : slice(batch.partners, 0, begin, end), share = reshape(batch.share, {});
      loss = add(mul(loss, share), mul(cross_entropy(logits, others, o_.loss), sub(1.0, share)));
    }
    if (!whole)
      loss = mul(loss, static_cast<double>(end - begin) / static_cast<double>(n));  // each image counts alike, in ragged parts too
    backward(loss);
    NoGrad off;
    total = total.defined() ? add(total, loss.detach()) : loss.detach();
  }
  NoGrad off;
  for (const Pull& p : o_.pulls)
    if (const Tensor g = p.param.grad(); g.defined()) p.param.set_grad(add(g, mul(sub(p.param.detach(), p.start), p.alpha)));
  return total;
}

void TrainStep::plain(const Batch& batch, std::int64_t step, double lr_factor, const std::function<void()>& meanwhile) {
  const KeptStatistics statistics(o_.statistics);
  loss_ = gradients(batch, random(step));
  if (meanwhile) meanwhile();
  double scale = 1;
  finite_ = std::isfinite(loss_.item());
  if (o_.clip_norm > 0) {
    norm_ = grad_norm_value(params_);
    const double norm = norm_.item();
    finite_ = finite_ && std::isfinite(norm);
    scale = clip_factor(norm, o_.clip_norm);
  }
  if (!finite_) return statistics.put_back();  // what is not finite would spread to every weight
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

void TrainStep::run(const Batch& batch, std::int64_t step, double lr_factor, const std::function<void()>& meanwhile) {
  norm_ = {};
  finite_ = true;
  if (!why_.empty()) return plain(batch, step, lr_factor, meanwhile);
  auto& captured = captured_[batch.images.size(0)];
  if (!captured) {  // the first of its size makes what lasts: states of the optimizer, scratch
    captured = std::make_unique<Captured>();
    return plain(batch, step, lr_factor, meanwhile);
  }
  Captured& c = *captured;
  optimizer_.advance(lr_factor);
  offset_.set_values({static_cast<double>(step), 0});
  NoGrad off;
  if (!c.graph) {
    const auto kept = [](const Tensor& t) { return t.defined() ? clone(t).detach() : Tensor{}; };
    c.inputs = {kept(batch.images), kept(batch.labels), kept(batch.partners), kept(batch.share)};
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
      if (meanwhile) meanwhile();
      return;
    }
    c.loss = loss_;
    c.norm = norm_;
  } else {
    copy_into(c.inputs.images, batch.images);
    copy_into(c.inputs.labels, batch.labels);
    if (batch.partners.defined()) copy_into(c.inputs.partners, batch.partners), copy_into(c.inputs.share, batch.share);
  }
  c.graph->replay();
  if (meanwhile) meanwhile();
  ++replays_;
  loss_ = c.loss;
  norm_ = c.norm;
}

TrainStep::Diagnosis TrainStep::diagnose(const Batch& batch, std::int64_t step) {
  Diagnosis d;
  const KeptStatistics statistics(o_.statistics);
  for (const ParamGroup& g : optimizer_.groups())
    for (const auto& [name, p] : g.params)
      if (const std::int64_t bad = count_not_finite(p); bad > 0 && d.text.empty())
        d.text = "parameter " + name + " holds " + std::to_string(bad) + " of " + std::to_string(p.numel()) + " values that are not finite";
  if (const std::int64_t bad = count_not_finite(batch.images); bad > 0 && d.text.empty())
    d.text = "the images hold " + std::to_string(bad) + " values that are not finite";
  {
    NoGrad off;
    Run run{true, random(step)};
    const Tensor logits = cast(model_.forward(cast(batch.images, o_.images), run), DType::f32);
    const std::vector<double> values = logits.values();
    const std::int64_t n = logits.size(0), classes = n ? logits.numel() / n : 0;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t k = 0; k < classes; ++k)
        if (!std::isfinite(values[static_cast<std::size_t>(i * classes + k)])) {
          d.places.push_back(i);
          break;
        }
  }
  if (d.text.empty()) {
    const FiniteWatch watch;
    EnableGrad on;
    gradients(batch, random(step));
    d.text = watch.found();
  }
  statistics.put_back();
  return d;
}

double TrainStep::loss() const { return loss_.item(); }
double TrainStep::grad_norm() const { return norm_.defined() ? norm_.item() : 0; }

}  // namespace graft
