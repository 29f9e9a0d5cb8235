#include "weights/onnx/graph.h"

#include <algorithm>
#include <queue>
#include <set>
#include <unordered_map>

#include "engine/autograd/tape.h"
#include "weights/formats/json_guard.h"
#include "weights/onnx/body.h"
#include "weights/onnx/constants.h"

namespace graft {
namespace onnx {
namespace {

constexpr int kMaxCalls = 32;  // functions in functions
constexpr std::size_t kMaxSteps = 200'000;
constexpr std::int64_t kMaxFolded =
    512;  // elements of a folded node's inputs: three of a third of it each make no more than 5 million by broadcasting
// What exporters compute shapes with. Nothing else is run before somebody asks for a run: a few bytes of a file can ask for any amount of
// memory and time.
constexpr std::string_view kFolded[] = {"Abs",
                                        "Add",
                                        "And",
                                        "Cast",
                                        "Ceil",
                                        "Concat",
                                        "Constant",
                                        "Div",
                                        "Equal",
                                        "Floor",
                                        "Gather",
                                        "Greater",
                                        "GreaterOrEqual",
                                        "Identity",
                                        "Less",
                                        "LessOrEqual",
                                        "Max",
                                        "Min",
                                        "Mod",
                                        "Mul",
                                        "Neg",
                                        "Not",
                                        "Or",
                                        "ReduceMax",
                                        "ReduceMin",
                                        "ReduceProd",
                                        "ReduceSum",
                                        "Reshape",
                                        "Shape",
                                        "Size",
                                        "Slice",
                                        "Sqrt",
                                        "Squeeze",
                                        "Sub",
                                        "Transpose",
                                        "Unsqueeze",
                                        "Where"};

void call_function(Call& c) {
  std::vector<OnnxValue> inputs(c.body_inputs("body"));
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (c.has(i)) inputs[i] = c.in(i);
  for (OnnxValue& v : c.run_body("body", inputs)) c.out(std::move(v));
}
const Operator kCallFunction{"function", call_function};

// Attributes that name one of the call's are replaced by it, in subgraphs too; without one, the function's default or nothing.
std::vector<OnnxNode> with_attributes(const std::vector<OnnxNode>& nodes, const std::map<std::string, const OnnxAttribute*>& given);
OnnxAttribute with_attributes(const OnnxAttribute& a, const std::map<std::string, const OnnxAttribute*>& given) {
  OnnxAttribute b = a;
  for (auto& g : b.graphs) {
    auto copy = std::make_shared<OnnxGraphDef>(*g);
    copy->nodes = with_attributes(copy->nodes, given);
    g = copy;
  }
  return b;
}
std::vector<OnnxNode> with_attributes(const std::vector<OnnxNode>& nodes, const std::map<std::string, const OnnxAttribute*>& given) {
  std::vector<OnnxNode> out;
  for (const OnnxNode& n : nodes) {
    OnnxNode m = n;
    m.attributes.clear();
    for (const OnnxAttribute& a : n.attributes) {
      if (a.reference.empty()) {
        m.attributes.push_back(with_attributes(a, given));
      } else if (const auto it = given.find(a.reference); it != given.end()) {
        m.attributes.push_back(*it->second);
        m.attributes.back().name = a.name;
      }
    }
    out.push_back(std::move(m));
  }
  return out;
}

struct Names {  // that a graph may read from those around it
  const Names* outer = nullptr;
  const std::set<std::string>* here = nullptr;
  bool has(const std::string& n) const {
    for (const Names* s = this; s; s = s->outer)
      if (s->here && s->here->count(n)) return true;
    return false;
  }
};

class Builder {
 public:
  Builder(const OnnxModel& model, const Params* params) : model_(model), params_(params) {
    if (params) uses_ = uses_of_constants(model);
  }
  // `graph`: of which these are; nothing for those of a function.
  std::shared_ptr<const Body> build(const std::vector<OnnxNode>& nodes, const OnnxGraphDef* graph, const std::vector<std::string>& inputs,
                                    const std::vector<std::string>& outputs, const std::string& path,
                                    const std::map<std::string, std::int64_t>& opsets, const Names* outer, int depth);
  std::vector<std::string> refusals;  // all of them, so that a user sees them at once
  bool draws = false;

