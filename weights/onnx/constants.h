// Which constants a model has, under which names, and which of them are weights.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>

#include "weights/onnx/proto.h"

namespace graft::onnx {

// The path of what lies in an attribute graph of `node`, itself at `path`, named by the node's first output: "y/then_branch/".
std::string path_below(const std::string& path, const OnnxNode& node, const std::string& attribute);
std::string path_of_function(const OnnxFunction& f);  // "function/ai.mine.Block/"

// Every initialiser and every Constant with a tensor, those of branches, bodies and functions included, in the file's order.
void each_constant(const OnnxModel& model, const std::function<void(const std::string& name, const OnnxTensor& t)>& f);

enum class Use { plain, weight, scale /* of a norm: starts at 1 */, running /* statistics */ };
// By the names of each_constant.
std::map<std::string, Use> uses_of_constants(const OnnxModel& model);

}  // namespace graft::onnx
