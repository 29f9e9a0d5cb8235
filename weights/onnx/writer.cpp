#include "weights/onnx/writer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <protozero/pbf_writer.hpp>
#include <set>
#include <sstream>

#include "engine/autograd/tape.h"
#include "engine/autograd/trace.h"
#include "engine/base/file.h"
#include "engine/ops/ops.h"
#include "weights/formats/json_guard.h"

namespace graft {
namespace {

struct SeenCall {
  std::string op, attributes;
  Tensors in, out;
};

std::vector<SeenCall> traced(const Module& module, const Tensor& x, Tensor& y) {
  std::vector<SeenCall> calls;
  NoGrad off;
  Run run;
  Trace trace([&](const std::string& call, const Tensors& in, const Tensors& out) {
    const auto of = call.find(" of ");
    const std::string head = call.substr(0, of);
    const auto open = head.find('(');
    calls.push_back({head.substr(0, open), open == std::string::npos ? "" : head.substr(open + 1, head.size() - open - 2), in, out});
  });
  y = module.forward(x, run);
  return calls;
}

// "stride=2x2, pad=0,0,1,1, groups=1": the numbers after `key=`, up to the next ", ".
std::vector<std::int64_t> numbers_of(const std::string& attributes, const std::string& key) {
  const auto at = (", " + attributes).find(", " + key + "=");
  if (at == std::string::npos) throw Error(Code::bug, "write_onnx: '" + attributes + "' does not say " + key);
  std::vector<std::int64_t> out;
  std::string text = attributes.substr(at + key.size() + 1);
  text = text.substr(0, text.find(", "));
  for (char& c : text)
    if (c == 'x' || c == ',' || c == '[' || c == ']') c = ' ';
  std::istringstream s(text);
  for (std::int64_t v; s >> v;) out.push_back(v);
  return out;
}
double real_of(const std::string& attributes, const std::string& key) {
  const auto at = attributes.find(key + "=");
  if (at == std::string::npos) throw Error(Code::bug, "write_onnx: '" + attributes + "' does not say " + key);
  return std::stod(attributes.substr(at + key.size() + 1));
}

class GraphText {
 public:
  GraphText(const Params& params, const Tensor& input) : batch_(input.size(0)) {
    for (const Parameter& p : params.all()) names_[p.tensor.impl()] = p.name, parameters_.push_back(p);
    names_[input.impl()] = "input";
    dynamic_.insert(input.impl());
  }

  void add(const SeenCall& c) {
    const bool reached = std::any_of(c.in.begin(), c.in.end(), [&](const Tensor& t) { return t.defined() && dynamic_.count(t.impl()); });
    if (!reached) return;  // made of parameters alone: its result is a constant
    translate(c);
    for (const Tensor& t : c.out)
      if (t.defined()) dynamic_.insert(t.impl());
  }

  std::string finish(const Tensor& logits, const Shape& input, const std::map<std::string, std::string>& metadata) {
    if (!missing_.empty()) {
      std::string all;
      for (const auto& m : missing_) all += (all.empty() ? "" : ", ") + m;
      throw Error(Code::usage, "write_onnx: no translation to ONNX for " + all + "; export this model as pt or safetensors");
    }
    if (!dynamic_.count(logits.impl()))
      throw Error(Code::usage, "write_onnx: the outputs do not depend on the images in a way that was seen");
    node("Identity", {name_of(logits)}, "logits");
    std::string graph;
    protozero::pbf_writer g(graph);
    for (const std::string& n : nodes_) g.add_message(1, n);
    g.add_string(2, "graft");
    for (const std::string& t : initialisers_) g.add_message(5, t);
    g.add_message(11, value("input", {-1, input[0], input[1], input[2]}));
    std::vector<std::int64_t> out{-1};
    for (int i = 1; i < logits.rank(); ++i) out.push_back(logits.size(i));
    g.add_message(12, value("logits", out));
    std::string model;
    protozero::pbf_writer m(model);
    m.add_int64(1, 8);  // IR version
    m.add_string(2, "graft");
    m.add_message(7, graph);
    {
      std::string opset;
      protozero::pbf_writer o(opset);
      o.add_string(1, "");
      o.add_int64(2, 17);
      m.add_message(8, opset);
    }
    for (const auto& [key, text] : metadata) {
      std::string entry;
      protozero::pbf_writer e(entry);
      e.add_string(1, key);
      e.add_string(2, text);
      m.add_message(14, entry);
    }
    return model;
  }

