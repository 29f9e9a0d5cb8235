#include "kernels/lab/oracle.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "kernels/lab/stage.h"

namespace graft::lab {
namespace {
bool written(const Operand& o) { return o.role != Role::in; }
}  // namespace

Oracle::Oracle(const Spec& spec, const ErasedCase& c, DType t, int trusted, Queue& host)
    : spec_(spec), case_(c), dtype_(t), trusted_(trusted), host_(host) {
  for (int r = 0; r < trusted; ++r) {
    if (spec.rows[static_cast<std::size_t>(r)].name == "ref") ref_ = r;
    if (spec.rows[static_cast<std::size_t>(r)].name == "naive") naive_ = r;
  }
  if (ref_ < 0 || naive_ < 0) throw Error(Code::bug, std::string(spec.family->name()) + ": the table needs rows named ref and naive");
}

int Oracle::best(const std::vector<View>& views) const {
  int best = naive_;
  for (int r = 0; r < trusted_; ++r) {
    const VariantInfo& row = spec_.rows[static_cast<std::size_t>(r)];
    if (row.backend == Backend::cpu && !row.order_dependent && row.rank > spec_.rows[static_cast<std::size_t>(best)].rank &&
        case_.allowed(r, views))
      best = r;
  }
  return best;
}

void Oracle::ask(std::uint64_t seed, std::uint64_t stir_seed) {
  const auto begin = std::chrono::steady_clock::now();
  struct Clock {
    std::chrono::steady_clock::time_point begin;
    double& cost;
    ~Clock() { cost = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); }
  } clock{begin, cost_};
  const bool plain = !case_.only_timed();
  {
    Operands truth(case_, dtype_, Layout::dense, seed, !case_.exact);
    stir(truth, stir_seed);
    truth.run(host_, plain || case_.exact ? ref_ : best(truth.views()));
    expect_.assign(case_.operands.size(), {});
    for (std::size_t k = 0; k < case_.operands.size(); ++k)
      if (written(case_.operands[k])) expect_[k] = values_of(truth.views()[k]);
  }
  allowance_.assign(case_.operands.size(), 0);
  if (case_.exact) return;
  Operands own(case_, dtype_, Layout::dense, seed);
  stir(own, stir_seed);
  const int yardstick = plain ? naive_ : best(own.views());
  own.run(host_, yardstick);
  for (std::size_t k = 0; k < case_.operands.size(); ++k) {
    if (!written(case_.operands[k])) continue;
    const View& v = own.views()[k];
    const double largest = largest_of(expect_[k]), a_priori = a_priori_allowance(case_, v.dtype, largest);
    if (v.dtype == DType::f64) {
      allowance_[k] = a_priori;
      continue;
    }
    const Judgement j = graft::judge(v, expect_[k], !is_float(v.dtype), a_priori);
    if (!j.ok)
      throw Error(Code::bug, std::string(spec_.family->name()) + "=" + std::string(spec_.rows[static_cast<std::size_t>(yardstick)].name) +
                                 " " + case_.shape + ": the yardstick is wrong: '" + case_.operands[k].name + "' " + j.worst);
    allowance_[k] = std::min(a_priori, plain ? 2 * j.largest_error : 8 * (j.largest_error + epsilon_of(DType::f32) * largest));
  }
}

Verdicts Oracle::judge(const std::vector<View>& outputs) const {
  Verdicts v;
  for (std::size_t k = 0; k < case_.operands.size(); ++k) {
    if (!written(case_.operands[k])) continue;
    const Judgement j = graft::judge(outputs[k], expect_[k], case_.exact || !is_float(outputs[k].dtype), allowance_[k]);
    if (is_float(outputs[k].dtype)) v.error = std::max(v.error, j.largest_error);
    if (!j.ok && v.wrong.empty()) v.wrong = "'" + case_.operands[k].name + "' " + j.worst;
  }
  return v;
}

}  // namespace graft::lab
