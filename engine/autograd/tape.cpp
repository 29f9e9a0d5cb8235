#include "engine/autograd/tape.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/ops/ops.h"

namespace graft {
namespace {
thread_local bool record_mode = true;
thread_local bool higher_mode = false;
}  // namespace

bool recording() { return record_mode; }
NoGrad::NoGrad() : before_(record_mode) { record_mode = false; }
NoGrad::NoGrad(bool record) : before_(record_mode) { record_mode = record; }
NoGrad::~NoGrad() { record_mode = before_; }
bool higher_order() { return higher_mode; }
HigherOrder::HigherOrder() : before_(higher_mode) { higher_mode = true; }
HigherOrder::~HigherOrder() { higher_mode = before_; }

void Context::describe_inputs(const Tensors& in, bool recording) {
  for (const Tensor& t : in) {
    needs_.push_back(recording && t.defined() && t.requires_grad());
    input_shapes_.push_back(t.defined() ? t.shape() : Shape{});
    input_dtypes_.push_back(t.defined() ? t.dtype() : DType::f32);
  }
}
const Tensor& Context::saved(int i) const {
  const auto k = static_cast<std::size_t>(i);
  const Tensor& t = saved_.at(k);
  if (t.defined() && t.storage()->version != versions_[k])
    throw Error(Code::usage, std::string(op) + ": " + t.str() + (t.name().empty() ? "" : " '" + t.name() + "'") +
                                 " is needed for the gradient but was changed in place after the forward pass; copy it before changing it");
  return t;
}
std::int64_t Context::saved_bytes() const {
  std::int64_t n = 0;
  for (const Tensor& t : saved_) n += t.defined() ? t.bytes() : 0;
  return n;
}

// Long chains (an RNN over thousands of steps) would otherwise recurse through shared_ptr destructors and overflow the stack.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> stack;
  const auto take = [&stack](std::vector<Edge>& edges) {
    for (Edge& e : edges)
      if (e.node) stack.push_back(std::move(e.node));
  };
  take(inputs);
  while (!stack.empty()) {
    const std::shared_ptr<Node> n = std::move(stack.back());
    stack.pop_back();
    if (n.use_count() == 1) take(n->inputs);
  }
}

std::string Node::str() const {
  std::string s(name);
  const std::string a = attributes();
  if (!a.empty()) s += "(" + a + ")";
  for (std::size_t i = 0; i < output_shapes.size(); ++i)
    s += (i ? ", " : " ") + std::string(name_of(output_dtypes[i])) + output_shapes[i].str();
  return s;
}

std::string describe_call(std::string_view name, const std::string& attributes, const Tensors& in) {
  std::string s(name);
  if (!attributes.empty()) s += "(" + attributes + ")";
  const char* before = " of ";
  for (const Tensor& t : in) {
    s += before + (t.defined() ? t.str() : std::string("-"));
    before = ", ";
  }
  return s;
}

bool any_requires_grad(const Tensors& in) {
  return std::any_of(in.begin(), in.end(), [](const Tensor& t) { return t.defined() && t.requires_grad(); });
}

void attach(const std::shared_ptr<Node>& node, const Tensors& in, Tensors& out) {
  for (const Tensor& t : in) {
    Node::Edge e;
    if (t.defined() && t.requires_grad()) {
      if (t.node()) {
        e.node = t.node();
        e.output = t.output_index();
      } else {
        e.leaf = t;
      }
    }
    node->inputs.push_back(std::move(e));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    Tensor& t = out[i];
    node->output_shapes.push_back(t.shape());
    node->output_dtypes.push_back(t.dtype());
    if (!is_float(t.dtype())) continue;
    // An output that is an input handed through (contiguous() of a dense tensor) needs a handle of its own.
    const bool given = std::any_of(in.begin(), in.end(), [&](const Tensor& i) { return i.defined() && i.handle() == t.handle(); });
    if (given || t.impl()->node || t.impl()->requires_grad) t = t.alias(t.shape(), t.strides(), 0);
    t.impl()->node = node;
    t.impl()->output_index = static_cast<int>(i);
  }
}

void add_hook(const Tensor& t, std::function<Tensor(const Tensor&)> f) {
  if (!t.requires_grad()) throw Error(Code::usage, "add_hook: " + t.str() + " does not want a gradient");
  if (!t.node()) throw Error(Code::usage, "add_hook: " + t.str() + " is a leaf; read its grad() after backward instead");
  t.node()->hooks.push_back({t.output_index(), std::move(f)});
}

