// graft kernels list|check|explain|bench: the catalog of variants, walked.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "cli/common.h"
#include "kernels/catalog.h"
#include "kernels/core/device.h"
#include "kernels/simd/peak.h"
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
    throw Error(Code::usage, "no kernel family '" + family + "'" + (near.empty() ? "; see graft kernels list" : "; did you mean " + near + "?"));
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
      if (json)
        all.push_back({{"family", f->name()}, {"variant", v.name}, {"rank", v.rank}, {"limits", v.limits}, {"doc", v.doc}});
      else
        std::printf("%-20s %-16s %3d  %s [%s]\n", std::string(f->name()).c_str(), std::string(v.name).c_str(), v.rank, std::string(v.doc).c_str(), std::string(v.limits).c_str());
    }
  if (json) std::printf("%s\n", Json{{"variants", all}}.dump(2).c_str());
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
      else std::printf("%-20s %-16s %5lld cases, %lld refused\n", std::string(s.family->name()).c_str(), name.c_str(), static_cast<long long>(ran), static_cast<long long>(refused));
    }
  }
  if (c.json) std::printf("%s\n", Json{{"rows", rows}, {"failures", failures}}.dump(2).c_str());
  else std::printf("%zu failures\n", failures);
  return failures ? static_cast<int>(Code::no) : 0;
}

// For each benchmark shape of a family: which variant is taken, and why the others are not.
int explain_verb(const std::string& family) {
  for (const Spec& s : all_specs()) {
    if (s.family->name() != family) continue;
    for (const auto& c : s.cases) {
      const DType t = c.dtypes.front();
      Operands ops(c, t, c.layouts.front(), 1);
      if (!c.bench && &c != &s.cases.front()) continue;
      std::printf("%s %s\n", c.shape.c_str(), std::string(name_of(t)).c_str());
      int best = -1;
      for (int r = 0; r < static_cast<int>(s.rows.size()); ++r)
        if (s.rows[static_cast<std::size_t>(r)].backend == Backend::cpu && c.allowed(r, ops.views()) &&
            (best < 0 || s.rows[static_cast<std::size_t>(r)].rank > s.rows[static_cast<std::size_t>(best)].rank))
          best = r;
      for (int r = 0; r < static_cast<int>(s.rows.size()); ++r) {
        const auto& row = s.rows[static_cast<std::size_t>(r)];
        const Verdict v = c.allowed(r, ops.views());
        const std::string why = row.backend == Backend::ref                  ? "the oracle; runs only when named"
                                : !v                                         ? v.reason
                                : !serves(row.backend, DeviceKind::cpu)      ? "may run, with --device " + std::string(row.name.substr(0, row.name.find('.')))
                                : r == best                                  ? "taken on the CPU: highest rank that may run"
                                                                             : "may run, lower rank";
        std::printf("  %c %-16s %3d  %s\n", r == best ? '*' : ' ', std::string(row.name).c_str(), row.rank, why.c_str());
      }
    }
    return 0;
  }
  chosen(family);
  return 0;
}

