// elementwise over merged runs: axes that follow one another in all operands become one on the host, and the output is walked as it lies in
// memory. One thread per element; its position is divided once per axis that is left, in 32 bits, which for dense operands is not at all
// and for a broadcast row once. Neighbouring threads take neighbouring elements of the output, whatever its strides; a stretched operand
// comes from L1. Bytes: each operand once. Limits: f32, bf16, f16; fewer than 2^31 elements.
#include "kernels/elementwise/rows.h"
#include "kernels/elementwise/vectors.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
__global__ void runs(ElementwiseArgs a, Runs<4> r, unsigned count) {
  unsigned rest = blockIdx.x * blockDim.x + threadIdx.x;
  if (rest >= count) return;
  std::int64_t o[4] = {};
  {
    const unsigned inner = static_cast<unsigned>(r.inner), c = r.rank ? rest % inner : rest;
    for (int k = 0; k < 4; ++k) o[k] = c * r.inner_stride[k];
    if (r.rank) rest /= inner;
  }
  for (int d = r.rank - 1; d >= 0; --d) {
    const unsigned size = static_cast<unsigned>(r.shape[d]), c = d ? rest % size : rest;
    if (d) rest /= size;
    for (int k = 0; k < 4; ++k) o[k] += c * r.stride[d][k];
  }
  const int n = arity(a.op);
  T x[3] = {};
  for (int k = 0; k < 3; ++k) {
    if (k >= n) break;
    if (a.op == E::where && k == 0) x[0] = static_cast<T>(a.in[0].as<const bool>()[o[1]]);
    else x[k] = a.in[k].as<const T>()[o[k + 1]];
  }
  visit_op(a.op, [&]<E op>() {
    using Out = std::conditional_t<is_predicate(op), bool, T>;
    a.out.as<Out>()[o[0]] = static_cast<Out>(element_op<op, T, Accum<T>>(x[0], x[1], x[2], a.s0, a.s1));
  });
}

}  // namespace

void elementwise_thread_runs(Queue& q, const ElementwiseArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n == 0) return;
  const Runs<4> r = operand_runs(a);
  const auto go = [&]<class T>() { launch(q, runs<T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, r, static_cast<unsigned>(n)); };
  const DType t = value_dtype(a);
  if (t == DType::f32) go.template operator()<float>();
  else if (t == DType::bf16) go.template operator()<bf16>();
  else go.template operator()<f16>();
}

}  // namespace graft::GRAFT_SIMT
