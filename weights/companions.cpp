#include "weights/companions.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/json.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kConfig = "config.json";
// A tokenizer of a quarter of a million words has about 35 MB; what is larger is not one.
constexpr std::uint64_t kLimit = 256 << 20;

constexpr std::array<std::string_view, 19> kNames = {
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    kConfig,
    "generation_config.json",
    "merges.txt",
    "normalizer.json",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer.model.v3",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
};

bool named_as_weights(std::string_view name) {
  for (const std::string_view begin : {"model", "pytorch_model", "tf_model", "adapter_model"})
    if (name.starts_with(begin)) return true;
  return false;
}

}  // namespace

std::string with_labels(const std::string& text, const std::vector<std::string>& labels) {
  Json j = read_json_in_order(text);
  if (!j.is_object() || (!j.contains("id2label") && !j.contains("label2id") && !j.contains("num_labels"))) return text;
  Json of_number = Json::object(), of_label = Json::object();
  for (std::size_t i = 0; i < labels.size(); ++i) of_number[std::to_string(i)] = labels[i], of_label[labels[i]] = i;
  j["id2label"] = of_number;
  j["label2id"] = of_label;
  if (j.contains("num_labels")) j["num_labels"] = labels.size();
  return json_ascii(j) + "\n";
}

std::vector<fs::path> companions_of(const Source& source) {
  std::error_code ec;
  std::vector<fs::path> found;
  if (source.files.empty()) return found;
  const fs::path weights = source.files.front();
  if (!named_as_weights(weights.filename().string())) return found;
  for (const std::string_view name : kNames) {
    const fs::path file = weights.parent_path() / name;
    if (fs::is_regular_file(file, ec) && fs::file_size(file, ec) <= kLimit) found.push_back(file);
  }
  return found;
}

Carried carry_companions(const Source& source, const fs::path& to, const std::vector<std::string>& labels) {
  Carried carried;
  std::error_code ec;
  for (const fs::path& from : companions_of(source)) {
    const std::string name = from.filename().string();
    const fs::path at = to / name;
    if (fs::equivalent(from, at, ec)) continue;
    std::string text = read_text(from, kLimit);
    if (name == kConfig && !labels.empty()) text = with_labels(text, labels);
    if (fs::exists(at, ec)) {
      if (!fs::is_regular_file(at, ec) || fs::file_size(at, ec) != text.size() || read_text(at, kLimit) != text)
        carried.kept.push_back(name);
      continue;
    }
    write_atomically(at, text);
    carried.copied.push_back(name);
  }
  return carried;
}

std::vector<std::string> labels_of_config(const std::string& json) {
  const nlohmann::json j = read_json(json);
  if (!j.is_object()) return {};
  const auto it = j.find("id2label");
  if (it == j.end() || !it->is_object() || it->empty()) return {};
  std::vector<std::string> labels;
  bool told = false;
  for (std::size_t i = 0; i < it->size(); ++i) {
    const auto one = it->find(std::to_string(i));
    if (one == it->end() || !one->is_string()) return {};
    labels.push_back(one->get<std::string>());
    told = told || labels.back() != "LABEL_" + std::to_string(i);
  }
  return told ? labels : std::vector<std::string>{};
}

}  // namespace graft
