#include "weights/torch_optimizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/base/json.h"
#include "engine/ops/raw.h"
#include "weights/formats/json_guard.h"

namespace graft {
namespace {

using Value = nlohmann::json;

class TorchOptimizerReader {
 public:
  TorchOptimizerReader(const Source& s, const std::vector<std::string>& names, const std::string& adam, const std::string& where)
      : s_(s), names_(names), adam_(adam) {
    for (std::size_t i = 0; i < s.tensors.size(); ++i) tensors_.emplace(s.tensors[i].name, i);
    find(where);
  }

  TorchOptimizer run() {
    TorchOptimizer all;
    all.where = where_;
    const std::vector<std::map<std::string, Value>> groups = read_groups();
    std::set<std::int64_t> seen;
    std::size_t next = 0;
    for (const auto& g : groups) {
      TorchOptimizerGroup group;
      group.options = options_of(g);
      group.initial_lr = number(g, "initial_lr", group.options.lr);
      const Value params = g.count("params") ? g.at("params") : Value();
      if (!params.is_array()) refuse("a group without its list of parameters", "params", "save optimizer.state_dict() as it is");
      const Value kept = g.count("param_names") ? g.at("param_names") : Value();
      for (std::size_t i = 0; i < params.size(); ++i, ++next) {
        if (!params[i].is_number_integer())
          refuse("a parameter that has no number", "params", "graft reads the state_dict() of one process, not a sharded one");
        const auto id = params[i].get<std::int64_t>();
        if (!seen.insert(id).second)
          refuse("the parameter " + std::to_string(id) + " in two groups", "params", "the file is damaged, get it again");
        std::string name;
        if (!names_.empty()) {
          if (next < names_.size()) name = names_[next];
        } else if (kept.is_array() && i < kept.size() && kept[i].is_string()) {
          name = kept[i].get<std::string>();
        } else {
          refuse("numbers in place of the parameters' names", "params", "say the names in the order in which the optimiser was given them");
        }
        group.names.push_back(name);
        ids_.push_back(id);
      }
      all.groups.push_back(std::move(group));
    }
    if (!names_.empty() && next != names_.size())
      refuse(std::to_string(next) + " parameters, and the model has " + std::to_string(names_.size()), "param_groups",
             "freeze and order the parameters as they were there");
    std::size_t at = 0;
    for (const TorchOptimizerGroup& g : all.groups)
      for (const std::string& name : g.names) states_of(all, g.options, ids_[at++], name);
    return all;
  }

 private:
  [[noreturn]] void refuse(const std::string& what, const std::string& key, const std::string& advice) const {
    throw Error(Code::input, s_.path + ": the optimiser's state has " + what + " at byte 0 (" + join(key) + "); " + advice);
  }
  std::string join(const std::string& key) const { return where_.empty() ? key : where_ + "." + key; }

  // Where "param_groups" stands, by itself or under any path.
  void find(const std::string& wanted) {
    std::set<std::string> places;
    const auto look = [&](const std::string& key) {
      const std::string word = "param_groups";
      for (std::size_t at = key.find(word); at != std::string::npos; at = key.find(word, at + 1)) {
        const std::size_t end = at + word.size();
        if ((at == 0 || key[at - 1] == '.') && (end == key.size() || key[end] == '.')) places.insert(at == 0 ? "" : key.substr(0, at - 1));
      }
    };
    for (const auto& [key, value] : s_.metadata) look(key);
    if (places.empty())
      throw Error(Code::input, s_.path +
                                   ": no optimiser's state at byte 0 (no param_groups); save optimizer.state_dict() beside the weights, or "
                                   "name the file that has it");
    if (!wanted.empty() || places.size() == 1) {
      where_ = wanted.empty() ? *places.begin() : wanted;
      if (!places.count(where_))
        throw Error(Code::input,
                    s_.path + ": no optimiser's state at byte 0 (" + in_quotes(where_) + "); there is " + in_quotes(*places.begin()));
      return;
    }
    std::string all;
    for (const std::string& p : places) all += (all.empty() ? "" : ", ") + in_quotes(p);
    throw Error(Code::input, s_.path + ": several optimisers' states at byte 0 (" + all + "); name the one to go on with");
  }

