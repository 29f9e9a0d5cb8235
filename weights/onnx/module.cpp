#include "weights/onnx/module.h"

#include <algorithm>

#include "weights/formats/json_guard.h"
#include "weights/onnx/types.h"

namespace graft {
namespace {

// The graph without the Softmax that makes its first output, where nothing else reads it; `ending` is told.
std::shared_ptr<const OnnxModel> with_logits(std::shared_ptr<const OnnxModel> model, std::string& ending) {
  const OnnxGraphDef& g = model->graph;
  if (g.outputs.empty()) throw Error(Code::input, model->path + ": the graph has no output");
  const std::string& out = g.outputs[0].name;
  for (const OnnxNode& n : g.nodes) {
    if (std::find(n.outputs.begin(), n.outputs.end(), out) == n.outputs.end()) continue;
    ending = n.op;
    if (n.op != "Softmax" || !n.domain.empty() || n.inputs.empty()) break;
    auto copy = std::make_shared<OnnxModel>(*model);
    const std::string logits = n.inputs[0];
    const bool read = std::any_of(g.nodes.begin(), g.nodes.end(),
                                  [&](const OnnxNode& m) { return std::find(m.inputs.begin(), m.inputs.end(), out) != m.inputs.end(); });
    if (!read) std::erase_if(copy->graph.nodes, [&](const OnnxNode& m) { return !m.outputs.empty() && m.outputs[0] == out; });
    copy->graph.outputs[0].name = logits;
    return copy;
  }
  return model;
}

}  // namespace

OnnxModule::OnnxModule(std::shared_ptr<const OnnxModel> model, const Params& params) {
  graph_ = std::make_unique<OnnxGraph>(with_logits(std::move(model), ending_), &params);
  if (graph_->inputs().size() != 1)
    throw Error(Code::input, graph_->model().path + ": the graph wants " + std::to_string(graph_->inputs().size()) +
                                 " inputs; a classifier of graft's has one");
  if (const OnnxValueInfo& in = graph_->inputs()[0]; in.type != 0 && !onnx::is_float_type(in.type))
    throw Error(Code::input, graph_->model().path + ": the graph wants " + onnx::type_name(in.type) +
                                 " as its input; a classifier of graft's has floats");
}

Tensor OnnxModule::forward(const Tensor& x, Run& run) const {
  const int type = graph_->inputs()[0].type ? graph_->inputs()[0].type : static_cast<int>(onnx::kFloat);
  const std::vector<OnnxValue> y = graph_->run({{cast(x, onnx::type_info(type)->held), type}}, &run);
  const Tensor logits = cast(y[0].tensor, x.dtype());
  if (logits.rank() < 1 || logits.size(0) != x.size(0))
    throw Error(Code::input, graph_->model().path + ": the graph gives " + logits.str() + " for " + x.str() +
                                 "; it was exported for another size of batch: export it with a free one");
  return logits;
}

Shape onnx_image(const OnnxModel& model) {
  const OnnxGraphDef& g = model.graph;
  const auto given = [&](const OnnxValueInfo& v) {
    return std::any_of(g.initialisers.begin(), g.initialisers.end(), [&](const OnnxTensor& t) { return t.name == v.name; });
  };
  const auto in = std::find_if(g.inputs.begin(), g.inputs.end(), [&](const OnnxValueInfo& v) { return !given(v); });
  if (in == g.inputs.end())
    throw Error(Code::input, model.path + ": the graph has no input at byte 0; a classifier of graft's has one, of images");
  const auto refuse = [&](const std::string& what) {
    throw Error(Code::input,
                model.path + ": the input " + what + " at byte " + std::to_string(in->at) + " (" + in_quotes(in->name) +
                    "); export it with the sizes of its images, [batch, channels, height, width], of which the first alone may be free");
  };
  if (!in->has_shape) refuse("has no shape");
  std::string sizes;
  for (const std::int64_t n : in->dims) sizes += (sizes.empty() ? "" : ",") + (n < 0 ? std::string("?") : std::to_string(n));
  if (in->dims.size() != 4 || std::any_of(in->dims.begin() + 1, in->dims.end(), [](std::int64_t n) { return n < 1 || n >= 1 << 20; }))
    refuse("has the shape [" + sizes + "], which is no image's,");
  return Shape(std::vector<std::int64_t>(in->dims.begin() + 1, in->dims.end()));
}

std::int64_t onnx_classes(const OnnxModel& model) {
  if (model.graph.outputs.empty()) return 0;
  const OnnxValueInfo& out = model.graph.outputs[0];
  return out.dims.size() == 2 && out.dims[1] > 0 ? out.dims[1] : 0;
}

}  // namespace graft