 private:
  OnnxValue load(const std::string& name, const OnnxTensor& t);
  std::shared_ptr<const Body> function_of(const OnnxNode& n, const OnnxFunction& f, int depth);
  const OnnxFunction* find_function(const OnnxNode& n) const {
    for (const OnnxFunction& f : model_.functions)
      if (f.domain == n.domain && f.name == n.op && f.overload == n.overload) return &f;
    return nullptr;
  }
  [[noreturn]] void wrong(const std::string& what, std::uint64_t at, const std::string& advice) const {
    throw Error(Code::input, model_.path + ": " + what + " at byte " + std::to_string(at) + "; " + advice);
  }
  void fold(Body& body, std::vector<Step>& steps) const;

  const OnnxModel& model_;
  const Params* params_;
  std::map<std::string, Use> uses_;
  // A function that is called twice has its constants once, by name and by where their numbers lie: a constant that is an attribute is
  // another one in each call.
  std::map<std::string, std::map<const std::byte*, OnnxValue>> loaded_;
  std::size_t steps_ = 0;  // nodes that were made ready, those of functions in each call
};

OnnxValue Builder::load(const std::string& name, const OnnxTensor& t) {
  auto& of_name = loaded_[name];
  if (const auto it = of_name.find(t.data.data()); it != of_name.end()) return it->second;
  OnnxValue v;
  try {
    v = value_of(t, model_.path);
  } catch (const OnnxRefusal& e) {
    refusals.push_back(e.what());
    return {};
  }
  const auto use = uses_.find(name);
  if (params_ && of_name.empty() && use != uses_.end() && use->second != Use::plain) {
    const Shape& shape = v.tensor.shape();
    if (use->second == Use::running) v.tensor = params_->buffer(name, shape, name.find("var") != std::string::npos ? 1 : 0);
    else
      v.tensor = params_->get(name, shape,
                              use->second == Use::scale ? Init::constant(1)
                              : shape.rank() > 1        ? default_weight_init()
                                                        : Init::zeros());
  } else if (is_float_type(v.type)) {
    v.tensor = here(v.tensor);
  }
  return of_name[t.data.data()] = v;
}

std::shared_ptr<const Body> Builder::function_of(const OnnxNode& n, const OnnxFunction& f, int depth) {
  std::map<std::string, const OnnxAttribute*> given;
  for (const OnnxAttribute& a : f.defaults) given[a.name] = &a;
  for (const OnnxAttribute& a : n.attributes) given[a.name] = &a;
  std::map<std::string, std::int64_t> opsets = model_.opsets;
  for (const auto& [domain, version] : f.opsets) opsets[domain] = version;
  return build(with_attributes(f.nodes, given), nullptr, f.inputs, f.outputs, path_of_function(f), opsets, nullptr, depth + 1);
}

std::shared_ptr<const Body> Builder::build(const std::vector<OnnxNode>& nodes, const OnnxGraphDef* graph,
                                           const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
                                           const std::string& path, const std::map<std::string, std::int64_t>& opsets, const Names* outer,
                                           int depth) {
  if (depth > kMaxCalls) wrong("functions call each other deeper than " + std::to_string(kMaxCalls), 0, "a function may not call itself");
  steps_ += nodes.size() + 1;
  if (steps_ > kMaxSteps)
    wrong("functions that call functions unfold to more than " + std::to_string(kMaxSteps) + " nodes", 0,
          "no model is that large, do not trust the file");
  auto body = std::make_shared<Body>();
  std::set<std::string> names;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (!names.insert(inputs[i]).second)
      wrong("two inputs of a graph have the name " + in_quotes(inputs[i]),
            graph           ? graph->inputs[i].at
            : nodes.empty() ? 0
                            : nodes[0].at,
            "names must be unique");
  if (graph)
    for (const OnnxTensor& t : graph->initialisers) {
      if (!body->constants.emplace(t.name, load(path + t.name, t)).second)
        wrong("initialiser " + in_quotes(t.name) + " stands twice", t.at, "names must be unique");
      names.insert(t.name);
    }
  for (const std::string& i : inputs)
    if (!body->constants.count(i)) body->inputs.push_back(i);
  std::unordered_map<std::string, std::size_t> maker;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    for (const std::string& o : nodes[i].outputs) {
      if (o.empty()) continue;
      if (!names.insert(o).second)
        wrong("node " + nodes[i].str() + " makes " + in_quotes(o) + ", which is made already", nodes[i].at, "names must be unique");
      maker[o] = i;
    }

  const Names around{outer, &names};
  std::vector<Step> steps(nodes.size());
  std::vector<std::vector<std::string>> reads(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const OnnxNode& n = nodes[i];
    Step& s = steps[i];
    s.node = n;
    for (const std::string& name : n.inputs)
      if (!name.empty()) reads[i].push_back(name);
    if (const OnnxFunction* f = find_function(n)) {
      s.op = &kCallFunction;
      s.bodies.push_back(function_of(n, *f, depth));
      OnnxAttribute a;
      a.name = "body";
      a.kind = OnnxAttribute::Kind::graph;
      s.node.attributes = {a};
      continue;
    }
    const auto opset = opsets.find(n.domain);
    s.opset = opset == opsets.end() ? 0 : opset->second;
    s.op = find_operator(n.domain, n.op);
    if (!s.op || opset == opsets.end()) {
      refusals.push_back("node " + n.str() + " of " + (opset == opsets.end() ? "no imported opset" : "opset " + std::to_string(s.opset)) +
                         " is unknown at byte " + std::to_string(n.at));
    }
    if (s.op && s.op->random) draws = true;
    for (const OnnxAttribute& a : n.attributes) {
      for (std::size_t k = 0; k < a.graphs.size(); ++k) {
        const OnnxGraphDef& g = *a.graphs[k];
        std::vector<std::string> in, out;
        for (const OnnxValueInfo& v : g.inputs) in.push_back(v.name);
        for (const OnnxValueInfo& v : g.outputs) out.push_back(v.name);
        if (g.sparse_initialisers) refusals.push_back("graph " + in_quotes(g.name) + " has sparse initialisers");
        s.bodies.push_back(
            build(g.nodes, &g, in, out, path_below(path, n, a.name + (k ? std::to_string(k) : "")), opsets, &around, depth + 1));
        for (const std::string& r : s.bodies.back()->reads) reads[i].push_back(r);
      }
    }
  }

  // An order in which every node finds its inputs; the file's own where it is one.
  std::vector<std::vector<std::size_t>> readers(nodes.size());
  std::vector<std::size_t> waits(nodes.size(), 0);
  std::set<std::string> from_outside;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    for (const std::string& r : reads[i]) {
      if (const auto it = maker.find(r); it != maker.end()) readers[it->second].push_back(i), ++waits[i];
      else if (names.count(r)) continue;
      else if (outer && outer->has(r)) from_outside.insert(r);
      else wrong("node " + nodes[i].str() + " reads " + in_quotes(r) + ", which nothing makes", nodes[i].at, "the model is damaged");
    }
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (!waits[i]) ready.push(i);
  std::vector<Step> ordered;
  while (!ready.empty()) {
    const std::size_t i = ready.top();
    ready.pop();
    ordered.push_back(std::move(steps[i]));
    for (const std::size_t r : readers[i])
      if (--waits[r] == 0) ready.push(r);
  }
  if (ordered.size() != nodes.size())
    for (std::size_t i = 0; i < nodes.size(); ++i)
      if (waits[i])
        wrong("the graph is a circle: node " + nodes[i].str() + " waits for its own result", nodes[i].at,
              "no order of the nodes can be run");
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (const std::string& o = outputs[i]; !names.count(o)) {
      if (outer && outer->has(o)) from_outside.insert(o);
      else
        wrong("output " + in_quotes(o) + " of a graph is made by nothing",
              graph           ? graph->outputs[i].at
              : nodes.empty() ? 0
                              : nodes[0].at,
              "the model is damaged");
    }
  body->outputs = outputs;
  body->reads.assign(from_outside.begin(), from_outside.end());

  // Constants with a tensor are loaded as initialisers are.
  std::vector<Step> kept;
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    Step& s = ordered[i];
    const OnnxAttribute* a = s.node.op == "Constant" && s.node.domain.empty() ? s.node.find("value") : nullptr;
    if (a && a->kind == OnnxAttribute::Kind::tensor && !s.node.outputs.empty()) {
      body->constants[s.node.outputs[0]] = load(path + s.node.outputs[0], *a->tensors[0]);
      continue;
    }
    kept.push_back(std::move(s));
  }
  if (refusals.empty()) fold(*body, kept);
  std::unordered_map<std::string, std::size_t> last;
  const std::set<std::string> wanted(outputs.begin(), outputs.end());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    for (const std::string& o : kept[i].node.outputs)
      if (!o.empty() && !wanted.count(o)) last[o] = i;
    const auto read = [&](const std::string& r) {
      if (const auto it = last.find(r); it != last.end()) it->second = i;
    };
    for (const std::string& r : kept[i].node.inputs) read(r);
    for (const auto& b : kept[i].bodies)
      for (const std::string& r : b->reads) read(r);
  }
  for (const auto& [name, at] : last) kept[at].free_after.push_back(name);
  body->steps = std::move(kept);
  return body;
}

// Nodes that only constants lead to are run now. One that fails is left: the branch that has it may never be taken.
void Builder::fold(Body& body, std::vector<Step>& steps) const {
  NoGrad off;
  std::vector<Step> kept;
  for (Step& s : steps) {
    bool able =
        s.bodies.empty() && s.node.domain.empty() && std::find(std::begin(kFolded), std::end(kFolded), s.node.op) != std::end(kFolded);
    std::int64_t elements = 0;
    for (const std::string& i : s.node.inputs) {
      if (i.empty()) continue;
      const auto it = body.constants.find(i);
      able = able && it != body.constants.end() && it->second.defined() && !it->second.tensor.requires_grad();
      if (able) elements += it->second.tensor.numel();
    }
    if (able && elements <= kMaxFolded) {
      Scope scope(body, nullptr);
      try {
        execute(s, scope, nullptr);
        for (const std::string& o : s.node.outputs)
          if (!o.empty()) body.constants[o] = *scope.find(o);
        continue;
      } catch (const Error&) {}
    }
    kept.push_back(std::move(s));
  }
  steps = std::move(kept);
}

}  // namespace
}  // namespace onnx

