#include "cli/transfer_report.h"

#include <algorithm>

#include "weights/hash.h"

namespace graft::cli {
namespace {

std::vector<std::pair<std::string, Tensor>> on_host(const std::vector<std::pair<std::string, Tensor>>& tensors) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& [name, t] : tensors) all.emplace_back(name, t.detach().to({}));
  return all;
}

std::string trains(const ParamPlan& p) {
  return p.frozen_until == kForEver ? "frozen"
         : p.frozen_until == 0      ? "trains"
                                    : "frozen for " + std::to_string(p.frozen_until) + (p.frozen_until == 1 ? " epoch" : " epochs");
}

}  // namespace

Json parameters_json(const TransferPlan& plan, const Config& c) {
  Json all = Json::array();
  for (const ParamPlan& p : plan.params) {
    const bool never = p.frozen_until == kForEver;
    Json row{{"tensor", p.name},
             {"stage", p.stage},
             {"lr", never ? 0 : c.get<double>("optim.lr") * p.lr_factor},
             {"weight_decay", never ? 0 : p.weight_decay}};
    if (p.l2_sp > 0 && !never) row["l2_sp"] = p.l2_sp;
    row["frozen"] = never;
    if (!never) row["from_epoch"] = p.frozen_until;
    all.push_back(std::move(row));
  }
  return all;
}

void print_parameters(const TransferPlan& plan, const Config& c) {
  std::size_t width = 6;
  for (const ParamPlan& p : plan.params) width = std::max(width, p.name.size());
  std::fprintf(stderr, "  %-*s  %10s  %12s\n", static_cast<int>(width), "tensor", "lr", "weight decay");
  for (const ParamPlan& p : plan.params) {
    if (p.frozen_until == kForEver) std::fprintf(stderr, "  %-*s  %10s  %12s  frozen\n", static_cast<int>(width), p.name.c_str(), "-", "-");
    else
      std::fprintf(stderr, "  %-*s  %10.3g  %12.3g  %s%s\n", static_cast<int>(width), p.name.c_str(),
                   c.get<double>("optim.lr") * p.lr_factor, p.weight_decay, trains(p).c_str(), p.l2_sp > 0 ? ", pulled to its start" : "");
  }
}

FrozenProof::FrozenProof(const TransferPlan& plan) : frozen_(plan.frozen) {
  const auto now = on_host(frozen_);
  for (const auto& one : now) each_.push_back(weights_hash({one}));
  before_ = weights_hash(now);
}

Json FrozenProof::check() const {
  const auto now = on_host(frozen_);
  const std::string after = weights_hash(now);
  if (after != before_)
    for (std::size_t i = 0; i < now.size(); ++i)
      if (weights_hash({now[i]}) != each_[i])
        throw Error(Code::bug, "frozen tensor '" + now[i].first + "' has changed in training; the checkpoints are not what was asked for");
  return {{"count", frozen_.size()}, {"hash_before", before_}, {"hash_after", after}, {"unchanged", after == before_}};
}

std::string FrozenProof::line() const { return std::to_string(frozen_.size()) + " frozen tensors unchanged (hash " + before_ + ")"; }

}  // namespace graft::cli
