// Normalisation layers, fused both ways. Statistics are saved in the accumulation type.
#include "kernels/norm/norm.h"

#include <cmath>

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

void want_affine(const char* op, const char* what, const Tensor& w, const Tensor& x, std::int64_t n) {
  if (!w.defined()) return;
  if (w.rank() != 1 || w.size(0) != n || w.dtype() != x.dtype())
    throw Error(Code::usage, std::string(op) + ": " + what + " " + w.str() + " does not fit input " + x.str() + "; wants " +
                                 std::string(name_of(x.dtype())) + "[" + std::to_string(n) + "]");
}
std::string eps_text(double eps) {
  char s[40];
  std::snprintf(s, sizeof s, "eps=%g", eps);
  return s;
}
// (x - mean) / sqrt(var + eps) over `axes`, in differentiable elementary ops
Tensor plain_normalise(const Tensor& x, const Axes& axes, double eps, bool subtract) {
  const Tensor d = subtract ? sub(x, mean(x, axes, true)) : x;
  return mul(d, rsqrt(add(mean(square(d), axes, true), eps)));
}
Tensor affine(Tensor y, const Tensor& w, const Tensor& b, const Shape& shape) {
  if (w.defined()) y = mul(y, reshape(w, shape));
  if (b.defined()) y = add(y, reshape(b, shape));
  return y;
}
Tensor maybe_new(bool wanted, const Shape& s, DType t) { return wanted ? Tensor::empty(s, t) : Tensor{}; }

template <bool Rms>
struct RowNorm {
  static constexpr std::string_view name = Rms ? "rms_norm" : "layer_norm";
  struct Attrs {
    double eps = 1e-5;
    std::string str() const { return eps_text(eps); }
  };
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    const Tensor x = raw::rows(in[0]);
    Tensor y = Tensor::empty(in[0].shape(), in[0].dtype());
    const DType t = raw::accum(x.dtype());
    Tensor mean = maybe_new(!Rms, {x.size(0)}, t), rstd = Tensor::empty({x.size(0)}, t);
    const Tensor w = in[1].defined() ? raw::contiguous(in[1]) : in[1], b = in[2].defined() ? raw::contiguous(in[2]) : in[2];
    row_norm_family().run(current_queue(),
                          {x.view(), raw::maybe(w), raw::maybe(b), raw::rows(y).view(), raw::maybe(mean), rstd.view(), a.eps, Rms});
    c.keep(in[0]);
    c.keep(w);
    c.keep(mean);
    c.keep(rstd);
    return {y};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    const Tensor x = raw::rows(c.saved(0)), g = raw::rows(dy[0]);
    const DType t = x.dtype();
    Tensor dx = maybe_new(c.needs(0), c.saved(0).shape(), t), dw = maybe_new(c.needs(1), {x.size(1)}, t),
           db = maybe_new(c.needs(2), {x.size(1)}, t);
    const Tensor dx_rows = dx.defined() ? raw::rows(dx) : dx;
    row_norm_grad_family().run(current_queue(), {g.view(), x.view(), raw::maybe(c.saved(1)), raw::maybe(c.saved(2)), c.saved(3).view(),
                                                 raw::maybe(dx_rows), raw::maybe(dw), raw::maybe(db), Rms});
    return {dx, dw, db};
  }
  static Tensors plain(const Attrs& a, const Tensors& in) {
    return {affine(plain_normalise(in[0], {-1}, a.eps, !Rms), in[1], in[2], {in[0].size(-1)})};
  }
  static std::vector<GradCase> cases() {
    const auto f = [](const Tensors& t) {
      return Rms ? rms_norm(t[0], t[1]) : layer_norm(t[0], t.size() > 1 ? t[1] : Tensor{}, t.size() > 2 ? t[2] : Tensor{});
    };
    if (Rms) return {{"", {{4, 7}, {7}}, f}};
    return {{"affine", {{2, 3, 7}, {7}, {7}}, f}, {"bare", {{4, 7}}, f}};
  }
};

// x as [n, c, s]
Tensor three(const Tensor& x) {
  std::int64_t s = 1;
  for (int i = 2; i < x.rank(); ++i) s *= x.shape()[i];
  return raw::reshape(x, {x.size(0), x.size(1), s});
}
// [n, c, s] with x's own memory order where that is dense (channels last stays so): spatial axes must fold, else a row-major copy.
Tensor result_like(const Tensor& x) {
  Tensor out = Tensor::empty(x.shape(), x.dtype());
  if (x.rank() == 4 && !x.is_contiguous() && x.strides()[1] == 1 && x.strides()[3] == x.size(1)) {
    const Shape& s = x.shape();
    const Shape nhwc{s[1] * s[2] * s[3], 1, s[3] * s[1], s[1]};
    if (x.strides() == nhwc) return out.alias(s, nhwc, 0);
  }
  return out;
}