int bench_verb(const std::string& family, const std::string& variant, const std::string& shape, double seconds, const Common& c) {
  chosen(family);
  known_variant(family, variant);
  Session session(c);
  Queue& q = current_queue();
  const Peak peak = measure_peak(q);
  if (!c.json) std::printf("roofline of this machine, %d threads: %.1f GFLOP/s f32, %.1f GB/s\n", q.threads(), peak.gflops, peak.gbps);
  Json rows = Json::array();
  for (const Spec& s : all_specs()) {
    if (!family.empty() && s.family->name() != family) continue;
    for (const auto& k : s.cases) {
      if (!k.bench || (!shape.empty() && k.shape.find(shape) == std::string::npos)) continue;
      for (const DType t : k.dtypes) {
        Operands ops(k, t, Layout::dense, 1);
        for (int r = 0; r < static_cast<int>(s.rows.size()); ++r) {
          const auto& row = s.rows[static_cast<std::size_t>(r)];
          if (!serves(row.backend, q.device().kind) || (!variant.empty() && row.name != variant) || !k.allowed(r, ops.views())) continue;
          if (variant.empty() && row.name == "naive" && k.only_timed()) continue;  // minutes; name it to see it
          std::vector<double> times;
          const auto begin = std::chrono::steady_clock::now();
          double spent = 0;
          k.run(q, r, ops.views());
          while (times.size() < 5 || (spent < seconds && times.size() < 1000)) {
            const auto a = std::chrono::steady_clock::now();
            k.run(q, r, ops.views());
            const auto b = std::chrono::steady_clock::now();
            times.push_back(std::chrono::duration<double>(b - a).count());
            spent = std::chrono::duration<double>(b - begin).count();
          }
          std::sort(times.begin(), times.end());
          const double median = times[times.size() / 2], spread = (times[times.size() * 3 / 4] - times[times.size() / 4]) / median;
          const double bytes = k.bytes_per_item * static_cast<double>(size_of(t)) + k.other_bytes;
          const double bound = std::max(k.flops / (peak.gflops * 1e9), bytes / (peak.gbps * 1e9));
          if (c.json)
            rows.push_back({{"family", s.family->name()}, {"variant", row.name}, {"shape", k.shape}, {"dtype", name_of(t)}, {"threads", q.threads()}, {"median_s", median},
                            {"spread", spread}, {"gflops", k.flops / median * 1e-9}, {"gbps", bytes / median * 1e-9}, {"of_roofline", bound / median}});
          else
            std::printf("%-18s %-14s %-28s %-5s %10.3f ms +-%4.1f %%  %8.1f GFLOP/s %7.1f GB/s  %5.1f %% of the roofline\n", std::string(s.family->name()).c_str(),
                        std::string(row.name).c_str(), k.shape.c_str(), std::string(name_of(t)).c_str(), median * 1e3, spread * 100, k.flops / median * 1e-9,
                        bytes / median * 1e-9, 100 * bound / median);
          std::fflush(stdout);
        }
      }
    }
  }
  if (c.json) std::printf("%s\n", Json{{"rows", rows}}.dump(2).c_str());
  return 0;
}

}  // namespace

void add_kernels(CLI::App& app, Action& run) {
  auto* verb = app.add_subcommand("kernels", "the catalog of kernel variants");
  verb->require_subcommand(1);
  const auto sub = [&](const char* name, const char* text) { return verb->add_subcommand(name, text); };
  struct Options {
    Common common;
    std::string family, variant, shape;
    double seconds = 0.3;
  };
  const auto base = [](CLI::App* s, Options& o, bool required) {
    auto* f = s->add_option("family", o.family, "kernel family");
    if (required) f->required();
    s->add_flag("--json", o.common.json, "one JSON document on stdout");
  };
  auto list = std::make_shared<Options>(), check = std::make_shared<Options>(), explain = std::make_shared<Options>(), bench = std::make_shared<Options>();
  auto* l = sub("list", "every variant with rank, limits and idea");
  base(l, *list, false);
  l->callback([=, &run] { run = [=] { return list_verb(list->family, list->common.json); }; });
  auto* k = sub("check", "every variant on every case against ref; exit 1 when one fails");
  base(k, *check, false);
  k->add_option("--variant", check->variant, "only this one");
  k->add_option("--device", check->common.device, "cpu (the default) or emu: the CUDA rows on the host, under three orders of their threads");
  k->add_option("--threads", check->common.threads);
  k->add_option("--seed", check->common.seed);
  k->callback([=, &run] { run = [=] { return check_verb(check->family, check->variant, check->common); }; });
  auto* e = sub("explain", "which variant is taken for typical shapes, and why not the others");
  base(e, *explain, true);
  e->callback([=, &run] { run = [=] { return explain_verb(explain->family); }; });
  auto* b = sub("bench", "times of the variants on the benchmark shapes");
  base(b, *bench, false);
  b->add_option("--variant", bench->variant, "only this one");
  b->add_option("--shape", bench->shape, "only shapes with this text");
  b->add_option("--seconds", bench->seconds, "time per row")->check(CLI::Range(0.0, 3600.0));
  b->add_option("--threads", bench->common.threads);
  b->callback([=, &run] { run = [=] { return bench_verb(bench->family, bench->variant, bench->shape, bench->seconds, bench->common); }; });
}

}  // namespace graft::cli
