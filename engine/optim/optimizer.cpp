#include "engine/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

OptimKind kind_of(const std::string& name) {
  if (name == "sgd") return OptimKind::sgd;
  if (name == "adam") return OptimKind::adam;
  if (name == "adamw") return OptimKind::adamw;
  if (name == "rmsprop") return OptimKind::rmsprop;
  if (name == "adagrad") return OptimKind::adagrad;
  return OptimKind::lion;
}

void check(const OptimOptions& o) {
  optim_defaults(o.name);
  const auto want = [&](bool ok, const char* key, double v, const char* rule) {
    if (!ok) throw Error(Code::usage, "optimizer " + o.name + ": " + key + " is " + std::to_string(v) + " but must be " + rule);
  };
  want(std::isfinite(o.lr) && o.lr >= 0, "lr", o.lr, "at least 0");
  want(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "weight_decay", o.weight_decay, "at least 0");
  want(o.momentum >= 0 && o.momentum < 1, "momentum", o.momentum, "in [0, 1)");
  want(o.beta1 >= 0 && o.beta1 < 1, "beta1", o.beta1, "in [0, 1)");
  want(o.beta2 >= 0 && o.beta2 < 1, "beta2", o.beta2, "in [0, 1)");
  want(o.eps >= 0, "eps", o.eps, "at least 0");
  if (o.nesterov && (o.momentum <= 0 || o.dampening != 0))
    throw Error(Code::usage, "optimizer " + o.name + ": nesterov wants a momentum above 0 and no dampening");
}

DType state_dtype(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }
View flat(const Tensor& t) { return dense_view(t.view().data, t.dtype(), {t.numel()}); }  // t is row-major
bool is_narrow(const Tensor& p) { return p.dtype() == DType::bf16 || p.dtype() == DType::f16; }

// The shape of a state that this optimizer keeps for a parameter, under the name that it is saved by; none for one that it does not keep.
std::optional<Shape> state_shape(const OptimOptions& o, const Tensor& p, const std::string& what) {
  static const std::map<std::string, std::set<std::string>> kept = {
      {"sgd", {"momentum_buffer"}},
      {"adam", {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}},
      {"adamw", {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}},
      {"rmsprop", {"square_avg", "momentum_buffer", "grad_avg"}},
      {"adagrad", {"sum"}},
      {"lion", {"exp_avg"}},
      {"adafactor", {"row_var", "col_var", "variance"}},
  };
  if (what == "step") return Shape{};
  if (what == "master" ? !is_narrow(p) : !kept.at(o.name).count(what)) return std::nullopt;
  Shape s = p.shape();
  if ((what == "row_var" || what == "col_var") && s.rank() < 2) return std::nullopt;
  if (what == "row_var") s[s.rank() - 1] = 1;
  if (what == "col_var") s[s.rank() - 2] = 1;
  return s;
}

}  // namespace

OptimOptions optim_defaults(const std::string& name) {
  OptimOptions o;
  o.name = name;
  if (name == "sgd" || name == "adam") return o;
  if (name == "adamw") o.weight_decay = 1e-2;
  else if (name == "rmsprop") {
    o.lr = 1e-2;
    o.beta2 = 0.99;
  } else if (name == "adagrad") {
    o.lr = 1e-2;
    o.eps = 1e-10;
  } else if (name == "adafactor") o.lr = 1e-2;
  else if (name == "lion") {
    o.lr = 1e-4;
    o.beta2 = 0.99;
  } else throw Error(Code::usage, "no optimizer '" + name + "'; there are sgd, adam, adamw, rmsprop, adagrad, adafactor and lion");
  return o;
}

Optimizer::Optimizer(std::vector<ParamGroup> groups) : groups_(std::move(groups)) {
  std::set<const TensorImpl*> seen;
  for (const auto& g : groups_) {
    check(g.options);
    for (const auto& [name, p] : g.params) {
      if (!p.defined() || !p.is_leaf() || !p.requires_grad() || !p.is_contiguous())
        throw Error(Code::usage, "optimizer: parameter '" + name + "' must be a row-major leaf that wants a gradient");
      if (!seen.insert(p.impl()).second) throw Error(Code::usage, "optimizer: parameter '" + name + "' stands in two places; name it once");
    }
    slots_.emplace_back(g.params.size());
  }
}

Tensors Optimizer::parameters() const {
  Tensors all;
  for (const auto& g : groups_)
    for (const auto& p : g.params) all.push_back(p.second);
  return all;
}

