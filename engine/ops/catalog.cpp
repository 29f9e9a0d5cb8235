#include "engine/ops/catalog.h"

#include "engine/ops/ops.h"

namespace graft {

std::vector<OpInfo> all_ops() {
  std::vector<OpInfo> all;
  for (auto group : {pointwise_ops, view_ops, reduction_ops, indexing_ops, matmul_ops, softmax_ops, norm_ops, conv_ops, pool_ops, loss_ops,
                     random_ops, bias_act_ops})
    for (auto& op : group()) all.push_back(std::move(op));
  return all;
}

Tensor reduce_to(const Tensor& dy, const Shape& shape) {
  if (dy.shape() == shape) return dy;
  const int lead = dy.rank() - shape.rank();
  Axes axes;
  for (int i = 0; i < dy.rank(); ++i)
    if (i < lead || (shape[i - lead] == 1 && dy.shape()[i] != 1)) axes.push_back(i);
  Tensor s = axes.empty() ? dy : sum(dy, axes, true);
  return s.shape() == shape ? s : reshape(s, shape);
}

}  // namespace graft
