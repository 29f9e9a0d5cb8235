// Layers, and functions of one dimension, against PyTorch's outputs, gradients and running statistics (tests/golden/nn/layers.json) in f64
// and f32; what dropout does in training.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/autograd/tape.h"
#include "tests/engine/golden_case.h"

namespace graft {
namespace {

using Json = nlohmann::json;
using C = GoldenCase&;

// top, left, bottom, right; two numbers stand for height and width
template <class Geometry>
void set_window(C c, Geometry& g) {
  const auto stride = c.integers("stride"), pads = c.integers("pads");
  g.stride_h = stride.at(0), g.stride_w = stride.at(1);
  g.pad_top = pads.at(0), g.pad_left = pads.at(1), g.pad_bottom = pads.at(2), g.pad_right = pads.at(3);
}
template <class Geometry>
void set_dilation(C c, Geometry& g) {
  const auto dilation = c.integers("dilation");
  g.dilation_h = dilation.at(0), g.dilation_w = dilation.at(1);
}
ConvGeometry conv_geometry(C c) {
  ConvGeometry g;
  set_window(c, g);
  set_dilation(c, g);
  g.groups = c.integer("groups");
  return g;
}
PoolGeometry pool_geometry(C c) {
  PoolGeometry g;
  const auto kernel = c.integers("kernel");
  g.kernel_h = kernel.at(0), g.kernel_w = kernel.at(1);
  set_window(c, g);
  return g;
}
std::int64_t channels(C c) { return c.input("x").size(1); }
std::int64_t width(C c) { return c.input("x").size(-1); }
Tensor through(const Module& m, C c) { return m.forward(c.input("x"), c.run()); }

Sequential stack_of(const std::string& parts, const Params& p) {
  Sequential s;
  if (parts == "mlp") s.add<Linear>(p / "0", 5, 4).add<Activation>("tanh").add<Linear>(p / "2", 4, 3);
  else if (parts == "cnn")
    s.add<Conv2d>(p / "0", 2, 3, 3, 3, ConvGeometry{}, false)
        .add<BatchNorm>(p / "1", 3)
        .add<Activation>("relu")
        .add<AvgPool2d>(2)
        .add<Flatten>()
        .add<Linear>(p / "5", 6, 3);
  else EXPECT_EQ(parts, "none");
  return s;
}
ActKind act_named(const std::string& name) {
  static const std::map<std::string, ActKind> known = {
      {"none", ActKind::none}, {"relu", ActKind::relu}, {"gelu", ActKind::gelu}, {"silu", ActKind::silu}};
  return known.at(name);
}

const std::map<std::string, GoldenFunction>& layers() {
  static const std::map<std::string, GoldenFunction> table = {
      {"Linear", [](C c) { return through(Linear(c.params(), width(c), c.integer("out"), c.flag("bias")), c); }},
      {"LinearAct",
       [](C c) { return through(LinearAct(c.params(), width(c), c.integer("out"), act_named(c.text("act")), c.number("p")), c); }},
      {"Conv1d",
       [](C c) {
         return through(Conv1d(c.params(), channels(c), c.integer("out"), c.integer("kernel"), c.integer("stride"), c.integer("padding"),
                               c.integer("dilation"), c.integer("groups"), c.flag("bias")),
                        c);
       }},
      {"Conv2d",
       [](C c) {
         const auto kernel = c.integers("kernel");
         return through(Conv2d(c.params(), channels(c), c.integer("out"), kernel.at(0), kernel.at(1), conv_geometry(c), c.flag("bias")), c);
       }},
      {"ConvTranspose2d",
       [](C c) {
         return through(ConvTranspose2d(c.params(), channels(c), c.integer("out"), c.integer("kernel"), conv_geometry(c),
                                        c.integer("output_padding"), c.flag("bias")),
                        c);
       }},
      {"MaxPool2d",
       [](C c) {
         PoolGeometry g = pool_geometry(c);
         set_dilation(c, g);
         return through(MaxPool2d(g), c);
       }},
      {"AvgPool2d", [](C c) { return through(AvgPool2d(pool_geometry(c), c.flag("count_padding")), c); }},
      {"GlobalAvgPool", [](C c) { return through(GlobalAvgPool(), c); }},
      {"Flatten", [](C c) { return through(Flatten(), c); }},
      {"BatchNorm", [](C c) { return through(BatchNorm(c.params(), channels(c), c.number("eps"), c.number("momentum")), c); }},
      {"LayerNorm", [](C c) { return through(LayerNorm(c.params(), width(c), c.number("eps")), c); }},
      {"GroupNorm", [](C c) { return through(GroupNorm(c.params(), c.integer("groups"), channels(c), c.number("eps")), c); }},
      {"RmsNorm", [](C c) { return through(RmsNorm(c.params(), width(c), c.number("eps")), c); }},
      {"Dropout", [](C c) { return through(Dropout(c.number("p")), c); }},
      {"Embedding",
       [](C c) { return through(Embedding(c.params(), c.integer("vocab"), c.integer("dim"), c.integer("padding_index")), c); }},
      {"Activation", [](C c) { return through(Activation(c.text("act")), c); }},
      {"Sequential", [](C c) { return through(stack_of(c.text("parts"), c.params()), c); }},
      {"Residual",
       [](C c) {
         const bool shortcut = c.flag("shortcut");
         const Params& p = c.params();
         const auto body = std::make_shared<Linear>(p / "body", 4, shortcut ? 3 : 4);
         return through(Residual(body, shortcut ? std::make_shared<Linear>(p / "shortcut", 4, 3, false) : nullptr), c);
       }},
      {"conv1d",
       [](C c) {
         return conv1d(c.input("x"), c.input("weight"), c.input("bias"), c.integer("stride"), c.integer("padding"), c.integer("dilation"),
                       c.integer("groups"));
       }},
      {"max_pool1d", [](C c) { return max_pool1d(c.input("x"), c.integer("kernel"), c.integer("stride"), c.integer("padding")); }},
      {"avg_pool1d", [](C c) { return avg_pool1d(c.input("x"), c.integer("kernel"), c.integer("stride"), c.integer("padding")); }},
  };
  return table;
}

TEST(Layers, EqualPyTorchInF64) { expect_all_golden(golden_nn("layers.json"), layers(), DType::f64); }
TEST(Layers, EqualPyTorchInF32) { expect_all_golden(golden_nn("layers.json"), layers(), DType::f32); }

TEST(Layers, TheFileHasEveryActivation) {
  const Json file = golden_nn("layers.json");
  std::set<std::string> in_file, known;
  for (const Json& c : file["cases"])
    if (c["kind"] == "Activation") in_file.insert(c["options"]["act"].get<std::string>());
  try {
    Activation("none of them");
  } catch (const Error& e) {
    const std::string s = e.what();
    for (std::size_t at = s.find("there are ") + 10, end = 0; end != std::string::npos; at = end + 2) {
      end = s.find(", ", at);
      known.insert(s.substr(at, end == std::string::npos ? end : end - at));
    }
  }
  EXPECT_EQ(in_file, known);
}

// A layer keeps its statistics in f32; the function moves them in the dtype that they have.
TEST(Layers, RunningStatisticsOfTheFunctionAreExactInF64) {
  const Json file = golden_nn("layers.json");
  NoGrad off;
  int count = 0;
  for (const Json& c : file["cases"]) {
    if (c["kind"] != "BatchNorm") continue;
    SCOPED_TRACE(c["name"].get<std::string>());
    ++count;
    const auto t = [](const Json& x) { return golden_tensor(x, DType::f64); };
    const Tensor mean = t(c["buffers"]["running_mean"]), var = t(c["buffers"]["running_var"]);
    const Json &p = c["parameters"], &o = c["options"];
    const Tensor y =
        batch_norm(t(c["inputs"]["x"]), t(p["weight"]), t(p["bias"]), mean, var, c.value("train", false), o["momentum"], o["eps"]);
    expect_golden(y, c["output"], DType::f64, 1e-10, "the output");
    expect_golden(mean, c["buffers_after"]["running_mean"], DType::f64, 1e-10, "running_mean");
    expect_golden(var, c["buffers_after"]["running_var"], DType::f64, 1e-10, "running_var");
  }
  EXPECT_EQ(count, 7);
}

// In training: a share 1 - p stays, in every row and column alike, divided by 1 - p; what is dropped has no gradient; the next pass drops
// others, and the same place in the random stream the same ones.
TEST(Layers, DropoutKeepsItsShareInTraining) {
  constexpr std::int64_t rows = 200, columns = 300, n = rows * columns;
  for (const double p : {0.1, 0.5, 0.8}) {
    SCOPED_TRACE(p);
    const Dropout layer(p);
    RandomState drawn{3, 4, 0};
    Tensor x = rand_uniform({rows, columns}, 1, 2, drawn);
    x.set_requires_grad();
    graft::Run run;  // a test has a Run of its own
    run.training = true;
    run.random = {7, 5, 0};
    const graft::Run start = run;
    const Tensor y = layer.forward(x, run);
    backward(sum(y));
    const std::vector<double> in = x.values(), out = y.values(), grad = x.grad().values();
    std::vector<int> in_row(rows), in_column(columns);
    int kept = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (out[i] == 0) {
        ASSERT_EQ(grad[i], 0) << i;
        continue;
      }
      ++kept, ++in_row[i / columns], ++in_column[i % columns];
      ASSERT_NEAR(out[i], in[i] / (1 - p), 1e-6 * out[i]) << i;
      ASSERT_NEAR(grad[i], 1 / (1 - p), 1e-6 / (1 - p)) << i;
    }
    // standard deviations of a binomial count; the draws are fixed, so the bounds are met or not for good
    const auto near = [&](double got, double trials, double share, double deviations) {
      EXPECT_NEAR(got, trials * share, deviations * std::sqrt(trials * share * (1 - share)));
    };
    near(kept, n, 1 - p, 4);
    for (const int k : in_row) near(k, columns, 1 - p, 5);
    for (const int k : in_column) near(k, rows, 1 - p, 5);

    NoGrad off;
    const std::vector<double> next = layer.forward(x, run).values();
    int both = 0;
    for (std::size_t i = 0; i < in.size(); ++i) both += out[i] != 0 && next[i] != 0;
    near(both, n, (1 - p) * (1 - p), 4);
    graft::Run again = start;
    EXPECT_EQ(layer.forward(x, again).values(), out);
  }
}

}  // namespace
}  // namespace graft
