// graft kernels list|check|explain: the catalog of variants, walked.
#include <cstdio>

#include "cli/common.h"
#include "cli/console.h"
#include "kernels/catalog.h"
#include "kernels/core/device.h"
#include "kernels/specs.h"

namespace graft::cli {
namespace {

std::vector<const FamilyBase*> chosen(const std::string& family) {
  std::vector<const FamilyBase*> list;
  std::vector<std::string_view> names;
  for (const auto* f : families()) {
    names.push_back(f->name());
    if (family.empty() || f->name() == family) list.push_back(f);
  }
  if (list.empty()) {
    const std::string near = nearest(family, names);
    throw Error(Code::usage,
                "no kernel family '" + family + "'" + (near.empty() ? "; see graft kernels list" : "; did you mean " + near + "?"));
  }
  return list;
}
void known_variant(const std::string& family, const std::string& variant) {
  if (variant.empty()) return;
  for (const auto* f : chosen(family))
    for (const auto& v : f->variants())
      if (v.name == variant) return;
  throw Error(Code::usage, "no variant '" + variant + "'" + (family.empty() ? "" : " in " + family) + "; see graft kernels list");
}

int list_verb(const std::string& family, bool json) {
  Json all = Json::array();
  for (const auto* f : chosen(family))
    for (const auto& v : f->variants()) {
      if (json) all.push_back({{"family", f->name()}, {"variant", v.name}, {"rank", v.rank}, {"limits", v.limits}, {"doc", v.doc}});
      else
        std::printf("%-20s %-16s %3d  %s [%s]\n", std::string(f->name()).c_str(), std::string(v.name).c_str(), v.rank,
                    std::string(v.doc).c_str(), std::string(v.limits).c_str());
    }
  if (json) print_json(Json{{"variants", all}});
  return 0;
}

int check_verb(const std::string& family, const std::string& variant, const Common& c) {
  chosen(family);
  known_variant(family, variant);
  Queue q(c.threads > 0 ? c.threads : 2, parse_device(c.device == "auto" ? "cpu" : c.device));
  Json rows = Json::array();
  std::size_t failures = 0;
  for (const Spec& s : all_specs()) {
    if (!family.empty() && s.family->name() != family) continue;
    const CheckReport r = check(s, q, {.variant = variant, .seed = static_cast<std::uint64_t>(c.seed.value_or(1))});
    for (const auto& f : r.failures) std::fprintf(stderr, "%s\n", f.c_str());
    failures += r.failures.size();
    for (const auto& [name, ran] : r.ran) {
      const auto refused = r.refused.count(name) ? r.refused.at(name) : 0;
      if (c.json) rows.push_back({{"family", s.family->name()}, {"variant", name}, {"ran", ran}, {"refused", refused}});
      else
        std::printf("%-20s %-16s %5lld cases, %lld refused\n", std::string(s.family->name()).c_str(), name.c_str(),
                    static_cast<long long>(ran), static_cast<long long>(refused));
    }
  }
  if (c.json) print_json(Json{{"rows", rows}, {"failures", failures}});
  else std::printf("%s\n", painted(stdout, failures ? Ink::bad : Ink::good, std::to_string(failures) + " failures").c_str());
  return failures ? static_cast<int>(Code::no) : 0;
}

// For each benchmark shape of a family: which variant is taken, and why the others are not.
int explain_verb(const std::string& family, bool json) {
  Json shapes = Json::array();
  chosen(family);
  for (const Spec& s : all_specs()) {
    if (s.family->name() != family) continue;
    for (const auto& c : s.cases) {
      if (c.large) continue;  // gigabytes
      const DType t = c.dtypes.front();
      Operands ops(c, t, c.layouts.front(), 1);
      if (!c.bench && &c != &s.cases.front()) continue;
      if (!json) std::printf("%s %s\n", c.shape.c_str(), std::string(name_of(t)).c_str());
      Json rows = Json::array();
      int best = -1;
      for (int r = 0; r < static_cast<int>(s.rows.size()); ++r)
        if (s.rows[static_cast<std::size_t>(r)].backend == Backend::cpu && c.allowed(r, ops.views()) &&
            (best < 0 || s.rows[static_cast<std::size_t>(r)].rank > s.rows[static_cast<std::size_t>(best)].rank))
          best = r;
      for (int r = 0; r < static_cast<int>(s.rows.size()); ++r) {
        const auto& row = s.rows[static_cast<std::size_t>(r)];
        const Verdict v = c.allowed(r, ops.views());
        const std::string why = row.backend == Backend::ref ? "the oracle; runs only when named"
                                : !v                        ? v.reason
                                : !serves(row.backend, DeviceKind::cpu)
                                    ? "may run, with --device " + std::string(row.name.substr(0, row.name.find('.')))
                                : r == best ? "taken on the CPU: highest rank that may run"
                                            : "may run, lower rank";
        if (json) rows.push_back({{"variant", row.name}, {"rank", row.rank}, {"taken", r == best}, {"why", why}});
        else std::printf("  %c %-16s %3d  %s\n", r == best ? '*' : ' ', std::string(row.name).c_str(), row.rank, why.c_str());
      }
      if (json) shapes.push_back({{"shape", c.shape}, {"dtype", name_of(t)}, {"variants", rows}});
    }
  }
  if (json) print_json(Json{{"family", family}, {"shapes", shapes}});
  return 0;
}

}  // namespace

void add_kernels(const Verb& app) {
  const Verb verb = app.group("kernels", "the catalog of kernel variants");
  struct Options {
    Common common;
    std::string family, variant;
  };
  const auto base = [](const Verb& s, Options& o, bool required) {
    const Option f = s.option("family", o.family, "kernel family");
    if (required) f.required();
    s.flag("--json", o.common.json, "one JSON document on stdout");
  };
  auto list = std::make_shared<Options>(), check = std::make_shared<Options>(), explain = std::make_shared<Options>();
  const Verb l = verb.verb("list", "every variant with rank, limits and idea");
  base(l, *list, false);
  l.does([=] { return list_verb(list->family, list->common.json); });
  const Verb k = verb.verb("check", "every variant on every case against ref; exit 1 when one fails");
  base(k, *check, false);
  k.option("--variant", check->variant, "only this one");
  k.option("--device", check->common.device, "cpu (the default) or emu: the CUDA rows on the host, under three orders of their threads");
  add_threads(k, check->common.threads, "threads on the CPU (default 2)");
  add_seed(k, check->common.seed, "of the inputs (default 1)");
  k.does([=] { return check_verb(check->family, check->variant, check->common); });
  const Verb e = verb.verb("explain", "which variant is taken for typical shapes, and why not the others");
  base(e, *explain, true);
  e.does([=] { return explain_verb(explain->family, explain->common.json); });
  add_lab(verb);
}

}  // namespace graft::cli
