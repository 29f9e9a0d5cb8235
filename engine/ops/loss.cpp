// Losses. Cross-entropy is fused with its softmax; the others are short compositions of elementary ops.
#include "kernels/loss/loss.h"

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

// in: logits [rows, classes], target [rows] i64, class_weight [classes] or undefined -> loss per row, in the accumulation type
struct CrossEntropy {
  static constexpr std::string_view name = "cross_entropy";
  struct Attrs {
    double smoothing = 0;
    std::int64_t ignore_index = -100;
    static constexpr std::string_view called = "cross_entropy";
    std::string str() const {
      char s[64];
      std::snprintf(s, sizeof s, "smoothing=%g, ignore_index=%lld", smoothing, static_cast<long long>(ignore_index));
      return s;
    }
  };
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    const DType t = raw::accum(in[0].dtype());
    Tensor loss = Tensor::empty({in[0].size(0)}, t), lse = Tensor::empty({in[0].size(0)}, t);
    cross_entropy_family().run(current_queue(),
                               {in[0].view(), in[1].view(), raw::maybe(in[2]), loss.view(), lse.view(), a.smoothing, a.ignore_index});
    c.keep(in[0]);
    c.keep(in[1]);
    c.keep(in[2]);
    c.keep(lse);
    return {loss};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    Tensor dx = Tensor::empty(c.input_shape(0), c.input_dtype(0));
    cross_entropy_grad_family().run(current_queue(), {c.saved(0).view(), c.saved(1).view(), raw::maybe(c.saved(2)), c.saved(3).view(),
                                                      dy[0].view(), dx.view(), a.smoothing, a.ignore_index});
    return {dx, Tensor{}, Tensor{}};
  }
  static Tensors plain(const Attrs& a, const Tensors& in) {
    const Tensor& x = in[0];
    const std::int64_t classes = x.size(1);
    const Tensor kept = ne(in[1], Tensor::scalar(static_cast<double>(a.ignore_index), DType::i64));
    const Tensor safe = where(kept, in[1], Tensor::scalar(0, DType::i64));
    Tensor q = add(mul(one_hot(safe, classes, x.dtype()), 1 - a.smoothing), a.smoothing / static_cast<double>(classes));
    if (in[2].defined()) q = mul(q, in[2]);
    const Tensor loss = neg(sum(mul(q, log_softmax(x)), {1}));
    return {cast(mul(loss, cast(kept, x.dtype())), raw::accum(x.dtype()))};
  }
  static std::vector<GradCase> cases() { return cases_of(Reduction::none); }
  static std::vector<GradCase> cases_of(Reduction r) {
    const auto f = [r](double smoothing, bool weighted) {
      return [=](const Tensors& t) {
        CrossEntropyOptions p;
        p.smoothing = smoothing;
        p.reduction = r;
        if (weighted) p.class_weight = cast(Tensor::from<double>({0.5, 2, 1, 0.1, 1.5}, {5}), t[0].dtype());
        return cross_entropy(t[0], Tensor::from<std::int64_t>({1, 4, -100, 0}, {4}), p);
      };
    };
    const std::string name = r == Reduction::mean ? "mean" : r == Reduction::sum ? "sum" : "per row";
    return {{name, {{4, 5}}, f(0, false)}, {name + ", smoothed, weighted", {{4, 5}}, f(0.1, true)}};
  }
};

