#include "models/zoo.h"

#include "models/mlp.h"
#include "models/mnist_cnn.h"

namespace graft {

Model make_model(const Config& c, const Params& p, const Shape& input) {
  const auto name = c.get<std::string>("model.name");
  const auto classes = c.get<std::int64_t>("model.classes");
  if (name == "mnist-cnn")
    return {std::make_shared<MnistCnn>(p, MnistCnnConfig{classes, c.get<double>("model.dropout1"), c.get<double>("model.dropout2"), c.get<bool>("model.channels_last")}),
            "fc2"};
  return {std::make_shared<Mlp>(p, MlpConfig{input.numel(), c.get<std::int64_t>("model.hidden"), classes}), "fc2"};
}

}  // namespace graft
