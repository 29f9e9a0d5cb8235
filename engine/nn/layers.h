// Layers: what holds parameters or settings, and a forward. Names, initial values and defaults are PyTorch's, so that its checkpoints fit;
// RmsNorm's eps alone is its users' (PyTorch's is the dtype's epsilon).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/nn/params.h"
#include "engine/ops/ops.h"

namespace graft {

// How a forward pass is run: training or not, and where its random numbers stand.
struct Run {
  bool training = false;
  RandomState random = {};
  bool recompute = false;        // segments keep no activations: they are computed again in the backward pass
  bool moves_statistics = true;  // running statistics move in training; not when a segment is computed again
};

class Module {
 public:
  virtual ~Module() = default;
  virtual Tensor forward(const Tensor& x, Run& run) const = 0;
  // Of a classifier: what its last layer sees, [n, features]. Error(usage) where there is no such thing.
  virtual Tensor features(const Tensor& x, Run& run) const;
};
using ModulePtr = std::shared_ptr<const Module>;

// f(x, run). Where run.recompute asks for it, what f saves is not kept: f is run again in the backward pass with the same random numbers,
// and gives the same bits. f may hold on to layers, not to tensors that want gradients.
Tensor segment(const Tensor& x, Run& run, const std::function<Tensor(const Tensor&, Run&)>& f);

// PyTorch's default for the weights of linear layers and convolutions: kaiming_uniform with a = sqrt(5), that is a gain of sqrt(1/3).
Init default_weight_init();

// x [..., in] -> [..., out]
class Linear : public Module {
 public:
  Linear(const Params& p, std::int64_t in, std::int64_t out, bool bias = true, const Init& weight_init = default_weight_init());
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor effective() const { return adapter.on(weight); }  // the weight with its adapter
  Tensor weight /* [out, in] */, bias /* [out] or undefined */;
  Adapter adapter;
};
// dropout(act(x weight^T + bias)): Linear, Activation and Dropout with one visit of the product's result instead of three. Parameters as
// Linear's.
class LinearAct : public Module {
 public:
  LinearAct(const Params& p, std::int64_t in, std::int64_t out, ActKind act, double dropout = 0)
      : linear(p, in, out), act(act), p(dropout) {}
  Tensor forward(const Tensor& x, Run& run) const override;
  Linear linear;
  ActKind act;
  double p;
};
// x [n, in, h, w] -> [n, out, p, q]
class Conv2d : public Module {
 public:
  Conv2d(const Params& p, std::int64_t in, std::int64_t out, std::int64_t kernel_h, std::int64_t kernel_w,
         const ConvGeometry& geometry = {}, bool bias = true, const Init& weight_init = default_weight_init());
  Conv2d(const Params& p, std::int64_t in, std::int64_t out, std::int64_t kernel) : Conv2d(p, in, out, kernel, kernel) {}
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor effective() const { return adapter.on(weight); }
  Tensor weight, bias;
  Adapter adapter;
  ConvGeometry geometry;
};
// x [n, in, l] -> [n, out, m]
class Conv1d : public Module {
 public:
  Conv1d(const Params& p, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1, std::int64_t padding = 0,
         std::int64_t dilation = 1, std::int64_t groups = 1, bool bias = true);
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor weight, bias;
  std::int64_t stride, padding, dilation, groups;
};
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d(const Params& p, std::int64_t in, std::int64_t out, std::int64_t kernel, const ConvGeometry& geometry = {},
                  std::int64_t output_padding = 0, bool bias = true);
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor weight /* [in, out/groups, r, s] */, bias;
  ConvGeometry geometry;
  std::int64_t output_padding;
};

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(const PoolGeometry& geometry) : geometry(geometry) {}
  explicit MaxPool2d(std::int64_t kernel) : geometry{kernel, kernel, kernel, kernel} {}
  Tensor forward(const Tensor& x, Run&) const override { return max_pool2d(x, geometry); }
  PoolGeometry geometry;
};
class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(const PoolGeometry& geometry, bool count_padding = true) : geometry(geometry), count_padding(count_padding) {}
  explicit AvgPool2d(std::int64_t kernel) : AvgPool2d(PoolGeometry{kernel, kernel, kernel, kernel}) {}
  Tensor forward(const Tensor& x, Run&) const override { return avg_pool2d(x, geometry, count_padding); }
  PoolGeometry geometry;
  bool count_padding;
};
class GlobalAvgPool : public Module {
 public:
  Tensor forward(const Tensor& x, Run&) const override { return global_avg_pool(x); }
};