// in: as CrossEntropy, and scale [1] or undefined -> scale * the sum of the losses. Where a gradient is wanted, one visit of the logits
// leaves it behind, scaled; a backward pass that starts here hands it on as it is.
struct CrossEntropySum {
  static constexpr std::string_view name = "cross_entropy_sum";
  using Attrs = CrossEntropy::Attrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    const Tensor& x = in[0];
    const DType t = raw::accum(x.dtype());
    Tensor loss = Tensor::empty({x.size(0)}, t), lse = Tensor::empty({x.size(0)}, t);
    const CrossEntropyArgs args{x.view(), in[1].view(), raw::maybe(in[2]), loss.view(), lse.view(), a.smoothing, a.ignore_index};
    if (c.needs(0)) {
      const Tensor dx = Tensor::empty(x.shape(), x.dtype());
      cross_entropy_fused_family().run(current_queue(), {args, dx.view(), raw::maybe(in[3])});
      c.keep(dx);
    } else {
      cross_entropy_family().run(current_queue(), args);
    }
    const Tensor total = raw::reduce(ReduceOp::sum, loss, {}, false);
    return {in[3].defined() ? raw::binary(ElementwiseOp::mul, total, in[3]) : total};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    const Tensor& dx = c.saved(0);
    if (dy[0].impl()->unit_seed) return {dx, Tensor{}, Tensor{}, Tensor{}};
    // in the accumulation type: a cotangent rounded to 16 bits would bend all elements alike
    return {raw::cast(raw::binary(ElementwiseOp::mul, raw::cast(dx, dy[0].dtype()), dy[0]), dx.dtype()), Tensor{}, Tensor{}, Tensor{}};
  }
  static Tensors plain(const Attrs& a, const Tensors& in) {
    const Tensor total = sum(CrossEntropy::plain(a, in)[0]);
    return {in[3].defined() ? mul(total, in[3]) : total};
  }
  static std::vector<GradCase> cases() {
    std::vector<GradCase> all = CrossEntropy::cases_of(Reduction::mean);
    all.push_back(CrossEntropy::cases_of(Reduction::sum)[0]);
    return all;
  }
};

Tensor reduced(const Tensor& loss, Reduction r) { return r == Reduction::none ? loss : r == Reduction::sum ? sum(loss) : mean(loss); }
void same(const char* op, const Tensor& x, const Tensor& y) {
  raw::want_float(op, "input", x);
  if (!(x.shape() == y.shape()))
    throw Error(Code::usage, std::string(op) + ": input " + x.str() + " and target " + y.str() +
                                 " differ in shape; a broadcast here would hide a mistake");
}
void check_targets(const char* op, const Tensor& logits, const Tensor& target, std::int64_t ignore) {
  raw::want_float(op, "logits", logits);
  if (logits.rank() != 2 || target.rank() != 1 || target.size(0) != logits.size(0) || target.dtype() != DType::i64)
    throw Error(Code::usage,
                std::string(op) + ": logits " + logits.str() + " and target " + target.str() + ": wants [rows, classes] and i64[rows]");
  if (target.device().kind != DeviceKind::cpu) return;  // the kernel looks, and reports (Queue::look)
  const std::vector<std::int64_t> p = target.host<std::int64_t>();
  for (std::size_t i = 0; i < p.size(); ++i)
    if ((p[i] < 0 || p[i] >= logits.size(1)) && p[i] != ignore)
      throw Error(Code::usage, fault_sentence(FaultKind::target, op, static_cast<std::int64_t>(i), p[i], logits.size(1)));
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& o) {
  check_targets("cross_entropy", logits, target, o.ignore_index);
  if (o.class_weight.defined() &&
      (o.class_weight.rank() != 1 || o.class_weight.size(0) != logits.size(1) || o.class_weight.dtype() != logits.dtype()))
    throw Error(Code::usage, "cross_entropy: class_weight " + o.class_weight.str() + " does not fit logits " + logits.str());
  if (!(o.smoothing >= 0 && o.smoothing < 1)) throw Error(Code::usage, "cross_entropy: smoothing must be in [0, 1)");
  const CrossEntropy::Attrs attrs{o.smoothing, o.ignore_index};
  const Tensor targets = raw::contiguous(target);
  if (o.reduction == Reduction::none) return record1<CrossEntropy>(attrs, {logits, targets, o.class_weight});
  if (o.reduction == Reduction::sum) return record1<CrossEntropySum>(attrs, {logits, targets, o.class_weight, Tensor{}});
  // The mean is over the weights of the targets that count, as PyTorch's.
  const Tensor kept = ne(target, Tensor::scalar(static_cast<double>(o.ignore_index), DType::i64));
  const DType t = raw::accum(logits.dtype());
  Tensor weight = cast(kept, t);
  if (o.class_weight.defined())
    weight = mul(weight, cast(pick("cross_entropy", raw::expand(o.class_weight.detach(), logits.shape()),
                                   where(kept, target, Tensor::scalar(0, DType::i64))),
                              t));
  return record1<CrossEntropySum>(attrs, {logits, targets, o.class_weight, reciprocal(sum(weight))});
}
Tensor bce_with_logits(const Tensor& x, const Tensor& y, Reduction r) {
  same("bce_with_logits", x, y);
  return reduced(add(mul(sub(1.0, y), x), softplus(neg(x))), r);  // log(1 + e^x) - x y without its cancellation at large x
}
Tensor mse_loss(const Tensor& x, const Tensor& y, Reduction r) {
  same("mse_loss", x, y);
  return reduced(square(sub(x, y)), r);
}
Tensor l1_loss(const Tensor& x, const Tensor& y, Reduction r) {
  same("l1_loss", x, y);
  return reduced(abs(sub(x, y)), r);
}
Tensor smooth_l1_loss(const Tensor& x, const Tensor& y, double beta, Reduction r) {
  same("smooth_l1_loss", x, y);
  if (!(beta > 0)) throw Error(Code::usage, "smooth_l1_loss: beta must be above 0; use l1_loss for 0");
  const Tensor d = abs(sub(x, y));
  return reduced(where(lt(d, Tensor::scalar(beta, d.dtype())), mul(square(d), 0.5 / beta), sub(d, 0.5 * beta)), r);
}
Tensor kl_div(const Tensor& log_p, const Tensor& target, Reduction r) {
  same("kl_div", log_p, target);
  const Tensor zero = Tensor::scalar(0, target.dtype()), one = Tensor::scalar(1, target.dtype());
  const Tensor positive = gt(target, zero);
  return reduced(sub(where(positive, mul(target, log(where(positive, target, one))), zero), mul(target, log_p)), r);
}
Tensor focal_loss(const Tensor& logits, const Tensor& target, double gamma, Reduction r) {
  check_targets("focal_loss", logits, target, INT64_MIN);
  if (!(gamma >= 0)) throw Error(Code::usage, "focal_loss: gamma must not be negative");
  const Tensor log_p = pick("focal_loss", log_softmax(logits), target);
  // Where p rounds to 1 the rest is 0, and a power below 1 has an infinite slope there, which times log_p = 0 would be NaN.
  const Tensor least = Tensor::scalar(log_p.dtype() == DType::f16 ? 0x1p-14 : 0x1p-126, log_p.dtype());
  const Tensor rest = maximum(neg(expm1(log_p)), least);
  return reduced(neg(mul(pow(rest, gamma), log_p)), r);
}