namespace {

// Nodes that the roots depend on, each after all that use it.
std::vector<Node*> order_from(const Tensors& roots) {
  std::vector<Node*> post;
  std::unordered_set<Node*> seen;
  std::vector<std::pair<Node*, std::size_t>> stack;
  for (const Tensor& root : roots) {
    if (root.node() && seen.insert(root.node().get()).second) stack.emplace_back(root.node().get(), 0);
    while (!stack.empty()) {
      auto& [n, next] = stack.back();
      if (next == n->inputs.size()) {
        post.push_back(n);
        stack.pop_back();
        continue;
      }
      Node* child = n->inputs[next++].node.get();
      if (child && seen.insert(child).second) stack.emplace_back(child, 0);
    }
  }
  std::reverse(post.begin(), post.end());
  return post;
}

Tensor seed_for(const Tensor& root, const Tensor& seed) {
  if (!root.requires_grad())
    throw Error(Code::usage, "backward: " + root.str() + " does not depend on anything that wants a gradient; was it made under NoGrad?");
  if (!seed.defined()) {
    if (root.numel() != 1)
      throw Error(Code::usage, "backward: " + root.str() + " has " + std::to_string(root.numel()) +
                                   " elements; give a seed of its shape or reduce it to one");
    const Tensor one = Tensor::ones(root.shape(), root.dtype());
    one.impl()->unit_seed = true;
    return one;
  }
  if (!(seed.shape() == root.shape()) || seed.dtype() != root.dtype())
    throw Error(Code::usage, "backward: seed " + seed.str() + " does not match " + root.str());
  return seed;
}

// A leaf's gradient may be changed in place: it is dense, and its memory is nobody else's (the gradient of a sum is one number stretched,
// that of add() the same tensor for both operands).
Tensor own(const Tensor& g) {
  const bool alone = g.handle().use_count() == 1 && g.storage().use_count() == 1;
  return alone && g.is_contiguous() ? g : clone(g);
}

// The one place where gradients flow. `accept(leaf, grad)` takes what reaches leaves; `watch` maps (node, output) to a slot for results.
struct Watch {
  const Node* node;
  int output;
  bool ends = false;  // the gradient goes no further
};
using Accept = std::function<void(const Tensor& leaf, const Tensor& grad)>;

// The pass that this thread is in, for a pass within it: what a recomputed function captured is the outer one's business.
struct Pass {
  const BackwardOptions& options;
  const Accept& accept;
};
thread_local const Pass* current_pass = nullptr;

void run(const Tensors& roots, const Tensors& seeds, const BackwardOptions& options, const Accept& accept, const std::vector<Watch>& watch,
         Tensors* watched) {
  const Pass pass{options, accept};
  struct Inside {
    explicit Inside(const Pass* now) : before(std::exchange(current_pass, now)) {}
    ~Inside() { current_pass = before; }
    const Pass* before;
  } inside(&pass);
  std::unordered_map<Node*, Tensors> pending;
  const auto add_into = [](Tensor& slot, const Tensor& g) { slot = slot.defined() ? add(slot, g) : g; };
  const auto send = [&](const std::shared_ptr<Node>& node, int output, const Tensor& g) {
    Tensors& slots = pending[node.get()];
    slots.resize(node->output_shapes.size());
    add_into(slots[static_cast<std::size_t>(output)], g);
  };

  const auto execute = [&] {
    for (std::size_t r = 0; r < roots.size(); ++r) {
      const Tensor start = seed_for(roots[r], seeds[r]);
      if (roots[r].node()) send(roots[r].node(), roots[r].output_index(), start);
      else accept(roots[r], start);
    }
    for (Node* n : order_from(roots)) {
      auto it = pending.find(n);
      if (it == pending.end()) continue;
      Tensors dy = std::move(it->second);
      pending.erase(it);
      if (n->released)
        throw Error(Code::usage, "backward: " + std::string(n->name) +
                                     " was already run backwards and freed what it had saved; use keep_graph for the first pass");
      if (options.create_graph && n->fused())
        throw Error(Code::usage,
                    "backward: " + n->str() +
                        " was recorded fused; record the forward pass inside a HigherOrder scope to differentiate its gradient");
      for (const Node::Hook& h : n->hooks)
        if (Tensor& d = dy[static_cast<std::size_t>(h.output)]; d.defined())
          if (const Tensor g = h.f(d); g.defined()) d = g;
      bool ends = false;
      for (std::size_t w = 0; w < watch.size(); ++w)
        if (watch[w].node == n /* never for leaves: they arrive through accept */ &&
            dy[static_cast<std::size_t>(watch[w].output)].defined()) {
          (*watched)[w] = dy[static_cast<std::size_t>(watch[w].output)];
          ends |= watch[w].ends;
        }
      if (ends) continue;
      const auto text = +[](const void* node) { return "backward of " + static_cast<const Node*>(node)->str(); };
      const OpScope scope(n->name, text, n);
      CallWatch* const watch_values = call_watch();
      if (watch_values) watch_values->within(text, n);
      const Tensors dx = n->backward(dy);
      if (watch_values) {
        watch_values->look(text, n, dy, dx);
        watch_values->within(nullptr, nullptr);
      }
      if (dx.size() != n->inputs.size())
        throw Error(Code::bug, n->str() + ": backward gave " + std::to_string(dx.size()) + " gradients for " +
                                   std::to_string(n->inputs.size()) + " inputs");
      for (std::size_t i = 0; i < dx.size(); ++i) {
        const Node::Edge& e = n->inputs[i];
        if (!e || !dx[i].defined()) continue;
        if (!(dx[i].shape() == n->context.input_shape(static_cast<int>(i))))
          throw Error(Code::bug, n->str() + ": gradient " + dx[i].str() + " of input " + std::to_string(i) + " wants shape " +
                                     n->context.input_shape(static_cast<int>(i)).str());
        if (e.leaf.defined()) accept(e.leaf, dx[i]);
        else send(e.node, e.output, dx[i]);
      }
      if (!options.create_graph && !options.keep_graph) n->release();
    }
  };
  if (options.create_graph) {
    EnableGrad on;
    HigherOrder plain;  // gradients of gradients of gradients
    execute();
  } else {
    NoGrad off;
    execute();
  }
}

}  // namespace

