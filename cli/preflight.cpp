#include "cli/preflight.h"

#include <cstdio>

namespace graft::cli {

Json preflight_json(const Preflight& p) {
  Json findings = Json::array();
  for (const Finding& f : p.findings) findings.push_back({{"level", name_of(f.level)}, {"check", f.check}, {"text", f.text}});
  return {{"preflight", name_of(p.worst())}, {"seconds", p.seconds}, {"findings", findings}};
}

int run_preflight(const Common& c, const Config& config, const Data& data, const Built& built) {
  const Preflight p = preflight(make_rig(*built.model.module, built.params, config, data.train, data.validation));
  if (c.json) {
    print_json(preflight_json(p));
  } else {
    for (const Finding& f : p.findings) std::printf("%-4s  %-12s  %s\n", name_of(f.level), f.check.c_str(), f.text.c_str());
    std::printf("preflight: %s, in %.1f s\n", name_of(p.worst()), p.seconds);
  }
  return p.worst() == Level::fail ? 1 : 0;
}

Json preflight_before(const Common& c, const Config& config, const Data& data, const Built& built) {
  if (!config.get<bool>("train.preflight")) return {};
  const Rig rig = make_rig(*built.model.module, built.params, config, data.train, data.validation);
  if (rig.steps <= kPreflightFrom) return {};
  const Preflight p = preflight(rig, {.full = false});
  for (const Finding& f : p.findings) {
    if (f.level != Level::ok) std::fprintf(stderr, "graft: preflight: %s: %s: %s\n", name_of(f.level), f.check.c_str(), f.text.c_str());
    else if (!c.quiet && f.check == "time") std::fprintf(stderr, "%s\n", f.text.c_str());
  }
  return preflight_json(p);
}

}  // namespace graft::cli
