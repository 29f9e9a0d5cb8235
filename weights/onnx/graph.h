// An ONNX graph that runs on graft's tensors. Nodes become calls of engine/ops, so gradients flow back to its parameters: the float
// constants that are weights by their use (of a convolution, a product, a norm, an embedding). They are asked of a Params by name, so that
// a checkpoint of a training that went on loads again.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/nn/layers.h"
#include "engine/nn/params.h"
#include "weights/onnx/proto.h"
#include "weights/onnx/value.h"

namespace graft {

class OnnxGraph {
 public:
  static constexpr std::int64_t kNewestOpset = 28;

  // With `params` its weights are asked of them (Params::from(onnx_lookup(model)) gives them the file's values), else they are constants.
  // OnnxRefusal lists all that graft cannot run: unknown operators with node and opset, opsets newer than known, types. Error(input):
  // cycles, names made twice, names that nobody makes.
  explicit OnnxGraph(std::shared_ptr<const OnnxModel> model, const Params* params = nullptr);
  ~OnnxGraph();

  const OnnxModel& model() const { return *model_; }
  // Those that must be given, in the model's order; inputs with an initialiser are not among them.
  const std::vector<OnnxValueInfo>& inputs() const { return inputs_; }
  const std::vector<OnnxValueInfo>& outputs() const { return outputs_; }
  bool draws() const { return draws_; }  // some node's outputs are random

  // One value per input; types must be the declared ones. `run`: training makes BatchNormalization and Dropout behave as in training; none:
  // as the graph says.
  std::vector<OnnxValue> run(const std::vector<OnnxValue>& inputs, Run* run = nullptr) const;

 private:
  std::shared_ptr<const OnnxModel> model_;
  std::vector<OnnxValueInfo> inputs_, outputs_;
  bool draws_ = false;
  struct State;
  std::unique_ptr<State> state_;
};

// The file's values by the names under which Source and OnnxGraph know them: an initialiser's own name, a Constant's output, and before it,
// inside a branch or body, the first output of the node that has it ("y/then_branch/weight"), or the function
// ("function/ai.mine.Block/weight").
std::map<std::string, const OnnxTensor*> onnx_constants(const OnnxModel& model);
Params::Lookup onnx_lookup(std::shared_ptr<const OnnxModel> model);

}  // namespace graft
