#include "engine/train/transfer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "engine/train/trainer.h"

namespace graft {
namespace {

using Texts = std::vector<std::string>;

std::string layer_of(const std::string& name) {
  const auto dot = name.rfind('.');
  return dot == std::string::npos ? name : name.substr(0, dot);
}
// The path up to and with its first part that is a number; the whole one where there is none.
std::string block_of(const std::string& layer) {
  for (std::size_t begin = 0; begin < layer.size();) {
    const std::size_t end = std::min(layer.find('.', begin), layer.size());
    if (end > begin && std::all_of(layer.begin() + static_cast<std::ptrdiff_t>(begin), layer.begin() + static_cast<std::ptrdiff_t>(end),
                                   [](char c) { return c >= '0' && c <= '9'; }))
      return layer.substr(0, end);
    begin = end + 1;
  }
  return layer;
}

// Stage of each layer path, from the head.
std::map<std::string, std::int64_t> stages_of(const Params& params) {
  std::map<std::string, int> rank;  // largest of a layer's tensors
  for (const Parameter& p : params.all())
    if (p.trainable) rank[layer_of(p.name)] = std::max(rank[layer_of(p.name)], p.tensor.rank());
  std::map<std::string, std::int64_t> of_block, of_layer;  // from the images
  std::int64_t next = 0;
  for (const Parameter& p : params.all()) {
    const std::string layer = layer_of(p.name), block = block_of(layer);
    if (!p.trainable || of_layer.count(layer) || params.in_head(p.name)) continue;
    if (const auto known = of_block.find(block); known != of_block.end()) of_layer[layer] = known->second;
    else if (block == layer && rank[layer] < 2 && next > 0) of_layer[layer] = next - 1;  // a normalisation
    else of_layer[layer] = of_block[block] = next++;
  }
  const bool has_head =
      std::any_of(params.all().begin(), params.all().end(), [&](const Parameter& p) { return p.trainable && params.in_head(p.name); });
  for (auto& [layer, stage] : of_layer) stage = next - 1 - stage + has_head;
  for (const Parameter& p : params.all())
    if (p.trainable && params.in_head(p.name)) of_layer[layer_of(p.name)] = 0;
  return of_layer;
}

bool is_number(std::string_view text, double& v) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  return ec == std::errc{} && end == text.data() + text.size() && std::isfinite(v) && v >= 0;
}

struct Group {
  std::string pattern;
  double lr = -1, weight_decay = -1;  // below 0: not said
};
Group parse_group(const std::string& text) {
  const std::string rule = "; write PATTERN:lr=FACTOR,wd=DECAY with one of them or both, each at least 0, such as layer1.*:lr=0.1,wd=0";
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0)
    throw Error(Code::usage, "optim.groups: '" + text + "' names no pattern and no setting" + rule);
  Group g{text.substr(0, colon)};
  std::string_view rest = std::string_view(text).substr(colon + 1);
  while (true) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view item = rest.substr(0, comma);
    double* to = item.starts_with("lr=") ? &g.lr : item.starts_with("wd=") ? &g.weight_decay : nullptr;
    if (!to || *to >= 0 || !is_number(item.substr(3), *to))
      throw Error(Code::usage, "optim.groups: '" + std::string(item) + "' in '" + text + "' is no setting" + rule);
    if (comma == rest.size()) return g;
    rest.remove_prefix(comma + 1);
  }
}

struct Thaw {
  std::string pattern;
  std::int64_t epoch = 0;
};
Thaw parse_thaw(const std::string& text) {
  const auto colon = text.rfind(':');
  Thaw t;
  if (colon != std::string::npos && colon > 0) {
    std::string_view epoch = std::string_view(text).substr(colon + 1);
    if (epoch.ends_with("ep")) epoch.remove_suffix(2);
    const auto [end, ec] = std::from_chars(epoch.data(), epoch.data() + epoch.size(), t.epoch);
    t.pattern = text.substr(0, colon);
    if (ec == std::errc{} && end == epoch.data() + epoch.size() && t.epoch >= 1) return t;
  }
  throw Error(Code::usage, "init.unfreeze: '" + text + "' is not known; write PATTERN:EPOCHS with at least one epoch, such as layer3.*:2");
}

constexpr const char* kBackbone = "backbone";

