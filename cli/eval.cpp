// graft eval CHECKPOINT [key=value]: accuracy on the test set. graft predict CHECKPOINT --index I: what the model says of test images.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/common.h"
#include "engine/autograd/tape.h"
#include "engine/base/text.h"
#include "engine/ops/ops.h"
#include "engine/train/input.h"
#include "engine/train/trainer.h"
#include "weights/hash.h"

namespace graft::cli {
namespace {

struct Loaded {
  Config config;
  Data data;
  Built built;
};
// words: CHECKPOINT or RECIPE --from CHECKPOINT, then key=value. The checkpoint's own configuration is the base where it carries one.
// What is set in the call is of use to `verb`, or an error.
Loaded load(const Common& c, const std::string& from, const char* verb) {
  std::vector<std::string> words = c.words;
  Config config;
  std::string path = from;
  if (path.empty()) {
    if (words.empty() || words[0].find('=') != std::string::npos)
      throw Error(Code::usage, "name a checkpoint: a .safetensors file or a folder such as runs/mnist-cnn-1/checkpoints/best");
    path = words[0];
    words.erase(words.begin());
    config = config_of_checkpoint(path);
    for (const auto& f : c.files) config.merge_file(f);
    for (const auto& w : words) config.set(w);
    config.check();
    config = without_origin(std::move(config));
  } else {
    config = make_config(c, words, true);
  }
  config.set("init.from=" + path, Origin::flag("--from"));
  config.set("init.head=keep", Origin::flag("--from"));
  config.set("peft.method=none", Origin::flag("--from"));  // checkpoints hold the sum of weights and adapters
  Data data = load_data(config, {false, true, classes_of_checkpoint(path)});
  if (config.get<std::vector<double>>("data.normalize").empty())
    throw Error(Code::usage, path + ": does not say how its images were normalised; set data.normalize=[mean,deviation]");
  config = settled(std::move(config), data.test);
  Built built = build_model(config, data.test);
  judging_options(config), image_dtype(config), loader_workers(config, data.test);  // read by those who judge
  refuse_unused(config, verb);
  return {std::move(config), std::move(data), std::move(built)};
}

int eval_verb(const Common& c, const std::string& from) {
  Session session(c);
  const Loaded l = load(c, from, "eval");
  const Loader loader(l.data.test, judging_options(l.config));
  const Evaluation e = evaluate(*l.built.model.module, loader, image_dtype(l.config), loader_workers(l.config, l.data.test));
  want_finite(e);
  const std::int64_t classes = l.data.test.classes;
  std::vector<std::int64_t> right(static_cast<std::size_t>(classes)), count(right);
  for (std::int64_t i = 0; i < e.images; ++i) {
    const auto label = static_cast<std::size_t>(l.data.test.labels.data<std::int64_t>()[i]);
    ++count[label];
    right[label] += e.predictions[static_cast<std::size_t>(i)] == static_cast<std::int64_t>(label);
  }
  const std::string hash = weights_hash(named_tensors(l.built.params));
  if (c.json) {
    Json by = Json::object();
    for (std::size_t k = 0; k < count.size(); ++k)
      if (count[k]) by[l.data.test.class_names[k]] = static_cast<double>(right[k]) / static_cast<double>(count[k]);
    print_json(Json{{"verb", "eval"},
                    {"test", {{"accuracy", e.accuracy}, {"loss", e.loss}}},
                    {"test.accuracy", e.accuracy},
                    {"test.loss", e.loss},
                    {"images", e.images},
                    {"by_class", by},
                    {"weights_hash", hash},
                    {"peak_rss_bytes", peak_rss_bytes()}});
    return 0;
  }
  std::printf("test accuracy %.4f, loss %.4f on %lld images\n", e.accuracy, e.loss, static_cast<long long>(e.images));
  for (std::size_t k = 0; k < count.size(); ++k)
    if (count[k])
      std::printf("  %-4s %.4f of %lld\n", l.data.test.class_names[k].c_str(),
                  static_cast<double>(right[k]) / static_cast<double>(count[k]), static_cast<long long>(count[k]));
  return 0;
}

int predict_verb(const Common& c, const std::string& from, const std::vector<std::int64_t>& wanted) {
  Session session(c);
  const Loaded l = load(c, from, "predict");
  std::vector<std::int64_t> indices = wanted;
  if (indices.empty())
    for (std::int64_t i = 0; i < std::min<std::int64_t>(10, l.data.test.size()); ++i) indices.push_back(i);
  const Dataset chosen = subset(l.data.test, indices);
  LoaderOptions all_at_once = judging_options(l.config);
  all_at_once.batch = static_cast<std::int64_t>(indices.size());
  const Loader loader(chosen, all_at_once);
  NoGrad off;
  Run run;
  const Batch b = loader.get(0, 0).to(current_queue().device());
  const Tensor p = softmax(cast(l.built.model.module->forward(cast(b.images, image_dtype(l.config)), run), DType::f32));
  Json all = Json::array();
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const auto values = select(p, 0, static_cast<std::int64_t>(i)).values();
    if (!std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }))
      throw Error(Code::diverged,
                  one_line(chosen.where(static_cast<std::int64_t>(i))) +
                      ": the model's outputs for it are not finite; its weights, or the numbers on the way, are out of range");
    const auto best = static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
    const auto name = [&](std::size_t k) { return k < chosen.class_names.size() ? chosen.class_names[k] : std::to_string(k); };
    const auto label = static_cast<std::size_t>(chosen.labels.data<std::int64_t>()[i]);
    if (c.json) all.push_back({{"index", indices[i]}, {"class", name(best)}, {"probability", values[best]}, {"label", name(label)}});
    else
      std::printf("image %lld: %s (%.4f)%s\n", static_cast<long long>(indices[i]), name(best).c_str(), values[best],
                  best == label ? "" : (", labelled " + name(label)).c_str());
  }
  if (c.json) print_json(Json{{"verb", "predict"}, {"predictions", all}});
  return 0;
}

}  // namespace

void add_eval(const Verb& app) {
  {
    const Verb sub = app.verb("eval", "accuracy of a checkpoint on the test set");
    auto c = std::make_shared<Common>();
    auto from = std::make_shared<std::string>();
    add_common(sub, *c);
    sub.option("--from", *from, "checkpoint, when the first word is a recipe");
    sub.does([=] { return eval_verb(*c, *from); });
  }
  const Verb sub = app.verb("predict", "what a checkpoint says of test images");
  auto c = std::make_shared<Common>();
  auto from = std::make_shared<std::string>();
  auto index = std::make_shared<std::vector<std::int64_t>>();
  add_common(sub, *c);
  sub.option("--from", *from, "checkpoint, when the first word is a recipe");
  sub.option("--index", *index, "test image, from 0 (may come several times; default: the first ten)").repeated();
  sub.does([=] { return predict_verb(*c, *from, *index); });
}

}  // namespace graft::cli
