#include "models/zoo.h"

#include "models/cifar_resnet.h"
#include "models/mlp.h"
#include "models/mnist_bn_cnn.h"
#include "models/mnist_cnn.h"
#include "models/resnet8.h"

namespace graft {
namespace {
constexpr std::string_view kCifarResnet = "cifar-resnet";  // and the depth
}  // namespace

std::string head_of(const Config& c) {
  const auto name = c.get<std::string>("model.name");
  if (name == "onnx") return {};  // nobody says which of its nodes that is
  return name.starts_with(kCifarResnet) || name == "resnet8" ? "linear" : name == "mnist-bn-cnn" ? "fc2 norm2" : "fc2";
}

Shape usual_input(const Config& c) {
  const auto name = c.get<std::string>("model.name");
  if (name.starts_with(kCifarResnet) || name == "resnet8") return {3, 32, 32};
  if (name.starts_with("mnist-")) return {1, 28, 28};
  throw Error(Code::usage,
              "model.name=" + name + ": its parameters follow its input, and there are no data to ask; train or evaluate it instead");
}

Model make_model(const Config& c, const Params& p, const Shape& input) {
  const auto name = c.get<std::string>("model.name");
  const auto classes = c.get<std::int64_t>("model.classes");
  const std::string head = head_of(c);
  if (name.starts_with(kCifarResnet))
    return {std::make_shared<CifarResnet>(
                p, CifarResnetConfig{std::stoll(name.substr(kCifarResnet.size())), c.get<std::int64_t>("model.width"), input[0], classes}),
            head};
  if (name == "resnet8") return {std::make_shared<Resnet8>(p, Resnet8Config{c.get<std::int64_t>("model.width"), input[0], classes}), head};
  if (name == "mnist-cnn")
    return {std::make_shared<MnistCnn>(p, MnistCnnConfig{classes, c.get<double>("model.dropout1"), c.get<double>("model.dropout2"),
                                                         c.get<bool>("model.channels_last")}),
            head};
  if (name == "mnist-bn-cnn") return {std::make_shared<MnistBnCnn>(p, MnistBnCnnConfig{classes, c.get<double>("model.dropout2")}), head};
  if (name == "onnx")
    throw Error(Code::usage, "model.name=onnx: this verb has no place for a graph; train, finetune, eval and predict have");
  return {std::make_shared<Mlp>(p, MlpConfig{input.numel(), c.get<std::int64_t>("model.hidden"), classes}), head};
}

}  // namespace graft
