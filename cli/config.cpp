// graft config ls|show|check: the recipes, a configuration with the origin and meaning of every value, and whether it holds together.
#include <cstdio>

#include "cli/common.h"
#include "engine/train/recipes.h"

namespace graft::cli {
namespace {

Json value_of(const Config& c, const Key& k) {
  switch (k.type) {
    case Type::integer:
    case Type::count: return c.get<std::int64_t>(k.name);
    case Type::real: return c.get<double>(k.name);
    case Type::boolean: return c.get<bool>(k.name);
    case Type::text: return c.get<std::string>(k.name);
    case Type::integers: return c.get<std::vector<std::int64_t>>(k.name);
    case Type::reals: return c.get<std::vector<double>>(k.name);
    case Type::texts: return c.get<std::vector<std::string>>(k.name);
  }
  return {};
}
// The keys that apply, each with its value and where it came from; explained: every key, with its meaning and, in place of the value, why
// it does not apply.
Json as_json(const Config& c, bool explained) {
  Json all = Json::object();
  for (const Key& k : schema()) {
    const std::string unused = c.why_unused(k.name);
    if (!unused.empty() && !explained) continue;
    Json one;
    if (unused.empty()) one = {{"value", value_of(c, k)}, {"origin", c.origin(k.name).where}};
    else one = {{"unused", unused}};
    if (explained) one["meaning"] = k.doc;
    all[std::string(k.name)] = std::move(one);
  }
  return all;
}

}  // namespace

void add_config(const Verb& app) {
  const Verb verb = app.group("config", "recipes and configurations");
  const Verb ls = verb.verb("ls", "list the recipes");
  auto json = std::make_shared<bool>(false);
  ls.flag("--json", *json, "one JSON document on stdout");
  ls.does([=] {
    Json all = Json::array();
    for (const Recipe& r : recipes()) {
      if (*json) all.push_back({{"name", r.name}, {"doc", r.doc}});
      else std::printf("%-12s %s\n", std::string(r.name).c_str(), std::string(r.doc).c_str());
    }
    if (*json) print_json(Json{{"recipes", all}});
    return 0;
  });
  for (const char* name : {"show", "check"}) {
    const bool show = name[0] == 's';
    const Verb sub = verb.verb(
        name, show ? "the resolved configuration; --explain says what every key means" : "exit 0 when the configuration holds together");
    auto c = std::make_shared<Common>();
    auto explain = std::make_shared<bool>(false);
    add_common(sub, *c);
    if (show) sub.flag("--explain", *explain, "every key with its value, origin and meaning");
    sub.does([=] {
      const Config config = make_config(*c, c->words, true);
      if (c->json) print_json(show ? as_json(config, *explain) : Json{{"ok", true}});
      else if (!show) std::printf("ok\n");
      else std::printf("%s", (*explain ? config.explain() : config.text()).c_str());
      return 0;
    });
  }
}

}  // namespace graft::cli
