// graft import: `--check DIR` runs an ONNX graph on the inputs of a folder and compares its outputs with those there.
#include <cstdio>

#include "cli/common.h"
#include "weights/onnx/check.h"

namespace graft::cli {
namespace {

struct ImportOptions {
  Common common;
  std::string path, check;
};

// 0 equal, 1 different, 3 not supported.
int check_graph(const ImportOptions& o) {
  const OnnxCheck c = onnx_check(o.path, o.check);
  using V = OnnxCheck::Verdict;
  const char* verdict = c.verdict == V::equal ? "equal" : c.verdict == V::different ? "different" : "not supported";
  if (o.common.json) {
    Json j{{"model", o.path}, {"folder", o.check}, {"verdict", verdict}, {"outputs", c.outputs}, {"max_difference", c.max_difference}};
    if (!c.reason.empty()) j["reason"] = c.reason;
    std::puts(j.dump().c_str());
  } else if (c.verdict == V::unsupported) {
    std::fprintf(stderr, "graft: not supported: %s\n", c.reason.c_str());
  } else {
    std::printf("%s: %d output%s, max |difference| %.3g%s%s\n", verdict, c.outputs, c.outputs == 1 ? "" : "s", c.max_difference, c.reason.empty() ? "" : "; ", c.reason.c_str());
  }
  return c.verdict == V::equal ? 0 : c.verdict == V::different ? 1 : 3;
}

}  // namespace

void add_import(CLI::App& app, Action& run) {
  auto o = std::make_shared<ImportOptions>();
  CLI::App* verb = app.add_subcommand("import", "Take a model that was made elsewhere");
  add_execution(*verb, o->common);
  verb->add_option("model", o->path, "An ONNX model")->required();
  verb->add_option("--check", o->check, "Run the graph on this folder's input_N.pb and compare with its output_N.pb (exit 0 equal, 1 different, 3 not supported)")->required();
  verb->callback([o, &run] {
    run = [o] {
      const Session session(o->common);
      return check_graph(*o);
    };
  });
}

}  // namespace graft::cli
