// Adapters as the PEFT package keeps them (huggingface/peft): a folder with adapter_config.json and adapter_model.safetensors. LoRA (Hu et
// al. 2021) on linear layers, convolutions and embeddings is added to the weights on the way in, DoRA (Liu et al. 2024) also sets the
// lengths of their rows; modules that were trained whole replace theirs.
#pragma once
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/tensor/tensor.h"

namespace graft {

struct PeftLayer {
  Tensor a /* [r, in * the kernel] */, b /* [out, r] */;
  double scale = 1;         // alpha / r, or alpha / sqrt(r) for rank-stabilised ones
  bool transposed = false;  // the weight is [in, out] (GPT-2's Conv1D, embeddings)
  Tensor magnitude;         // DoRA: the length of each output's row, [out]; undefined: LoRA
};

struct PeftAdapter {
  std::string path;
  std::map<std::string, PeftLayer> layers;  // by the weight's name in the base model
  std::map<std::string, Tensor> whole;      // tensors that replace the base model's

  // weight + scale * (b a), its rows brought to the length of DoRA's magnitude, in the weight's shape and type. Error(input) where the
  // sizes do not fit, or where a row of length zero should have another length.
  Tensor merged(const std::string& name, const Tensor& weight) const;

 private:
  Tensor with_lengths(const Tensor& sum, const PeftLayer& l, const std::string& name) const;
};

// Error(input): no such folder, another method than LoRA and DoRA, adapters that change the base model's weights (PiSSA, OLoRA, ...),
// halves of a pair, weights and a configuration that do not belong together (ranks, layers that are no target), regular expressions beyond
// weights/name_pattern.h, names outside "base_model.model.".
PeftAdapter read_peft(const std::filesystem::path& folder);

struct PeftOutput {
  std::int64_t rank = 8;
  double alpha = 16;
  std::string base;                                                     // the checkpoint that it belongs to
  std::vector<std::tuple<std::string, Tensor, Tensor, Tensor>> layers;  // layer's path, its weight, a [r, ...], b [out, r]
  std::vector<std::pair<std::string, Tensor>> whole;                    // tensors of modules that are kept whole, by name
};
// The folder is made where it is not there; each file is written atomically.
void write_peft(const std::filesystem::path& folder, const PeftOutput& output);

}  // namespace graft