// frozen_until of init.freeze, init.unfreeze and init.unfreeze_every.
void freeze(const Config& c, const Params& params, std::vector<ParamPlan>& plans) {
  const bool lora = !params.adapted().empty();
  std::vector<bool> asked(plans.size(), false);
  for (const std::string& pattern : c.get<Texts>("init.freeze")) {
    bool hit = false;
    for (std::size_t i = 0; i < plans.size(); ++i) {
      const bool all = pattern == kBackbone && !params.in_head(plans[i].name) && !params.is_adapter(plans[i].name);
      if (!all && !matches_pattern(pattern, plans[i].name)) continue;
      asked[i] = hit = true;
      plans[i].frozen_until = kForEver;
    }
    if (!hit)
      throw Error(Code::usage, "init.freeze: no parameter matches '" + pattern + "'; it may be `backbone` or a pattern such as conv*");
  }
  const Texts thaws = c.get<Texts>("init.unfreeze");
  const std::int64_t every = c.get<std::int64_t>("init.unfreeze_every");
  if (thaws.empty() && every == 0) return;
  if (lora) throw Error(Code::usage, "init.unfreeze: with peft.method = lora the base stays frozen; remove one of them");
  if (std::none_of(asked.begin(), asked.end(), [](bool a) { return a; }))
    throw Error(Code::usage, "init.unfreeze: nothing is frozen at the start; set init.freeze=[backbone] or a pattern");
  if (every > 0) {
    std::set<std::int64_t> stages;  // from the head down
    for (std::size_t i = 0; i < plans.size(); ++i)
      if (asked[i]) stages.insert(plans[i].stage);
    for (std::size_t i = 0; i < plans.size(); ++i)
      if (asked[i]) plans[i].frozen_until = every * (1 + std::distance(stages.begin(), stages.find(plans[i].stage)));
  }
  for (const std::string& text : thaws) {
    const Thaw t = parse_thaw(text);
    bool hit = false;
    for (std::size_t i = 0; i < plans.size(); ++i)
      if (asked[i] && matches_pattern(t.pattern, plans[i].name)) {
        plans[i].frozen_until = t.epoch;
        hit = true;
      }
    if (!hit)
      throw Error(Code::usage, "init.unfreeze: '" + t.pattern + "' matches no parameter that init.freeze freezes; look at both patterns");
  }
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view text) {
  // The last * seen may take one more letter each time what follows does not fit: linear in memory, at most pattern * text in time.
  std::size_t p = 0, t = 0, star = std::string_view::npos, taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

LayerRules layer_rules(const Config& c, const std::string& head) {
  LayerRules r;
  r.head = head;
  if (c.get<std::string>("init.from").empty()) return r;
  r.frozen_statistics = c.get<std::string>("init.batch_norm") != "train";
  if (c.get<std::string>("peft.method") != "lora") return r;
  r.lora_rank = c.get<std::int64_t>("peft.rank");
  r.lora_scale = c.get<double>("peft.alpha") / static_cast<double>(r.lora_rank);
  r.lora_on = [head, targets = c.get<Texts>("peft.targets")](const std::string& layer) {
    if (below(head, layer + ".weight")) return false;
    return targets.empty() || std::any_of(targets.begin(), targets.end(), [&](const std::string& t) { return matches_pattern(t, layer); });
  };
  return r;
}

TransferPlan plan_transfer(const Config& c, const Params& params) {
  const bool transfer = !c.get<std::string>("init.from").empty();
  const OptimOptions base = optim_options(c);
  const bool decoupled = base.name == "adamw" || base.name == "adafactor" || base.name == "lion";
  const double layer_decay = transfer ? c.get<double>("optim.layer_decay") : 1, l2_sp = transfer ? c.get<double>("optim.l2_sp") : 0;
  const auto stages = stages_of(params);
  std::set<std::string> norms;  // layers with running statistics
  TransferPlan plan;
  for (const Parameter& p : params.all()) {
    if (!p.trainable && p.name.ends_with(".running_mean")) norms.insert(layer_of(p.name));
    if (!p.trainable) continue;
    ParamPlan q{p.name, p.tensor};
    q.stage = stages.at(layer_of(p.name));
    q.lr_factor = std::pow(layer_decay, static_cast<double>(q.stage));
    q.weight_decay = decoupled && p.tensor.rank() < 2 ? 0 : base.weight_decay;
    if (l2_sp > 0 && !params.in_head(p.name) && !params.is_adapter(p.name)) {  // the pull is in place of the decay towards zero
      q.l2_sp = l2_sp;
      q.weight_decay = 0;
    }
    plan.params.push_back(std::move(q));
  }
  for (const std::string& text : c.get<Texts>("optim.groups")) {
    const Group g = parse_group(text);
    bool hit = false;
    for (ParamPlan& p : plan.params)
      if (matches_pattern(g.pattern, p.name)) {
        if (g.lr >= 0) p.lr_factor *= g.lr;
        if (g.weight_decay >= 0) p.weight_decay = g.weight_decay;
        hit = true;
      }
    if (!hit)
      throw Error(Code::usage, "optim.groups: no parameter matches '" + g.pattern + "'; names are such as " +
                                   (plan.params.empty() ? "conv1.weight" : plan.params[0].name));
  }
  if (transfer) {
    freeze(c, params, plan.params);
    const auto policy = c.get<std::string>("init.batch_norm");
    if (policy != "train" && norms.empty()) throw Error(Code::usage, "init.batch_norm: this model has no batch normalisation; remove it");
    const bool lora = c.get<std::string>("peft.method") == "lora" && params.rules().lora_rank > 0;
    for (ParamPlan& p : plan.params)
      if ((policy == "eval" && norms.count(layer_of(p.name))) || (lora && !params.in_head(p.name) && !params.is_adapter(p.name)))
        p.frozen_until = kForEver;
    if (lora) {
      for (const std::string& target : c.get<Texts>("peft.targets"))
        if (std::none_of(params.adapted().begin(), params.adapted().end(),
                         [&](const Params::Adapted& a) { return matches_pattern(target, layer_of(a.weight)); }))
          throw Error(Code::usage, "peft.targets: '" + target +
                                       "' matches no linear layer or 2-d convolution before the last layer; a layer is named such as " +
                                       layer_of(plan.params.empty() ? "conv1.weight" : plan.params[0].name));
      if (params.adapted().empty())
        throw Error(Code::usage, "peft.method: this model has no linear layer or 2-d convolution before the last layer; remove it");
    }
  }
  for (ParamPlan& p : plan.params) {
    if (p.frozen_until == 0 && !p.tensor.requires_grad()) p.frozen_until = kForEver;
    if (p.frozen_until == kForEver) plan.frozen.emplace_back(p.name, p.tensor);
  }
  if (transfer && params.rules().frozen_statistics)
    for (const Parameter& p : params.all())
      if (!p.trainable && norms.count(layer_of(p.name))) plan.frozen.emplace_back(p.name, p.tensor);
  if (std::none_of(plan.params.begin(), plan.params.end(), [](const ParamPlan& p) { return p.frozen_until == 0; }))
    throw Error(Code::usage, "every parameter is frozen; look at init.freeze");
  if (l2_sp > 0 &&
      std::none_of(plan.params.begin(), plan.params.end(), [](const ParamPlan& p) { return p.l2_sp > 0 && p.frozen_until != kForEver; }))
    throw Error(Code::usage, "optim.l2_sp: no tensor that trains has a start to be pulled to; remove it, or freeze less");
  return plan;
}

bool TransferPlan::open(std::int64_t epoch) const {
  bool changed = false;
  for (const ParamPlan& p : params) {
    const bool on = p.frozen_until <= epoch;
    if (p.tensor.requires_grad() == on) continue;
    Tensor t = p.tensor;
    t.set_requires_grad(on);
    changed = true;
  }
  return changed;
}

std::int64_t TransferPlan::last_opening() const {
  std::int64_t last = 0;
  for (const ParamPlan& p : params)
    if (p.frozen_until != kForEver) last = std::max(last, p.frozen_until);
  return last;
}

Optimizer TransferPlan::optimizer(const Config& c) const {
  open(last_opening());
  const OptimOptions base = optim_options(c);
  std::vector<ParamGroup> groups;
  for (const bool matrices : {true, false}) {  // biases and norms apart: their order in sums and states does not depend on their settings
    const std::size_t first = groups.size();
    for (const ParamPlan& p : params) {
      if (p.frozen_until == kForEver || (p.tensor.rank() >= 2) != matrices) continue;
      const double lr = base.lr * p.lr_factor;
      auto g = std::find_if(groups.begin() + static_cast<std::ptrdiff_t>(first), groups.end(),
                            [&](const ParamGroup& x) { return x.options.lr == lr && x.options.weight_decay == p.weight_decay; });
      if (g == groups.end()) {
        g = groups.insert(g, {{}, base});
        g->options.lr = lr;
        g->options.weight_decay = p.weight_decay;
      }
      g->params.emplace_back(p.name, p.tensor);
    }
  }
  return Optimizer(std::move(groups));
}

}  // namespace graft