 private:
  struct Attribute {
    std::string name;
    enum { real = 1, whole = 2, wholes = 7 } type;
    double f = 0;
    std::vector<std::int64_t> i = {};
  };

  static std::string value(const std::string& name, const std::vector<std::int64_t>& shape) {
    std::string dims;
    for (const std::int64_t s : shape) {
      std::string dim;
      protozero::pbf_writer d(dim);
      if (s < 0) d.add_string(2, "N");
      else d.add_int64(1, s);
      protozero::pbf_writer(dims).add_message(1, dim);
    }
    std::string tensor, type, v;
    protozero::pbf_writer t(tensor);
    t.add_int32(1, 1);
    t.add_message(2, dims);
    protozero::pbf_writer(type).add_message(1, tensor);
    protozero::pbf_writer w(v);
    w.add_string(1, name);
    w.add_message(2, type);
    return v;
  }

  void initialise(const std::string& name, const Tensor& t) {
    if (!initialised_.insert(name).second) return;
    const bool wholes = t.dtype() == DType::i64;
    const Tensor dense = contiguous(wholes ? t : cast(t.detach().to({}), DType::f32));
    std::string tensor;
    protozero::pbf_writer w(tensor);
    for (const std::int64_t s : dense.shape()) w.add_int64(1, s);
    w.add_int32(2, wholes ? 7 : 1);
    w.add_string(8, name);
    w.add_bytes(9, static_cast<const char*>(dense.raw()), static_cast<std::size_t>(dense.bytes()));
    initialisers_.push_back(std::move(tensor));
  }
  std::string constant(const std::vector<std::int64_t>& values) {
    const std::string name = "constant_" + std::to_string(++count_);
    initialise(name, Tensor::from(values, {static_cast<std::int64_t>(values.size())}));
    return name;
  }

  // The name under which the graph has a tensor; a constant becomes an initialiser.
  std::string name_of(const Tensor& t) {
    if (!t.defined()) return "";
    const auto it = names_.find(t.impl());
    if (dynamic_.count(t.impl())) return it->second;
    const std::string name = it != names_.end() ? it->second : "constant_" + std::to_string(++count_);
    names_[t.impl()] = name;
    kept_.push_back(t);
    initialise(name, t);
    return name;
  }

  void node(const std::string& op, const std::vector<std::string>& in, const std::string& out,
            const std::vector<Attribute>& attributes = {}) {
    std::string n;
    protozero::pbf_writer w(n);
    for (const auto& i : in) w.add_string(1, i);
    w.add_string(2, out);
    w.add_string(3, out);
    w.add_string(4, op);
    for (const Attribute& a : attributes) {
      std::string text;
      protozero::pbf_writer v(text);
      v.add_string(1, a.name);
      if (a.type == Attribute::real) v.add_float(2, static_cast<float>(a.f));
      if (a.type == Attribute::whole) v.add_int64(3, a.i[0]);
      if (a.type == Attribute::wholes)
        for (const std::int64_t i : a.i) v.add_int64(8, i);
      v.add_int32(20, a.type);
      w.add_message(5, text);
    }
    nodes_.push_back(std::move(n));
  }
  std::string fresh(const Tensor& t, const std::string& op) {
    const std::string name = op + "_" + std::to_string(++count_);
    names_[t.impl()] = name;
    kept_.push_back(t);
    return name;
  }
  static std::vector<std::string> without_last_empty(std::vector<std::string> v) {
    while (!v.empty() && v.back().empty()) v.pop_back();
    return v;
  }
  // The tensor whose name ends as `part` beside the parameter `of` ("bn1.weight", "running_var").
  const Tensor* beside(const Tensor& of, const std::string& part) const {
    const auto it = names_.find(of.impl());
    if (it == names_.end() || it->second.rfind('.') == std::string::npos) return nullptr;
    const std::string wanted = it->second.substr(0, it->second.rfind('.') + 1) + part;
    for (const Parameter& p : parameters_)
      if (p.name == wanted) return &p.tensor;
    return nullptr;
  }

