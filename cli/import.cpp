// graft import MODEL.onnx --check DIR: does graft compute what the folder's outputs say? graft import FILE: what becomes of each tensor of
// a foreign checkpoint in a graft model, and, with --out, that model as a checkpoint of graft's, from which eval, finetune and export go
// on.
#include "weights/import.h"

#include <cstdio>
#include <filesystem>

#include "cli/common.h"
#include "engine/autograd/tape.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "weights/companions.h"
#include "weights/hash.h"
#include "weights/onnx/check.h"
#include "weights/onnx/module.h"
#include "weights/packings.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

struct ImportOptions {
  Common common;
  std::string map, adapter, check;
};

// 0 equal, 1 different, 3 not supported.
int check_graph(const ImportOptions& o) {
  if (o.common.words.size() != 1) throw Error(Code::usage, "import --check: name one ONNX model and the folder of its inputs and outputs");
  const Session session(o.common);
  const std::string& path = o.common.words[0];
  const OnnxCheck c = onnx_check(path, o.check);
  using V = OnnxCheck::Verdict;
  const char* verdict = c.verdict == V::equal ? "equal" : c.verdict == V::different ? "different" : "not supported";
  if (o.common.json) {
    Json j{{"model", path}, {"folder", o.check}, {"verdict", verdict}, {"outputs", c.outputs}, {"max_difference", c.max_difference}};
    if (!c.reason.empty()) j["reason"] = c.reason;
    std::puts(json_text(j, -1).c_str());
  } else if (c.verdict == V::unsupported) {
    std::fprintf(stderr, "graft: not supported: %s\n", c.reason.c_str());
  } else {
    std::printf("%s: %d output%s, max |difference| %.3g%s%s\n", verdict, c.outputs, c.outputs == 1 ? "" : "s", c.max_difference,
                c.reason.empty() ? "" : "; ", c.reason.c_str());
  }
  return c.verdict == V::equal ? 0 : c.verdict == V::different ? 1 : 3;
}

int import_verb(const ImportOptions& o) {
  if (!o.check.empty()) return check_graph(o);
  UseQueue host(host_queue());
  std::vector<std::string> words = o.common.words;
  if (words.empty() || words[0].find('=') != std::string::npos)
    throw Error(Code::usage, "import: name a checkpoint; `graft inspect` tells what it holds");
  const std::string path = words[0];
  words.erase(words.begin());
  refuse_packed(*open_source(path));  // before anything else is asked of it
  const bool recipe = !words.empty() && words[0].find('=') == std::string::npos;
  Config config = recipe ? make_config(o.common, words, true) : without_origin(config_of_checkpoint(path));
  if (!recipe) {
    for (const auto& f : o.common.files) config.merge_file(f);
    for (const auto& w : words) config.set(w);
  }
  if (!o.map.empty()) config.set("init.map=" + o.map, Origin::flag("--map"));
  if (!o.adapter.empty()) config.set("init.adapter=" + o.adapter, Origin::flag("--adapter"));
  config.set("init.from=" + path, Origin::flag("the checkpoint"));
  config.set("init.head=keep", Origin::flag("the checkpoint"));
  if (config.get<std::int64_t>("model.classes") == 0 && config.get<std::string>("model.name") == "onnx")
    if (const std::int64_t n = onnx_classes(*read_onnx(config.get<std::string>("model.graph"))); n > 0)
      config.set("model.classes=" + std::to_string(n), {Layer::recipe, 0, path});
  if (config.get<std::int64_t>("model.classes") == 0) {
    // Named by a recipe that leaves it to the data: the head of the checkpoint says.
    const auto source = open_source(path);
    const auto known = recognise(*source, bare_names(*source));
    const auto it = known ? known->facts.find("classes") : std::map<std::string, std::int64_t>::const_iterator{};
    if (!known || it == known->facts.end())
      throw Error(Code::usage, path + ": nobody says how many classes the last layer has; set model.classes=N");
    config.set("model.classes=" + std::to_string(it->second), {Layer::recipe, 0, path});
  }
  const Built built = build_model(config, input_of_checkpoint(path, config), classes_of_checkpoint(path));
  for (const auto& w : built.warnings) std::fprintf(stderr, "graft: warning: %s\n", w.c_str());
  const std::string hash = weights_hash(named_tensors(built.params));
  if (!o.common.dry_run && o.common.out.empty())
    throw Error(Code::usage, "import: name a folder to write with --out, or look with --dry-run");
  if (!o.common.dry_run) {
    std::error_code ec;
    if (fs::exists(fs::path(o.common.out) / "model.safetensors", ec))
      throw Error(Code::usage, o.common.out + ": holds a model already; name another folder");
    save_checkpoint(o.common.out, built, without_origin(config), 0);
    carry_companions(*open_source(path), o.common.out, built.class_names);
  }
  if (o.common.json) {
    Json table = Json::array();
    for (const auto& [tensor, how] : built.account) table.push_back({{"tensor", tensor}, {"how", how}});
    print_json(Json{{"verb", "import"},
                    {"from", path},
                    {"format", built.origin.format},
                    {"map", built.origin.map},
                    {"stripped", built.origin.stripped},
                    {"model", config.get<std::string>("model.name")},
                    {"tensors", table},
                    {"weights_hash", hash},
                    {"out", o.common.dry_run ? "" : o.common.out}});
    return 0;
  }
  std::printf("%s: %s%s%s%s%s\n", path.c_str(), built.origin.format.c_str(), built.origin.map.empty() ? "" : ", map ",
              built.origin.map.c_str(), built.origin.stripped.empty() ? "" : ", names wrapped in ", built.origin.stripped.c_str());
  for (const auto& [tensor, how] : built.account) std::printf("  %-40s %s\n", one_line(tensor).c_str(), one_line(how).c_str());
  std::printf("%s: every tensor is accounted for; weights %s\n", config.get<std::string>("model.name").c_str(), hash.c_str());
  if (!o.common.dry_run)
    std::printf("%s: graft eval %s, graft finetune RECIPE --from %s\n", o.common.out.c_str(), o.common.out.c_str(), o.common.out.c_str());
  return 0;
}

}  // namespace

void add_import(const Verb& app) {
  const Verb sub = app.verb("import", "a foreign checkpoint as a graft model; every tensor is accounted for");
  auto o = std::make_shared<ImportOptions>();
  add_common(sub, o->common);
  sub.option("--map", o->map, "file of rules for names and layouts (init.map)");
  sub.option("--adapter", o->adapter, "folder of a PEFT adapter that is added to the weights (init.adapter)");
  sub.option("--check", o->check,
             "run an ONNX graph on this folder's input_N.pb and compare with its output_N.pb (exit 0 equal, 1 different, 3 not supported)");
  sub.flag("--dry-run", o->common.dry_run, "only tell what would become of each tensor");
  sub.does([=] { return import_verb(*o); });
}

}  // namespace graft::cli
