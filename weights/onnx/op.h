// What an operator's function sees of the node that it runs, and the tables of operators. An operator is one function: it reads inputs and
// attributes from the call, checks what it must, computes with engine/ops (so that a gradient flows wherever the engine has one) and puts
// its outputs back.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/nn/layers.h"
#include "engine/ops/ops.h"
#include "weights/onnx/value.h"

namespace graft::onnx {

class Call;
struct Body;  // weights/onnx/body.h
class Scope;

struct Operator {
  std::string_view name;
  void (*run)(Call&);
  std::string_view domain = "";
  bool random = false;  // its outputs are drawn: never compared
};

std::span<const Operator> math_operators();
std::span<const Operator> logic_operators();
std::span<const Operator> activation_operators();
std::span<const Operator> shape_operators();
std::span<const Operator> slice_operators();
std::span<const Operator> index_operators();
std::span<const Operator> select_operators();
std::span<const Operator> reduce_operators();
std::span<const Operator> product_operators();
std::span<const Operator> conv_operators();
std::span<const Operator> pool_operators();
std::span<const Operator> norm_operators();
std::span<const Operator> resize_operators();
std::span<const Operator> sample_operators();
std::span<const Operator> recurrent_operators();
std::span<const Operator> attention_operators();
std::span<const Operator> control_operators();
std::span<const Operator> quantise_operators();
std::span<const Operator> loss_operators();
std::span<const Operator> signal_operators();
std::span<const Operator> random_operators();
std::span<const Operator> optimiser_operators();

const Operator* find_operator(std::string_view domain, std::string_view name);
std::vector<std::span<const Operator>> all_operators();

class Call {
 public:
  Call(const OnnxNode& node, std::int64_t opset, const std::vector<std::shared_ptr<const Body>>& bodies, Scope& scope, graft::Run* run)
      : node(node), opset(opset), bodies_(bodies), scope_(scope), run(run) {}

  const OnnxNode& node;
  const std::int64_t opset;  // of the node's domain

  // ---- inputs ----
  std::size_t inputs() const { return node.inputs.size(); }
  bool has(std::size_t i) const;             // given, and with a value: a function's own optional input may have none
  const OnnxValue& in(std::size_t i) const;  // Error(input) when it is not given
  Tensor x(std::size_t i) const;             // on this thread's device, in the dtype of its type
  int type(std::size_t i) const { return in(i).type; }
  std::vector<std::int64_t> ints(std::size_t i) const;  // of an integer input
  std::int64_t integer(std::size_t i) const;            // of one element
  double number(std::size_t i) const;                   // of one element, any type
  bool floats(std::size_t i) const { return is_float_type(type(i)); }

  // ---- attributes ----
  bool has(std::string_view attribute) const { return node.find(attribute) != nullptr; }
  bool has(const char* attribute) const { return has(std::string_view(attribute)); }
  std::int64_t attr(std::string_view name, std::int64_t otherwise) const;
  std::int64_t attr(std::string_view name, int otherwise) const { return attr(name, static_cast<std::int64_t>(otherwise)); }
  double attr(std::string_view name, double otherwise) const;
  std::string attr(std::string_view name, const char* otherwise) const;
  std::vector<std::int64_t> list(std::string_view name) const;  // empty when it is not there
  std::vector<double> reals(std::string_view name) const;
  std::vector<std::string> texts(std::string_view name) const;
  int axis(std::int64_t a, int rank) const;  // to [0, rank)

  // ---- outputs ----
  std::size_t outputs() const { return node.outputs.size(); }
  bool wants(std::size_t i) const { return i < node.outputs.size() && !node.outputs[i].empty(); }
  void out(OnnxValue v) { results.push_back(std::move(v)); }
  void out(Tensor t, int type) { results.push_back({std::move(t), type}); }
  void out(Tensor t) { results.push_back(valued(std::move(t))); }  // of the type that its elements are
  void none() { results.emplace_back(); }
  std::vector<OnnxValue> results;

  // ---- running ----
  bool training() const { return run && run->training; }
  RandomState& random();
  graft::Run* running() const { return run; }
  std::size_t body_inputs(std::string_view attribute) const;
  std::vector<OnnxValue> run_body(std::string_view attribute, const std::vector<OnnxValue>& inputs) const;

  // OnnxRefusal: legal, but graft cannot do it.
  [[noreturn]] void refuse(const std::string& what) const;
  // Error(input): not as the operator wants it.
  [[noreturn]] void wrong(const std::string& what) const;
  std::string shown() const;  // "of opset 17 with f32[2,3], i64[1]"

 private:
  const Body& body(std::string_view attribute) const;
  const std::vector<std::shared_ptr<const Body>>& bodies_;
  Scope& scope_;
  graft::Run* run;
  RandomState spare_;
};

// ---- what several operators share ----
Shape shape_of(const std::vector<std::int64_t>& dims, const Call& c);  // sizes from a file: checked for sign, rank and overflow
std::vector<int> axes_of(const Call& c, const std::vector<std::int64_t>& axes, int rank);
// The list that older opsets give as an attribute and newer ones as input `i`; false: neither.
bool list_or_input(const Call& c, const char* attribute, std::size_t i, std::vector<std::int64_t>& out);
// f over integers of the same type with broadcasting, on the host, results wrapped to `type`.
OnnxValue map_ints(const OnnxValue& a, const OnnxValue& b, int type, const std::function<std::int64_t(std::int64_t, std::int64_t)>& f);
OnnxValue map_ints(const OnnxValue& a, int type, const std::function<std::int64_t(std::int64_t)>& f);
Tensor here(const Tensor& t);                                       // on this thread's device
OnnxValue cast_value(const OnnxValue& v, int type, const Call& c);  // as ONNX's Cast
bool is_unsigned64(int type);

}  // namespace graft::onnx