  void translate(const SeenCall& c) {
    const Tensor& y = c.out[0];
    const auto simple = [&](const char* op) {
      std::vector<std::string> in;
      for (const Tensor& t : c.in) in.push_back(name_of(t));
      node(op, in, fresh(y, c.op));
    };
    if (c.op == "conv2d" || c.op == "conv2d_relu") {
      std::vector<std::int64_t> pads = numbers_of(c.attributes, "pad");  // top, left, bottom, right: ONNX's order too
      const auto in = without_last_empty({name_of(c.in[0]), name_of(c.in[1]), c.in.size() > 2 ? name_of(c.in[2]) : ""});
      const bool act = c.op == "conv2d_relu" || c.attributes.find(", relu") != std::string::npos;
      const std::string out = fresh(y, c.op), made = act ? out + "_conv" : out;
      node("Conv", in, made,
           {{"strides", Attribute::wholes, 0, numbers_of(c.attributes, "stride")},
            {"pads", Attribute::wholes, 0, pads},
            {"dilations", Attribute::wholes, 0, numbers_of(c.attributes, "dilation")},
            {"group", Attribute::whole, 0, numbers_of(c.attributes, "groups")}});
      if (act) node("Relu", {made}, out);
    } else if (c.op == "linear") {
      const auto in = without_last_empty({name_of(c.in[0]), name_of(c.in[1]), c.in.size() > 2 ? name_of(c.in[2]) : ""});
      node("Gemm", in, fresh(y, c.op), {{"transB", Attribute::whole, 0, {1}}});
    } else if (c.op == "batch_norm" && c.attributes.find("training") == std::string::npos && beside(c.in[1], "running_mean") &&
               beside(c.in[1], "running_var")) {
      const std::vector<std::string> in{name_of(c.in[0]), name_of(c.in[1]), name_of(c.in[2]), name_of(*beside(c.in[1], "running_mean")),
                                        name_of(*beside(c.in[1], "running_var"))};
      node("BatchNormalization", in, fresh(y, c.op), {{"epsilon", Attribute::real, real_of(c.attributes, "eps"), {}}});
    } else if (c.op == "max_pool2d" && unpadded(c)) {
      node("MaxPool", {name_of(c.in[0])}, fresh(y, c.op),
           {{"kernel_shape", Attribute::wholes, 0, numbers_of(c.attributes, "kernel")},
            {"strides", Attribute::wholes, 0, numbers_of(c.attributes, "stride")}});
    } else if (c.op == "avg_pool2d" && unpadded(c)) {
      node("AveragePool", {name_of(c.in[0])}, fresh(y, c.op),
           {{"kernel_shape", Attribute::wholes, 0, numbers_of(c.attributes, "kernel")},
            {"strides", Attribute::wholes, 0, numbers_of(c.attributes, "stride")}});
    } else if (c.op == "relu") {
      simple("Relu");
    } else if (c.op == "add") {
      simple("Add");
    } else if (c.op == "mean") {
      node("ReduceMean", {name_of(c.in[0])}, fresh(y, c.op),
           {{"axes", Attribute::wholes, 0, numbers_of(c.attributes, "axes")},
            {"keepdims", Attribute::whole, 0, {c.attributes.find("keep") != std::string::npos ? 1 : 0}}});
    } else if (c.op == "reshape" && c.in[0].rank() > 0 && y.rank() > 0 && c.in[0].size(0) == batch_ && y.size(0) == batch_) {
      std::vector<std::int64_t> shape{0};  // as many images as there are
      for (int i = 1; i < y.rank(); ++i) shape.push_back(y.size(i));
      node("Reshape", {name_of(c.in[0]), constant(shape)}, fresh(y, c.op));
    } else if (c.op == "permute") {
      node("Transpose", {name_of(c.in[0])}, fresh(y, c.op), {{"perm", Attribute::wholes, 0, numbers_of("axes=" + c.attributes, "axes")}});
    } else if (c.op == "copy") {
      simple("Identity");  // the order of bytes in memory is nobody's business there
    } else if (c.op == "slice" && numbers_of(c.attributes, "axis")[0] != 0) {
      const std::int64_t axis = numbers_of(c.attributes, "axis")[0], start = numbers_of(c.attributes, "start")[0],
                         count = numbers_of(c.attributes, "count")[0], step = numbers_of(c.attributes, "step")[0];
      if (step < 1) return missing(c);
      node("Slice", {name_of(c.in[0]), constant({start}), constant({start + (count - 1) * step + 1}), constant({axis}), constant({step})},
           fresh(y, c.op));
    } else if (c.op == "cat") {
      cat_or_pad(c);
    } else {
      missing(c);
    }
  }

