// One source of parameters for both ways to begin: Params::init(seed) draws them, Params::from(lookup, seed) takes them from a checkpoint.
// A model asks by path and never knows which it is. What a checkpoint lacks, and what nobody asked for, is counted by name: nothing is
// silently skipped.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/tensor.h"

namespace graft {

// Initial values; fans follow PyTorch: for a weight [out, in, ...] fan_in = in * the rest.
struct Init {
  enum class Kind { zeros, constant, uniform, normal, kaiming_uniform, kaiming_normal, xavier_uniform, xavier_normal } kind = Kind::zeros;
  double a = 0;                // constant: value; uniform: bound; normal: standard deviation; kaiming, xavier: gain
  std::int64_t zero_row = -1;  // of the first axis, 0 whatever is drawn (an embedding's padding); -1: none
  static Init zeros() { return {}; }
  static Init constant(double v) { return {Kind::constant, v}; }
  static Init uniform(double bound) { return {Kind::uniform, bound}; }
  static Init normal(double std) { return {Kind::normal, std}; }
  static Init kaiming_uniform(double gain) { return {Kind::kaiming_uniform, gain}; }
  static Init kaiming_normal(double gain) { return {Kind::kaiming_normal, gain}; }
  static Init xavier_uniform(double gain = 1) { return {Kind::xavier_uniform, gain}; }
  static Init xavier_normal(double gain = 1) { return {Kind::xavier_normal, gain}; }
  Init with_zero_row(std::int64_t row) const { return {kind, a, row}; }
};

struct Parameter {
  std::string name;
  Tensor tensor;
  bool trainable = true;  // false: a buffer (running statistics)
};

// How one tensor of the model came to be, or one of the checkpoint was left.
struct ParamSource {
  enum class How {
    drawn,
    loaded,
    missing /* not in the checkpoint, drawn instead */,
    reshaped /* there, with another shape: drawn instead */
  } how;
  std::string name;
  std::string detail;  // "f32[10,128], checkpoint has f32[26,128]"
};

// A low-rank addition to a weight (LoRA, Hu et al. 2021): weight + scale * (b a), shaped as the weight. Without tensors: the weight itself.
struct Adapter {
  Tensor a /* [rank, weight.numel() / out] */, b /* [out, rank] */;
  double scale = 0;
  Tensor on(const Tensor& weight) const;  // recorded
};

// Whether a tensor lies below one of these layers: paths with a space between them, for heads of more than one layer.
bool below(std::string_view paths, std::string_view name);

// What a transfer asks of layers as they are made (engine/train/transfer.h fills it). A model's own code knows nothing of it.
struct LayerRules {
  std::string head;  // path of the layer whose size follows the classes, or of several with spaces between; empty where nobody says
  bool frozen_statistics = false;  // batch norms use their running statistics in training too, and leave them
  std::int64_t lora_rank = 0;      // 0: no adapters
  double lora_scale = 1;
  std::function<bool(const std::string& layer)> lora_on;  // which Linear and Conv2d get one, by path
};

class Params {
 public:
  // The checkpoint's tensor of that name, or an undefined one.
  using Lookup = std::function<Tensor(const std::string& name)>;
  static Params init(std::uint64_t seed, DType dtype = DType::f32);
  static Params from(Lookup lookup, std::uint64_t seed, DType dtype = DType::f32);

  Params operator/(std::string_view part) const;  // the same source below "path.part"

  // The parameter `name` below this path: from the checkpoint where it is there with this shape (converted to the source's dtype), else
  // drawn. A drawn value is a function of (seed, full name) alone, so adding a layer does not change the others.
  Tensor get(std::string_view name, const Shape& shape, const Init& init) const;
  Tensor buffer(std::string_view name, const Shape& shape, double value) const;  // f32, not trained, saved

  // Of the layer at this path: trainable lora_A and lora_B where the rules say so, and `weight` wants no gradient any more; an empty one
  // otherwise. A starts as PyTorch draws a linear layer's weight, B as zeros, so that the layer starts as it was.
  Adapter adapter(const Tensor& weight) const;
  void set_rules(LayerRules rules) const;  // before the model is built
  const LayerRules& rules() const;
  struct Adapted {
    std::string weight;  // name
    Adapter adapter;
  };
  const std::vector<Adapted>& adapted() const;
  bool in_head(std::string_view name) const;     // of a tensor
  bool is_adapter(std::string_view name) const;  // lora_A or lora_B

  const std::vector<Parameter>& all() const;  // in the order they were asked for
  const std::vector<ParamSource>& sources() const;
  Tensors trainable() const;

 private:
  struct State;
  explicit Params(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
  std::string path_;
};

// 64-bit FNV-1a: the random stream that belongs to a name.
std::uint64_t stream_of(std::string_view name);

}  // namespace graft