void backward(const Tensors& roots, const Tensors& seeds, const BackwardOptions& options) {
  run(
      roots, seeds, options,
      [](const Tensor& leaf, const Tensor& g) {  // gradients into a leaf add
        const Tensor old = leaf.grad();
        leaf.set_grad(old.defined() ? add(old, g) : own(g));
      },
      {}, nullptr);
}
void backward(const Tensor& root, const Tensor& seed, const BackwardOptions& options) { backward(Tensors{root}, Tensors{seed}, options); }

Tensors gradients(const Tensor& root, const Tensors& inputs, const Tensor& seed, const BackwardOptions& options) {
  Tensors found(inputs.size());
  std::vector<Watch> watch;
  Tensors watched(inputs.size());
  for (const Tensor& t : inputs) {
    if (!t.defined() || !t.requires_grad())
      throw Error(Code::usage, "gradients: an input does not want a gradient; set_requires_grad() on it");
    watch.push_back({t.node().get(), t.output_index()});
  }
  run(
      {root}, {seed}, options,
      [&](const Tensor& leaf, const Tensor& g) {
        for (std::size_t i = 0; i < inputs.size(); ++i)
          if (inputs[i].handle() == leaf.handle()) found[i] = found[i].defined() ? add(found[i], g) : g;
      },
      watch, &watched);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (watched[i].defined()) found[i] = watched[i];
  return found;
}

std::string dump_graph(const Tensor& root, bool dot) {
  if (!root.node()) return dot ? "digraph graft {}\n" : "";
  std::vector<Node*> nodes = order_from({root});
  std::reverse(nodes.begin(), nodes.end());
  std::unordered_map<const Node*, int> number;
  for (std::size_t i = 0; i < nodes.size(); ++i) number[nodes[i]] = static_cast<int>(i);
  const auto input = [&](const Node::Edge& e) -> std::string {
    if (e.node) return "%" + std::to_string(number[e.node.get()]) + (e.output ? "." + std::to_string(e.output) : "");
    if (e.leaf.defined()) return e.leaf.name().empty() ? "leaf " + e.leaf.str() : e.leaf.name();
    return "constant";
  };
  std::string s = dot ? "digraph graft {\n" : "";
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& n = *nodes[i];
    if (dot) {
      s += "  n" + std::to_string(i) + " [label=\"" + n.str() + "\"];\n";
      for (const auto& e : n.inputs)
        if (e.node) s += "  n" + std::to_string(number[e.node.get()]) + " -> n" + std::to_string(i) + ";\n";
    } else {
      s += "%" + std::to_string(i) + " = " + n.str() + " <-";
      for (const auto& e : n.inputs) s += " " + input(e);
      if (n.context.saved_bytes()) s += "  # saves " + std::to_string(n.context.saved_bytes()) + " bytes";
      s += "\n";
    }
  }
  return dot ? s + "}\n" : s;
}