Tensor& Optimizer::state_of(Slot& slot, const char* name, const Shape& shape, DType dtype) {
  Tensor& t = slot.states[name];
  if (!t.defined()) t = Tensor::zeros(shape, dtype);
  return t;
}

OptimRule Optimizer::rule_of(const OptimOptions& o, std::int64_t step) const {
  OptimRule r{};
  r.kind = kind_of(o.name);
  r.lr = o.lr * lr_factor_;
  r.weight_decay = o.weight_decay;
  r.grad_scale = grad_scale_;
  r.momentum = o.momentum;
  r.dampening = o.dampening;
  r.nesterov = o.nesterov;
  r.maximize = o.maximize;
  r.amsgrad = o.amsgrad;
  r.centered = o.centered;
  r.beta1 = o.beta1;
  r.beta2 = o.beta2;
  r.eps = o.eps;
  r.lr_decay = o.lr_decay;
  r.step = step;
  return r;
}

OptimTensors Optimizer::tensors_of(Slot& slot, const Tensor& p, const Tensor& g, const OptimOptions& o) {
  OptimTensors t;
  t.param = flat(p);
  t.grad = flat(g);
  if (is_narrow(p)) t.master = flat(slot.states["master"]);
  const auto state = [&](const char* name) { return flat(state_of(slot, name, p.shape(), state_dtype(p.dtype()))); };
  switch (kind_of(o.name)) {
    case OptimKind::sgd:
      if (o.momentum != 0) t.m = state("momentum_buffer");
      break;
    case OptimKind::adam:
    case OptimKind::adamw:
      t.m = state("exp_avg");
      t.v = state("exp_avg_sq");
      if (o.amsgrad) t.v2 = state("max_exp_avg_sq");
      break;
    case OptimKind::rmsprop:
      t.v = state("square_avg");
      if (o.momentum != 0) t.m = state("momentum_buffer");
      if (o.centered) t.v2 = state("grad_avg");
      break;
    case OptimKind::adagrad: t.v = state("sum"); break;
    case OptimKind::lion: t.m = state("exp_avg"); break;
  }
  return t;
}

void Optimizer::step(double lr_factor, double grad_scale) {
  advance(lr_factor, grad_scale);
  update();
}

void Optimizer::scalars_on_device(bool on) {
  for (const auto& g : groups_)
    if (on && g.options.name == "adafactor")
      throw Error(Code::usage,
                  "optimizer adafactor: reads norms on the host in every step, which cannot be replayed; use another optimizer");
  scalars_on_device_ = on;
}

void Optimizer::advance(double lr_factor, double grad_scale) {
  ++steps_;
  lr_factor_ = lr_factor;
  grad_scale_ = grad_scale;
  for (std::size_t gi = 0; gi < groups_.size(); ++gi) {
    std::vector<std::pair<std::int64_t, Tensor>> written;  // of this group, by number of updates
    for (std::size_t i = 0; i < slots_[gi].size(); ++i) {
      if (!groups_[gi].params[i].second.grad().defined()) continue;
      Slot& slot = slots_[gi][i];
      ++slot.steps;
      slot.counted = steps_;
      if (!scalars_on_device_) continue;
      const auto same = std::find_if(written.begin(), written.end(), [&](const auto& w) { return w.first == slot.steps; });
      if (same != written.end()) {
        slot.scalars = same->second;
        continue;
      }
      // parameters that were updated as often until now have shared it: their launches are fixed, this one gets its own
      const bool taken =
          std::any_of(written.begin(), written.end(), [&](const auto& w) { return w.second.handle() == slot.scalars.handle(); });
      if (!slot.scalars.defined() || taken) slot.scalars = Tensor::empty({kOptimScalars}, DType::f64);
      const auto numbers = optim_scalars(rule_of(groups_[gi].options, slot.steps));
      slot.scalars.set_values({numbers.begin(), numbers.end()});
      written.emplace_back(slot.steps, slot.scalars);
    }
  }
}

