// The tape. An operation is a struct with a name, attributes, a forward and a backward; `record<Op>(attrs, inputs)` runs the forward and,
// when an input wants a gradient, leaves a Node that knows op, attributes, saved tensors and inputs. There is no way to record a Node
// without a backward: an op has one, or states in `no_gradient` why it has none, or the build stops.
//
//   struct Tanh {                                              // y = tanh(x)
//     static constexpr std::string_view name = "tanh";
//     struct Attrs {};
//     static Tensors forward(Context& c, const Attrs&, const Tensors& in);        // c.keep(t): only what backward needs
//     static Tensors backward(const Context& c, const Attrs&, const Tensors& dy);  // one gradient per input, undefined = none
//   };
//
// A fused op also has `static Tensors plain(const Attrs&, const Tensors&)`, the same mathematics in elementary ops. It is the oracle of
// the fused gradient, its documentation, and what is recorded instead of it inside a HigherOrder scope. Elementary ops write their backward
// with differentiable functions, so gradients of gradients need nothing more.
#pragma once
#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/autograd/watch.h"
#include "engine/tensor/tensor.h"
#include "kernels/core/scope.h"

namespace graft {

// What one recorded operation keeps between forward and backward.
class Context {
 public:
  void keep(const Tensor& t) {
    saved_.push_back(t);
    versions_.push_back(t.defined() ? t.storage()->version : 0);
  }
  // The i-th kept tensor. Throws Error(usage) when it was written in place since.
  const Tensor& saved(int i) const;
  std::int64_t saved_bytes() const;
  bool needs(int input) const { return input < static_cast<int>(needs_.size()) && needs_[static_cast<std::size_t>(input)]; }
  int input_count() const { return static_cast<int>(needs_.size()); }
  const Shape& input_shape(int i) const { return input_shapes_[static_cast<std::size_t>(i)]; }
  DType input_dtype(int i) const { return input_dtypes_[static_cast<std::size_t>(i)]; }

  // Filled by record().
  void describe_inputs(const Tensors& in, bool recording);
  void keep_output(int index) { kept_outputs_.push_back(index); }  // saved by value after forward, without a reference cycle
  std::vector<int> kept_outputs_;
  std::string_view op;

 private:
  Tensors saved_;
  std::vector<std::uint64_t> versions_;
  std::vector<bool> needs_;
  std::vector<Shape> input_shapes_;
  std::vector<DType> input_dtypes_;
};

// One recorded operation. Edges lead to the nodes (or leaves) that made its inputs.
struct Node {
  struct Edge {
    std::shared_ptr<Node> node;  // what made the input, or empty
    int output = 0;
    Tensor leaf;  // the input itself when it is a leaf that wants a gradient
    explicit operator bool() const { return node || leaf.defined(); }
  };
  virtual ~Node();
  virtual Tensors backward(const Tensors& dy) = 0;
  virtual std::string attributes() const { return {}; }
  virtual bool fused() const { return false; }
  virtual void release() = 0;  // frees saved tensors once backward has used them

  std::string_view name;
  Context context;
  std::vector<Edge> inputs;
  std::vector<Shape> output_shapes;
  std::vector<DType> output_dtypes;
  struct Hook {
    int output;
    std::function<Tensor(const Tensor&)> f;
  };
  std::vector<Hook> hooks;  // in order
  std::string result_name;
  bool released = false;
  std::string str() const;  // "softmax(axis=1) f32[8,1024]"
};

// ---- modes of this thread ----
bool recording();
class NoGrad {  // operations inside leave no nodes
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;

 protected:
  explicit NoGrad(bool record);
  bool before_;
};
class EnableGrad : public NoGrad {
 public:
  EnableGrad() : NoGrad(true) {}
};
bool higher_order();
class HigherOrder {  // fused ops record their plain composition, so that gradients can be differentiated again
 public:
  HigherOrder();
  ~HigherOrder();
  HigherOrder(const HigherOrder&) = delete;