// ---- custom functions and recomputation are nodes like any other ----
namespace {
struct FunctionNode final : Node {
  std::string own_name;
  CustomBackward run_backward;
  Tensors backward(const Tensors& dy) override { return run_backward(context, dy); }
  void release() override {
    context = Context{};
    run_backward = nullptr;
    released = true;
  }
};
Tensors record_function(const std::string& name, const CustomForward& forward, const CustomBackward& backward, const Tensors& in,
                        bool always) {
  const bool record_it = recording() && (always || any_requires_grad(in));
  struct Called {
    const std::string& name;
    const Tensors& in;
  } const call{name, in};
  const OpScope scope(
      name, [](const void* c) { return describe_call(static_cast<const Called*>(c)->name, "", static_cast<const Called*>(c)->in); }, &call);
  Context c;
  c.describe_inputs(in, record_it);
  Tensors out;
  {
    NoGrad off;
    out = forward(c, in);
  }
  if (!record_it) return out;
  for (int i : c.kept_outputs_) c.keep(out[static_cast<std::size_t>(i)].detach());
  auto node = std::make_shared<FunctionNode>();
  node->own_name = name;
  node->name = node->own_name;
  c.op = node->name;
  node->run_backward = backward;
  node->context = std::move(c);
  attach(node, in, out);
  return out;
}
}  // namespace

std::function<Tensors(const Tensors&)> custom(std::string name, CustomForward forward, CustomBackward backward) {
  if (!forward || !backward) throw Error(Code::usage, "custom: '" + name + "' needs both a forward and a backward");
  return [name = std::move(name), forward = std::move(forward), backward = std::move(backward)](const Tensors& in) {
    return record_function(name, forward, backward, in, false);
  };
}

namespace {
// x itself for the tape, under a handle by which a pass can be told to end there.
Tensor handed_through(const Tensor& x) {
  return record_function(
      "checkpoint input", [](Context&, const Tensors& in) { return Tensors{in[0].alias(in[0].shape(), in[0].strides(), 0)}; },
      [](const Context&, const Tensors& dy) { return dy; }, {x}, false)[0];
}
}  // namespace

Tensors checkpoint(const std::function<Tensors(const Tensors&)>& f, const Tensors& inputs) {
  const auto again = [f](const Context& c, const Tensors& dy) {
    const Pass outer = *current_pass;
    EnableGrad on;
    // Where gradients are recorded themselves, what is computed again is too, down from the very inputs.
    Tensors in;
    std::vector<Watch> watch;
    for (int i = 0; i < c.input_count(); ++i) {
      const Tensor& t = c.saved(i);
      Tensor own = t;
      if (t.defined() && c.needs(i)) {
        own = handed_through(outer.options.create_graph ? t : t.detach().set_requires_grad());
        watch.push_back({own.node().get(), own.output_index(), true});
      } else {
        if (t.defined()) own = t.detach();
        watch.push_back({nullptr, 0, true});
      }
      in.push_back(own);
    }
    const Tensors out = f(in);
    Tensors roots, seeds;
    for (std::size_t o = 0; o < out.size(); ++o)
      if (dy[o].defined() && out[o].requires_grad()) {
        roots.push_back(out[o]);
        seeds.push_back(dy[o]);
      }
    // The inputs' gradients are handed on; those of leaves that f captured go where the outer pass has them go.
    Tensors dx(in.size());
    run(roots, seeds, {outer.options.create_graph, false}, outer.accept, watch, &dx);
    return dx;
  };
  return record_function(
      "checkpoint",
      [f](Context& c, const Tensors& in) {
        for (const Tensor& t : in) c.keep(t);
        return f(in);
      },
      again, inputs, true);
}

}  // namespace graft
