// A classifier that came as an ONNX graph, as a module: one input of floats, the first output as logits.
#pragma once
#include <memory>
#include <string>

#include "engine/nn/layers.h"
#include "weights/onnx/graph.h"

namespace graft {

class OnnxModule : public Module {
 public:
  // Its weights are asked of `params` by their names in the file (onnx_lookup has their values). A Softmax at the end is left out, because
  // losses want logits; a LogSoftmax stays: it changes no loss that begins with one. Error(input) when the graph wants more than one input.
  OnnxModule(std::shared_ptr<const OnnxModel> model, const Params& params);
  // x [n, ...] as the graph declares it; n may be another than the graph's own unless a node has it written down, which is an Error(input).
  Tensor forward(const Tensor& x, Run& run) const override;

  const OnnxGraph& graph() const { return *graph_; }
  const std::string& ending() const { return ending_; }  // operator of the last node: "LogSoftmax", "Gemm"; "Softmax" was left out

 private:
  std::unique_ptr<OnnxGraph> graph_;
  std::string ending_;
};

// What a graph says of the images that it takes, [channels, height, width], and of how many classes it tells apart (0: it does not say).
// Error(input) where its input has other axes than [batch, channels, height, width], or sizes that are left open.
Shape onnx_image(const OnnxModel& model);
std::int64_t onnx_classes(const OnnxModel& model);

}  // namespace graft
