// residual + dropout(act(x + bias)) as one op. Its plain composition is what it replaces: add, activation, dropout, add.
#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

const char* name_of(ActKind act) {
  switch (act) {
    case ActKind::none: return "none";
    case ActKind::relu: return "relu";
    case ActKind::gelu: return "gelu";
    case ActKind::silu: return "silu";
  }
  return "?";
}

// x [outer, channels, inner] around the axis of the bias, as the kernels see it; x is row-major
View around(const Tensor& x, int axis) {
  std::int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= x.size(i);
  for (int i = axis + 1; i < x.rank(); ++i) inner *= x.size(i);
  return dense_view(x.view().data, x.dtype(), {outer, x.size(axis), inner});
}
View around_maybe(const Tensor& x, int axis) { return x.defined() ? around(x, axis) : View{}; }

// in: x, bias or undefined, residual or undefined, all row-major
struct BiasAct {
  static constexpr std::string_view name = "bias_act";
  struct Attrs {
    ActKind act = ActKind::none;
    double p = 0;
    int axis = 0;
    RandomState at;
    std::string str() const {
      char s[96];
      std::snprintf(s, sizeof s, "act=%s, axis=%d, dropout=%g, stream=%llu, position=%llu", name_of(act), axis, p,
                    static_cast<unsigned long long>(at.stream), static_cast<unsigned long long>(at.position));
      return s;
    }
  };
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    Tensor y = Tensor::empty(in[0].shape(), in[0].dtype());
    bias_act_family().run(current_queue(), {a.act, around(in[0], a.axis), raw::maybe(in[1]), around_maybe(in[2], a.axis), around(y, a.axis),
                                            a.p, a.at.seed, a.at.stream, a.at.position, raw::maybe(a.at.offset)});
    const bool kept = a.act != ActKind::none;
    c.keep(kept ? in[0] : Tensor{});
    c.keep(kept ? in[1] : Tensor{});
    return {y};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    Tensors d(3);
    if (c.needs(0) || c.needs(1)) {
      const Tensor g = raw::contiguous(dy[0]), dx = Tensor::empty(g.shape(), g.dtype());
      bias_act_grad_family().run(
          current_queue(), {a.act, around_maybe(c.saved(0), a.axis), raw::maybe(c.saved(1)), around(g, a.axis), around(dx, a.axis), a.p,
                            a.at.seed, a.at.stream, a.at.position, raw::maybe(a.at.offset)});
      if (c.needs(0)) d[0] = dx;
      if (c.needs(1)) {
        Axes rest;
        for (int i = 0; i < dx.rank(); ++i)
          if (i != a.axis) rest.push_back(i);
        d[1] = rest.empty() ? dx : raw::reduce(ReduceOp::sum, dx, rest, false);
      }
    }
    if (c.needs(2)) d[2] = dy[0];
    return d;
  }
  static Tensors plain(const Attrs& a, const Tensors& in) {
    Tensor y = in[0];
    if (in[1].defined()) {
      Shape along;
      for (int i = 0; i < y.rank(); ++i) along.push_back(i == a.axis ? y.size(i) : 1);
      y = add(y, reshape(in[1], along));
    }
    switch (a.act) {
      case ActKind::none: break;
      case ActKind::relu: y = relu(y); break;
      case ActKind::gelu: y = gelu(y); break;
      case ActKind::silu: y = silu(y); break;
    }
    RandomState at = a.at;
    y = dropout(y, a.p, at);
    return {in[2].defined() ? add(in[2], y) : y};
  }
  static std::vector<GradCase> cases() {
    const auto f = [](ActKind act, double p, int axis) {
      return [=](const Tensors& t) {
        RandomState r{7, 1, 5};
        // 0.3 of the bias: of odd multiples of 0.05 no sum comes near the corner of relu
        return bias_act(t[0], t.size() > 1 ? mul(t[1], 0.3) : Tensor{}, t.size() > 2 ? t[2] : Tensor{}, {act, p, axis}, r);
      };
    };
    const Shape image = {2, 3, 2, 2};
    return {{"none", {{4, 5}, {5}, {4, 5}}, f(ActKind::none, 0.4, -1)},
            {"relu", {{4, 5}, {5}, {4, 5}}, f(ActKind::relu, 0.4, -1), Domain::spread},
            {"gelu", {{4, 5}, {5}, {4, 5}}, f(ActKind::gelu, 0.4, -1)},
            {"silu, channels", {image, {3}, image}, f(ActKind::silu, 0.4, 1)},
            {"gelu, no dropout, no residual", {{4, 5}, {5}}, f(ActKind::gelu, 0, -1)},
            {"silu of a vector alone", {{5}}, f(ActKind::silu, 0.4, 0)}};
  }
};

}  // namespace

Tensor bias_act(const Tensor& x, const Tensor& bias, const Tensor& residual, const BiasActOptions& o, RandomState& random) {
  raw::want_float("bias_act", "x", x);
  if (x.rank() == 0) throw Error(Code::usage, "bias_act: x " + x.str() + " needs at least one axis for the bias");
  const int axis = normal_axis(o.axis, x.rank(), "bias_act");
  if (bias.defined() && (bias.rank() != 1 || bias.size(0) != x.size(axis) || bias.dtype() != x.dtype()))
    throw Error(Code::usage, "bias_act: bias " + bias.str() + " does not fit axis " + std::to_string(axis) + " of x " + x.str() +
                                 "; wants " + std::string(graft::name_of(x.dtype())) + "[" + std::to_string(x.size(axis)) + "]");
  if (residual.defined() && (!(residual.shape() == x.shape()) || residual.dtype() != x.dtype()))
    throw Error(Code::usage, "bias_act: residual " + residual.str() + " must have the shape and dtype of x " + x.str());
  if (!(o.dropout >= 0 && o.dropout < 1)) throw Error(Code::usage, "bias_act: dropout must be in [0, 1)");
  const RandomState at = random;
  if (o.dropout > 0) random.position += static_cast<std::uint64_t>((x.numel() + 3) / 4);
  const auto row_major = [](const Tensor& t) { return t.defined() ? contiguous(t) : t; };
  return record1<BiasAct>({o.act, o.dropout, axis, at}, {contiguous(x), row_major(bias), row_major(residual)});
}
Tensor bias_act(const Tensor& x, const Tensor& bias, const BiasActOptions& o) {
  if (o.dropout != 0) throw Error(Code::usage, "bias_act: dropout wants a RandomState; give it one");
  RandomState none;
  return bias_act(x, bias, Tensor{}, o, none);
}

std::vector<OpInfo> bias_act_ops() { return {info<BiasAct>()}; }

}  // namespace graft