  // The groups' entries. Plain ones are one text of JSON; with a tensor among them (a learning rate on the device) each entry stands by
  // itself.
  std::vector<std::map<std::string, Value>> read_groups() const {
    std::vector<std::map<std::string, Value>> groups;
    if (const auto whole = s_.metadata.find(join("param_groups")); whole != s_.metadata.end()) {
      const Value all = read_json(whole->second);
      if (!all.is_array()) refuse("groups that are no list, or too many to read", "param_groups", "save optimizer.state_dict() as it is");
      for (const Value& g : all) {
        if (!g.is_object()) refuse("a group that is no dict", "param_groups", "save optimizer.state_dict() as it is");
        groups.push_back(g.get<std::map<std::string, Value>>());
      }
      return groups;
    }
    for (std::size_t n = 0;; ++n) {
      const std::string prefix = join("param_groups." + std::to_string(n) + ".");
      std::map<std::string, Value> group;
      for (auto at = s_.metadata.lower_bound(prefix); at != s_.metadata.end() && at->first.starts_with(prefix); ++at) {
        const Value value = read_json(at->second);
        group[at->first.substr(prefix.size())] = value.is_discarded() ? Value(at->second) : value;
      }
      for (const StoredTensor& t : s_.tensors)
        if (t.name.starts_with(prefix)) {
          const Tensor v = s_.load(tensors_.at(t.name));
          if (v.numel() == 1) group[t.name.substr(prefix.size())] = v.item();
        }
      if (group.empty()) return groups;
      groups.push_back(std::move(group));
    }
  }

  double number(const std::map<std::string, Value>& g, const char* key, std::optional<double> otherwise = {}) const {
    const auto at = g.find(key);
    if (at == g.end() || at->second.is_null()) {
      if (!otherwise) refuse(std::string("no ") + key, "param_groups", "save optimizer.state_dict() as it is");
      return *otherwise;
    }
    if (!at->second.is_number()) refuse(std::string(key) + " that is no number", "param_groups", "save optimizer.state_dict() as it is");
    return at->second.get<double>();
  }
  bool flag(const std::map<std::string, Value>& g, const char* key) const {
    const auto at = g.find(key);
    return at != g.end() &&
           ((at->second.is_boolean() && at->second.get<bool>()) || (at->second.is_number() && at->second.get<double>() != 0));
  }

  // Which optimiser a group is of: each has keys that the others have not.
  OptimOptions options_of(const std::map<std::string, Value>& g) const {
    const auto has = [&](const char* key) { return g.count(key) > 0; };
    OptimOptions o;
    if (has("betas") && has("amsgrad") && has("eps")) {
      const bool told = has("decoupled_weight_decay");
      if (!told && adam_.empty() && number(g, "weight_decay", 0) != 0)
        refuse("a weight decay, and does not tell Adam from AdamW", "param_groups", "say which of the two it is");
      o = optim_defaults(told ? (flag(g, "decoupled_weight_decay") ? "adamw" : "adam") : adam_.empty() ? "adam" : adam_);
      const Value& betas = g.at("betas");
      if (!betas.is_array() || betas.size() != 2 || !betas[0].is_number() || !betas[1].is_number())
        refuse("betas that are no two numbers", "param_groups", "save optimizer.state_dict() as it is");
      o.beta1 = betas[0].get<double>();
      o.beta2 = betas[1].get<double>();
      o.amsgrad = flag(g, "amsgrad");
      o.eps = number(g, "eps");
    } else if (has("alpha") && has("centered")) {
      o = optim_defaults("rmsprop");
      o.beta2 = number(g, "alpha");
      o.momentum = number(g, "momentum", 0);
      o.centered = flag(g, "centered");
      o.eps = number(g, "eps");
    } else if (has("momentum") && has("dampening") && has("nesterov")) {
      o = optim_defaults("sgd");
      o.momentum = number(g, "momentum");
      o.dampening = number(g, "dampening");
      o.nesterov = flag(g, "nesterov");
    } else if (has("lr_decay") && has("initial_accumulator_value")) {
      o = optim_defaults("adagrad");
      o.lr_decay = number(g, "lr_decay");
      o.eps = number(g, "eps");
    } else {
      std::string keys;
      for (const auto& [key, value] : g) keys += (keys.empty() ? "" : ", ") + key;
      refuse("a group of an optimiser that graft does not know (" + keys.substr(0, 200) + ")", "param_groups",
             "start with a new optimiser's state");
    }
    o.lr = number(g, "lr");
    o.weight_decay = number(g, "weight_decay", 0);
    o.maximize = flag(g, "maximize");
    return o;
  }

