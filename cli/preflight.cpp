#include "cli/preflight.h"

#include <algorithm>
#include <cstdio>

#include "cli/console.h"

namespace graft::cli {
namespace {
std::string said(std::FILE* out, Level level, std::size_t width = 0) {
  std::string word = name_of(level);
  word.resize(std::max(width, word.size()), ' ');
  return painted(out, level == Level::ok ? Ink::good : level == Level::warn ? Ink::doubtful : Ink::bad, word);
}
}  // namespace

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
    for (const Finding& f : p.findings) std::printf("%s  %-12s  %s\n", said(stdout, f.level, 4).c_str(), f.check.c_str(), f.text.c_str());
    std::printf("preflight: %s, in %.1f s\n", said(stdout, p.worst()).c_str(), p.seconds);
  }
  return p.worst() == Level::fail ? 1 : 0;
}

Json preflight_before(const Common& c, const Config& config, const Data& data, const Built& built) {
  if (!config.get<bool>("train.preflight")) return {};
  const Rig rig = make_rig(*built.model.module, built.params, config, data.train, data.validation);
  if (rig.steps <= kPreflightFrom) return {};
  const Preflight p = preflight(rig, {.full = false});
  for (const Finding& f : p.findings) {
    if (f.level != Level::ok)
      std::fprintf(stderr, "graft: preflight: %s: %s: %s\n", said(stderr, f.level).c_str(), f.check.c_str(), f.text.c_str());
    else if (!c.quiet && f.check == "time") std::fprintf(stderr, "%s\n", f.text.c_str());
  }
  return preflight_json(p);
}

}  // namespace graft::cli
