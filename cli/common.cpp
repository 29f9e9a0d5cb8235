#include "cli/common.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <thread>

#include "engine/autograd/tape.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/train/input.h"
#include "engine/train/transfer.h"
#include "kernels/catalog.h"
#include "kernels/core/device.h"
#include "weights/formats/safetensors.h"
#include "weights/import.h"
#include "weights/onnx/module.h"
#include "weights/packings.h"

namespace graft::cli {
namespace fs = std::filesystem;

namespace {
// Says what is wrong with a whole number from lo to hi.
std::string not_a_number_in(const std::string& text, std::int64_t lo, std::int64_t hi) {
  std::int64_t v = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (problem == std::errc{} && end == text.data() + text.size() && v >= lo && v <= hi) return {};
  return text + " is no whole number from " + std::to_string(lo) + " to " + std::to_string(hi);
}
constexpr int kMostThreads = 4096;
}  // namespace
void add_threads(const Verb& app, int& threads, const std::string& text) {
  app.option("--threads", threads, text).check([](const std::string& s) { return not_a_number_in(s, 1, kMostThreads); });
}
void add_seed(const Verb& app, std::optional<std::int64_t>& seed, const std::string& text) {
  app.option("--seed", seed, text).check([](const std::string& s) {
    return not_a_number_in(s, 0, std::numeric_limits<std::int64_t>::max());
  });
}

void add_execution(const Verb& app, Common& c) {
  app.option("--device", c.device, "cpu, emu (the CUDA kernels on the host), cuda, cuda:N or auto");
  add_threads(app, c.threads, "threads on the CPU (default: one per core); results do not depend on it");
  app.option("--memory", c.memory, "most bytes for tensors, such as 6GiB");
  app.option("--kernel", c.kernel, "FAMILY=VARIANT[,...]: force kernels").not_empty();
  app.flag("--json", c.json, "one JSON document on stdout");
  app.flag("-q,--quiet", c.quiet, "no progress");
}
void add_common(const Verb& app, Common& c) {
  app.option("--config", c.files, "TOML file over the recipe (may come several times)").repeated().not_empty();
  app.option("-o,--out", c.out, "run folder (default runs/NAME-k)").not_empty();
  add_seed(app, c.seed, "train.seed");
  add_execution(app, c);
  app.option("words", c.words, "recipe or FILE.toml, then key=value");
}

void add_dry_run(const Verb& app, Common& c) {
  app.flag("--dry-run", c.dry_run, "check what the run needs and tell what it would do; nothing is trained or written");
}
int tell_plan(const Common& c, const char* verb, Json plan, const std::string& text) {
  if (c.json) {
    Json j{{"verb", verb}, {"dry_run", true}};
    j.update(plan);
    print_json(j);
  } else {
    std::printf("%s: %s; nothing was done (--dry-run)\n", verb, one_line(text).c_str());
  }
  return 0;
}

struct Session::Impl {
  Queue queue;
  std::optional<UseQueue> use;
  std::optional<ForceVariants> force;
  Impl(int threads, Device device) : queue(threads, device) { use.emplace(queue); }
};
Session::Session(const Common& c) {
  const Device device = parse_device(c.device);
  // Said before the work and not after it: the folder's name is part of what is written down there.
  if (one_line(c.out) != c.out) throw Error(Code::usage, "--out " + one_line(c.out) + ": is no UTF-8 text of one line; name it otherwise");
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (!c.kernel.empty()) check_variant_names(c.kernel);
  impl_ = std::make_unique<Impl>(c.threads > 0 ? c.threads : cores, device);
  if (!c.kernel.empty()) impl_->force.emplace(c.kernel);
  if (!c.memory.empty()) Allocator::of(device).set_limit(parse_bytes(c.memory, "--memory"));
}
Session::~Session() = default;

Config make_config(const Common& c, std::vector<std::string> words, bool recipe_wanted, const std::string& from) {
  Config config;
  std::size_t i = 0;
  if (!words.empty() && words[0].find('=') == std::string::npos) {
    if (words[0].size() > 5 && words[0].substr(words[0].size() - 5) == ".toml") config.merge_file(words[0]);
    else config = Config::recipe(words[0]);
    i = 1;
  } else if (recipe_wanted && c.files.empty()) {
    throw Error(Code::usage, "name a recipe or a FILE.toml first; `graft config ls` lists the recipes");
  }
  for (const auto& f : c.files) config.merge_file(f);
  for (; i < words.size(); ++i) config.set(words[i]);
  if (c.seed) config.set("train.seed=" + std::to_string(*c.seed), Origin::flag("--seed"));
  if (!from.empty()) config.set("init.from=" + from, Origin::flag("--from"));
  if (const auto steps = config.get<std::int64_t>("train.steps");
      steps > 0 && config.get<std::int64_t>("schedule.warmup") >= steps && config.origin("schedule.warmup").layer <= Layer::recipe)
    config.set("schedule.warmup=" + std::to_string(steps / 10), {Layer::recipe, 1, "recipe, shortened with train.steps"});
  config.check();
  return config;
}

void refuse_unused(const Config& c, const std::string& verb) {
  const std::vector<std::string> unread = c.unread();
  for (const Key& k : schema()) {
    const Origin& o = c.origin(k.name);
    if (o.layer != Layer::command_line) continue;
    const bool of_training = k.name.starts_with("optim.") || k.name.starts_with("schedule.") || k.name.starts_with("augment.");
    if (of_training || std::find(unread.begin(), unread.end(), k.name) != unread.end())
      throw Error(Code::usage, o.where + ": " + one_line(std::string(k.name) + " = " + c.value_text(k.name)) + " is not used: graft " +
                                   verb + " has no use for it; remove it");
  }
}

namespace {
// The graph of an ONNX file. It is a model as any other, but rooms that build models by name know nothing of files.
Model graph_model(const Config& c, const Params& params) {
  const auto file = c.get<std::string>("model.graph");
  if (file.empty()) throw Error(Code::usage, "model.name=onnx: name the file of the graph: model.graph=FILE.onnx");
  return {std::make_shared<OnnxModule>(read_onnx(file), params), {}};
}
}  // namespace

Built build_model(const Config& c, const Dataset& data, const std::vector<std::pair<std::string, Tensor>>& over) {
  const auto outputs = c.get<std::int64_t>("model.classes");
  if (data.classes > outputs)
    throw Error(Code::usage, "the data have " + std::to_string(data.classes) + " classes but model.classes is " + std::to_string(outputs));
  return build_model(c, Loader(data, judging_options(c)).image_shape(), data.class_names, over);
}
Built build_model(const Config& c, const Shape& input, const std::vector<std::string>& class_names,
                  const std::vector<std::pair<std::string, Tensor>>& over) {
  const auto seed = static_cast<std::uint64_t>(c.get<std::int64_t>("train.seed"));
  const DType dtype = c.get<std::string>("train.dtype") == "bf16" ? DType::bf16 : DType::f32;
  const auto from = c.get<std::string>("init.from");
  Built b{Params::init(seed, dtype), {}, {}, class_names, input};
  std::optional<Import> import;
  if (!from.empty()) {
    const auto head = c.get<std::string>("init.head");
    // A last layer that names other classes is of no use here, though it may be as large.
    const std::vector<std::string> before = classes_of_checkpoint(from);
    const bool others = !before.empty() && before != class_names;
    import.emplace(from,
                   head == "keep"            ? HeadPolicy::keep
                   : head == "new" || others ? HeadPolicy::fresh
                                             : HeadPolicy::automatic,
                   head_of(c), c.get<std::string>("init.map"), c.get<std::string>("init.adapter"));
    b.params = Params::from(
        [lookup = import->lookup(), &over](const std::string& name) {
          const Tensor imported = lookup(name);  // asked in any case: it is accounted for
          const auto it = std::find_if(over.begin(), over.end(), [&](const auto& t) { return t.first == name; });
          return it == over.end() ? imported : it->second;
        },
        seed, dtype);
  }
  b.params.set_rules(layer_rules(c, head_of(c)));
  b.model = c.get<std::string>("model.name") == "onnx" ? graph_model(c, b.params) : make_model(c, b.params, input);
  if (import) {
    for (const auto& l : import->account(b.params.sources())) b.account.emplace_back(l.name, l.how);
    b.warnings = import->source().warnings;
    b.warnings.insert(b.warnings.end(), import->warnings().begin(), import->warnings().end());
    b.origin = {import->source().path, import->source().format, import->map_name(), import->mapping().stripped()};
  }
  plan_transfer(c, b.params).open(0);
  return b;
}

std::vector<std::pair<std::string, Tensor>> named_tensors(const Params& p) {
  NoGrad off;
  std::vector<std::pair<std::string, Tensor>> all;
  for (const Parameter& x : p.all()) {
    if (p.is_adapter(x.name)) continue;
    const auto& adapted = p.adapted();
    const auto it = std::find_if(adapted.begin(), adapted.end(), [&](const Params::Adapted& a) { return a.weight == x.name; });
    all.emplace_back(x.name, (it == adapted.end() ? x.tensor : it->adapter.on(x.tensor)).detach().to({}));
  }
  return all;
}

std::map<std::string, std::string> checkpoint_metadata(const Built& built, const Config& config, std::int64_t step) {
  return {{"format", "pt"},
          {"graft.config", config.text()},
          {"graft.step", std::to_string(step)},
          {"graft.input", json_text(std::vector<std::int64_t>(built.input.begin(), built.input.end()), -1)},
          {"graft.classes", json_ascii(built.class_names, -1)}};
}
void save_checkpoint(const std::string& folder, const Built& built, const Config& config, std::int64_t step) {
  fs::create_directories(folder);
  write_safetensors(fs::path(folder) / "model.safetensors", named_tensors(built.params), checkpoint_metadata(built, config, step));
}

namespace {
// A run's folder is near enough to a checkpoint to be named for one.
std::unique_ptr<Source> source_of(const std::string& path) {
  std::error_code ec;
  if (const fs::path best = fs::path(path) / "checkpoints/best"; fs::is_directory(best, ec))
    throw Error(Code::input, path + ": is the folder of a run and no checkpoint; name one of its checkpoints: " + best.string());
  return open_source(path);
}
}  // namespace
std::vector<std::string> classes_of_checkpoint(const std::string& path) {
  const auto source = source_of(path);
  auto it = source->metadata.find("graft.classes");
  if (it == source->metadata.end() && (it = source->beside.find("labels")) == source->beside.end()) return {};
  const Json j = read_json_in_order(it->second);
  std::vector<std::string> names;
  if (j.is_array())
    for (const Json& n : j) names.push_back(n.is_string() ? n.get<std::string>() : std::string());
  return names;
}
Config without_origin(Config config) {
  for (const char* s : {"init.map=", "init.adapter=", "init.optimizer=false"}) config.set(s, Origin::flag("the checkpoint"));
  return config;
}
Shape input_of_checkpoint(const std::string& path, const Config& config) {
  const auto source = source_of(path);
  if (const auto it = source->metadata.find("graft.input"); it != source->metadata.end()) {
    const Json j = read_json_in_order(it->second);
    if (j.is_array() && j.size() == 3 && std::all_of(j.begin(), j.end(), [](const Json& x) {
          return x.is_number_unsigned() && x.get<std::uint64_t>() > 0 && x.get<std::uint64_t>() < (1u << 20);
        }))
      return {j[0].get<std::int64_t>(), j[1].get<std::int64_t>(), j[2].get<std::int64_t>()};
  }
  if (config.get<std::string>("model.name") == "onnx") return onnx_image(*read_onnx(config.get<std::string>("model.graph")));
  return usual_input(config);
}
Config config_of_checkpoint(const std::string& path) {
  const auto source = source_of(path);
  Config c;
  if (const auto it = source->metadata.find("graft.config"); it != source->metadata.end()) {
    c.merge_text(it->second, source->path);
    return c;
  }
  if (source->format == "ONNX") {
    const Origin origin{Layer::recipe, 0, source->path};
    c.set("model.name=onnx", origin);
    c.set("model.graph=" + path, origin);
    return c;
  }
  refuse_packed(*source);
  const auto known = recognise(*source, bare_names(*source));
  if (!known || known->recipe.empty())
    throw Error(Code::input, source->path + ": carries no graft configuration and is " +
                                 (known ? known->map->what + ", a network that graft does not have"
                                        : std::string("of a network that graft does not recognise")) +
                                 "; name a recipe whose network it fits: graft eval RECIPE --from " + path);
  c = Config::recipe(known->recipe);
  const Origin origin{Layer::recipe, 0, source->path};
  for (const char* fact : {"classes", "width"})
    if (const auto it = known->facts.find(fact); it != known->facts.end() && c.why_unused(std::string("model.") + fact).empty())
      c.set(std::string("model.") + fact + "=" + std::to_string(it->second), origin);
  for (const std::string& s : known->map->settings) c.set(s, origin);
  return c;
}

std::string& command_line() {
  static std::string line;
  return line;
}
void print_json(const Json& j) { std::printf("%s\n", json_text(j).c_str()); }
std::string shell_quoted(const std::string& word) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./+=:,@%").find(c) != std::string::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}
void check_environment() {
  const char* kernels = std::getenv("GRAFT_KERNELS");
  if (!kernels) return;
  try {
    check_variant_names(kernels);
  } catch (const Error& e) { throw Error(e.code(), std::string("GRAFT_KERNELS in the environment: ") + e.what()); }
}
double seconds_of(const std::string& max_time) {
  if (max_time.empty()) return 0;
  const double s = parse_duration(max_time, "--max-time");
  if (!(s > 0)) throw Error(Code::usage, "--max-time " + max_time + ": is no time to train in; name one, such as 30m, or leave it out");
  return s;
}

std::int64_t peak_rss_bytes() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return static_cast<std::int64_t>(u.ru_maxrss) * 1024;
}

namespace {
volatile std::sig_atomic_t caught = 0;
volatile std::sig_atomic_t asked = 0;
void on_usr1(int) { asked = 1; }
void on_signal(int s) {
  if (caught) _exit(128 + s);
  caught = s;
}
}  // namespace
bool interrupted() { return caught != 0; }
int interrupt_signal() { return caught; }
bool checkpoint_asked() {
  const bool now = asked != 0;
  asked = 0;
  return now;
}
void watch_usr1() { std::signal(SIGUSR1, on_usr1); }
void watch_signals() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  watch_usr1();
}
int unless_stopped(const std::function<int()>& verb) {
  try {
    return verb();
  } catch (const Error& e) {
    if (e.code() != Code::stopped || !interrupted()) throw;
    std::fprintf(stderr, "%sgraft: %s\n", isatty(2) ? "\r\033[K" : "", one_line(e.what()).c_str());
    return 128 + interrupt_signal();
  }
}

}  // namespace graft::cli
