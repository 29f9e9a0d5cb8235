// A network as an ONNX graph (opset 17): one pass over drawn images is traced, and each operation that the images reach becomes a node.
// Parameters are initialisers by their names.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "engine/nn/layers.h"

namespace graft {

// `input`: [c, h, w] of one image; the graph takes "input" f32 [N, c, h, w] and gives "logits" f32 [N, classes] for any N. Written
// atomically. Error(usage): operations that have no translation here (all are named), values that depend on the images in a way that cannot
// be written down.
void write_onnx(const std::filesystem::path& path, const Module& module, const Params& params, const Shape& input,
                const std::map<std::string, std::string>& metadata);

}  // namespace graft
