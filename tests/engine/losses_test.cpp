// Losses against PyTorch's values and gradients (tests/golden/nn/losses.json), in f64 and f32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/tape.h"
#include "tests/engine/golden_case.h"

namespace graft {
namespace {

using Json = nlohmann::json;
using C = GoldenCase&;

const std::map<std::string, GoldenFunction>& losses() {
  static const std::map<std::string, GoldenFunction> table = {
      {"cross_entropy",
       [](C c) {
         CrossEntropyOptions o;
         o.reduction = c.reduction();
         o.smoothing = c.number("smoothing");
         o.class_weight = c.input("class_weight");
         if (c.has("ignore_index")) o.ignore_index = c.integer("ignore_index");
         return cross_entropy(c.input("logits"), c.input("target"), o);
       }},
      {"bce_with_logits", [](C c) { return bce_with_logits(c.input("x"), c.input("target"), c.reduction()); }},
      {"mse_loss", [](C c) { return mse_loss(c.input("x"), c.input("target"), c.reduction()); }},
      {"l1_loss", [](C c) { return l1_loss(c.input("x"), c.input("target"), c.reduction()); }},
      {"smooth_l1_loss", [](C c) { return smooth_l1_loss(c.input("x"), c.input("target"), c.number("beta"), c.reduction()); }},
      {"kl_div", [](C c) { return kl_div(c.input("x"), c.input("target"), c.reduction()); }},
      {"focal_loss", [](C c) { return focal_loss(c.input("logits"), c.input("target"), c.number("gamma"), c.reduction()); }},
  };
  return table;
}

TEST(Losses, EqualPyTorchInF64) { expect_all_golden(golden_nn("losses.json"), losses(), DType::f64); }
TEST(Losses, EqualPyTorchInF32) { expect_all_golden(golden_nn("losses.json"), losses(), DType::f32); }

TEST(Losses, TheFileHasEveryReductionAndEveryOption) {
  const Json file = golden_nn("losses.json");
  std::map<std::string, std::set<std::string>> reductions;
  std::set<std::string> combinations;
  for (const Json& c : file["cases"]) {
    const std::string kind = c["kind"], reduction = c["options"]["reduction"];
    reductions[kind].insert(reduction);
    if (kind != "cross_entropy" || c["options"].contains("ignore_index")) continue;
    const std::vector<std::int64_t> target = c["inputs"]["target"]["ids"];
    const auto ignored = static_cast<std::size_t>(std::count(target.begin(), target.end(), -100));
    combinations.insert(reduction + (c["options"]["smoothing"] > 0 ? " smoothed" : "") +
                        (c["inputs"].contains("class_weight") ? " weighted" : "") +
                        (ignored == 0              ? " no"
                         : ignored < target.size() ? " some"
                                                   : " all"));
  }
  for (const auto& [kind, f] : losses()) EXPECT_EQ(reductions[kind], (std::set<std::string>{"none", "mean", "sum"})) << kind;
  EXPECT_EQ(combinations.size(), 3u * 2 * 2 * 3);
}

// Each dtype has a gap of logits from where on p is 1: then 1 - p is 0, and (1 - p)^(gamma - 1) must not reach the gradient.
TEST(Losses, AConfidentFocalLossHasAFiniteGradientInEveryDtype) {
  for (const DType d : {DType::f64, DType::f32, DType::bf16, DType::f16})
    for (const double gamma : {0.0, 0.1, 0.5, 1.0, 2.0})
      for (const double gap : {4.0, 8.0, 17.0, 40.0, 200.0}) {
        Tensor x = cast(Tensor::from<double>({gap, 0, 0, -gap, 0, 0, 1, 2, 3}, {3, 3}), d);
        x.set_requires_grad();
        const Tensor y = focal_loss(x, Tensor::from<std::int64_t>({0, 0, 1}, {3}), gamma, Reduction::none);
        backward(sum(y));
        for (const Tensor& t : {y, x.grad()})
          for (const double v : t.values()) ASSERT_TRUE(std::isfinite(v)) << name_of(d) << " gamma " << gamma << " gap " << gap;
      }
}

}  // namespace
}  // namespace graft
