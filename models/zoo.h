// Models by name, built from a configuration's [model] section.
#pragma once
#include <string>

#include "engine/nn/layers.h"
#include "engine/train/config.h"

namespace graft {

struct Model {
  std::shared_ptr<const Module> module;
  std::string head;  // path of the layer whose size follows the classes; several with spaces between
};
std::string head_of(const Config& config);  // Model::head, before there is a model
// [c, h, w] of the images that a model is usually made for: where there are no data to ask. Error(usage) for a model whose parameters
// follow its input.
Shape usual_input(const Config& config);
// `input`: [c, h, w] of one image. Asks `p` for every parameter, in the order in which an image meets the layers.
Model make_model(const Config& config, const Params& p, const Shape& input = {1, 28, 28});

}  // namespace graft
