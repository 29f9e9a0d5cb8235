#include "weights/onnx/constants.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "weights/onnx/graph.h"
#include "weights/onnx/types.h"

namespace graft {
namespace onnx {
namespace {

const OnnxTensor* constant_of(const OnnxNode& n) {
  if (n.op != "Constant" || !n.domain.empty() || n.outputs.empty()) return nullptr;
  const OnnxAttribute* a = n.find("value");
  return a && a->kind == OnnxAttribute::Kind::tensor && a->reference.empty() && a->tensors.size() == 1 ? a->tensors[0].get() : nullptr;
}

using Found = std::function<void(const std::string&, const OnnxTensor&)>;
void walk(const std::vector<OnnxNode>& nodes, const std::vector<OnnxTensor>* initialisers, const std::string& path, const Found& f) {
  if (initialisers)
    for (const OnnxTensor& t : *initialisers) f(path + t.name, t);
  for (const OnnxNode& n : nodes) {
    if (const OnnxTensor* t = constant_of(n)) f(path + n.outputs[0], *t);
    for (const OnnxAttribute& a : n.attributes)
      for (std::size_t k = 0; k < a.graphs.size(); ++k)
        walk(a.graphs[k]->nodes, &a.graphs[k]->initialisers, path_below(path, n, a.name + (k ? std::to_string(k) : "")), f);
  }
}

// What input `i` of the operator makes of a constant.
Use use_at(const OnnxNode& n, std::size_t i, std::int64_t elements) {
  const std::string_view op = n.op;
  const auto any = [&](std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), op) != names.end(); };
  if (op == "BatchNormalization") return i >= 3 ? Use::running : i == 1 ? Use::scale : i == 2 ? Use::weight : Use::plain;
  if (any({"InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"}))
    return i == 1 ? Use::scale : i == 2 ? Use::weight : Use::plain;
  if (any({"Conv", "ConvTranspose", "DeformConv"})) return i == 1 || i == 2 || i == 3 ? Use::weight : Use::plain;
  if (any({"Gemm", "MatMul", "Einsum"})) return Use::weight;
  if (op == "PRelu") return i == 1 ? Use::weight : Use::plain;
  if (any({"LSTM", "GRU", "RNN"})) return i == 1 || i == 2 || i == 3 || i == 7 ? Use::weight : Use::plain;
  if (elements < 2) return Use::plain;
  if (!n.domain.empty()) return Use::weight;  // a function of the model's own
  if (any({"Add", "Sub", "Mul", "Div"})) return Use::weight;
  if (any({"Gather", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Slice", "Split", "Identity", "Flatten"}))
    return i == 0 ? Use::weight : Use::plain;
  return any({"Concat"}) ? Use::weight : Use::plain;
}

struct Names {
  const Names* outer;
  std::unordered_map<std::string, std::pair<std::string, std::int64_t>> here;  // name in the graph -> name of the constant and its elements
  const std::pair<std::string, std::int64_t>* find(const std::string& n) const {
    for (const Names* s = this; s; s = s->outer)
      if (const auto it = s->here.find(n); it != s->here.end()) return &it->second;
    return nullptr;
  }
};
void look(const std::vector<OnnxNode>& nodes, const std::vector<OnnxTensor>* initialisers, const std::string& path, const Names* outer,
          std::map<std::string, Use>& uses) {
  Names names{outer, {}};
  const auto note = [&](const std::string& name, const OnnxTensor& t) {
    std::int64_t n = 1;
    for (const std::int64_t d : t.dims) n *= d;
    if (is_float_type(t.type) && !t.dims.empty() && t.dims.size() <= static_cast<std::size_t>(kMaxRank) && n > 0)
      names.here[name] = {path + name, n};
  };
  if (initialisers)
    for (const OnnxTensor& t : *initialisers) note(t.name, t);
  for (const OnnxNode& n : nodes)
    if (const OnnxTensor* t = constant_of(n)) note(n.outputs[0], *t);
  for (const OnnxNode& n : nodes) {
    for (std::size_t i = 0; i < n.inputs.size(); ++i)
      if (const auto* c = names.find(n.inputs[i])) {
        Use& use = uses[c->first];
        if (const Use u = use_at(n, i, c->second); u != Use::plain && use != Use::running && (use != Use::scale || u == Use::running))
          use = u;
      }
    for (const OnnxAttribute& a : n.attributes)
      for (std::size_t k = 0; k < a.graphs.size(); ++k)
        look(a.graphs[k]->nodes, &a.graphs[k]->initialisers, path_below(path, n, a.name + (k ? std::to_string(k) : "")), &names, uses);
  }
}

}  // namespace

std::string path_below(const std::string& path, const OnnxNode& node, const std::string& attribute) {
  std::string id;  // no two nodes of a graph share an output; names of nodes may repeat
  for (const std::string& o : node.outputs)
    if (id.empty()) id = o;
  if (id.empty()) id = node.name;
  return path + id + "/" + attribute + "/";
}
std::string path_of_function(const OnnxFunction& f) {
  return "function/" + f.domain + "." + f.name + (f.overload.empty() ? "" : ":" + f.overload) + "/";
}

void each_constant(const OnnxModel& model, const Found& f) {
  walk(model.graph.nodes, &model.graph.initialisers, "", f);
  for (const OnnxFunction& fn : model.functions) walk(fn.nodes, nullptr, path_of_function(fn), f);
}
std::map<std::string, Use> uses_of_constants(const OnnxModel& model) {
  std::map<std::string, Use> uses;
  look(model.graph.nodes, &model.graph.initialisers, "", nullptr, uses);
  for (const OnnxFunction& fn : model.functions) look(fn.nodes, nullptr, path_of_function(fn), nullptr, uses);
  return uses;
}

}  // namespace onnx

std::map<std::string, const OnnxTensor*> onnx_constants(const OnnxModel& model) {
  std::map<std::string, const OnnxTensor*> all;
  onnx::each_constant(model, [&](const std::string& name, const OnnxTensor& t) { all.emplace(name, &t); });
  return all;
}
Params::Lookup onnx_lookup(std::shared_ptr<const OnnxModel> model) {
  auto all = std::make_shared<std::map<std::string, const OnnxTensor*>>(onnx_constants(*model));
  return [model, all](const std::string& name) -> Tensor {
    const auto it = all->find(name);
    return it == all->end() ? Tensor{} : onnx::value_of(*it->second, model->path).tensor;
  };
}

}  // namespace graft
