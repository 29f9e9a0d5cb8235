// A graph made ready to run: nodes in an order in which they can run, each with its operator found, constants loaded, and what may be
// forgotten after each step.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "weights/onnx/op.h"

namespace graft::onnx {

struct Step {
  OnnxNode node;
  std::int64_t opset = 0;
  const Operator* op = nullptr;
  std::vector<std::shared_ptr<const Body>> bodies;  // of its graph attributes, in their order
  std::vector<std::string> free_after;              // values of this body that nothing later reads
};

struct Body {
  std::vector<std::string> inputs, outputs;
  std::vector<Step> steps;
  std::unordered_map<std::string, OnnxValue> constants;
  std::vector<std::string> reads;  // names of outer graphs
};

// The values of one run of a body; names that it lacks are asked of the graph around it.
class Scope {
 public:
  Scope(const Body& body, const Scope* outer) : body_(body), outer_(outer) {}
  const OnnxValue* find(const std::string& name) const;
  void set(const std::string& name, OnnxValue v) { values_[name] = std::move(v); }
  void forget(const std::string& name) { values_.erase(name); }

 private:
  const Body& body_;
  const Scope* outer_;
  std::unordered_map<std::string, OnnxValue> values_;
};

// Runs the steps; `inputs` in the body's order. Errors of the engine are told with the node's name.
std::vector<OnnxValue> execute(const Body& body, const std::vector<OnnxValue>& inputs, const Scope* outer, graft::Run* run);
void execute(const Step& step, Scope& scope, graft::Run* run);

}  // namespace graft::onnx
