// How the packings are told: by the tensors that each has beside (or in place of) `weight`, as the projects' own loaders name them
// (AutoGPTQ and GPTQModel, AutoAWQ, bitsandbytes, compressed-tensors, AQLM, HQQ, the float8 checkpoints of transformers).
#include "weights/packings.h"

#include <map>
#include <string_view>

#include "weights/formats/json_guard.h"

namespace graft {
namespace {

// A layer's tensors by the last parts of their names.
struct PackedLayer {
  const Source& source;
  std::map<std::string_view, std::size_t> parts;
  bool has(std::string_view part) const { return parts.count(part) != 0; }
  const StoredTensor* find(std::string_view part) const {
    const auto it = parts.find(part);
    return it == parts.end() ? nullptr : &source.tensors[it->second];
  }
};

// GPTQ packs along the rows of [in, out], AWQ along the columns: where the scales are [groups, out], the packed weights of one have all
// columns, those of the other an eighth (or as many as an int32 holds). Only GPTQ has an order of groups.
std::string of_int32(const PackedLayer& l) {
  if (l.has("g_idx")) return "GPTQ";
  const StoredTensor *w = l.find("qweight"), *s = l.find("scales");
  if (w->shape.size() != 2 || s->shape.size() != 2) return "GPTQ or AWQ";
  return w->shape[1] == s->shape[1] ? "GPTQ" : w->shape[1] < s->shape[1] ? "AWQ" : "GPTQ or AWQ";
}

// The method, and in `telling` the tensor that says so; empty for plain layers.
std::string method_of(const PackedLayer& l, std::string_view& telling) {
  const auto say = [&](std::string_view part, std::string method) {
    telling = part;
    return method;
  };
  if (l.has("qweight") && l.has("scales") && (l.has("qzeros") || l.has("g_idx"))) return say("qweight", of_int32(l));
  for (const auto& [part, at] : l.parts) {
    constexpr std::string_view kState = "weight.quant_state.bitsandbytes__";
    if (part.starts_with(kState)) return say(part, "bitsandbytes (4 bits, " + std::string(part.substr(kState.size())) + ")");
  }
  if (l.has("weight.absmax") || l.has("weight.quant_map"))
    return say(l.has("weight.absmax") ? "weight.absmax" : "weight.quant_map", "bitsandbytes (4 bits)");
  if (l.has("SCB") && l.find("weight") && l.find("weight")->dtype == "I8") return say("SCB", "bitsandbytes (8 bits)");
  if (l.has("weight_packed") && l.has("weight_scale")) return say("weight_packed", "compressed-tensors");
  if (l.has("codes") && l.has("codebooks") && l.has("scales")) return say("codes", "AQLM");
  if (l.has("W_q") && l.has("scale") && l.has("zero")) return say("W_q", "HQQ");
  for (const std::string_view scale : {"weight_scale_inv", "weight_scale"})
    if (const StoredTensor* w = l.find("weight"); w && l.has(scale) && (w->dtype.starts_with("F8") || w->dtype == "I8"))
      return say(scale, w->dtype == "I8" ? "8-bit integers with scales" : "float8 with scales");
  return {};
}

}  // namespace

std::optional<Packing> packing_of(const Source& source) {
  if (source.format.starts_with("GGUF") || source.format == "ONNX") return {};
  std::map<std::string_view, PackedLayer> layers;
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const std::string_view name = source.tensors[i].name;
    // What bitsandbytes hangs below a weight is part of the layer that has the weight.
    std::size_t dot = name.rfind(".weight.");
    if (dot == std::string_view::npos) dot = name.rfind('.');
    const std::string_view layer = dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
    layers.emplace(layer, PackedLayer{source, {}})
        .first->second.parts.emplace(dot == std::string_view::npos ? name : name.substr(dot + 1), i);
  }
  std::optional<Packing> found;
  for (const auto& [name, layer] : layers) {
    std::string_view telling;
    const std::string method = method_of(layer, telling);
    if (method.empty()) continue;
    if (!found) found = Packing{method, layer.parts.at(telling), 0};
    ++found->layers;
  }
  return found;
}

void refuse_packed(const Source& source) {
  const auto p = packing_of(source);
  if (!p) return;
  const StoredTensor& t = source.tensors[p->tensor];
  throw Error(Code::input, source.files[t.file] + ": the weights of " + std::to_string(p->layers) +
                               (p->layers == 1 ? " layer" : " layers") + " are packed by " + p->method + " at byte " +
                               std::to_string(t.offset) + " (tensor " + in_quotes(t.name) +
                               "), which graft does not unpack; get the checkpoint that it was made of, or a GGUF of it");
}

}  // namespace graft
