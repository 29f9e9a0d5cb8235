// softmax and log-softmax along any axis. Fused: one kernel each way; the plain composition is the oracle.
#include "kernels/softmax/softmax.h"

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

template <bool Log>
struct Softmax {
  static constexpr std::string_view name = Log ? "log_softmax" : "softmax";
  struct Attrs {  // always the last axis: other axes are moved there by the caller
    std::string str() const { return "axis=-1"; }
  };
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    const Tensor x = raw::rows(in[0]);
    Tensor y = Tensor::empty(in[0].shape(), in[0].dtype());
    softmax_family().run(current_queue(), {x.view(), raw::rows(y).view(), Log});
    c.keep_output(0);
    return {y};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    const Tensor y = raw::rows(c.saved(0)), g = raw::rows(dy[0]);
    Tensor dx = Tensor::empty(c.saved(0).shape(), dy[0].dtype());
    softmax_grad_family().run(current_queue(), {y.view(), g.view(), raw::rows(dx).view(), Log});
    return {dx};
  }
  static Tensors plain(const Attrs&, const Tensors& in) {
    const Tensor& x = in[0];
    const Tensor shifted = sub(x, amax(x.detach(), {-1}, true));  // the shift cancels: no gradient through it
    if (Log) return {sub(shifted, log(sum(exp(shifted), {-1}, true)))};
    const Tensor e = exp(shifted);
    return {div(e, sum(e, {-1}, true))};
  }
  static std::vector<GradCase> cases() {
    return {{"last", {{3, 5}}, [](const Tensors& t) { return Log ? log_softmax(t[0]) : softmax(t[0]); }},
            {"axis=1", {{2, 4, 3}}, [](const Tensors& t) { return Log ? log_softmax(t[0], 1) : softmax(t[0], 1); }}};
  }
};

template <bool Log>
Tensor along(const Tensor& x, int axis) {
  const char* name = Log ? "log_softmax" : "softmax";
  raw::want_float(name, "x", x);
  if (x.rank() == 0) return reshape(along<Log>(reshape(x, {1}), 0), {});
  const int a = normal_axis(axis, x.rank(), name);
  if (a == x.rank() - 1) return record1<Softmax<Log>>({}, {x});
  return transpose(record1<Softmax<Log>>({}, {transpose(x, a, -1)}), a, -1);
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) { return along<false>(x, axis); }
Tensor log_softmax(const Tensor& x, int axis) { return along<true>(x, axis); }

std::vector<OpInfo> softmax_ops() { return {info<Softmax<false>>(), info<Softmax<true>>()}; }

}  // namespace graft
