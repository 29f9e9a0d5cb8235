#include "tests/engine/golden_case.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "engine/autograd/tape.h"

namespace graft {

using Json = nlohmann::json;

Json golden_nn(const std::string& file) {
  std::ifstream f(std::string(GRAFT_SOURCE_DIR) + "/tests/golden/nn/" + file);
  return Json::parse(f);
}
double golden_tolerance(DType dtype) { return dtype == DType::f64 ? 1e-10 : 100 * 1.1920929e-7; }

Tensor golden_tensor(const Json& t, DType dtype) {
  Shape shape;
  for (const std::int64_t n : t["shape"]) shape.push_back(n);
  if (t.contains("ids")) return Tensor::from(t["ids"].get<std::vector<std::int64_t>>(), shape);
  std::vector<double> v;
  for (const Json& x : t["values"]) v.push_back(x.is_null() ? std::numeric_limits<double>::quiet_NaN() : x.get<double>());
  return cast(Tensor::from(v, shape), dtype);
}

void expect_golden(const Tensor& got, const Json& want, DType dtype, double tolerance, const std::string& what) {
  ASSERT_TRUE(got.defined()) << what << " is missing";
  const Tensor expected = golden_tensor(want, DType::f64);
  ASSERT_EQ(got.str(), expected.str().replace(0, 3, name_of(dtype))) << what;
  const std::vector<double> a = got.values(), b = expected.values();
  double largest = 0;
  for (const double x : b) largest = std::isnan(x) ? largest : std::max(largest, std::abs(x));
  for (std::size_t i = 0; i < b.size(); ++i)
    if (std::isnan(b[i]) ? !std::isnan(a[i]) : !(std::abs(a[i] - b[i]) <= tolerance * largest))
      ADD_FAILURE() << what << ": element " << i << " is " << a[i] << ", PyTorch has " << b[i] << " (off by " << a[i] - b[i]
                    << ", tolerance " << tolerance * largest << ")";
}

GoldenCase::GoldenCase(const Json& c, DType dtype)
    : json_(c),
      dtype_(dtype),
      params_(Params::from(
          [&c, dtype](const std::string& name) {
            if (c["parameters"].contains(name)) return golden_tensor(c["parameters"][name], dtype);
            return c.contains("buffers") && c["buffers"].contains(name) ? golden_tensor(c["buffers"][name], DType::f32) : Tensor{};
          },
          1, dtype)) {
  run_.training = c.value("train", false);
  for (const auto& [name, t] : c["inputs"].items()) {
    Tensor x = golden_tensor(t, dtype);
    if (is_float(x.dtype()) && c["gradients"].contains(name)) x.set_requires_grad();
    inputs_[name] = x;
  }
}
Tensor GoldenCase::input(const std::string& name) {
  asked_.insert(name);
  const auto it = inputs_.find(name);
  return it == inputs_.end() ? Tensor{} : it->second;
}
Json GoldenCase::option(const std::string& name) {
  asked_.insert(name);
  return json_["options"].at(name);
}
Reduction GoldenCase::reduction() {
  const std::string r = text("reduction");
  EXPECT_TRUE(r == "none" || r == "mean" || r == "sum") << r;
  return r == "none" ? Reduction::none : r == "mean" ? Reduction::mean : Reduction::sum;
}

void GoldenCase::expect(const Tensor& y) {
  const double tolerance = golden_tolerance(dtype_);
  expect_golden(y, json_["output"], dtype_, tolerance, "the output");
  if (!y.defined() || !(y.shape() == golden_tensor(json_["cotangent"], dtype_).shape())) return;  // said above
  backward(y, golden_tensor(json_["cotangent"], dtype_));

  std::map<std::string, Tensor> leaves = inputs_;
  std::set<std::string> given;
  for (const auto& [name, t] : json_["parameters"].items()) given.insert(name);
  if (json_.contains("buffers"))
    for (const auto& [name, t] : json_["buffers"].items()) given.insert(name);
  for (const Parameter& p : params_.all()) {
    EXPECT_EQ(given.erase(p.name), 1u) << "PyTorch has no " << p.name << " here";
    if (p.trainable) {
      EXPECT_TRUE(json_["gradients"].contains(p.name)) << p.name;
      leaves[p.name] = p.tensor;
    } else {
      // kept in f32 whatever the layer's dtype
      expect_golden(p.tensor, json_["buffers_after"][p.name], DType::f32, dtype_ == DType::f64 ? 1e-6 : tolerance, p.name);
    }
  }
  EXPECT_TRUE(given.empty()) << "the layer did not ask for " << *given.begin();
  for (const auto& [name, want] : json_["gradients"].items())
    expect_golden(leaves[name].grad(), want, dtype_, tolerance, "the gradient of " + name);

  for (const char* group : {"inputs", "options"})
    for (const auto& [name, t] : json_[group].items()) EXPECT_TRUE(asked_.count(name)) << "nobody read " << name;
}

void expect_all_golden(const Json& file, const std::map<std::string, GoldenFunction>& table, DType dtype) {
  std::set<std::string> seen;
  for (const Json& c : file["cases"]) {
    const std::string kind = c["kind"];
    seen.insert(kind);
    SCOPED_TRACE(kind + " (" + c["name"].get<std::string>() + ") " + c["options"].dump() + " in " + std::string(name_of(dtype)));
    const auto f = table.find(kind);
    if (f == table.end()) {
      ADD_FAILURE() << "the file has a kind that this test does not know";
      continue;
    }
    try {
      GoldenCase one(c, dtype);
      one.expect(f->second(one));
    } catch (const Error& e) { ADD_FAILURE() << "refused: " << e.what(); }
  }
  for (const auto& [kind, f] : table) EXPECT_TRUE(seen.count(kind)) << "the file has no case of " << kind;
}

}  // namespace graft
