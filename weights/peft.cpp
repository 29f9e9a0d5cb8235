#include "weights/peft.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/autograd/tape.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/ops/ops.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/safetensors.h"
#include "weights/name_pattern.h"
#include "weights/source.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kRoot = "base_model.model.";

[[noreturn]] void refuse(const fs::path& path, const std::string& what) { throw Error(Code::input, path.string() + ": " + what); }

double number(const Json& j, const char* key, const fs::path& path) {
  const auto it = j.find(key);
  if (it == j.end() || !it->is_number() || !(it->get<double>() > 0))
    refuse(path, std::string("'") + key + "' is not a number above 0; have the adapter saved again");
  return it->get<double>();
}
bool flag(const Json& j, const char* key) {
  const auto it = j.find(key);
  return it != j.end() && it->is_boolean() && it->get<bool>();
}

// Ways to begin that leave something of the weight in the factors or take something out of it: the trained factors then belong to what was
// left of the base model, which no file holds, and added to the base model itself they would give other weights without a word. PEFT's own
// list grows, so that what is not known to leave the weight alone is refused.
void refuse_changed_base(const Json& config, const fs::path& path) {
  if (const auto it = config.find("init_lora_weights"); it != config.end() && !it->is_boolean() && !it->is_null()) {
    const std::string way = it->is_string() ? it->get<std::string>() : json_ascii(*it, -1);
    if (way != "gaussian" && way != "orthogonal" && way != "eva" && way != "mica")
      refuse(path, "began as " + in_quotes(way) +
                       ", which may change the base model's weights; save it with path_initial_model_for_weight_conversion, or merged "
                       "(merge_and_unload)");
  }
  // Layers that are no weight + scale B A, or that are in the model more often than in its file.
  for (const char* key :
       {"alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "monteclora_config", "use_bdlora", "use_qalora"}) {
    const auto it = config.find(key);
    if (it == config.end() || it->is_null() || (it->is_boolean() && !it->get<bool>()) || (it->is_array() && it->empty())) continue;
    refuse(path, std::string("sets '") + key +
                     "', which is more than a sum of weight and factors; merge it where it was made (merge_and_unload) if it can be");
  }
}

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

// What one adapter's configuration says about layers by patterns of their paths. PEFT (get_pattern_key) takes the first key for which
// re.match(r"(.*\.)?(KEY)$", path) finds something: a path's last parts, where a dot stands for any character.
class LayerPatterns {
 public:
  LayerPatterns(const Json& config, const fs::path& path) : config_(config), path_(path) {}

  // Of `alpha_pattern` or `rank_pattern`: the first value whose key matches the layer's path, else `otherwise`. A key that graft does not
  // follow is refused where the answer is needed, and else gives nothing.
  std::optional<double> value(const char* of, const std::string& layer, double otherwise, bool needed) {
    const auto it = config_.find(of);
    if (it == config_.end() || !it->is_object()) return otherwise;
    for (const auto& [key, value] : it->items()) {
      const std::optional<bool> fits =
          is_plain(key) && is_plain(layer) ? ends_as(layer, key) : matches(of, "(.*\\.)?(" + key + ")$", layer, false);
      if (!fits && !needed) return {};
      if (!fits)
        refuse(path_, std::string(of) + " has the regular expression " + in_quotes(key) + ", which graft does not follow for " +
                          in_quotes(layer) + "; write the layers' names out");
      if (!*fits) continue;
      if (!value.is_number() || !(value.get<double>() > 0))
        refuse(path_, std::string(of) + "'s " + in_quotes(key) + " is not a number above 0; have the adapter saved again");
      return value.get<double>();
    }
    return otherwise;
  }

  // target_modules: names that a path ends with, or one expression for whole paths. A layer that it leaves out would be dropped by PEFT,
  // and added here: the weights are of another configuration.
  void expect_target(const std::string& layer) {
    const auto it = config_.find("target_modules");
    const auto parameters = config_.find("target_parameters");  // parameters that are no layers: their names stand there alone
    if (it == config_.end() || (parameters != config_.end() && !parameters->is_null() && !parameters->empty())) return;
    bool is_target = true;
    if (it->is_string()) {
      const std::string text = it->get<std::string>();
      if (text == "all-linear") return;
      const std::optional<bool> fits = matches("target_modules", text, layer, true);
      if (!fits)
        refuse(path_, "target_modules is the regular expression " + in_quotes(text) + ", which graft does not follow for " +
                          in_quotes(layer) + "; write the layers' names out as a list");
      is_target = *fits;
    } else if (it->is_array()) {
      if (!targets_) {
        targets_.emplace();
        for (const Json& t : *it)
          if (t.is_string()) targets_->insert(t.get<std::string>());
      }
      is_target = targets_->count(layer) > 0;
      for (auto dot = layer.find('.'); !is_target && dot != std::string::npos; dot = layer.find('.', dot + 1))
        is_target = targets_->count(layer.substr(dot + 1)) > 0;
    }
    if (!is_target)
      refuse(path_, "target_modules leaves out " + in_quotes(layer) +
                        ", for which the weights have an adapter; get both files from the same place");
  }

 private:
  std::optional<bool> ends_as(const std::string& layer, const std::string& key) {
    if (layer.size() < key.size()) return false;
    const std::size_t from = layer.size() - key.size();
    if (from > 0 && layer[from - 1] != '.') return false;
    for (std::size_t i = key.size(); i-- > 0;) {
      if (work_-- == 0) return work_ = 0, std::nullopt;
      if (key[i] != '.' && key[i] != layer[from + i]) return false;
    }
    return true;
  }
  std::optional<bool> matches(const std::string& of, const std::string& expression, const std::string& layer, bool whole) {
    const auto [at, is_new] = parsed_.emplace(of + " " + expression, std::nullopt);
    if (is_new) at->second = NamePattern::parse(expression);
    return at->second ? at->second->matches(layer, whole, work_) : std::nullopt;
  }

  const Json& config_;
  fs::path path_;
  std::map<std::string, std::optional<NamePattern>> parsed_;
  std::optional<std::set<std::string>> targets_;
  std::uint64_t work_ = 1'000'000'000;  // steps, of all layers and patterns: seconds
};

Tensor flat(const Tensor& t) { return reshape(t, {t.size(0), t.size(0) > 0 ? t.numel() / t.size(0) : 0}); }

}  // namespace