struct OnnxGraph::State {
  std::shared_ptr<const onnx::Body> body;
};

OnnxGraph::~OnnxGraph() = default;

OnnxGraph::OnnxGraph(std::shared_ptr<const OnnxModel> model, const Params* params)
    : model_(std::move(model)), state_(std::make_unique<State>()) {
  const OnnxGraphDef& g = model_->graph;
  onnx::Builder b(*model_, params);
  std::set<std::string> given;
  for (const OnnxTensor& t : g.initialisers) given.insert(t.name);
  std::vector<std::string> in, out;
  const auto check = [&](const OnnxValueInfo& v, const char* what) {
    const onnx::TypeInfo* t = onnx::type_info(v.type);
    if (v.kind != "tensor")
      b.refusals.push_back(std::string(what) + " " + in_quotes(v.name) + " is a " + v.kind + " at byte " + std::to_string(v.at));
    else if (v.type != 0 && (!t || !t->computes))
      b.refusals.push_back(std::string(what) + " " + in_quotes(v.name) + " is of " + onnx::type_name(v.type) + " at byte " +
                           std::to_string(v.at));
  };
  for (const OnnxValueInfo& v : g.inputs) {
    in.push_back(v.name);
    if (given.count(v.name)) continue;
    check(v, "input");
    inputs_.push_back(v);
  }
  for (const OnnxValueInfo& v : g.outputs) {
    out.push_back(v.name);
    check(v, "output");
  }
  outputs_ = g.outputs;
  if (g.sparse_initialisers) b.refusals.push_back("the graph has sparse initialisers");
  for (const auto& [domain, version] : model_->opsets)
    if (domain.empty() && version > kNewestOpset)
      b.refusals.push_back("opset " + std::to_string(version) + " is newer than " + std::to_string(kNewestOpset) +
                           ", the newest that graft knows");
  state_->body = b.build(g.nodes, &g, in, out, "", model_->opsets, nullptr, 0);
  draws_ = b.draws;
  if (!b.refusals.empty()) {
    std::string all;
    for (const std::string& r : b.refusals) all += (all.empty() ? "" : "; ") + r;
    throw OnnxRefusal(model_->path + ": graft cannot run this graph: " + all +
                      "; export it with other operators or an older opset (its weights can be read: graft inspect, graft convert)");
  }
}

std::vector<OnnxValue> OnnxGraph::run(const std::vector<OnnxValue>& inputs, Run* run) const {
  if (inputs.size() != inputs_.size())
    throw Error(Code::usage,
                model_->path + " wants " + std::to_string(inputs_.size()) + " inputs and is given " + std::to_string(inputs.size()));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const OnnxValueInfo& want = inputs_[i];
    if (want.type != 0 && inputs[i].type != want.type)
      throw Error(Code::input, model_->path + ": input " + in_quotes(want.name) + " is of " + onnx::type_name(want.type) +
                                   ", and is given " + onnx::type_name(inputs[i].type));
  }
  try {
    return onnx::execute(*state_->body, inputs, nullptr, run);
  } catch (const OnnxRefusal& e) { throw OnnxRefusal(model_->path + ": " + e.what()); } catch (const Error& e) {
    if (e.code() != Code::input) throw;
    throw Error(Code::input, model_->path + ": " + e.what());
  }
}

}  // namespace graft
