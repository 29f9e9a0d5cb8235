// ResNet-8 of MLPerf Tiny: the published Keras file in graft's network against a forward pass of the same file in NumPy
// (tests/golden/keras/resnet8.py).
#include "models/resnet8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "tests/weights/damage.h"
#include "weights/import.h"

namespace graft {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

fs::path checkpoint() {
  const char* given = std::getenv("GRAFT_TEST_DATA");
  return (given ? fs::path(given) : fs::path(GRAFT_SOURCE_DIR) / "../shared/data") / "checkpoints/resnet8-cifar10-keras.h5";
}

// The formula of resnet8.py.
std::int64_t pixel(std::int64_t n, std::int64_t row, std::int64_t column, std::int64_t channel) {
  if (n % 2) return (row * (3 + n) + column * (5 + 2 * n) + channel * 40 * n) / 2 % 256;
  const std::int64_t i = ((n * 32 + row) * 32 + column) * 3 + channel;
  return (i * 104729 + 12345) % 1000003 * 48271 % 1000003 % 256;
}
Tensor images(std::int64_t count) {
  std::vector<float> v;
  for (std::int64_t n = 0; n < count; ++n)
    for (std::int64_t k = 0; k < 3; ++k)
      for (std::int64_t r = 0; r < 32; ++r)
        for (std::int64_t c = 0; c < 32; ++c) v.push_back(static_cast<float>(pixel(n, r, c, k)));
  return Tensor::from(v, {count, 3, 32, 32});
}

// Keras numbers its layers in the order in which they were made.
const std::map<std::string, std::string> kLayers = {{"conv1", "conv2d"},
                                                    {"layer1.conv1", "conv2d_1"},
                                                    {"layer1.conv2", "conv2d_2"},
                                                    {"layer2.conv1", "conv2d_3"},
                                                    {"layer2.conv2", "conv2d_4"},
                                                    {"layer2.shortcut", "conv2d_5"},
                                                    {"layer3.conv1", "conv2d_6"},
                                                    {"layer3.conv2", "conv2d_7"},
                                                    {"layer3.shortcut", "conv2d_8"},
                                                    {"bn1", "batch_normalization"},
                                                    {"layer1.bn1", "batch_normalization_1"},
                                                    {"layer1.bn2", "batch_normalization_2"},
                                                    {"layer2.bn1", "batch_normalization_3"},
                                                    {"layer2.bn2", "batch_normalization_4"},
                                                    {"layer3.bn1", "batch_normalization_5"},
                                                    {"layer3.bn2", "batch_normalization_6"},
                                                    {"linear", "dense"}};
Tensor from_keras(const Source& s, const std::string& name) {
  const auto dot = name.rfind('.');
  const std::string layer = kLayers.at(name.substr(0, dot)), part = name.substr(dot + 1);
  const bool norm = layer.starts_with("batch");
  const std::string theirs = part == "weight"         ? (norm ? "gamma" : "kernel")
                             : part == "bias"         ? (norm ? "beta" : "bias")
                             : part == "running_mean" ? "moving_mean"
                                                      : "moving_variance";
  const StoredTensor* t = s.find("model_weights/" + layer + "/" + layer + "/" + theirs + ":0");
  if (!t) return {};
  const Tensor w = s.load(static_cast<std::size_t>(t - s.tensors.data()));
  return w.rank() == 4 ? permute(w, {3, 2, 0, 1}) : w.rank() == 2 ? permute(w, {1, 0}) : w;
}

TEST(Resnet8, EqualsNumpysPassOverTheKerasFile) {
  if (!fs::exists(checkpoint())) GTEST_SKIP() << checkpoint() << " is not there; set GRAFT_TEST_DATA";
  const auto source = open_source(checkpoint());
  EXPECT_EQ(source->format, "Keras HDF5");
  std::size_t weights = 0;
  for (const StoredTensor& t : source->tensors) weights += t.name.starts_with("model_weights/");
  const Params params = Params::from([&](const std::string& name) { return from_keras(*source, name); }, 1);
  const Resnet8 model(params, {});
  EXPECT_EQ(params.all().size(), weights) << "every weight of the file has its place";
  for (const ParamSource& p : params.sources()) EXPECT_EQ(p.how, ParamSource::How::loaded) << p.name << " " << p.detail;

  const Json golden = Json::parse(damage::read_file(fs::path(GRAFT_SOURCE_DIR) / "tests/golden/keras/resnet8.json"));
  graft::Run run;
  NoGrad off;
  const std::int64_t n = golden["images"];
  const Tensor logits = model.forward(images(n), run);
  const auto have = logits.values(), probabilities = softmax(logits, 1).values();
  ASSERT_EQ(have.size(), static_cast<std::size_t>(10 * n));
  double largest = 0, error = 0, difference = 0;
  for (std::size_t i = 0; i < have.size(); ++i) {
    const double want = golden["logits"][i / 10][i % 10], p = golden["probabilities"][i / 10][i % 10];
    largest = std::max(largest, std::abs(want));
    error = std::max(error, std::abs(have[i] - want));
    difference = std::max(difference, std::abs(probabilities[i] - p));
  }
  EXPECT_LE(difference, 1e-5) << "the outputs are probabilities";
  EXPECT_LE(error, 2 * golden["f32_error"].get<double>() + 4 * std::pow(2.0, -23) * largest) << "as far as NumPy's own f32 allows";
  std::printf("ResNet-8: probabilities differ from NumPy's f64 by at most %.3g, logits (up to %.3g) by %.3g; NumPy's f32 logits by %.3g\n",
              difference, largest, error, golden["f32_error"].get<double>());
}
TEST(Resnet8, TheCarriedMapDoesTheSame) {
  if (!fs::exists(checkpoint())) GTEST_SKIP() << checkpoint() << " is not there; set GRAFT_TEST_DATA";
  const auto source = open_source(checkpoint());
  Import import(checkpoint().string(), HeadPolicy::keep, "linear");
  EXPECT_EQ(import.map_name(), "keras-resnet8");
  const Params mapped = Params::from(import.lookup(), 1),
               by_hand = Params::from([&](const std::string&name) { return from_keras(*source, name); }, 1);
  const Resnet8 a(mapped, {}), b(by_hand, {});
  EXPECT_NO_THROW(import.account(mapped.sources()));
  ASSERT_EQ(mapped.all().size(), by_hand.all().size());
  for (std::size_t i = 0; i < mapped.all().size(); ++i)
    EXPECT_EQ(mapped.all()[i].tensor.values(), by_hand.all()[i].tensor.values()) << mapped.all()[i].name;
}

// A network through which one pixel passes: conv1 passes its middle, the first convolution of layer2 its upper left corner with a stride of
// 2, the shortcut of layer3 every second pixel; all other paths are zero. TensorFlow's SAME pads an even size at its end alone, so the
// corner stands on pixel 2i; an odd one on both sides, so it stands on 2i - 1.
TEST(Resnet8, PadsAsTensorFlowDoes) {
  graft::Run run;
  NoGrad off;
  const Params shapes = Params::init(1);
  const Resnet8 drawn(shapes, {1, 1, 1});
  std::map<std::string, Tensor> weights;
  for (const Parameter& p : shapes.all()) {
    std::vector<double> v(static_cast<std::size_t>(p.tensor.numel()), p.name.ends_with("running_var") ? 1 : 0);
    if (p.name == "conv1.weight" || p.name == "layer2.conv2.weight") v[4] = 1;  // the middle of 3x3, from the first channel to the first
    if (p.name == "layer2.conv1.weight" || p.name == "layer3.shortcut.weight") v[0] = 1;
    if (p.name == "bn1.weight" || p.name == "layer2.bn1.weight" || p.name == "layer2.bn2.weight") v.assign(v.size(), 1);
    weights[p.name] = Tensor::from(v, p.tensor.shape());
  }
  const Params params = Params::from([&](const std::string& name) { return weights.at(name); }, 1);
  const Resnet8 model(params, {1, 1, 1});
  for (const std::int64_t size : {8, 7}) {
    int seen = 0;
    for (std::int64_t at = 0; at < size * size; ++at) {
      std::vector<float> v(static_cast<std::size_t>(size * size), 0);
      v[static_cast<std::size_t>(at)] = 1;
      const double got = model.features(Tensor::from(v, {1, 1, size, size}), run).values()[0];
      const std::int64_t row = at / size, column = at % size;
      const bool taken = size == 8 ? row % 4 == 0 && column % 4 == 0 : row == 3 && column == 3;
      seen += taken;
      EXPECT_NEAR(got, taken ? 0.25 * std::pow(1.001, -1.5) : 0, 1e-6) << size << ": " << row << "," << column;
    }
    EXPECT_EQ(seen, size == 8 ? 4 : 1);
  }
}
TEST(Resnet8, TakesAnySizeOfImageAndOnlyItsChannels) {
  graft::Run run;
  NoGrad off;
  const Params p = Params::init(3);
  const Resnet8 model(p, {4, 1, 2});
  for (const std::int64_t size : {1, 4, 5, 6, 7, 32, 33})
    EXPECT_EQ(model.forward(Tensor::ones({2, 1, size, size}), run).shape(), Shape({2, 2})) << size;
  EXPECT_THROW(model.forward(Tensor::ones({2, 3, 32, 32}), run), Error);
}

}  // namespace
}  // namespace graft
