#include "kernels/specs.h"

namespace graft {

std::vector<Spec> all_specs() {
  std::vector<Spec> all;
  for (auto family : {copy_specs, elementwise_specs, reduce_specs, matmul_specs, conv_specs, pool_specs, norm_specs, softmax_specs,
                      loss_specs, embed_specs, gather_specs, optim_specs, random_specs, bias_act_specs})
    for (auto& s : family()) all.push_back(std::move(s));
  return all;
}

}  // namespace graft
