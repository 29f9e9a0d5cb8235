#include "weights/onnx/check.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/tape.h"
#include "weights/formats/json_guard.h"
#include "weights/onnx/graph.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

std::vector<fs::path> numbered(const fs::path& folder, const std::string& kind) {
  std::vector<fs::path> files;
  for (;; files.push_back(folder / (kind + "_" + std::to_string(files.size()) + ".pb")))
    if (std::error_code ec; !fs::exists(folder / (kind + "_" + std::to_string(files.size()) + ".pb"), ec)) return files;
}

// A file's tensor as a value of the declared type. The generator of ONNX's tests had no bfloat16 and kept the bits as UINT16.
OnnxValue read_value(const fs::path& file, int declared) {
  OnnxTensor t = read_onnx_tensor(file);
  if (declared == onnx::kBfloat16 && t.type == onnx::kUint16) t.type = declared;
  return onnx::value_of(t, file.string());
}

// "" when they are equal.
std::string difference(const OnnxValue& found, const OnnxValue& expected, double rtol, double atol, double& most) {
  if (found.type != expected.type) return "is of " + onnx::type_name(found.type) + ", expected " + onnx::type_name(expected.type);
  if (!(found.tensor.shape() == expected.tensor.shape()))
    return "has the shape " + found.tensor.shape().str() + ", expected " + expected.tensor.shape().str();
  const auto told = [&](std::size_t i, const std::string& f, const std::string& e) {
    return "is " + f + " at element " + std::to_string(i) + ", expected " + e;
  };
  if (!onnx::is_float_type(found.type)) {
    const auto f = onnx::ints_of(found), e = onnx::ints_of(expected);
    for (std::size_t i = 0; i < f.size(); ++i)
      if (f[i] != e[i]) return told(i, std::to_string(f[i]), std::to_string(e[i]));
    return {};
  }
  const auto f = found.tensor.values(), e = expected.tensor.values();
  std::string first;
  for (std::size_t i = 0; i < f.size(); ++i) {
    if (std::isfinite(f[i]) && std::isfinite(e[i])) most = std::max(most, std::abs(f[i] - e[i]));
    const bool equal = f[i] == e[i] || (std::isnan(f[i]) && std::isnan(e[i])) ||
                       (std::isfinite(e[i]) && std::abs(f[i] - e[i]) <= atol + rtol * std::abs(e[i]));
    if (!equal && first.empty()) first = told(i, std::to_string(f[i]), std::to_string(e[i]));
  }
  return first;
}

}  // namespace

OnnxCheck onnx_check(const fs::path& path, const fs::path& folder, double rtol, double atol) {
  OnnxCheck out;
  const auto model = read_onnx(path);
  try {
    const OnnxGraph graph(model);
    if (graph.draws()) {
      out.reason = "its outputs are random, and nothing random can be compared";
      return out;
    }
    const std::vector<fs::path> files = numbered(folder, "input"), wanted = numbered(folder, "output");
    if (wanted.empty()) throw Error(Code::input, folder.string() + ": no output_0.pb there; name a folder of input_N.pb and output_N.pb");
    // Files are numbered by the graph's inputs; those with an initialiser may have one or not.
    std::vector<std::string> order;
    if (files.size() == graph.inputs().size())
      for (const OnnxValueInfo& v : graph.inputs()) order.push_back(v.name);
    else
      for (const OnnxValueInfo& v : model->graph.inputs) order.push_back(v.name);
    std::vector<OnnxValue> inputs;
    for (const OnnxValueInfo& v : graph.inputs()) {
      const auto at = static_cast<std::size_t>(std::find(order.begin(), order.end(), v.name) - order.begin());
      if (at >= files.size())
        throw Error(Code::input, folder.string() + ": no input_" + std::to_string(at) + ".pb for the input " + in_quotes(v.name));
      inputs.push_back(read_value(files[at], v.type));
      if (onnx::is_float_type(inputs.back().type)) inputs.back().tensor = inputs.back().tensor.to(current_queue().device());
    }
    NoGrad off;
    Run run;
    const std::vector<OnnxValue> found = graph.run(inputs, &run);
    if (run.random.position != 0) {
      out.reason = "its outputs are random, and nothing random can be compared";
      return out;
    }
    if (found.size() < wanted.size())
      throw Error(Code::input,
                  folder.string() + ": " + std::to_string(wanted.size()) + " outputs for a graph with " + std::to_string(found.size()));
    out.verdict = OnnxCheck::Verdict::equal;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const std::string what = difference(found[i], read_value(wanted[i], graph.outputs()[i].type), rtol, atol, out.max_difference);
      ++out.outputs;
      if (what.empty() || out.verdict == OnnxCheck::Verdict::different) continue;
      out.verdict = OnnxCheck::Verdict::different;
      out.reason = "output " + in_quotes(graph.outputs()[i].name) + " " + what;
    }
  } catch (const OnnxRefusal& e) {
    out.verdict = OnnxCheck::Verdict::unsupported;
    out.reason = e.what();
  }
  return out;
}

}  // namespace graft