 private:
  bool before_;
};

// ---- running backwards ----
struct BackwardOptions {
  bool create_graph = false;  // gradients are recorded themselves
  bool keep_graph = false;    // saved tensors stay, backward may run again (implied by create_graph)
};
// Adds d(root)/d(leaf) to the .grad() of every leaf that wants one, which is dense and shares its memory with nothing. `seed` defaults to 1
// for a root with one element.
void backward(const Tensor& root, const Tensor& seed = {}, const BackwardOptions& options = {});
// Several roots in one pass; seeds[i] may be undefined where roots[i] has one element.
void backward(const Tensors& roots, const Tensors& seeds, const BackwardOptions& options = {});
// The gradients of sum(seed * root) for `inputs` (leaves or intermediate results), without touching .grad(). Undefined where root does not
// depend.
Tensors gradients(const Tensor& root, const Tensors& inputs, const Tensor& seed = {}, const BackwardOptions& options = {});
// f sees the gradient of t when it is complete and may return another in its place (undefined: keep).
void add_hook(const Tensor& t, std::function<Tensor(const Tensor&)> f);
// Every node that `root` depends on, one a line in execution order: op(attributes) output <- inputs. dot = Graphviz.
std::string dump_graph(const Tensor& root, bool dot = false);

// f(inputs) without keeping what it saves: it is run again in backward. Gradients are bit-equal where f gives the same both times: what it
// draws must follow from its inputs, not from a RandomState outside that the first run moves on (segment() of engine/nn/layers.h sees to
// that). Leaves that f captures get their gradients as if they were inputs; an intermediate result must be given as one.
Tensors checkpoint(const std::function<Tensors(const Tensors&)>& f, const Tensors& inputs);

// ---- declaring and recording ----
template <class Op>
concept HasBackward = requires(const Context& c, const typename Op::Attrs& a, const Tensors& dy) {
  { Op::backward(c, a, dy) } -> std::same_as<Tensors>;
};
template <class Op>
concept StatesNoGradient = requires {
  { Op::no_gradient } -> std::convertible_to<std::string_view>;
};
template <class Op>
concept Fused = requires(const typename Op::Attrs& a, const Tensors& in) {
  { Op::plain(a, in) } -> std::same_as<Tensors>;
};
template <class A>
concept Printable = requires(const A& a) {
  { a.str() } -> std::convertible_to<std::string>;
};

template <class Op>
struct NodeOf final : Node {
  typename Op::Attrs attrs;
  Tensors backward(const Tensors& dy) override { return Op::backward(context, attrs, dy); }
  std::string attributes() const override {
    if constexpr (Printable<typename Op::Attrs>) return attrs.str();
    else return {};
  }
  bool fused() const override { return Fused<Op>; }
  void release() override {
    context = Context{};
    attrs = {};
    released = true;
  }
};

// "softmax(axis=1) of f32[8,1024]": what errors say about a call.
std::string describe_call(std::string_view name, const std::string& attributes, const Tensors& in);
template <class Op>
struct Call {
  const typename Op::Attrs& attrs;
  const Tensors& in;
  std::string_view name() const {  // a function that is made of this op may pass on its own name
    if constexpr (requires {
                    { attrs.called } -> std::convertible_to<std::string_view>;
                  })
      if (!std::string_view(attrs.called).empty()) return attrs.called;
    return Op::name;
  }
  static std::string text(const void* self) {
    const auto& c = *static_cast<const Call*>(self);
    if constexpr (Printable<typename Op::Attrs>) return describe_call(c.name(), c.attrs.str(), c.in);
    else return describe_call(c.name(), "", c.in);
  }
};

// Links outputs to a node. Outputs of integer dtype get none.
void attach(const std::shared_ptr<Node>& node, const Tensors& in, Tensors& out);
bool any_requires_grad(const Tensors& in);

template <class Op>
Tensors record(const typename Op::Attrs& attrs, const Tensors& in) {
  static_assert(HasBackward<Op> || StatesNoGradient<Op>,
                "an operation needs a backward, or `static constexpr std::string_view no_gradient = \"the reason\"`");
  const bool record_it = HasBackward<Op> && recording() && any_requires_grad(in);
  if constexpr (Fused<Op>) {
    if (record_it && higher_order()) return Op::plain(attrs, in);
  }
  const Call<Op> call{attrs, in};
  const OpScope scope(call.name(), &Call<Op>::text, &call);
  Context c;
  c.op = Op::name;
  c.describe_inputs(in, record_it);
  Tensors out;
  {
    NoGrad off;
    out = Op::forward(c, attrs, in);
  }
  if (CallWatch* w = call_watch()) w->look(&Call<Op>::text, &call, in, out);
  if constexpr (HasBackward<Op>) {
    if (record_it) {
      for (int i : c.kept_outputs_) c.keep(out[static_cast<std::size_t>(i)].detach());
      auto node = std::make_shared<NodeOf<Op>>();
      node->name = Op::name;
      node->attrs = attrs;
      node->context = std::move(c);
      attach(node, in, out);
    }
  }
  return out;
}
template <class Op>
Tensor record1(const typename Op::Attrs& attrs, const Tensors& in) {
  return record<Op>(attrs, in)[0];
}

// A differentiable function of one's own in a few lines, without declaring an op:
//   auto cube = custom("cube", [](Context& c, const Tensors& in) { c.keep(in[0]); return Tensors{mul(in[0], mul(in[0], in[0]))}; },
//                      [](const Context& c, const Tensors& dy) { return Tensors{mul(dy[0], mul(square(c.saved(0)), 3.0))}; });
//   Tensor y = cube({x})[0];
using CustomForward = std::function<Tensors(Context&, const Tensors&)>;
using CustomBackward = std::function<Tensors(const Context&, const Tensors&)>;
std::function<Tensors(const Tensors&)> custom(std::string name, CustomForward forward, CustomBackward backward);

}  // namespace graft
