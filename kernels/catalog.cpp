#include "kernels/catalog.h"

#include "kernels/bias_act/bias_act.h"
#include "kernels/conv/conv.h"
#include "kernels/copy/copy.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embed/embed.h"
#include "kernels/gather/gather.h"
#include "kernels/loss/loss.h"
#include "kernels/matmul/matmul.h"
#include "kernels/norm/norm.h"
#include "kernels/optim/optim.h"
#include "kernels/pool/pool.h"
#include "kernels/random/random.h"
#include "kernels/reduce/reduce.h"
#include "kernels/softmax/softmax.h"

namespace graft {

std::span<const FamilyBase* const> families() {
  static const FamilyBase* const list[] = {
      &copy_family(),
      &elementwise_family(),
      &reduce_family(),
      &cumsum_family(),
      &sort_family(),
      &matmul_family(),
      &conv_family(),
      &conv_input_grad_family(),
      &conv_weight_grad_family(),
      &max_pool_family(),
      &max_pool_grad_family(),
      &avg_pool_family(),
      &avg_pool_grad_family(),
      &row_norm_family(),
      &row_norm_grad_family(),
      &group_norm_family(),
      &group_norm_grad_family(),
      &batch_norm_family(),
      &batch_norm_grad_family(),
      &softmax_family(),
      &softmax_grad_family(),
      &cross_entropy_family(),
      &cross_entropy_grad_family(),
      &cross_entropy_fused_family(),
      &embed_family(),
      &embed_grad_family(),
      &gather_family(),
      &scatter_family(),
      &optim_family(),
      &optim_multi_family(),
      &sum_squares_multi_family(),
      &random_family(),
      &dropout_family(),
      &bias_act_family(),
      &bias_act_grad_family(),
  };
  return list;
}

void check_variant_names(std::string_view spec) {
  while (!spec.empty()) {
    const auto item = spec.substr(0, spec.find(','));
    spec = item.size() == spec.size() ? std::string_view{} : spec.substr(item.size() + 1);
    const auto eq = item.find('=');
    if (eq == std::string_view::npos)
      throw Error(Code::usage, "kernel choice '" + std::string(item) + "' is not FAMILY=VARIANT; see graft kernels list");
    const auto family = item.substr(0, eq), variant = item.substr(eq + 1);
    const FamilyBase* found = nullptr;
    for (const auto* f : families())
      if (f->name() == family) found = f;
    if (!found) throw Error(Code::usage, "no kernel family '" + std::string(family) + "'; see graft kernels list");
    bool known = false;
    std::string names;
    for (const auto& v : found->variants()) {
      known |= v.name == variant;
      names += (names.empty() ? "" : ", ") + std::string(v.name);
    }
    if (!known) throw Error(Code::usage, std::string(family) + " has no variant '" + std::string(variant) + "'; it has " + names);
  }
}

}  // namespace graft
