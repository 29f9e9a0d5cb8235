#include "models/mlp.h"

namespace graft {

Mlp::Mlp(const Params& p, const MlpConfig& c) : fc1_(p / "fc1", c.inputs, c.hidden), fc2_(p / "fc2", c.hidden, c.classes) {}
Tensor Mlp::features(const Tensor& x, Run& run) const { return relu(fc1_.forward(flatten(x, 1), run)); }
Tensor Mlp::forward(const Tensor& x, Run& run) const { return fc2_.forward(features(x, run), run); }

}  // namespace graft
