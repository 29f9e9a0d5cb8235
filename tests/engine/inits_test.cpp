// Initial values: bounds, means and variances of the initialisers and of every layer's default, with the bounds and deviations that PyTorch
// draws with (tests/golden/nn/inits.json; its script has checked them against PyTorch's own draws).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/engine/golden_case.h"

namespace graft {
namespace {

using Json = nlohmann::json;

const std::map<std::string, Init (*)(double)>& initialisers() {
  static const std::map<std::string, Init (*)(double)> table = {{"zeros", [](double) { return Init::zeros(); }},
                                                                {"constant", [](double v) { return Init::constant(v); }},
                                                                {"uniform", [](double v) { return Init::uniform(v); }},
                                                                {"normal", [](double v) { return Init::normal(v); }},
                                                                {"kaiming_uniform", [](double v) { return Init::kaiming_uniform(v); }},
                                                                {"kaiming_normal", [](double v) { return Init::kaiming_normal(v); }},
                                                                {"xavier_uniform", [](double v) { return Init::xavier_uniform(v); }},
                                                                {"xavier_normal", [](double v) { return Init::xavier_normal(v); }}};
  return table;
}

// `want` has "value", "bound" (uniform between -bound and bound) or "std" (normal).
void expect_drawn(const std::vector<double>& v, const Json& want) {
  const auto n = static_cast<double>(v.size());
  if (want.contains("value")) {
    const auto value = want["value"].get<float>();
    EXPECT_TRUE(std::all_of(v.begin(), v.end(), [value](double x) { return static_cast<float>(x) == value; }));
    return;
  }
  const bool uniform = want.contains("bound");
  const double std = uniform ? want["bound"].get<double>() / std::sqrt(3.0) : want["std"].get<double>();
  double mean = 0, square = 0, largest = 0, inside = 0;
  for (const double x : v) {
    mean += x / n, square += x * x / n, largest = std::max(largest, std::abs(x));
    inside += std::abs(x) < std ? 1 : 0;
  }
  // five standard deviations of each estimate: of the mean, of the variance (kurtosis 9/5 or 3), of the share within one std
  EXPECT_NEAR(mean, 0, 5 * std / std::sqrt(n));
  EXPECT_NEAR(square / (std * std), 1, 5 * std::sqrt((uniform ? 0.8 : 2.0) / n));
  const double share = uniform ? 1 / std::sqrt(3.0) : std::erf(1 / std::sqrt(2.0));
  EXPECT_NEAR(inside / n, share, 5 * std::sqrt(share * (1 - share) / n));
  if (uniform) {
    const double bound = want["bound"];
    EXPECT_LE(largest, bound * (1 + 1e-6));
    EXPECT_GE(largest, bound * (1 - 20 / n));  // missed once in e^20
  } else {
    // the largest of n lies beyond x with 1 - (1 - erfc(x / sqrt 2))^n
    EXPECT_GT(n * std::erfc(largest / std / std::sqrt(2.0)), 1e-6);
    EXPECT_LT(n * std::erfc(largest / std / std::sqrt(2.0)), 16);
  }
}

TEST(Inits, DrawnAsPyTorchDraws) {
  const Json file = golden_nn("inits.json");
  std::set<std::string> seen;
  for (const Json& c : file["functions"]) {
    SCOPED_TRACE(c.dump());
    const std::string name = c["init"];
    seen.insert(name);
    ASSERT_TRUE(initialisers().count(name));
    Shape shape;
    for (const std::int64_t n : c["shape"]) shape.push_back(n);
    for (const std::uint64_t seed : {1, 2}) {
      const Params p = Params::init(seed);
      expect_drawn(p.get("w", shape, initialisers().at(name)(c["gain"])).values(), c);
    }
  }
  for (const auto& [name, f] : initialisers()) EXPECT_TRUE(seen.count(name)) << "the file has no " << name;
}

const std::map<std::string, void (*)(const Params&, const Json&)>& makers() {
  using J = const Json&;
  using P = const Params&;
  static const std::map<std::string, void (*)(P, J)> table = {
      {"Linear", [](P p, J o) { Linear(p, o["in"], o["out"], o["bias"].get<bool>()); }},
      {"Conv1d", [](P p, J o) { Conv1d(p, o["in"], o["out"], o["kernel"], 1, 0, 1, o["groups"]); }},
      {"Conv2d",
       [](P p, J o) {
         ConvGeometry g;
         g.groups = o["groups"];
         Conv2d(p, o["in"], o["out"], o["kernel"][0], o["kernel"][1], g);
       }},
      {"ConvTranspose2d",
       [](P p, J o) {
         ConvGeometry g;
         g.groups = o["groups"];
         ConvTranspose2d(p, o["in"], o["out"], o["kernel"], g);
       }},
      {"BatchNorm", [](P p, J o) { BatchNorm(p, o["channels"]); }},
      {"LayerNorm", [](P p, J o) { LayerNorm(p, o["width"]); }},
      {"GroupNorm", [](P p, J o) { GroupNorm(p, o["groups"], o["channels"]); }},
      {"RmsNorm", [](P p, J o) { RmsNorm(p, o["width"]); }},
      {"Embedding", [](P p, J o) { Embedding(p, o["vocab"], o["dim"]); }},
  };
  return table;
}

TEST(Inits, DefaultsOfEveryLayerArePyTorchs) {
  const Json file = golden_nn("inits.json");
  std::set<std::string> seen;
  for (const Json& c : file["layers"]) {
    const std::string kind = c["kind"];
    seen.insert(kind);
    ASSERT_TRUE(makers().count(kind)) << kind;
    for (const std::uint64_t seed : {1, 2}) {
      const Params p = Params::init(seed);
      makers().at(kind)(p / "layer", c["options"]);
      EXPECT_EQ(p.all().size(), c["tensors"].size()) << kind;
      for (const Parameter& t : p.all()) {
        SCOPED_TRACE(kind + c["options"].dump() + " " + t.name);
        const std::string name = t.name.substr(6);  // behind "layer."
        ASSERT_TRUE(c["tensors"].contains(name));
        const Json& want = c["tensors"][name];
        EXPECT_EQ(t.tensor.str(),
                  golden_tensor({{"shape", want["shape"]}, {"values", std::vector<double>(static_cast<std::size_t>(t.tensor.numel()))}},
                                DType::f32)
                      .str());
        expect_drawn(t.tensor.values(), want);
      }
    }
  }
  for (const auto& [kind, f] : makers()) EXPECT_TRUE(seen.count(kind)) << "the file has no " << kind;
}

// A value is a function of seed and name: neither the dtype nor what was drawn before changes it, another seed or name does.
TEST(Inits, AreAFunctionOfSeedAndName) {
  const auto drawn = [](std::uint64_t seed, const char* name, DType dtype = DType::f32, bool another = false) {
    const Params p = Params::init(seed, dtype);
    if (another) p.get("another", {5}, Init::normal(1));
    return p.get(name, {6, 7}, Init::xavier_normal()).values();
  };
  const std::vector<double> w = drawn(1, "w");
  EXPECT_EQ(w, drawn(1, "w"));
  EXPECT_EQ(w, drawn(1, "w", DType::f64));
  EXPECT_EQ(w, drawn(1, "w", DType::f32, true));
  const std::vector<double> other_seed = drawn(2, "w"), other_name = drawn(1, "v");
  for (std::size_t i = 0; i < w.size(); ++i) {
    EXPECT_NE(w[i], other_seed[i]) << i;
    EXPECT_NE(w[i], other_name[i]) << i;
  }
}

}  // namespace
}  // namespace graft