  void states_of(TorchOptimizer& all, const OptimOptions& o, std::int64_t id, const std::string& name) const {
    const std::string prefix = join("state." + std::to_string(id) + ".");
    std::vector<std::string> wanted;
    if (o.name == "sgd" && o.momentum != 0) wanted = {"momentum_buffer"};
    else if (o.name == "adam" || o.name == "adamw") wanted = {"exp_avg", "exp_avg_sq"};
    else if (o.name == "rmsprop") wanted = {"square_avg"};
    else if (o.name == "adagrad") wanted = {"sum"};
    if (o.amsgrad) wanted.push_back("max_exp_avg_sq");
    if (o.name == "rmsprop" && o.momentum != 0) wanted.push_back("momentum_buffer");
    if (o.name == "rmsprop" && o.centered) wanted.push_back("grad_avg");
    std::size_t found = 0;
    for (const std::string& what : wanted) {
      const auto at = tensors_.find(prefix + what);
      if (at == tensors_.end()) continue;
      Tensor t = s_.load(at->second);
      if (t.dtype() == DType::bf16 || t.dtype() == DType::f16) t = raw::cast(t, DType::f32);
      if (t.dtype() != DType::f32 && t.dtype() != DType::f64)
        refuse(what + " that is no floats", "state." + std::to_string(id), "the file is damaged, get it again");
      all.state.emplace_back(name + "." + what, t);
      ++found;
    }
    if (found == 0) return;  // never updated: frozen, or without a gradient
    if (found != wanted.size())
      refuse(std::to_string(found) + " of the " + std::to_string(wanted.size()) + " tensors that " + o.name + " keeps for each parameter",
             "state." + std::to_string(id), "were options of the optimiser changed before it was saved?");
    std::int64_t steps = 1;  // sgd: the momentum is there, so the next update is not the first
    if (o.name != "sgd") {
      double count = -1;
      if (const auto at = tensors_.find(prefix + "step"); at != tensors_.end()) {
        const Tensor t = s_.load(at->second);
        if (t.numel() == 1) count = t.item();
      } else if (const auto text = s_.metadata.find(prefix + "step"); text != s_.metadata.end()) {
        const Value v = read_json(text->second);
        if (v.is_number()) count = v.get<double>();
      }
      if (!(count >= 0 && count < 9e15) || count != std::floor(count))
        refuse("a step that is no whole number", "state." + std::to_string(id) + ".step", "the file is damaged, get it again");
      steps = static_cast<std::int64_t>(count);
    }
    all.state.emplace_back(name + ".step", Tensor::full({}, static_cast<double>(steps), DType::i64));
    all.steps = std::max(all.steps, steps);
  }

  const Source& s_;
  const std::vector<std::string>& names_;
  const std::string& adam_;
  std::map<std::string, std::size_t> tensors_;
  std::string where_;
  std::vector<std::int64_t> ids_;  // in the order of the groups
};

}  // namespace

TorchOptimizer read_torch_optimizer(const Source& source, const std::vector<std::string>& names, const std::string& adam,
                                    const std::string& where) {
  if (!adam.empty() && adam != "adam" && adam != "adamw")
    throw Error(Code::usage, "read_torch_optimizer: '" + adam + "' is neither adam nor adamw");
  return TorchOptimizerReader(source, names, adam, where).run();
}

}  // namespace graft