// x [n, c, ...]; running statistics move in training, unless the rules of `p` keep them
class BatchNorm : public Module {
 public:
  BatchNorm(const Params& p, std::int64_t channels, double eps = 1e-5, double momentum = 0.1);
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor weight, bias, running_mean, running_var;
  double eps, momentum;
  bool frozen_statistics;
};
class LayerNorm : public Module {  // over the last axis
 public:
  LayerNorm(const Params& p, std::int64_t width, double eps = 1e-5);
  Tensor forward(const Tensor& x, Run&) const override { return layer_norm(x, weight, bias, eps); }
  Tensor weight, bias;
  double eps;
};
class GroupNorm : public Module {
 public:
  GroupNorm(const Params& p, std::int64_t groups, std::int64_t channels, double eps = 1e-5);
  Tensor forward(const Tensor& x, Run&) const override { return group_norm(x, groups, weight, bias, eps); }
  std::int64_t groups;
  Tensor weight, bias;
  double eps;
};
class RmsNorm : public Module {
 public:
  RmsNorm(const Params& p, std::int64_t width, double eps = 1e-6);
  Tensor forward(const Tensor& x, Run&) const override { return rms_norm(x, weight, eps); }
  Tensor weight;
  double eps;
};

class Dropout : public Module {
 public:
  explicit Dropout(double p) : p(p) {}
  Tensor forward(const Tensor& x, Run& run) const override { return run.training ? dropout(x, p, run.random) : x; }
  double p;
};
class Embedding : public Module {  // ids [...] i64 -> [..., dim]; the row of padding_index begins at 0 and has no gradient
 public:
  Embedding(const Params& p, std::int64_t vocab, std::int64_t dim, std::int64_t padding_index = -1);
  Tensor forward(const Tensor& ids, Run&) const override { return embedding(weight, ids, padding_index); }
  Tensor weight;
  std::int64_t padding_index;
};
class Activation : public Module {
 public:
  explicit Activation(const std::string& name);  // relu, gelu, gelu_tanh, silu, tanh, sigmoid, softplus, elu, leaky_relu, hardswish, mish
  Tensor forward(const Tensor& x, Run&) const override { return f_(x); }

 private:
  std::function<Tensor(const Tensor&)> f_;
};
class Flatten : public Module {  // [n, ...] -> [n, rest]
 public:
  Tensor forward(const Tensor& x, Run&) const override { return flatten(x, 1); }
};

class Sequential : public Module {
 public:
  Sequential() = default;
  explicit Sequential(std::vector<ModulePtr> parts) : parts(std::move(parts)) {}
  template <class M, class... Args>
  Sequential& add(Args&&... args) {
    parts.push_back(std::make_shared<M>(std::forward<Args>(args)...));
    return *this;
  }
  Tensor forward(const Tensor& x, Run& run) const override;
  std::vector<ModulePtr> parts;
};
class Residual : public Module {  // x + body(x), or shortcut(x) + body(x)
 public:
  explicit Residual(ModulePtr body, ModulePtr shortcut = nullptr) : body(std::move(body)), shortcut(std::move(shortcut)) {}
  Tensor forward(const Tensor& x, Run& run) const override;
  ModulePtr body, shortcut;
};

}  // namespace graft
