// Does graft compute what ONNX says? A folder as ONNX's own tests lay it: input_0.pb ..., output_0.pb ..., each a TensorProto.
#pragma once
#include <filesystem>
#include <string>

namespace graft {

struct OnnxCheck {
  enum class Verdict { equal, different, unsupported } verdict = Verdict::unsupported;
  std::string reason;         // of what is not equal
  double max_difference = 0;  // |found - expected| over all float outputs, where both are finite
  int outputs = 0;            // compared
};

// Floats are equal when |found - expected| <= atol + rtol |expected| (defaults: those of ONNX's own runner), NaN to NaN; types, shapes and
// integers exactly. A file that cannot be read, and a model that is wrong by itself, throw Error(input).
OnnxCheck onnx_check(const std::filesystem::path& model, const std::filesystem::path& folder, double rtol = 1e-3, double atol = 1e-7);

}  // namespace graft
