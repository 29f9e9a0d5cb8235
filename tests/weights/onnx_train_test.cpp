// Graphs that came as ONNX files train: gradients are the derivatives, losses fall, and a checkpoint loads again under the same names.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "engine/autograd/gradcheck.h"
#include "engine/data/dataset.h"
#include "engine/optim/optimizer.h"
#include "onnx_build.h"
#include "weights/onnx/module.h"

namespace graft {
namespace {
namespace fs = std::filesystem;
using namespace onnx_build;

std::vector<double> drawn(std::size_t n, int seed, double size = 0.5) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::vector<double> v;
  for (std::size_t i = 0; i < n; ++i) v.push_back(size * (2.0 * static_cast<double>(random()) / 4294967295.0 - 1));
  return v;
}
template <class T>
std::string weights(const std::string& name, const std::vector<std::int64_t>& dims, int seed) {
  std::int64_t n = 1;
  for (const auto d : dims) n *= d;
  std::vector<T> v;
  for (const double d : drawn(static_cast<std::size_t>(n), seed)) v.push_back(static_cast<T>(d));
  return tensor(name, sizeof(T) == 4 ? 1 : 11, dims, raw(v));
}

// Every parameter and the input, by differences in f64; the graph's numbers are DOUBLE.
void check_graph_gradients(const GraphParts& parts, const Shape& input, std::size_t wanted_parameters, bool training = false,
                           std::int64_t version = 17) {
  const OnnxFolder f;
  const auto m = read_onnx(f.write("m.onnx", model(graph(parts), version)));
  const Params params = Params::from(onnx_lookup(m), 1, DType::f64);
  const OnnxGraph g(m, &params);
  Tensors inputs{Tensor::from(drawn(static_cast<std::size_t>(input.numel()), 99), input).set_requires_grad()};
  for (const Tensor& t : params.trainable()) inputs.push_back(t);
  EXPECT_EQ(inputs.size(), wanted_parameters + 1);
  const GradCheckResult r = check_gradients(
      [&](const Tensors& in) {
        graft::Run run;
        run.training = training;
        run.moves_statistics = false;
        return g.run({{in[0], onnx::kDouble}}, &run)[0].tensor;
      },
      inputs);
  EXPECT_TRUE(r.ok) << r.message;
}

TEST(OnnxGradients, ConvolutionNormProduct) {
  check_graph_gradients(
      {{node("Conv", {"x", "w", "b"}, {"a"}, {attribute("pads", {1, 0, 0, 1}), attribute("strides", {2, 1})}), node("Tanh", {"a"}, {"h"}),
        node("AveragePool", {"h"}, {"p"}, {attribute("kernel_shape", {2, 2}), attribute("strides", {2, 2}), attribute("ceil_mode", 1)}),
        node("Flatten", {"p"}, {"q"}), node("LayerNormalization", {"q", "s", "o"}, {"n"}),
        node("Gemm", {"n", "v", "c"}, {"y"}, {attribute("transB", 1)})},
       {weights<double>("w", {2, 1, 2, 2}, 1), weights<double>("b", {2}, 2), weights<double>("s", {6}, 3), weights<double>("o", {6}, 4),
        weights<double>("v", {3, 6}, 5), weights<double>("c", {3}, 6)},
       {value("x", 11)},
       {value("y", 11)}},
      {2, 1, 4, 5}, 6);
}
TEST(OnnxGradients, BatchNormInTraining) {
  const std::string one = tensor("v", 11, {2}, raw<double>({1.5, 0.7})), mean = tensor("m", 11, {2}, raw<double>({0.1, -0.2}));
  const GraphParts g{{node("BatchNormalization", {"x", "s", "b", "m", "v"}, {"h"}), node("Sigmoid", {"h"}, {"y"})},
                     {weights<double>("s", {2}, 1), weights<double>("b", {2}, 2), mean, one},
                     {value("x", 11)},
                     {value("y", 11)}};
  check_graph_gradients(g, {4, 2, 3}, 2, false);
  check_graph_gradients(g, {4, 2, 3}, 2, true);
}
TEST(OnnxGradients, Recurrent) {
  const std::string lengths = tensor("n", 6, {2}, raw<std::int32_t>({3, 2}));
  for (const auto& [op, gates] : {std::pair<const char*, std::int64_t>{"RNN", 1}, {"GRU", 3}, {"LSTM", 4}}) {
    SCOPED_TRACE(op);
    std::vector<std::string> in{"x", "w", "r", "b", "n"},
        init{weights<double>("w", {2, gates * 2, 2}, 1), weights<double>("r", {2, gates * 2, 2}, 2),
             weights<double>("b", {2, gates * 4}, 3), lengths};
    const bool lstm = gates == 4;
    if (lstm) {
      in.insert(in.end(), {"", "", "p"});
      init.push_back(weights<double>("p", {2, 6}, 4));
    }
    std::vector<std::string> attributes{attribute("hidden_size", 2), bytes(1, "direction") + bytes(4, "bidirectional") + number(20, 3)};
    if (gates == 3) attributes.push_back(attribute("linear_before_reset", 1));
    check_graph_gradients({{node(op, in, {"y"}, attributes)}, init, {value("x", 11)}, {value("y", 11)}}, {3, 2, 2}, lstm ? 4 : 3);
  }
}
TEST(OnnxGradients, LoopOverAWeight) {
  // y = x, three times y = tanh(y w): the body reads w from the graph around it.
  const std::string body = graph({{node("MatMul", {"at", "w"}, {"z"}), node("Tanh", {"z"}, {"next"}), node("Identity", {"go"}, {"on"})},
                                  {},
                                  {value("i", 7), value("go", 9), value("at", 11)},
                                  {value("on", 9), value("next", 11)}});
  check_graph_gradients({{node("Loop", {"times", "", "x"}, {"y"}, {attribute_graph("body", body)})},
                         {tensor("times", 7, {}, raw<std::int64_t>({3})), weights<double>("w", {2, 2}, 1)},
                         {value("x", 11)},
                         {value("y", 11)}},
                        {2, 2}, 1);
}
TEST(OnnxGradients, ResizeScatterAttention) {
  check_graph_gradients({{node("Resize", {"x", "", "scales"}, {"y"}, {bytes(1, "mode") + bytes(4, "cubic") + number(20, 3)})},
                         {tensor("scales", 1, {4}, raw<float>({1, 1, 1.5f, 0.5f}))},
                         {value("x", 11)},
                         {value("y", 11)}},
                        {1, 1, 3, 4}, 0);
  check_graph_gradients({{node("ScatterElements", {"x", "i", "u"}, {"y"}, {bytes(1, "reduction") + bytes(4, "mul") + number(20, 3)})},
                         {tensor("i", 7, {3}, raw<std::int64_t>({1, 1, -1})), tensor("u", 11, {3}, raw<double>({2, 3, 4}))},
                         {value("x", 11)},
                         {value("y", 11)}},
                        {4}, 0, false, 18);
  check_graph_gradients(
      {{node("MatMul", {"x", "w"}, {"q"}),
        node("Attention", {"q", "x", "x"}, {"y"}, {attribute("q_num_heads", 2), attribute("kv_num_heads", 1), attribute("is_causal", 1)})},
       {weights<double>("w", {2, 4}, 1)},
       {value("x", 11)},
       {value("y", 11)}},
      {1, 3, 2}, 1, false, 23);
}

// A convolutional classifier in f32, as exporters write them.
std::string small_cnn(bool softmax) {
  std::vector<std::string> nodes{node("Conv", {"x", "conv.weight", "conv.bias"}, {"a"}, {attribute("pads", {1, 1, 1, 1})}),
                                 node("BatchNormalization", {"a", "bn.weight", "bn.bias", "bn.mean", "bn.var"}, {"n"}),
                                 node("Relu", {"n"}, {"r"}),
                                 node("GlobalAveragePool", {"r"}, {"p"}),
                                 node("Flatten", {"p"}, {"f"}),
                                 node("Dropout", {"f"}, {"d"}),
                                 node("Gemm", {"d", "fc.weight", "fc.bias"}, {"logits"}, {attribute("transB", 1)})};
  if (softmax) nodes.push_back(node("Softmax", {"logits"}, {"probabilities"}));
  return model(graph({nodes,
                      {weights<float>("conv.weight", {6, 1, 3, 3}, 1), weights<float>("conv.bias", {6}, 2),
                       tensor("bn.weight", 1, {6}, raw(std::vector<float>(6, 1))), tensor("bn.bias", 1, {6}, raw(std::vector<float>(6, 0))),
                       tensor("bn.mean", 1, {6}, raw(std::vector<float>(6, 0))), tensor("bn.var", 1, {6}, raw(std::vector<float>(6, 1))),
                       weights<float>("fc.weight", {3, 6}, 3), weights<float>("fc.bias", {3}, 4)},
                      {value("x")},
                      {value(softmax ? "probabilities" : "logits")}}));
}

TEST(OnnxModule, FineTunes) {
  const OnnxFolder f;
  const auto m = read_onnx(f.write("m.onnx", small_cnn(true)));
  const Params params = Params::from(onnx_lookup(m), 1);
  const OnnxModule module(m, params);
  EXPECT_EQ(module.ending(), "Softmax");
  std::string names;
  for (const Parameter& p : params.all()) names += p.name + (p.trainable ? " " : "(kept) ");
  EXPECT_EQ(names, "conv.weight conv.bias bn.weight bn.bias bn.mean(kept) bn.var(kept) fc.weight fc.bias ");
  for (const ParamSource& s : params.sources()) EXPECT_EQ(s.how, ParamSource::How::loaded) << s.name;

  // Class k: a bar in row 2 k.
  std::vector<float> pixels;
  std::vector<std::int64_t> labels;
  std::mt19937 random(5);
  for (int i = 0; i < 48; ++i) {
    labels.push_back(i % 3);
    for (int p = 0; p < 64; ++p)
      pixels.push_back(static_cast<float>(random() % 100) / 500 + (i % 3 == 0 ? p / 8 == 2 : i % 3 == 1 ? p % 8 == 3 : p / 8 == p % 8));
  }
  const Tensor x = Tensor::from(pixels, {48, 1, 8, 8}), target = Tensor::from(labels, {48});
  const auto loss_of = [&](const OnnxModule& mod, bool training, std::uint64_t stream) {
    graft::Run run;
    run.training = training;
    run.random.stream = stream;
    return cross_entropy(mod.forward(x, run), target);
  };
  const double before = loss_of(module, false, 0).item(), variance = params.all()[5].tensor.values()[0];
  OptimOptions options = optim_defaults("adamw");
  options.lr = 0.03;
  std::vector<std::pair<std::string, Tensor>> named;
  for (const Parameter& p : params.all())
    if (p.trainable) named.emplace_back(p.name, p.tensor);
  Optimizer optimizer({{named, options}});
  for (int step = 0; step < 80; ++step) {
    optimizer.zero_grad();
    backward(loss_of(module, true, static_cast<std::uint64_t>(step)));
    optimizer.step();
  }
  const double after = loss_of(module, false, 0).item();
  EXPECT_LT(after, 0.5 * before) << "from " << before;
  EXPECT_NE(params.all()[5].tensor.values()[0], variance) << "running statistics move in training";
  // A checkpoint by the same names gives the same module.
  const Params again = Params::from(
      [&](const std::string& name) -> Tensor {
        for (const Parameter& p : params.all())
          if (p.name == name) return p.tensor;
        return {};
      },
      2);
  EXPECT_EQ(loss_of(OnnxModule(m, again), false, 0).item(), after);
}
TEST(OnnxModule, DrawsAnewFromASeed) {
  const OnnxFolder f;
  const auto m = read_onnx(f.write("m.onnx", small_cnn(false)));
  const Params params = Params::init(7);
  const OnnxModule module(m, params);
  EXPECT_EQ(module.ending(), "Gemm");
  EXPECT_EQ(params.all()[2].tensor.values(), std::vector<double>(6, 1));  // a norm's scale
  EXPECT_EQ(params.all()[5].tensor.values(), std::vector<double>(6, 1));  // a running variance
  graft::Run run;
  EXPECT_EQ(module.forward(Tensor::zeros({2, 1, 8, 8}), run).shape(), (Shape{2, 3}));
}
TEST(OnnxModule, ABatchThatIsWrittenDownIsTold) {
  const OnnxFolder f;
  const auto m = read_onnx(f.write("m.onnx", model(graph({{node("Reshape", {"x", "s"}, {"h"}), node("MatMul", {"h", "w"}, {"y"})},
                                                          {tensor("s", 7, {2}, raw<std::int64_t>({1, -1})), weights<float>("w", {4, 3}, 1)},
                                                          {value("x")},
                                                          {value("y")}}))));
  const Params params = Params::from(onnx_lookup(m), 1);
  const OnnxModule module(m, params);
  graft::Run run;
  EXPECT_EQ(module.forward(Tensor::zeros({1, 4}), run).shape(), (Shape{1, 3}));
  EXPECT_THROW(module.forward(Tensor::zeros({2, 4}), run), Error);
}

TEST(OnnxModule, TheRealMnistModelIsRightOnItsTest) {
  const char* named = std::getenv("GRAFT_TEST_DATA");
  const fs::path data = named ? fs::path(named) : fs::path(GRAFT_SOURCE_DIR) / "../shared/data", path = data / "checkpoints/mnist-cnn.onnx";
  if (!fs::exists(path) || !fs::exists(data / "mnist")) GTEST_SKIP() << "no " << path << " or no MNIST beside it; set GRAFT_TEST_DATA";
  const auto m = read_onnx(path);
  const Params params = Params::from(onnx_lookup(m), 1);
  const OnnxModule module(m, params);
  EXPECT_EQ(module.ending(), "LogSoftmax");
  const Dataset test = load_mnist((data / "mnist").string(), false);
  const Tensor images = images_of(test);
  const std::vector<std::int64_t> labels = test.labels.host<std::int64_t>();
  NoGrad off;
  int right = 0;
  for (std::int64_t at = 0; at < images.size(0); at += 500) {
    const Tensor x = div(sub(div(cast(slice(images, 0, at, at + 500), DType::f32), 255.0), 0.1307), 0.3081);
    graft::Run run;
    const std::vector<std::int64_t> best = argmax(module.forward(x, run), 1).host<std::int64_t>();
    for (std::size_t i = 0; i < best.size(); ++i) right += best[i] == labels[static_cast<std::size_t>(at) + i];
  }
  const double accuracy = right / static_cast<double>(images.size(0));
  std::printf("mnist-cnn.onnx: %d of %lld test images right (%.4f)\n", right, static_cast<long long>(images.size(0)), accuracy);
  EXPECT_GE(accuracy, 0.985);
}

}  // namespace
}  // namespace graft
