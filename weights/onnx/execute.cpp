#include <new>

#include "weights/formats/json_guard.h"
#include "weights/onnx/body.h"

namespace graft::onnx {

void execute(const Step& step, Scope& scope, graft::Run* run) {
  Call call(step.node, step.opset, step.bodies, scope, run);
  const auto told = [&](const std::string& what) { return "node " + step.node.str() + " " + call.shown() + ": " + what; };
  try {
    step.op->run(call);
  } catch (const OnnxRefusal&) { throw; } catch (const Error& e) {
    if (e.code() == Code::usage)
      throw Error(Code::input, told(e.what()) + "; the model is damaged or was exported for other inputs, check it or export it again");
    throw;
  } catch (const std::bad_alloc&) {
    throw Error(Code::memory, told("its result does not fit in memory") + "; give it smaller inputs, or check the model");
  }
  for (std::size_t i = 0; i < step.node.outputs.size(); ++i) {
    const std::string& name = step.node.outputs[i];
    if (name.empty()) continue;
    if (i >= call.results.size() || !call.results[i].defined())
      call.refuse("is asked for its output " + std::to_string(i) + ", which graft does not compute");
    scope.set(name, std::move(call.results[i]));
  }
}

std::vector<OnnxValue> execute(const Body& body, const std::vector<OnnxValue>& inputs, const Scope* outer, graft::Run* run) {
  if (inputs.size() != body.inputs.size())
    throw Error(Code::input, "a graph with " + std::to_string(body.inputs.size()) + " inputs is given " + std::to_string(inputs.size()));
  Scope scope(body, outer);
  for (std::size_t i = 0; i < inputs.size(); ++i) scope.set(body.inputs[i], inputs[i]);
  for (const Step& step : body.steps) {
    execute(step, scope, run);
    for (const std::string& name : step.free_after) scope.forget(name);
  }
  std::vector<OnnxValue> out;
  for (const std::string& name : body.outputs) {
    const OnnxValue* v = scope.find(name);
    if (!v) throw Error(Code::input, "output " + in_quotes(name) + " of a graph has no value");
    out.push_back(*v);
  }
  return out;
}

}  // namespace graft::onnx