// Tensors of one group with the same dtypes and number of updates go to the kernel together.
void Optimizer::update(const Tensor& grad_scale) {
  NoGrad off;
  struct Batch {
    DType param, grad;
    std::int64_t steps;
    OptimMultiArgs args;
  };
  for (std::size_t gi = 0; gi < groups_.size(); ++gi) {
    const OptimOptions& o = groups_[gi].options;
    const OpScope scope(
        "optimizer", [](const void* options) { return "optimizer " + static_cast<const OptimOptions*>(options)->name; }, &o);
    std::vector<Batch> batches;
    Tensors gradients;  // alive until the kernels have run
    for (std::size_t i = 0; i < groups_[gi].params.size(); ++i) {
      const auto& [name, p] = groups_[gi].params[i];
      Tensor g = p.grad();
      if (!g.defined()) continue;
      Slot& slot = slots_[gi][i];
      if (slot.counted != steps_)
        throw Error(Code::usage,
                    "optimizer: parameter '" + name + "' has a gradient but had none when advance() counted; advance after backward()");
      g = raw::contiguous(g);
      const bool narrow = is_narrow(p);
      if (narrow && !slot.states["master"].defined()) slot.states["master"] = raw::cast(p, DType::f32);
      if (o.name == "adafactor") {
        const Tensor weight = narrow ? slot.states["master"] : p;
        adafactor(slot, weight, mul(raw::cast(g, state_dtype(p.dtype())), grad_scale_), o, o.lr * lr_factor_);
        if (narrow) raw::copy(p, weight);
        p.written();
        continue;
      }
      auto batch = std::find_if(batches.begin(), batches.end(),
                                [&](const Batch& b) { return b.param == p.dtype() && b.grad == g.dtype() && b.steps == slot.steps; });
      if (batch == batches.end()) {
        batch = batches.insert(batch, {p.dtype(), g.dtype(), slot.steps, {}});
        static_cast<OptimRule&>(batch->args) = rule_of(o, slot.steps);
        if (scalars_on_device_) {
          batch->args.scalars = slot.scalars.view();
          if (grad_scale.defined()) raw::copy(slot.scalars.alias({1}, {1}, kGradScale), raw::reshape(grad_scale, {1}));
        }
      }
      batch->args.tensors.push_back(tensors_of(slot, p, g, o));
      gradients.push_back(g);
      p.written();
    }
    for (const Batch& b : batches) optim_multi_family().run(current_queue(), b.args);
  }
}

// Second moments of a matrix are kept as one row and one column of means; a step's size follows the weight's own size.
void Optimizer::adafactor(Slot& slot, const Tensor& p, const Tensor& g, const OptimOptions& o, double lr) {
  const double eps1 = epsilon_of(p.dtype()), t = static_cast<double>(slot.steps), n = static_cast<double>(p.numel());
  if (p.numel() == 0) return;
  const double fresh = std::pow(t, o.beta2_decay), rho = std::min(lr, 1 / std::sqrt(t));
  const double alpha = std::max(o.eps2, norm(p).item() / std::sqrt(n)) * rho;
  if (o.weight_decay != 0) raw::into(p, ElementwiseOp::scale, {p}, 1 - lr * o.weight_decay);
  const auto follow = [&](Tensor& mean, const Tensor& now) { mean = add(mean, mul(sub(now, mean), fresh)); };  // torch.lerp
  Tensor estimate;
  if (p.rank() > 1) {
    Shape row = p.shape(), col = p.shape();
    row[p.rank() - 1] = 1;
    col[p.rank() - 2] = 1;
    Tensor &rows = state_of(slot, "row_var", row, p.dtype()), &cols = state_of(slot, "col_var", col, p.dtype());
    const Tensor squares = square(g);
    follow(rows, div(sum(squares, {-1}, true), static_cast<double>(p.size(-1))));
    follow(cols, div(sum(squares, {-2}, true), static_cast<double>(p.size(-2))));
    estimate = div(matmul(rows, cols), clamp(mean(rows, {-2}, true), eps1, INFINITY));
  } else {
    Tensor& variance = state_of(slot, "variance", p.shape(), p.dtype());
    follow(variance, square(g));
    estimate = variance;
  }
  const Tensor update = mul(rsqrt(clamp(estimate, eps1 * eps1, INFINITY)), g);
  const double denominator = std::max(1.0, norm(update).item() / (std::sqrt(n) * o.clip));
  raw::into(p, ElementwiseOp::axpby, {p, update}, 1, -alpha / denominator);
}

void Optimizer::zero_grad() {
  for (const auto& g : groups_)
    for (const auto& p : g.params) p.second.set_grad({});
}

std::vector<std::pair<std::string, Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (std::size_t gi = 0; gi < groups_.size(); ++gi)
    for (std::size_t i = 0; i < groups_[gi].params.size(); ++i) {
      const Slot& slot = slots_[gi][i];
      const std::string& name = groups_[gi].params[i].first;
      for (const auto& [state, t] : slot.states) all.emplace_back(name + "." + state, t);
      if (slot.steps > 0) all.emplace_back(name + ".step", Tensor::full({}, static_cast<double>(slot.steps), DType::i64));
    }
  return all;
}