Tensor PeftAdapter::merged(const std::string& name, const Tensor& weight) const {
  NoGrad off;
  const PeftLayer& l = layers.at(name);
  const std::int64_t out = l.b.size(0), in = l.a.size(1);
  if (weight.rank() < 2 || weight.numel() != out * in || weight.size(0) != (l.transposed ? in : out))
    throw Error(Code::input, path + ": the adapter of " + in_quotes(name) + " is " + l.b.str() + " times " + l.a.str() +
                                 " but the weight is " + weight.str() + "; it belongs to another model");
  const DType exact = weight.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor product = matmul(cast(l.b, exact), cast(l.a, exact));
  if (l.transposed) product = contiguous(permute(product, {1, 0}));
  Tensor sum = add(cast(weight, exact), reshape(mul(product, l.scale), weight.shape()));
  if (l.magnitude.defined()) sum = with_lengths(sum, l, name);
  return cast(sum, weight.dtype());
}

// m * V / |V| for each output's row V of the new weight.
Tensor PeftAdapter::with_lengths(const Tensor& sum, const PeftLayer& l, const std::string& name) const {
  const std::int64_t out = l.b.size(0), in = l.a.size(1);
  const int axis = l.transposed ? 0 : 1;
  if (l.magnitude.numel() != out)
    throw Error(Code::input, path + ": the lora_magnitude_vector of " + in_quotes(name) + " is " + l.magnitude.str() + " for " +
                                 std::to_string(out) + " rows; it belongs to another model");
  const Tensor rows = reshape(sum, l.transposed ? Shape{in, out} : Shape{out, in});
  const Tensor length = graft::sqrt(graft::sum(mul(rows, rows), {axis}, true));
  const std::vector<double> lengths = length.values();
  if (const auto zero = std::find(lengths.begin(), lengths.end(), 0.0); zero != lengths.end())
    throw Error(Code::input, path + ": row " + std::to_string(zero - lengths.begin()) + " of " + in_quotes(name) +
                                 " is zero with its adapter, and DoRA has no direction to give a length; merge it where it was made");
  return reshape(mul(rows, div(reshape(cast(l.magnitude, sum.dtype()), length.shape()), length)), sum.shape());
}