struct GroupNorm {
  static constexpr std::string_view name = "group_norm";
  struct Attrs {
    std::int64_t groups = 1;
    double eps = 1e-5;
    std::string str() const { return "groups=" + std::to_string(groups) + ", " + eps_text(eps); }
  };
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    Tensor y = result_like(in[0]);
    const Tensor x = three(in[0]), y3 = three(y);
    const DType t = raw::accum(x.dtype());
    Tensor mean = Tensor::empty({x.size(0), a.groups}, t), rstd = Tensor::empty({x.size(0), a.groups}, t);
    const Tensor w = in[1].defined() ? raw::contiguous(in[1]) : in[1], b = in[2].defined() ? raw::contiguous(in[2]) : in[2];
    group_norm_family().run(current_queue(),
                            {x.view(), raw::maybe(w), raw::maybe(b), y3.view(), mean.view(), rstd.view(), a.groups, a.eps});
    c.keep(in[0]);
    c.keep(w);
    c.keep(mean);
    c.keep(rstd);
    return {y};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    const Tensor x = three(c.saved(0)), g = three(dy[0]);
    Tensor dx = maybe_new(c.needs(0), c.saved(0).shape(), x.dtype()), dw = maybe_new(c.needs(1), {x.size(1)}, x.dtype()),
           db = maybe_new(c.needs(2), {x.size(1)}, x.dtype());
    const Tensor dx3 = dx.defined() ? three(dx) : dx;
    group_norm_grad_family().run(current_queue(), {g.view(), x.view(), raw::maybe(c.saved(1)), c.saved(2).view(), c.saved(3).view(),
                                                   raw::maybe(dx3), raw::maybe(dw), raw::maybe(db), a.groups});
    return {dx, dw, db};
  }
  static Tensors plain(const Attrs& a, const Tensors& in) {
    const Tensor& x = in[0];
    const Tensor y = plain_normalise(reshape(x, {x.size(0), a.groups, -1}), {2}, a.eps, true);
    Shape per_channel{1, x.size(1)};
    for (int i = 2; i < x.rank(); ++i) per_channel.push_back(1);
    return {affine(reshape(y, x.shape()), in[1], in[2], per_channel)};
  }
  static std::vector<GradCase> cases() {
    return {{"affine", {{2, 4, 3, 2}, {4}, {4}}, [](const Tensors& t) { return group_norm(t[0], 2, t[1], t[2]); }},
            {"instance", {{2, 3, 5}}, [](const Tensors& t) { return group_norm(t[0], 3, {}, {}); }}};
  }
};