void Optimizer::load_state(const std::vector<std::pair<std::string, Tensor>>& state, std::int64_t steps) {
  std::vector<std::vector<Slot>> slots;
  for (const auto& g : groups_) slots.emplace_back(g.params.size());
  for (const auto& [full, t] : state) {
    const auto dot = full.rfind('.');
    const std::string name = full.substr(0, dot), what = dot == std::string::npos ? "" : full.substr(dot + 1);
    Slot* slot = nullptr;
    const Tensor* param = nullptr;
    const OptimOptions* o = nullptr;
    for (std::size_t gi = 0; gi < groups_.size(); ++gi)
      for (std::size_t i = 0; i < groups_[gi].params.size(); ++i)
        if (groups_[gi].params[i].first == name) {
          slot = &slots[gi][i];
          param = &groups_[gi].params[i].second;
          o = &groups_[gi].options;
        }
    const std::optional<Shape> shape = slot ? state_shape(*o, *param, what) : std::nullopt;
    if (!shape)
      throw Error(Code::input, "optimizer state '" + full + "' belongs to no parameter here; was the model or the optimizer changed?");
    if (!(t.shape() == *shape))
      throw Error(Code::input, "optimizer state '" + full + "' is " + t.str() + " but its parameter's is " + shape->str());
    if (what == "step") {
      slot->steps = static_cast<std::int64_t>(t.item());
      continue;
    }
    slot->states[what] = raw::copy_of(t.to(current_queue().device()));
  }
  slots_ = std::move(slots);
  steps_ = steps;
}

Tensor grad_norm_value(const Tensors& params) {
  NoGrad off;
  std::map<DType, SumSquaresMultiArgs> by_dtype;
  Tensors gradients;
  for (const Tensor& p : params) {
    if (!p.grad().defined()) continue;
    gradients.push_back(raw::contiguous(p.grad()));
    by_dtype[p.grad().dtype()].x.push_back(flat(gradients.back()));
  }
  Tensor squares;
  for (auto& [dtype, a] : by_dtype) {
    const Tensor out = Tensor::empty({1}, DType::f64);
    a.out = out.view();
    sum_squares_multi_family().run(current_queue(), a);
    squares = squares.defined() ? raw::binary(ElementwiseOp::add, squares, out) : out;
  }
  return squares.defined() ? raw::unary(ElementwiseOp::sqrt, squares) : Tensor::zeros({1}, DType::f64);
}
double grad_norm(const Tensors& params) { return grad_norm_value(params).item(); }
double clip_factor(double norm, double max_norm) { return std::min(1.0, max_norm / (norm + 1e-6)); }
void clip_grad_value(const Tensors& params, double limit) {
  if (!(limit >= 0)) throw Error(Code::usage, "clip_grad_value: limit must be at least 0");
  NoGrad off;
  for (const Tensor& p : params)
    if (p.grad().defined()) p.set_grad(clamp(p.grad(), -limit, limit));
}

Ema::Ema(Tensors params, double decay) : params_(std::move(params)), decay_(decay) {
  if (!(decay >= 0 && decay < 1)) throw Error(Code::usage, "ema: decay must be in [0, 1)");
  NoGrad off;
  for (const Tensor& p : params_) means_.push_back(raw::copy_of(raw::cast(p.detach(), raw::accum(p.dtype()))));
}
void Ema::update() {
  NoGrad off;
  for (std::size_t i = 0; i < params_.size(); ++i)
    if (params_[i].requires_grad())  // one that does not train yet is its own mean, to the bit
      raw::into(means_[i], ElementwiseOp::axpby, {means_[i], raw::cast(params_[i].detach(), means_[i].dtype())}, decay_, 1 - decay_);
}
void Ema::swap() {
  NoGrad off;
  if (held_.empty()) {
    for (const Tensor& p : params_) held_.push_back(raw::copy_of(p));
    for (std::size_t i = 0; i < params_.size(); ++i) raw::copy(params_[i], means_[i]);
  } else {
    for (std::size_t i = 0; i < params_.size(); ++i) raw::copy(params_[i], held_[i]);
    held_.clear();
  }
}
void Ema::restore(const Tensors& means, const Tensors& weights) {
  NoGrad off;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    raw::copy(means_[i], means[i]);
    raw::copy(params_[i], weights[i]);
  }
  held_.clear();
}

}  // namespace graft
