// Random tensors and dropout: functions of (seed, stream, position). Dropout stores no mask; its gradient draws the same one again.
#include "kernels/random/random.h"

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"
#include "kernels/elementwise/elementwise.h"

namespace graft {
namespace {

// Positions count groups of four numbers; each call starts on a fresh group.
Tensor draw(RandomKind kind, const Shape& shape, double a, double b, RandomState& r, DType dtype) {
  Tensor t = Tensor::empty(shape, dtype);
  random_family().run(current_queue(), {kind, t.view(), a, b, r.seed, r.stream, r.position, raw::maybe(r.offset)});
  r.position += static_cast<std::uint64_t>((t.numel() + 3) / 4) * (kind == RandomKind::integer || dtype == DType::f64 ? 2 : 1);
  return t;
}

struct Dropout {
  static constexpr std::string_view name = "dropout";
  struct Attrs {
    double p = 0.5;
    RandomState at;
    std::string str() const {
      char s[80];
      std::snprintf(s, sizeof s, "p=%g, stream=%llu, position=%llu", p, static_cast<unsigned long long>(at.stream),
                    static_cast<unsigned long long>(at.position));
      return s;
    }
  };
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) {
    const Tensor x = raw::contiguous(in[0]);
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dropout_family().run(current_queue(), {x.view(), y.view(), a.p, a.at.seed, a.at.stream, a.at.position, raw::maybe(a.at.offset)});
    return {y};
  }
  static Tensors backward(const Context&, const Attrs& a, const Tensors& dy) { return {record1<Dropout>(a, {dy[0]})}; }
  static std::vector<GradCase> cases() {
    return {{"", {{4, 5}}, [](const Tensors& t) {
               RandomState r{7, 1, 0};
               return dropout(t[0], 0.4, r);
             }}};
  }
};

// What may be changed in place: no part of a recorded computation, no element that stands for several. `with` comes from another tensor.
void in_place(const char* op, const Tensor& x, const Tensor& with = {}) {
  if (recording() && x.requires_grad())
    throw Error(Code::usage, std::string(op) + ": " + x.str() + " takes part in a recorded computation; change it inside NoGrad");
  if (recording() && with.defined() && with.requires_grad())
    throw Error(Code::usage, std::string(op) + ": " + with.str() +
                                 " wants a gradient, which would end here; make a new tensor, or write a detach() of it");
  for (int i = 0; i < x.rank(); ++i)
    if (x.shape()[i] > 1 && x.strides()[i] == 0)
      throw Error(Code::usage, std::string(op) + ": " + x.str() + " is expanded: elements of axis " + std::to_string(i) +
                                   " share one place in memory; clone() it first");
}

}  // namespace

Tensor rand_uniform(const Shape& s, double low, double high, RandomState& r, DType t) {
  return draw(RandomKind::uniform, s, low, high, r, t);
}
Tensor rand_normal(const Shape& s, double mean, double std, RandomState& r, DType t) {
  return draw(RandomKind::normal, s, mean, std, r, t);
}
Tensor rand_int(const Shape& s, std::int64_t low, std::int64_t high, RandomState& r, DType t) {
  if (low >= high) throw Error(Code::usage, "rand_int: low " + std::to_string(low) + " is not below high " + std::to_string(high));
  return draw(RandomKind::integer, s, static_cast<double>(low), static_cast<double>(high), r, t);
}
Tensor rand_permutation(std::int64_t n, RandomState& r) {  // the order that sorts n random keys
  return sort(rand_uniform({n}, 0, 1, r, DType::f64), 0).indices;
}
Tensor dropout(const Tensor& x, double p, RandomState& r) {
  raw::want_float("dropout", "x", x);
  if (!(p >= 0 && p < 1)) throw Error(Code::usage, "dropout: p must be in [0, 1)");
  if (p == 0) return x;
  const RandomState at = r;
  r.position += static_cast<std::uint64_t>((x.numel() + 3) / 4);
  return record1<Dropout>({p, at}, {x});
}

void copy_into(const Tensor& dst, const Tensor& src) {
  in_place("copy_into", dst, src);
  raw::copy(dst, raw::expand(src, dst.shape()));
}
void fill_(const Tensor& x, double value) {
  in_place("fill_", x);
  raw::into(x, ElementwiseOp::fill, {}, held_by(x.dtype(), value));
  x.written();
}
void add_(const Tensor& x, const Tensor& y, double factor) {
  in_place("add_", x, y);
  if (x.dtype() != y.dtype()) throw Error(Code::usage, "add_: " + x.str() + " and " + y.str() + " differ in dtype; cast the second");
  raw::into(x, ElementwiseOp::axpby, {x, y}, 1, factor);
  x.written();
}
void mul_(const Tensor& x, double factor) {
  in_place("mul_", x);
  raw::into(x, ElementwiseOp::scale, {x}, factor);
  x.written();
}

std::vector<OpInfo> random_ops() { return {info<Dropout>()}; }

}  // namespace graft