// in: x, weight, bias, mean, rstd (the last two constants when not training)
struct BatchNorm {
  static constexpr std::string_view name = "batch_norm";
  struct Attrs {
    double eps = 1e-5;
    bool training = true;
    std::string str() const { return std::string(training ? "training, " : "") + eps_text(eps); }
  };
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    Tensor y = result_like(in[0]);
    const Tensor x = three(in[0]), y3 = three(y);
    const DType t = raw::accum(x.dtype());
    Tensor mean = a.training ? Tensor::empty({x.size(1)}, t) : in[3], rstd = a.training ? Tensor::empty({x.size(1)}, t) : in[4];
    const Tensor w = in[1].defined() ? raw::contiguous(in[1]) : in[1], b = in[2].defined() ? raw::contiguous(in[2]) : in[2];
    batch_norm_family().run(current_queue(),
                            {x.view(), raw::maybe(w), raw::maybe(b), y3.view(), mean.view(), rstd.view(), a.eps, a.training});
    c.keep(in[0]);
    c.keep(w);
    c.keep(mean);
    c.keep(rstd);
    return {y, mean.detach(), rstd.detach()};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    const Tensor x = three(c.saved(0)), g = three(dy[0]);
    Tensor dx = c.needs(0) ? result_like(c.saved(0)) : Tensor{};
    Tensor dw = maybe_new(c.needs(1), {x.size(1)}, x.dtype()), db = maybe_new(c.needs(2), {x.size(1)}, x.dtype());
    const Tensor dx3 = dx.defined() ? three(dx) : dx;
    batch_norm_grad_family().run(current_queue(), {g.view(), x.view(), raw::maybe(c.saved(1)), c.saved(2).view(), c.saved(3).view(),
                                                   raw::maybe(dx3), raw::maybe(dw), raw::maybe(db), a.training});
    return {dx, dw, db, {}, {}};
  }
  static Tensors plain(const Attrs& a, const Tensors& in) {
    const Tensor& x = in[0];
    Shape per_channel{1, x.size(1)};
    Axes axes{0};
    for (int i = 2; i < x.rank(); ++i) {
      per_channel.push_back(1);
      axes.push_back(i);
    }
    const Tensor m = a.training ? mean(x, axes, true) : reshape(in[3], per_channel);
    const Tensor d = sub(x, m);
    const Tensor r = a.training ? rsqrt(add(mean(square(d), axes, true), a.eps)) : reshape(in[4], per_channel);
    const DType t = raw::accum(x.dtype());
    return {affine(mul(d, cast(r, x.dtype())), in[1], in[2], per_channel), cast(reshape(m.detach(), {x.size(1)}), t),
            cast(reshape(r.detach(), {x.size(1)}), t)};
  }
  static std::vector<GradCase> cases() {
    const auto f = [](bool training) {
      return [training](const Tensors& t) {
        const DType s = t[0].dtype();
        Tensor rm = Tensor::full({3}, 0.2, s), rv = Tensor::full({3}, 1.3, s);
        return batch_norm(t[0], t.size() > 1 ? t[1] : Tensor{}, t.size() > 2 ? t[2] : Tensor{}, rm, rv, training);
      };
    };
    return {{"training", {{4, 3, 2, 2}, {3}, {3}}, f(true)}, {"bare", {{5, 3}}, f(true)}, {"evaluating", {{4, 3, 2}, {3}, {3}}, f(false)}};
  }
};

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  raw::want_float("layer_norm", "input", x);
  if (x.rank() < 1) throw Error(Code::usage, "layer_norm: input " + x.str() + " has no axis to normalise");
  want_affine("layer_norm", "weight", weight, x, x.size(-1));
  want_affine("layer_norm", "bias", bias, x, x.size(-1));
  return record1<RowNorm<false>>({eps}, {x, weight, bias});
}
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  raw::want_float("rms_norm", "input", x);
  if (x.rank() < 1) throw Error(Code::usage, "rms_norm: input " + x.str() + " has no axis to normalise");
  want_affine("rms_norm", "weight", weight, x, x.size(-1));
  return record1<RowNorm<true>>({eps}, {x, weight, Tensor{}});
}
Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  raw::want_float("group_norm", "input", x);
  if (x.rank() < 2 || groups < 1 || x.size(1) % groups)
    throw Error(Code::usage,
                "group_norm: input " + x.str() + " cannot be cut into " + std::to_string(groups) + " groups of channels (axis 1)");
  want_affine("group_norm", "weight", weight, x, x.size(1));
  want_affine("group_norm", "bias", bias, x, x.size(1));
  return record1<GroupNorm>({groups, eps}, {x, weight, bias});
}
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                  bool training, double momentum, double eps) {
  raw::want_float("batch_norm", "input", x);
  if (x.rank() < 2) throw Error(Code::usage, "batch_norm: input " + x.str() + " wants at least two axes [n, channels, ...]");
  const std::int64_t c = x.size(1), n = c ? x.numel() / c : 0;
  want_affine("batch_norm", "weight", weight, x, c);
  want_affine("batch_norm", "bias", bias, x, c);
  if (training && n < 2)
    throw Error(Code::usage, "batch_norm: input " + x.str() + " has " + std::to_string(n) +
                                 " value per channel; training needs at least 2: use a larger batch or evaluate");
  if (!training && (!running_mean.defined() || !running_var.defined()))
    throw Error(Code::usage, "batch_norm: evaluating needs running_mean and running_var");
  const DType t = raw::accum(x.dtype());
  if (!training) {
    const Tensor rstd = rsqrt(add(cast(running_var.detach(), t), eps));
    return record1<BatchNorm>({eps, false}, {x, weight, bias, cast(running_mean.detach(), t), rstd});
  }
  const Tensors y = record<BatchNorm>({eps, true}, {x, weight, bias, Tensor{}, Tensor{}});
  if (running_mean.defined() && running_var.defined()) {
    NoGrad off;
    // rstd = 1/sqrt(var + eps): the variance comes back by inversion; unbiased for the running estimate, as PyTorch keeps it
    const Tensor var = mul(sub(reciprocal(square(y[2])), eps), static_cast<double>(n) / static_cast<double>(n - 1));
    mul_(running_mean, 1 - momentum);
    add_(running_mean, cast(y[1].detach(), running_mean.dtype()), momentum);
    mul_(running_var, 1 - momentum);
    add_(running_var, cast(var, running_var.dtype()), momentum);
  }
  return y[0];
}

std::vector<OpInfo> norm_ops() { return {info<RowNorm<false>>(), info<RowNorm<true>>(), info<GroupNorm>(), info<BatchNorm>()}; }

}  // namespace graft
