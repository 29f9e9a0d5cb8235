// graft gradcheck MODEL: the model's gradient in f64 against central differences, along random directions of every parameter.
#include "engine/autograd/gradcheck.h"

#include <algorithm>
#include <cstdio>

#include "cli/common.h"
#include "engine/ops/ops.h"
#include "engine/train/recipes.h"

namespace graft::cli {
namespace {

bool is_model(const std::string& name) {
  for (const Key& k : schema())
    if (k.name == "model.name") return std::find(k.allowed.begin(), k.allowed.end(), name) != k.allowed.end();
  return false;
}

int gradcheck_verb(const Common& c) {
  std::vector<std::string> words = c.words;
  if (words.empty()) throw Error(Code::usage, "gradcheck: name a model or a recipe, such as mnist-cnn");
  // The name of a model that no recipe has: the recipe's other values are of no use here.
  const auto is_recipe = [&](const Recipe& r) { return r.name == words[0]; };
  if (std::none_of(recipes().begin(), recipes().end(), is_recipe) && is_model(words[0])) {
    words.insert(words.begin(), "digits-cnn");
    words[1] = "model.name=" + words[1];
  }
  Session session(c);
  Config config = make_config(c, words, true);
  const auto seed = static_cast<std::uint64_t>(config.get<std::int64_t>("train.seed"));
  // There are no data here: where a recipe leaves the classes to them there are ten, and pictures are as small as the model allows.
  if (config.get<std::int64_t>("model.classes") == 0) config.set("model.classes=10", {Layer::recipe, 1, "no data"});
  const std::int64_t classes = config.get<std::int64_t>("model.classes");
  const Shape input = config.get<std::string>("model.name").starts_with("mnist-") ? Shape{1, 28, 28} : Shape{3, 8, 8};
  Params params = Params::init(seed, DType::f64);
  const Model model = make_model(config, params, input);
  RandomState r{seed, 11, 0};
  const Tensor x = rand_normal({2, input[0], input[1], input[2]}, 0, 1, r, DType::f64), target = rand_int({2}, 0, classes, r);
  refuse_unused(config, "gradcheck");
  Json rows = Json::array();
  bool ok = true;
  for (const Parameter& p : params.all()) {
    if (!p.trainable) continue;
    // one parameter at a time; the loss is a cross-entropy, dropout draws the same mask every time
    const GradCheckResult g = check_gradients(
        [&](const Tensors&) {
          Run run{true, {seed, 12, 0}};
          return cross_entropy(model.module->forward(x, run), target);
        },
        {p.tensor}, {.seed = seed, .jacobian_limit = 0, .directions = 3, .step = 1e-6});
    ok &= g.ok;
    if (c.json) rows.push_back({{"parameter", p.name}, {"ok", g.ok}, {"worst", g.worst}});
    else
      std::printf("%-4s %-16s %-16s worst error %.3g of its tolerance%s%s\n", g.ok ? "ok" : "NO", p.name.c_str(), p.tensor.str().c_str(),
                  g.worst, g.ok ? "" : "  ", g.message.c_str());
  }
  if (c.json) print_json(Json{{"ok", ok}, {"parameters", rows}});
  return ok ? 0 : static_cast<int>(Code::no);
}

}  // namespace

void add_gradcheck(const Verb& app) {
  const Verb sub = app.verb("gradcheck", "a model's gradients in f64 against differences; exit 1 when they differ");
  auto c = std::make_shared<Common>();
  add_common(sub, *c);
  sub.does([=] { return gradcheck_verb(*c); });
}

}  // namespace graft::cli
