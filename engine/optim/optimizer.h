// Optimisers over groups of parameters. Formulas follow torch.optim (Lion: Chen et al. 2023; Adafactor: Shazeer and Stern 2018, as
// torch.optim.Adafactor). The step count and all states can be saved and restored: training goes on bit for bit.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/tensor.h"
#include "kernels/optim/optim.h"

namespace graft {

struct OptimOptions {
  std::string name = "adamw";  // sgd, adam, adamw, rmsprop, adagrad, adafactor, lion
  double lr = 1e-3, weight_decay = 0;
  double momentum = 0, dampening = 0;  // sgd; momentum also rmsprop
  bool nesterov = false;               // sgd
  double beta1 = 0.9, beta2 = 0.999;   // adam, adamw, lion; beta2 is rmsprop's alpha
  double eps = 1e-8;
  bool amsgrad = false;                              // adam, adamw
  bool centered = false;                             // rmsprop
  double lr_decay = 0;                               // adagrad
  double beta2_decay = -0.8, clip = 1, eps2 = 1e-3;  // adafactor: decay exponent, d, smallest scale of a weight
  bool maximize = false;                             // not adafactor
};
// The usual defaults of that optimiser (torch.optim's). Throws Error(usage) on an unknown name.
OptimOptions optim_defaults(const std::string& name);

struct ParamGroup {
  std::vector<std::pair<std::string, Tensor>> params;  // leaves, by the name that their states are saved under
  OptimOptions options;
};

class Optimizer {
 public:
  // Throws Error(usage) for options out of range, a parameter that does not want a gradient or stands in two groups.
  explicit Optimizer(std::vector<ParamGroup> groups);

  // One update from the parameters' gradients; parameters without one are left alone. The learning rate of every group is multiplied by
  // lr_factor (schedules), every gradient by grad_scale (clipping).
  void step(double lr_factor = 1, double grad_scale = 1);
  void zero_grad();

  // step() in two halves, for a step that is captured once and replayed (CUDA graphs). With scalars on the device, advance() counts the
  // update and writes learning rates, bias corrections and grad_scale to the device's memory; update() only launches kernels that read them
  // there, bit for bit as step(). Capture zero_grad(), the forward pass, backward() and update(); before each replay call advance(), which
  // counts for the parameters that have a gradient. Error(usage) for adafactor, whose norms are read on the host, and from update() for a
  // gradient that was not there at advance().
  void scalars_on_device(bool on);
  void advance(double lr_factor = 1, double grad_scale = 1);
  // grad_scale: f64 with one element on the device, in place of the number that advance() wrote (a clip factor that the host never sees);
  // or undefined.
  void update(const Tensor& grad_scale = {});

  std::int64_t steps() const { return steps_; }
  std::vector<ParamGroup>& groups() { return groups_; }
  Tensors parameters() const;
  // "PARAM.exp_avg" and so on, in a fixed order; tensors that exist so far.
  std::vector<std::pair<std::string, Tensor>> state() const;
  // Throws Error(input) for a name or shape that does not belong to these parameters and options.
  void load_state(const std::vector<std::pair<std::string, Tensor>>& state, std::int64_t steps);

 private:
  struct Slot {
    std::map<std::string, Tensor> states;
    std::int64_t steps = 0;    // updates of this parameter
    std::int64_t counted = 0;  // the optimiser's update that advance() counted it for
    Tensor scalars;            // [6] f64 where they are on the device: one for all parameters of a group with as many updates
  };
  OptimRule rule_of(const OptimOptions& o, std::int64_t step) const;
  OptimTensors tensors_of(Slot& slot, const Tensor& p, const Tensor& g, const OptimOptions& o);
  Tensor& state_of(Slot& slot, const char* name, const Shape& shape, DType dtype);
  void adafactor(Slot& slot, const Tensor& p, const Tensor& g, const OptimOptions& o, double lr);
  std::vector<ParamGroup> groups_;
  std::vector<std::vector<Slot>> slots_;
  std::int64_t steps_ = 0;
  bool scalars_on_device_ = false;
  double lr_factor_ = 1, grad_scale_ = 1;  // of the update that advance() counted last
};

// Euclidean norm of all gradients together, summed in double in a fixed order; one read by the host for all of one dtype.
double grad_norm(const Tensors& params);
Tensor grad_norm_value(const Tensors& params);  // the same as f64 [1] on the device; the host reads nothing
// The factor for Optimizer::step that brings a norm to at most `max_norm` (torch.nn.utils.clip_grad_norm_): min(1, max_norm / (norm +
// 1e-6)).
double clip_factor(double norm, double max_norm);
// Every gradient element into [-limit, limit].
void clip_grad_value(const Tensors& params, double limit);

// Running mean of the weights: mean = decay * mean + (1 - decay) * weight; of those that want a gradient, the others' stay. Of 16-bit
// weights it is kept in f32: what one step adds to it is below half an ulp of theirs.
class Ema {
 public:
  Ema(Tensors params, double decay);
  void update();
  void swap();  // the parameters hold the mean (rounded to their dtype); after a second call the weights again, bit for bit
  const Tensors& means() const { return means_; }
  const Tensors& weights() const { return held_.empty() ? params_ : held_; }  // those that train, whatever the parameters hold now
  // Goes on from these: means in the dtype of means(), weights in the parameters', which hold them afterwards. Shapes are the parameters'.
  void restore(const Tensors& means, const Tensors& weights);

 private:
  Tensors params_, means_, held_;
  double decay_;
};

}  // namespace graft
