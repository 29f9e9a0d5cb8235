// The one explicit list of what families promise (cases, costs, tolerances). Linked into tests, benches and the `kernels` verb only.
#pragma once
#include <vector>

#include "kernels/core/spec.h"

namespace graft {

std::vector<Spec> copy_specs();
std::vector<Spec> elementwise_specs();
std::vector<Spec> reduce_specs();
std::vector<Spec> matmul_specs();
std::vector<Spec> conv_specs();
std::vector<Spec> pool_specs();
std::vector<Spec> norm_specs();
std::vector<Spec> softmax_specs();
std::vector<Spec> loss_specs();
std::vector<Spec> embed_specs();
std::vector<Spec> gather_specs();
std::vector<Spec> optim_specs();
std::vector<Spec> random_specs();
std::vector<Spec> bias_act_specs();

std::vector<Spec> all_specs();

}  // namespace graft