  // Zeros before and behind along one axis are a pad, for any number of images.
  void cat_or_pad(const SeenCall& c) {
    int axis = -1, reached = 0;
    for (const Tensor& t : c.in) reached += dynamic_.count(t.impl()) > 0;
    for (int i = 0; i < c.out[0].rank(); ++i)
      if (c.out[0].size(i) != c.in[0].size(i)) axis = i;
    if (axis < 1) return missing(c);
    if (reached == static_cast<int>(c.in.size())) {
      std::vector<std::string> in;
      for (const Tensor& t : c.in) in.push_back(name_of(t));
      return node("Concat", in, fresh(c.out[0], c.op), {{"axis", Attribute::whole, 0, {axis}}});
    }
    if (reached != 1) return missing(c);
    std::vector<std::int64_t> pads(static_cast<std::size_t>(2 * c.out[0].rank()), 0);
    std::string from;
    for (const Tensor& t : c.in) {
      if (dynamic_.count(t.impl())) {
        from = name_of(t);
        continue;
      }
      const auto values = t.values();
      if (std::any_of(values.begin(), values.end(), [](double v) { return v != 0; })) return missing(c);
      pads[static_cast<std::size_t>(axis + (from.empty() ? 0 : c.out[0].rank()))] += t.size(axis);
    }
    node("Pad", {from, constant(pads)}, fresh(c.out[0], "pad"));
  }

  // Pools do not say their padding; without it the sizes are these.
  static bool unpadded(const SeenCall& c) {
    const auto k = numbers_of(c.attributes, "kernel"), s = numbers_of(c.attributes, "stride");
    for (int i = 0; i < 2; ++i)
      if (c.out[0].size(2 + i) != (c.in[0].size(2 + i) - k[static_cast<std::size_t>(i)]) / s[static_cast<std::size_t>(i)] + 1) return false;
    return true;
  }
  void missing(const SeenCall& c) {
    missing_.insert(c.op + (c.attributes.empty() ? "" : "(" + c.attributes + ")"));
    fresh(c.out[0], c.op);
  }

  std::map<const TensorImpl*, std::string> names_;
  std::set<const TensorImpl*> dynamic_;  // what the images reach
  std::vector<Parameter> parameters_;
  Tensors kept_;  // so that no address is used twice
  std::vector<std::string> nodes_, initialisers_;
  std::set<std::string> initialised_, missing_;
  int count_ = 0;
  std::int64_t batch_;  // images of the trace
};

}  // namespace

void write_onnx(const std::filesystem::path& path, const Module& module, const Params& params, const Shape& input,
                const std::map<std::string, std::string>& metadata) {
  NoGrad off;
  UseQueue host(host_queue());
  // Traced with two numbers of images: what is written must not know either.
  const auto with = [&](std::int64_t images) {
    RandomState r{1, 31, 0};
    const Tensor x = rand_normal({images, input[0], input[1], input[2]}, 0, 1, r);
    Tensor logits;
    const std::vector<SeenCall> calls = traced(module, x, logits);
    GraphText graph(params, x);
    for (const SeenCall& c : calls) graph.add(c);
    return graph.finish(logits, input, metadata);
  };
  const std::string model = with(7);
  if (model != with(11))
    throw Error(Code::usage, path.string() +
                                 ": write_onnx: the network does something else for 7 images than for 11, and a graph is for any number; "
                                 "export it as pt or safetensors");
  write_atomically(path, model);
}

}  // namespace graft
