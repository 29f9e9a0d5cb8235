// What stands beside a checkpoint in a model's folder and is no tensor: configuration, tokenizer, pre-processing, by the names that hubs
// give them. It travels with the weights.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "weights/source.h"

namespace graft {

// The files beside the weights that belong to the model, in order of name. Only a file that is named as hubs name weights (model*,
// pytorch_model*, tf_model*, adapter_model*), or a folder of them, has such company: what else lies beside some downloaded file is not its
// own.
std::vector<std::filesystem::path> companions_of(const Source& source);

struct Carried {
  std::vector<std::string> copied, kept;  // names; kept: the folder had another file of that name, which stays as it is
};
// Copies them, each atomically, into the folder `to`. `labels`: what the model's outputs are called now, in order; where a config.json
// names them (id2label, label2id) the copy says these. Empty: as they are.
Carried carry_companions(const Source& source, const std::filesystem::path& to, const std::vector<std::string>& labels);

// A config.json that names its outputs, with these names; another text as it is.
std::string with_labels(const std::string& json, const std::vector<std::string>& labels);

// What a config.json calls the outputs of its model (id2label), in order; empty where it does not say, or has only the placeholders
// LABEL_0, LABEL_1, ...
std::vector<std::string> labels_of_config(const std::string& json);

}  // namespace graft
