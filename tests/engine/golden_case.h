// A case of tests/golden/nn (make_nn.py wrote them with PyTorch in f64): read, run through a function of graft, and compared with all that
// the file says of it. What the file has and nobody looked at is a failure, so that a case cannot pass by being ignored.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/nn/layers.h"
#include "engine/ops/ops.h"

namespace graft {

class GoldenCase {
 public:
  GoldenCase(const nlohmann::json& c, DType dtype);

  // A leaf that wants a gradient where it is a float; undefined when the case has none of that name.
  Tensor input(const std::string& name);
  // Parameters and buffers of the case, by PyTorch's names.
  const Params& params() const { return params_; }
  Run& run() { return run_; }

  bool has(const std::string& option) const { return json_["options"].contains(option); }
  nlohmann::json option(const std::string& name);
  std::int64_t integer(const std::string& name) { return option(name).get<std::int64_t>(); }
  double number(const std::string& name) { return option(name).get<double>(); }
  bool flag(const std::string& name) { return option(name).get<bool>(); }
  std::string text(const std::string& name) { return option(name).get<std::string>(); }
  std::vector<std::int64_t> integers(const std::string& name) { return option(name).get<std::vector<std::int64_t>>(); }
  Reduction reduction();

  // Compares y and the gradients of sum(y * cotangent), then the buffers, and looks for what was left over.
  void expect(const Tensor& y);

 private:
  const nlohmann::json& json_;
  DType dtype_;
  std::map<std::string, Tensor> inputs_;
  std::set<std::string> asked_;  // inputs and options that were read
  Params params_;
  Run run_;
};

using GoldenFunction = std::function<Tensor(GoldenCase&)>;

nlohmann::json golden_nn(const std::string& file);
Tensor golden_tensor(const nlohmann::json& t, DType dtype);
// Equal to `want` but for `tolerance` of its largest element; NaN where it is null.
void expect_golden(const Tensor& got, const nlohmann::json& want, DType dtype, double tolerance, const std::string& what);
// f64: the file's 14 digits and sums of some ten to a hundred terms. f32: the same sums, a hundred times its epsilon.
double golden_tolerance(DType dtype);
// Runs every case of the file in that dtype. The kinds in the file and those in the table must be the same.
void expect_all_golden(const nlohmann::json& file, const std::map<std::string, GoldenFunction>& table, DType dtype);

}  // namespace graft
