// Models against torch's (tests/golden): the same numbers from the same weights, in evaluation and training, forward and backward.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "models/cifar_resnet.h"

namespace graft {
namespace {

using Json = nlohmann::json;

// The formula of tests/golden/cifar_resnet/make.py.
Tensor filled(std::int64_t k, const Shape& s, double scale, double offset) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < s.numel(); ++i) {
    const std::int64_t x = (k * 7919 + i * 104729 + 12345) % 1000003;
    v.push_back(static_cast<float>(offset + scale * (static_cast<double>(x * 48271 % 1000003) / 1000003 - 0.5)));
  }
  return Tensor::from(v, s);
}

class CifarResnetGolden : public ::testing::TestWithParam<DType> {
 protected:
  CifarResnetGolden() {
    std::ifstream f(GRAFT_SOURCE_DIR "/tests/golden/cifar_resnet/cifar_resnet.json");
    golden_ = Json::parse(f);
  }
  // The tolerance is twice the error of torch's own f32, plus 4 ulp of the largest value. In f64 that error is scaled by the ratio of the
  // epsilons and counts three times, since the golden numbers have it as well. Running statistics are f32 in every run, so there the ulp is
  // f32's.
  void expect_equal(const std::string& key, const Tensor& got) {
    const Json& g = golden_["results"][key];
    const std::vector<double> want = g["values"].get<std::vector<double>>(), have = got.values();
    ASSERT_EQ(have.size(), want.size()) << key;
    const double errors = GetParam() == DType::f64 ? 3 * std::pow(2.0, -29) : 2,
                 ulp = got.dtype() == DType::f64 ? std::pow(2.0, -52) : std::pow(2.0, -23);
    double largest = 0;
    for (const double v : want) largest = std::max(largest, std::abs(v));
    const double tolerance = errors * g["f32_error"].get<double>() + 4 * ulp * largest;
    for (std::size_t i = 0; i < want.size(); ++i)
      EXPECT_TRUE(std::abs(have[i] - want[i]) <= tolerance)
          << key << '[' << i << "]: " << have[i] << ", torch " << want[i] << ", tolerance " << tolerance;
  }
  Json golden_;
};

TEST_P(CifarResnetGolden, EqualsTorchInEvaluationTrainingAndBackward) {
  std::map<std::string, std::int64_t> order;
  std::int64_t k = 0;
  for (const auto& name : golden_["names"]) order[name] = k++;
  CifarResnetConfig config;
  config.depth = golden_["depth"];
  config.width = golden_["width"];
  config.classes = golden_["classes"];
  // Shapes are the model's own here; a wrong one shows as another number of values below.
  const Params shapes = Params::init(1);
  const CifarResnet drawn(shapes, config);
  std::map<std::string, Tensor> weights;
  std::vector<std::string> asked;
  for (const Parameter& p : shapes.all()) {
    ASSERT_TRUE(order.count(p.name)) << p.name << " is no name of torch's model";
    const bool one = p.name.ends_with("running_var") || (p.tensor.rank() == 1 && p.name.ends_with("weight"));
    weights[p.name] = filled(order[p.name], p.tensor.shape(), 1, one ? 1 : 0);
    asked.push_back(p.name);
  }
  EXPECT_EQ(asked, golden_["names"].get<std::vector<std::string>>()) << "the order is the network's, as torch's state_dict has it";

  const Params params = Params::from([&](const std::string& name) { return weights.at(name); }, 1, GetParam());
  const CifarResnet model(params, config);
  const std::int64_t n = golden_["images"];
  const Tensor x = cast(filled(1000, {n, 3, 8, 8}, 2, 0), GetParam());
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) labels.push_back(i % config.classes);
  graft::Run evaluating, training{true, {}};
  {
    NoGrad off;
    expect_equal("logits.eval", model.forward(x, evaluating));
  }
  const Tensor logits = model.forward(x, training);
  expect_equal("logits.train", logits);
  const Tensor loss = cross_entropy(logits, Tensor::from(labels, {n}));
  expect_equal("loss", loss);
  backward(loss);
  std::int64_t gradients = 0, statistics = 0;
  for (const Parameter& p : params.all()) {
    if (golden_["results"].contains("grad." + p.name)) expect_equal("grad." + p.name, p.tensor.grad()), ++gradients;
    if (golden_["results"].contains("after." + p.name)) expect_equal("after." + p.name, p.tensor), ++statistics;
  }
  EXPECT_EQ(gradients, 7);
  EXPECT_EQ(statistics, 5);
}
INSTANTIATE_TEST_SUITE_P(DTypes, CifarResnetGolden, ::testing::Values(DType::f32, DType::f64),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST(CifarResnet, HasThePapersSizeAndKaimingsDeviation) {
  for (const auto& [depth, thousands] : std::vector<std::pair<std::int64_t, double>>{
           {20, 270}, {32, 464}, {44, 659}, {56, 853}}) {  // He et al., table 6: 0.27M, 0.46M, 0.66M, 0.85M
    const Params p = Params::init(3);
    CifarResnetConfig c;
    c.depth = depth;
    const CifarResnet model(p, c);
    std::int64_t numbers = 0;
    for (const Parameter& q : p.all()) numbers += q.trainable ? q.tensor.numel() : 0;
    EXPECT_EQ(std::round(static_cast<double>(numbers) / 1000), thousands) << depth;
    for (const Parameter& q : p.all()) {
      if (q.name != "layer3.1.conv1.weight")
        continue;  // 36864 normal numbers: their deviation is known to 1/sqrt(2n) of itself, four of those are allowed
      double squares = 0;
      for (const double v : q.tensor.values()) squares += v * v;
      const double count = static_cast<double>(q.tensor.numel());
      EXPECT_NEAR(std::sqrt(squares / count), std::sqrt(2.0 / (64 * 9)), 4 * std::sqrt(2.0 / (64 * 9)) / std::sqrt(2 * count));
    }
  }
  CifarResnetConfig odd;
  odd.depth = 21;
  EXPECT_THROW(CifarResnet(Params::init(1), odd), Error);
}

TEST(CifarResnet, TakesAnySizeOfImageAndOnlyItsChannels) {
  CifarResnetConfig c;
  c.depth = 8;
  c.width = 3;  // odd: the zero channels cannot be split evenly
  const Params p = Params::init(1);
  const CifarResnet model(p, c);
  NoGrad off;
  graft::Run run;
  for (const auto& [h, w] : std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {7, 5}, {32, 32}, {33, 8}}) {
    const Tensor x = Tensor::ones({2, 3, h, w});
    EXPECT_EQ(model.forward(x, run).shape(), (Shape{2, 10}));
    EXPECT_EQ(model.features(x, run).shape(), (Shape{2, 12}));
  }
  EXPECT_THROW(model.forward(Tensor::ones({2, 1, 8, 8}), run), Error);
  EXPECT_THROW(model.forward(Tensor::ones({3, 8, 8}), run), Error);
}

}  // namespace
}  // namespace graft
