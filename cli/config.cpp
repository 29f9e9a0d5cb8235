// graft config ls|show|check: the recipes, a configuration with the origin and meaning of every value, and whether it holds together.
#include <cstdio>

#include "cli/common.h"
#include "engine/train/recipes.h"

namespace graft::cli {

void add_config(CLI::App& app, Action& run) {
  auto* verb = app.add_subcommand("config", "recipes and configurations");
  verb->require_subcommand(1);
  auto* ls = verb->add_subcommand("ls", "list the recipes");
  auto json = std::make_shared<bool>(false);
  ls->add_flag("--json", *json, "one JSON document on stdout");
  ls->callback([=, &run] {
    run = [=] {
      Json all = Json::array();
      for (const Recipe& r : recipes()) {
        if (*json) all.push_back({{"name", r.name}, {"doc", r.doc}});
        else std::printf("%-12s %s\n", std::string(r.name).c_str(), std::string(r.doc).c_str());
      }
      if (*json) std::printf("%s\n", Json{{"recipes", all}}.dump(2).c_str());
      return 0;
    };
  });
  for (const char* name : {"show", "check"}) {
    const bool show = name[0] == 's';
    auto* sub = verb->add_subcommand(
        name, show ? "the resolved configuration; --explain says what every key means" : "exit 0 when the configuration holds together");
    auto c = std::make_shared<Common>();
    auto explain = std::make_shared<bool>(false);
    add_common(*sub, *c);
    if (show) sub->add_flag("--explain", *explain, "every key with its value, origin and meaning");
    sub->callback([=, &run] {
      run = [=] {
        const Config config = make_config(*c, c->words, true);
        if (!show) std::printf("ok\n");
        else std::printf("%s", (*explain ? config.explain() : config.text()).c_str());
        return 0;
      };
    });
  }
}

}  // namespace graft::cli
