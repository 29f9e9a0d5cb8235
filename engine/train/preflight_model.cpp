// Is what the model says in an evaluation usable: shape, repeatable, each sample for itself, logits, and a loss that fits a model which
// knows nothing yet?
#include <algorithm>
#include <cmath>

#include "engine/autograd/finite.h"
#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/train/preflight_step.h"

namespace graft {
namespace {

bool equal(const Tensor& a, const Tensor& b) {
  NoGrad off;
  return all_true(eq(a, b)).item() != 0;
}
// Are all of these within rounding of `wanted`? n terms of f32 sum to n/2 ulp of 1 at most.
bool all_near(const Tensor& x, double wanted, std::int64_t terms) {
  const double bound = static_cast<double>(terms + 8) * 1.2e-7;
  for (const double v : x.values())
    if (!(std::abs(v - wanted) <= bound)) return false;
  return true;
}
double mean_of(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return v.empty() ? 0 : sum / static_cast<double>(v.size());
}
double error_of(const std::vector<double>& v) {  // standard error of the mean
  const double m = mean_of(v);
  double sum = 0;
  for (const double x : v) sum += (x - m) * (x - m);
  return v.size() < 2 ? 0 : std::sqrt(sum / static_cast<double>(v.size() - 1) / static_cast<double>(v.size()));
}

}  // namespace

std::string decimals(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", v);
  return text;
}

std::vector<double> sample_losses(const Tensor& logits, const Batch& batch) {
  NoGrad off;
  CrossEntropyOptions o;
  o.reduction = Reduction::none;
  return cross_entropy(logits, batch.labels, o).values();
}

Kept::Kept(const Params& params) : params_(params) {
  NoGrad off;
  for (const Parameter& p : params.all()) {
    values_.push_back(clone(p.tensor.detach()).detach());
    gradients_.push_back(p.tensor.grad());
    p.tensor.set_grad({});  // of the preflight's own from here on
  }
}
Kept::~Kept() {
  try {
    restore();
  } catch (const std::exception&) {  // a device that is lost: whatever comes next says so
  }
  for (std::size_t i = 0; i < values_.size(); ++i) params_.all()[i].tensor.set_grad(gradients_[i]);
}
void Kept::restore() const {
  NoGrad off;
  for (std::size_t i = 0; i < values_.size(); ++i) copy_into(params_.all()[i].tensor, values_[i]);
}
void Kept::forget_gradients() const {
  for (const Parameter& p : params_.all()) p.tensor.set_grad({});
}
bool Kept::moved(std::size_t i) const { return !equal(params_.all()[i].tensor.detach(), values_[i]); }
std::int64_t Kept::bytes() const {
  std::int64_t b = 0;
  for (const Tensor& t : values_) b += t.bytes();
  return b;
}

bool check_model(const Rig& rig, const DataVerdict& data, const Kept& kept, std::vector<Finding>& out) {
  NoGrad off;
  const Batch batch = rig.train.batch(0).to(current_queue().device());
  const std::int64_t b = batch.images.size(0);
  const auto evaluate = [&](const Tensor& images, std::uint64_t seed) {
    Run run{false, {seed, stream_of("preflight"), 0}};
    return rig.forward(images, run);
  };
  const Tensor logits = evaluate(batch.images, 1);
  if (!(logits.shape() == Shape{b, rig.classes})) {
    out.push_back({Level::fail, "shapes",
                   "a batch " + batch.images.str() + " gives " + logits.str() + " but must give f32[" + std::to_string(b) + "," +
                       std::to_string(rig.classes) + "]: a row for each image, a column for each class; look at the last layer"});
    return false;
  }
  out.push_back({Level::ok, "shapes", batch.images.str() + " gives " + logits.str()});
  if (const std::int64_t bad = count_not_finite(logits); bad > 0) {
    out.push_back({Level::fail, "outputs",
                   std::to_string(bad) + " logits of the first batch are not finite before any step; look at the weights it starts from"});
    return false;
  }

  // Running statistics that move in an evaluation say more than what follows from them.
  std::string moving;
  for (std::size_t i = 0; i < rig.params.all().size(); ++i)
    if (kept.moved(i)) moving = rig.params.all()[i].name;
  kept.restore();
  const Tensor again = evaluate(batch.images, 2);
  Tensor changed = logits;
  bool leaks = false, blind = false;
  kept.restore();
  if (b > 1) {  // the image in the middle becomes its negative: no other row may move
    const std::int64_t m = b / 2;
    const Tensor images = cat({slice(batch.images, 0, 0, m), sub(1, slice(batch.images, 0, m, m + 1)), slice(batch.images, 0, m + 1)}, 0);
    changed = evaluate(images, 1);
    leaks = !equal(slice(changed, 0, 0, m), slice(logits, 0, 0, m)) || !equal(slice(changed, 0, m + 1), slice(logits, 0, m + 1));
    blind = equal(changed, logits);
    kept.restore();
  }
  const bool random = !equal(again, logits);
  bool healthy = false;
  if (!moving.empty())
    out.push_back({Level::fail, "evaluation",
                   moving + " moves in an evaluation: batch norm works in training mode there" +
                       (leaks ? ", and each output depends on the other images of its batch" : "") + "; pass run.training on to it"});
  else if (random && !leaks)
    out.push_back(
        {Level::fail, "evaluation",
         "two evaluations of one batch differ: dropout, or other random numbers, are active in it; ask run.training before drawing"});
  else if (leaks && (all_near(sum(logits, {0}), 1, b) || all_near(sum(exp(logits), {0}), 1, b)))
    out.push_back({Level::fail, "evaluation",
                   "outputs sum to 1 over the images of a batch: softmax goes along the wrong axis (0, the batch); it must be the classes' "
                   "(1), or be left out: "
                   "cross_entropy takes logits"});
  else if (leaks)
    out.push_back({Level::fail, "evaluation",
                   "an image's output changes when another image of its batch does: statistics, a softmax or a reshape go along the batch; "
                   "look for axis 0"});
  else if (blind)
    out.push_back({Level::warn, "evaluation",
                   "the negative of an image gives the same logits to the last bit: the image does not reach them; look for dead "
                   "activations or a constant input"});
  else healthy = true, out.push_back({Level::ok, "evaluation", "repeatable, and each image for itself"});

  if (!leaks && all_near(sum(logits, {1}), 1, rig.classes) && amin(logits).item() >= 0) {
    out.push_back({Level::fail, "outputs",
                   "outputs are probabilities, each row sums to 1: cross_entropy takes a softmax of its own, so there are two, and the "
                   "loss cannot fall below " +
                       decimals(std::log(std::exp(1.0) + static_cast<double>(rig.classes) - 1) - 1) + "; return logits"});
    return true;
  }
  if (!healthy || !data.scaled) return true;  // the loss would say the same a second time

  // A head that knows nothing gives logits that do not go with the labels. The least loss it can have is then the entropy of the labels;
  // and logits with a variance of s^2 among the classes cost at most s^2 / 2 over ln(classes) (log-sum-exp of normal variables). The
  // wildest usual initial values (He et al. 2015: gain^2 = 2 on features of mean square 1) have s^2 = 2: at most 1 more. Four standard
  // errors of this batch's mean on either side.
  const std::vector<double> losses = sample_losses(logits, batch);
  std::vector<double> share(static_cast<std::size_t>(rig.classes), 0);
  for (const std::int64_t l : batch.labels.host<std::int64_t>()) share[static_cast<std::size_t>(l)] += 1 / static_cast<double>(b);
  double entropy = 0;
  for (const double q : share) entropy -= q > 0 ? q * std::log(q) : 0;
  const double chance = std::log(static_cast<double>(rig.classes)), loss = mean_of(losses), error = error_of(losses);
  const std::string what = "loss " + decimals(loss) + ", chance " + decimals(chance) + " = ln(" + std::to_string(rig.classes) + ")";
  if (loss > chance + 1 + 4 * error)
    out.push_back(
        {Level::warn, "start",
         what + (rig.fresh_head
                     ? ": the drawn weights are too large, or inputs are; look at the initial values and data.normalize"
                     : ": worse than guessing; do the checkpoint's classes have the same numbers and inputs the same normalisation?")});
  else if (rig.fresh_head && loss < entropy - 4 * error)
    out.push_back({Level::warn, "start",
                   what + ": too good for a last layer that was just drawn; does the image carry its label, or is the layer not new?"});
  else out.push_back({Level::ok, "start", what});
  return true;
}

}  // namespace graft