PeftAdapter read_peft(const fs::path& folder) {
  UseQueue host(host_queue());
  NoGrad off;
  const fs::path settings = folder / "adapter_config.json";
  const Json config = read_json_in_order(read_text(settings, 1 << 20));
  if (!config.is_object()) refuse(settings, "is no JSON object; have the adapter saved again");
  const auto type = config.find("peft_type");
  if (type == config.end() || !type->is_string() || type->get<std::string>() != "LORA")
    refuse(settings, "is of the method " + (type != config.end() && type->is_string() ? type->get<std::string>() : std::string("?")) +
                         "; graft adds LoRA, merge others where they were made");
  refuse_changed_base(config, settings);
  const double alpha = number(config, "lora_alpha", settings);
  const bool stabilised = flag(config, "use_rslora"), fan_in = flag(config, "fan_in_fan_out"), dora = flag(config, "use_dora");
  const double rank_wanted = config.contains("r") ? number(config, "r", settings) : 0;  // 0: not said

  std::error_code ec;
  const fs::path weights =
      fs::exists(folder / "adapter_model.safetensors", ec) ? folder / "adapter_model.safetensors" : folder / "adapter_model.bin";
  const auto source = open_source(weights);
  PeftAdapter adapter;
  adapter.path = folder.string();
  for (std::size_t i = 0; i < source->tensors.size(); ++i) {
    std::string name = source->tensors[i].name;
    if (!name.starts_with(kRoot))
      refuse(weights, "tensor " + in_quotes(name) + " does not begin with base_model.model.; it is no adapter of PEFT's");
    name.erase(0, kRoot.size());
    bool taken = false;
    if (const auto at = name.find(".lora_magnitude_vector");
        at != std::string::npos) {  // the end, or the adapter's name and "weight" follow
      if (!dora)
        refuse(weights, "tensor " + in_quotes(name) +
                            " is DoRA's, and the configuration says nothing of it (use_dora); get both files from the same place");
      Tensor& place = adapter.layers[name.substr(0, at) + ".weight"].magnitude;
      if (place.defined()) refuse(weights, "has two adapters for " + in_quotes(name.substr(0, at)) + "; save one");
      place = source->load(i);
      continue;
    }
    for (const auto& [mark, is_a, embedding] : {std::tuple{".lora_A.", true, false},
                                                {".lora_B.", false, false},
                                                {".lora_embedding_A", true, true},
                                                {".lora_embedding_B", false, true}}) {
      const auto at = name.find(mark);
      if (at == std::string::npos) continue;
      // what follows is "weight", or the adapter's name before it
      PeftLayer& l = adapter.layers[name.substr(0, at) + ".weight"];
      l.transposed = embedding || fan_in;
      const Tensor t = source->load(i);
      if (t.rank() < 2) refuse(weights, "tensor " + in_quotes(name) + " is " + t.str() + "; a factor has at least two axes");
      Tensor& place = is_a ? l.a : l.b;
      if (place.defined()) refuse(weights, "has two adapters for " + in_quotes(name.substr(0, at)) + "; save one");
      place = flat(t);
      taken = true;
      break;
    }
    if (taken) continue;
    if (const auto at = name.find(".modules_to_save."); at != std::string::npos) name.erase(at, 16);
    if (const auto at = name.find(".base_layer."); at != std::string::npos) name.erase(at, 11);
    adapter.whole[name] = source->load(i);
  }
  LayerPatterns patterns(config, settings);
  for (auto& [name, l] : adapter.layers) {
    if (!l.a.defined() || !l.b.defined()) refuse(weights, "has one half of the adapter of " + in_quotes(name) + "; have it saved again");
    const std::int64_t rank = l.a.size(0);
    if (rank < 1 || l.b.size(1) != rank)
      refuse(weights, "the adapter of " + in_quotes(name) + " is " + l.b.str() + " times " + l.a.str() + ", which is no product");
    const std::string layer = name.substr(0, name.size() - 7);
    if (dora && !l.magnitude.defined())
      refuse(settings,
             "is DoRA (use_dora), but the weights have no lora_magnitude_vector for " + in_quotes(layer) + "; have it saved again");
    patterns.expect_target(layer);
    // The weights show the rank themselves; a configuration that has another is not theirs, and its alpha neither.
    const auto wanted = patterns.value("rank_pattern", layer, rank_wanted, false);
    if (wanted && *wanted > 0 && *wanted != static_cast<double>(rank))
      refuse(settings, "says that the adapter of " + in_quotes(layer) + " has the rank " + json_number(*wanted) + ", and it has " +
                           std::to_string(rank) + "; get both files from the same place");
    const double of_layer = *patterns.value("alpha_pattern", layer, alpha, true);
    l.scale = of_layer / (stabilised ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
  }
  if (adapter.layers.empty() && adapter.whole.empty()) refuse(weights, "holds nothing");
  return adapter;
}

void write_peft(const fs::path& folder, const PeftOutput& o) {
  UseQueue host(host_queue());
  NoGrad off;
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::vector<std::string> targets;
  for (const auto& [layer, weight, a, b] : o.layers) {
    targets.push_back(layer);
    const std::int64_t rank = b.size(1);
    Shape of_a(std::vector<std::int64_t>(weight.shape().begin(), weight.shape().end())),
        of_b(std::vector<std::int64_t>(static_cast<std::size_t>(weight.rank()), 1));
    of_a[0] = rank;
    of_b[0] = weight.size(0);
    of_b[1] = rank;
    tensors.emplace_back(std::string(kRoot) + layer + ".lora_A.weight", reshape(contiguous(a), of_a));
    tensors.emplace_back(std::string(kRoot) + layer + ".lora_B.weight", reshape(contiguous(b), of_b));
  }
  std::set<std::string> modules;
  for (const auto& [name, t] : o.whole) {
    modules.insert(name.substr(0, name.rfind('.')));
    tensors.emplace_back(std::string(kRoot) + name, contiguous(t));
  }
  std::error_code ec;
  fs::create_directories(folder, ec);
  if (ec) throw file_error(folder, "make the folder", ec.value());
  write_safetensors(folder / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  const Json config{{"base_model_name_or_path", o.base},
                    {"bias", "none"},
                    {"fan_in_fan_out", false},
                    {"inference_mode", true},
                    {"init_lora_weights", true},
                    {"lora_alpha", o.alpha},
                    {"lora_dropout", 0.0},
                    {"modules_to_save", modules.empty() ? Json(nullptr) : Json(modules)},
                    {"peft_type", "LORA"},
                    {"r", o.rank},
                    {"target_modules", targets},
                    {"task_type", nullptr},
                    {"use_dora", false},
                    {"use_rslora", false}};
  write_atomically(folder / "adapter_config.json", json_ascii(config) + "\n");
}

}  // namespace graft