std::vector<OpInfo> loss_ops() {
  const auto composed = [](std::string_view name, std::vector<GradCase> cases) {
    OpInfo i;
    i.name = name;
    i.cases = std::move(cases);
    return i;
  };
  const auto targets = [](const Tensor& x) { return cast(Tensor::from<double>({0.2, 1, 0, 0.7, 0.5, 0.9}, {2, 3}), x.dtype()); };
  return {
      info<CrossEntropy>(),
      info<CrossEntropySum>(),
      composed("bce_with_logits", {{"", {{2, 3}}, [=](const Tensors& t) { return bce_with_logits(t[0], targets(t[0])); }, Domain::spread}}),
      composed("mse_loss", {{"", {{2, 3}, {2, 3}}, [](const Tensors& t) { return mse_loss(t[0], t[1]); }}}),
      composed("l1_loss", {{"", {{2, 3}}, [=](const Tensors& t) { return l1_loss(mul(t[0], 3.0), targets(t[0])); }, Domain::spread}}),
      composed("smooth_l1_loss",
               {{"", {{2, 3}}, [=](const Tensors& t) { return smooth_l1_loss(mul(t[0], 3.0), targets(t[0]), 0.7); }, Domain::spread}}),
      composed("kl_div", {{"", {{2, 3}}, [=](const Tensors& t) { return kl_div(log_softmax(t[0]), targets(t[0])); }}}),
      composed("focal_loss", {{"", {{3, 4}}, [](const Tensors& t) {
                                 return focal_loss(t[0], Tensor::from<std::int64_t>({2, 0, 3}, {3}));
                               }}})};
}

}  // namespace graft
