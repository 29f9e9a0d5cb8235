#include <algorithm>
#include <array>
#include <limits>

#include "engine/ops/raw.h"
#include "weights/formats/json_guard.h"
#include "weights/onnx/body.h"

namespace graft::onnx {

std::vector<std::span<const Operator>> all_operators() {
  return {math_operators(),   logic_operators(),  activation_operators(), shape_operators(),     slice_operators(),   index_operators(),
          select_operators(), reduce_operators(), product_operators(),    conv_operators(),      pool_operators(),    norm_operators(),
          resize_operators(), sample_operators(), recurrent_operators(),  attention_operators(), control_operators(), quantise_operators(),
          loss_operators(),   signal_operators(), random_operators(),     optimiser_operators()};
}
const Operator* find_operator(std::string_view domain, std::string_view name) {
  static const auto table = [] {
    std::map<std::pair<std::string_view, std::string_view>, const Operator*> all;
    for (const auto family : all_operators())
      for (const Operator& op : family)
        if (!all.emplace(std::pair{op.domain, op.name}, &op).second)
          throw Error(Code::bug, "operator " + std::string(op.name) + " has two functions");
    return all;
  }();
  const auto it = table.find({domain, name});
  return it == table.end() ? nullptr : it->second;
}

const OnnxValue* Scope::find(const std::string& name) const {
  if (const auto it = values_.find(name); it != values_.end()) return &it->second;
  if (const auto it = body_.constants.find(name); it != body_.constants.end()) return &it->second;
  return outer_ ? outer_->find(name) : nullptr;
}

// ---- inputs ----
bool Call::has(std::size_t i) const {
  if (i >= node.inputs.size() || node.inputs[i].empty()) return false;
  const OnnxValue* v = scope_.find(node.inputs[i]);
  return v && v->defined();
}
const OnnxValue& Call::in(std::size_t i) const {
  if (i >= node.inputs.size() || node.inputs[i].empty()) wrong("wants an input " + std::to_string(i) + ", which is not given");
  const OnnxValue* v = scope_.find(node.inputs[i]);
  if (!v || !v->defined()) wrong("reads " + in_quotes(node.inputs[i]) + ", which has no value");
  return *v;
}
Tensor here(const Tensor& t) {
  const Device d = current_queue().device();
  return t.device() == d ? t : t.to(d);
}
Tensor Call::x(std::size_t i) const {
  const OnnxValue& v = in(i);
  return cast(here(v.tensor), type_info(v.type)->held);
}
std::vector<std::int64_t> Call::ints(std::size_t i) const {
  const OnnxValue& v = in(i);
  if (is_float_type(v.type)) wrong("wants integers as its input " + std::to_string(i) + ", not " + type_name(v.type));
  return ints_of(v);
}
std::int64_t Call::integer(std::size_t i) const {
  const auto v = ints(i);
  if (v.size() != 1) wrong("wants one number as its input " + std::to_string(i) + ", not " + std::to_string(v.size()));
  return v[0];
}
double Call::number(std::size_t i) const {
  const OnnxValue& v = in(i);
  if (v.tensor.numel() != 1) wrong("wants one number as its input " + std::to_string(i) + ", not " + v.tensor.str());
  return v.type == kInt64 || v.type == kUint64 ? static_cast<double>(ints_of(v)[0]) : v.tensor.item();
}

// ---- attributes ----
std::int64_t Call::attr(std::string_view name, std::int64_t otherwise) const {
  const OnnxAttribute* a = node.find(name);
  if (!a) return otherwise;
  if (a->kind != OnnxAttribute::Kind::integer) wrong("wants its attribute " + in_quotes(name) + " to be an integer");
  return a->integer;
}
double Call::attr(std::string_view name, double otherwise) const {
  const OnnxAttribute* a = node.find(name);
  if (!a) return otherwise;
  if (a->kind == OnnxAttribute::Kind::integer) return static_cast<double>(a->integer);
  if (a->kind != OnnxAttribute::Kind::real) wrong("wants its attribute " + in_quotes(name) + " to be a number");
  return static_cast<double>(a->real);
}
std::string Call::attr(std::string_view name, const char* otherwise) const {
  const OnnxAttribute* a = node.find(name);
  if (!a) return otherwise;
  if (a->kind != OnnxAttribute::Kind::text) wrong("wants its attribute " + in_quotes(name) + " to be text");
  return a->text;
}
std::vector<std::int64_t> Call::list(std::string_view name) const {
  const OnnxAttribute* a = node.find(name);
  if (!a) return {};
  if (a->kind != OnnxAttribute::Kind::integers) wrong("wants its attribute " + in_quotes(name) + " to be a list of integers");
  return a->integers;
}
std::vector<double> Call::reals(std::string_view name) const {
  const OnnxAttribute* a = node.find(name);
  if (!a) return {};
  if (a->kind != OnnxAttribute::Kind::reals) wrong("wants its attribute " + in_quotes(name) + " to be a list of numbers");
  return {a->reals.begin(), a->reals.end()};
}
std::vector<std::string> Call::texts(std::string_view name) const {
  const OnnxAttribute* a = node.find(name);
  return a ? a->texts : std::vector<std::string>{};
}
int Call::axis(std::int64_t a, int rank) const {
  if (a < -rank || a >= rank) wrong("has the axis " + std::to_string(a) + " for a tensor of " + std::to_string(rank) + " axes");
  return static_cast<int>(a < 0 ? a + rank : a);
}

RandomState& Call::random() { return run ? run->random : spare_; }

const Body& Call::body(std::string_view attribute) const {
  std::size_t k = 0;
  for (const OnnxAttribute& a : node.attributes) {
    if (a.kind != OnnxAttribute::Kind::graph) continue;
    if (a.name == attribute) return *bodies_[k];
    ++k;
  }
  wrong("has no graph " + in_quotes(attribute));
}
std::size_t Call::body_inputs(std::string_view attribute) const { return body(attribute).inputs.size(); }
std::vector<OnnxValue> Call::run_body(std::string_view attribute, const std::vector<OnnxValue>& inputs) const {
  return execute(body(attribute), inputs, &scope_, run);
}

void Call::refuse(const std::string& what) const {
  throw OnnxRefusal("node " + node.str() + " of opset " + std::to_string(opset) + " " + what);
}
void Call::wrong(const std::string& what) const {
  throw Error(Code::input, "node " + node.str() + " " + shown() + " " + what +
                               "; the model is damaged or was exported for other inputs, check it or export it again");
}
std::string Call::shown() const {
  std::string inputs;
  for (const std::string& name : node.inputs) {
    const OnnxValue* v = name.empty() ? nullptr : scope_.find(name);
    inputs += (inputs.empty() ? "" : ", ") + (v && v->defined() ? v->tensor.str() : std::string("-"));
  }
  return "of opset " + std::to_string(opset) + " with " + (inputs.empty() ? "no inputs" : inputs);
}

// ---- shared ----
Shape shape_of(const std::vector<std::int64_t>& dims, const Call& c) {
  if (dims.size() > static_cast<std::size_t>(kMaxRank))
    c.refuse("makes a tensor of " + std::to_string(dims.size()) + " axes, and graft has at most " + std::to_string(kMaxRank));
  std::int64_t n = 1;
  for (const std::int64_t d : dims) {
    if (d < 0) c.wrong("makes a tensor with the negative size " + std::to_string(d));
    if (d && n > (std::int64_t{1} << 40) / d) c.wrong("makes a tensor of more than 2^40 elements");
    n *= d;
  }
  return Shape(dims);
}
std::vector<int> axes_of(const Call& c, const std::vector<std::int64_t>& axes, int rank) {
  std::vector<int> out;
  for (const std::int64_t a : axes) {
    out.push_back(c.axis(a, rank));
    if (std::count(out.begin(), out.end(), out.back()) > 1) c.wrong("names the axis " + std::to_string(a) + " twice");
  }
  return out;
}
bool list_or_input(const Call& c, const char* attribute, std::size_t i, std::vector<std::int64_t>& out) {
  if (c.has(i)) out = c.ints(i);
  else if (c.has(attribute)) out = c.list(attribute);
  else return false;
  return true;
}
bool is_unsigned64(int type) { return type == kUint64; }

OnnxValue map_ints(const OnnxValue& a, const OnnxValue& b, int type, const std::function<std::int64_t(std::int64_t, std::int64_t)>& f) {
  const Shape shape = broadcast(a.tensor.shape(), b.tensor.shape(), "broadcast");
  const std::vector<std::int64_t> x = ints_of(a), y = ints_of(b);
  std::vector<std::int64_t> out(static_cast<std::size_t>(shape.numel()));
  // Steps of both operands along each axis of the result; 0 where it is stretched.
  std::array<std::size_t, kMaxRank> sx{}, sy{};
  const auto steps = [&](const Shape& s, std::array<std::size_t, kMaxRank>& to) {
    std::size_t step = 1;
    for (int i = s.rank() - 1, j = shape.rank() - 1; i >= 0; --i, --j) {
      to[static_cast<std::size_t>(j)] = s[i] == 1 ? 0 : step;
      step *= static_cast<std::size_t>(s[i]);
    }
  };
  steps(a.tensor.shape(), sx);
  steps(b.tensor.shape(), sy);
  std::array<std::int64_t, kMaxRank> at{};
  std::size_t i = 0, j = 0;
  for (std::int64_t& o : out) {
    o = f(x[i], y[j]);
    for (int d = shape.rank() - 1; d >= 0; --d) {
      const auto k = static_cast<std::size_t>(d);
      i += sx[k], j += sy[k];
      if (++at[k] < shape[d]) break;
      i -= sx[k] * static_cast<std::size_t>(shape[d]), j -= sy[k] * static_cast<std::size_t>(shape[d]);
      at[k] = 0;
    }
  }
  return from_ints(out, shape, type);
}
OnnxValue map_ints(const OnnxValue& a, int type, const std::function<std::int64_t(std::int64_t)>& f) {
  std::vector<std::int64_t> v = ints_of(a);
  for (std::int64_t& e : v) e = f(e);
  return from_ints(v, a.tensor.shape(), type);
}

OnnxValue cast_value(const OnnxValue& v, int type, const Call& c) {
  const TypeInfo* to = type_info(type);
  if (!to || !to->computes) c.refuse("casts to " + type_name(type) + ", in which graft does not compute");
  if (v.type == type) return v;
  if (is_float_type(type)) {
    if (v.type == kUint64) {
      std::vector<double> wide;
      for (const std::int64_t e : ints_of(v)) wide.push_back(static_cast<double>(static_cast<std::uint64_t>(e)));
      return from_doubles(wide, v.tensor.shape(), type);
    }
    return {cast(here(v.tensor), to->held), type};
  }
  if (!is_float_type(v.type)) return from_ints(ints_of(v), v.tensor.shape(), type);
  std::vector<std::int64_t> whole;
  whole.reserve(static_cast<std::size_t>(v.tensor.numel()));
  for (const double d : v.tensor.values()) {
    if (type == kBool) whole.push_back(d != 0);
    else if (type == kUint64 && d >= 0x1p63) whole.push_back(static_cast<std::int64_t>(static_cast<std::uint64_t>(d < 0x1p64 ? d : 0)));
    else
      whole.push_back(d > -0x1p63 && d < 0x1p63 ? static_cast<std::int64_t>(d)
                                                : std::numeric_limits<std::int64_t>::min());  // what lies outside is undefined in ONNX
  }
  return from_ints(whole, v.tensor.shape(), type);
}

}  // namespace graft::onnx
