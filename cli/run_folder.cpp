#include "cli/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <exception>
#include <map>
#include <sstream>
#include <thread>
#include <utility>

#include "engine/base/file.h"
#include "weights/formats/safetensors.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMetricsHead = "step,epoch,train.loss,lr,validation.accuracy,validation.loss,known.accuracy,known.loss\n";

Json environment() {
  utsname u{};
  uname(&u);
  std::error_code ec;
  return {{"graft", GRAFT_VERSION},
          {"system", std::string(u.sysname) + " " + u.release},
          {"machine", u.machine},
          {"device", name_of(current_queue().device())},
          {"threads", current_queue().threads()},
          {"compiler", __VERSION__},
          {"folder", fs::current_path(ec).string()}};
}

// The lines of `file` up to `step`, by what `step_of` reads from a line (-1: not a whole line, dropped; 0: a head).
template <class F>
void cut_after(const fs::path& file, std::int64_t step, F&& step_of) {
  std::error_code ec;
  if (!fs::exists(file, ec)) return;
  std::istringstream in(read_text(file, std::uint64_t{1} << 32));
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    if (in.eof()) break;  // no newline: half a line
    const std::int64_t at = step_of(line);
    if (at >= 0 && at <= step) kept += line + '\n';
  }
  write_atomically(file, kept);
}

double number(const std::map<std::string, std::string>& m, const std::string& key, const std::string& where) {
  const auto it = m.find(key);
  double v = 0;
  if (it == m.end() || std::from_chars(it->second.data(), it->second.data() + it->second.size(), v).ec != std::errc{})
    throw Error(Code::input, where + ": has no '" + key + "'; it is not a checkpoint that training can go on from");
  return v;
}
std::string exact(double v) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, v).ptr;
  return {text, end};
}

// Everything of a TrainState that is a number, by its name in the file.
template <class State, class F>
void each_number(State& s, F&& f) {
  f("step", s.step), f("optimizer_steps", s.optimizer_steps), f("evaluated", s.evaluated), f("any_evaluation", s.any_evaluation),
      f("samples", s.samples);
  f("accuracy", s.accuracy), f("best_accuracy", s.best_accuracy), f("loss", s.loss), f("held_out_loss", s.held_out_loss),
      f("best_loss", s.best_loss);
  f("best_step", s.best_step), f("stale", s.stale), f("rate", s.rate), f("rollbacks", s.rollbacks);
  f("overfit.seen", s.overfit.seen), f("overfit.rising", s.overfit.rising), f("overfit.least_loss", s.overfit.least_loss);
  f("overfit.train_loss_then", s.overfit.train_loss_then), f("overfit.said", s.overfit.said);
  f("seconds", s.seconds), f("eval_seconds", s.eval_seconds), f("data_seconds", s.data_seconds);
}

}  // namespace

fs::path new_run_folder(const std::string& out, const std::string& name) {
  std::error_code ec;
  if (!out.empty()) {
    const bool there = fs::exists(out, ec);
    if (ec) throw file_error(out, "look at it", ec.value());
    if (there) throw Error(Code::usage, "--out " + out + ": is there already; runs are never overwritten");
    fs::create_directories(out, ec);
    if (ec) throw file_error(out, "make the folder", ec.value());
    return out;
  }
  fs::create_directories("runs", ec);
  if (ec) throw file_error(fs::absolute("runs"), "make the folder", ec.value());
  for (int k = 1;; ++k) {
    const fs::path p = fs::path("runs") / (name + "-" + std::to_string(k));
    if (fs::create_directory(p, ec)) return p;
    if (ec) throw file_error(p, "make the folder", ec.value());
  }
}

namespace {
void remove_run(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
  if (path.parent_path() == "runs") fs::remove("runs", ignored);  // where it is empty
}
}  // namespace
NewRun::~NewRun() {
  if (!kept_) remove_run(path_);
}

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // the folder itself is what is locked: nothing is left behind
  if (lock_ < 0) throw file_error(path_, "open", errno);
  for (int tries = 0; tries < 30; ++tries) {  // a process that was just killed takes a moment to let go
    if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  ::close(lock_);
  throw Error(Code::usage, path_.string() + ": another process works in it; wait for it or stop it");
}
RunFolder::~RunFolder() {
  if (made_ && std::uncaught_exceptions() > 0) remove_run(path_);
  if (lock_ >= 0) ::close(lock_);
}
RunFolder::RunFolder(RunFolder&& o) noexcept
    : path_(std::move(o.path_)),
      lock_(std::exchange(o.lock_, -1)),
      made_(std::exchange(o.made_, false)),
      log_(std::move(o.log_)),
      metrics_(std::move(o.metrics_)),
      events_(std::move(o.events_)) {}

RunFolder RunFolder::make(const Common& c, const Config& config, const std::string& name) {
  RunFolder r(new_run_folder(c.out, name));
  r.made_ = true;
  write_atomically(r.path_ / "config.toml", config.text());
  write_atomically(r.path_ / "env.json", json_text(environment()) + "\n");
  return r;
}
RunFolder RunFolder::open(const fs::path& path) {
  std::error_code ec;
  if (!fs::is_directory(path, ec)) throw Error(Code::input, path.string() + ": is no folder; name a run, such as runs/mnist-cnn-1");
  if (!fs::exists(path / "config.toml", ec))
    throw Error(Code::input, path.string() + ": has no config.toml; name a run, such as runs/mnist-cnn-1");
  return RunFolder(fs::absolute(path));
}

Config RunFolder::config() const {
  Config c;
  c.merge_file((path_ / "config.toml").string());
  c.check();
  return c;
}
fs::path RunFolder::started_in() const {
  std::error_code ec;
  if (!fs::exists(path_ / "env.json", ec)) return {};
  const Json j = read_json_in_order(read_text(path_ / "env.json"));
  if (!j.is_object() || !j.contains("folder") || !j["folder"].is_string()) return {};
  return j["folder"].get<std::string>();
}

void RunFolder::open_logs(std::int64_t step) {
  const fs::path log = path_ / "log.jsonl", metrics = path_ / "metrics.csv";
  cut_after(log, step, [](const std::string& line) -> std::int64_t {
    const Json j = read_json_in_order(line);
    return j.is_object() && j.contains("step") && j["step"].is_number_integer() ? j["step"].get<std::int64_t>() : -1;
  });
  cut_after(metrics, step, [](const std::string& line) -> std::int64_t {
    if (line + '\n' == kMetricsHead) return 0;
    std::int64_t at = -1;
    const auto r = std::from_chars(line.data(), line.data() + line.size(), at);
    return r.ec == std::errc{} && std::count(line.begin(), line.end(), ',') == 7 ? at : -1;
  });
  std::error_code ec;
  const bool fresh = !fs::exists(metrics, ec) || fs::file_size(metrics, ec) == 0;
  log_.open(log, std::ios::app);
  metrics_.open(metrics, std::ios::app);
  if (fresh) metrics_ << kMetricsHead;
  events_.emplace(path_, step);
}
void RunFolder::log(const StepReport& r) {
  log_ << json_text({{"step", r.step},
                     {"epoch", r.epoch + 1},
                     {"train.loss", r.loss},
                     {"lr", r.lr},
                     {"grad_norm", r.grad_norm},
                     {"seconds", r.seconds}},
                    -1)
       << '\n';
  metrics_ << r.step << ',' << r.epoch + 1 << ',' << r.loss << ',' << r.lr << ",,,,\n";
  if (!events_) return;
  std::vector<std::pair<std::string, double>> values{
      {"train/loss", r.loss}, {"train/lr", r.lr}, {"train/data_share", r.data_seconds / std::max(1e-9, r.seconds)}};
  if (r.grad_norm > 0) values.emplace_back("train/grad_norm", r.grad_norm);  // where clipping asks for it
  events_->scalars(r.step, values);
}
void RunFolder::log(const EpochReport& r) {
  Json line{{"step", r.step}, {"epoch", r.epoch}, {"validation.accuracy", r.held_out.accuracy}, {"validation.loss", r.held_out.loss}};
  if (r.train.images > 0) line["known.accuracy"] = r.train.accuracy, line["known.loss"] = r.train.loss;
  line["best"] = r.best;
  log_ << json_text(line, -1) << '\n';
  metrics_ << r.step << ',' << r.epoch << ",,," << r.held_out.accuracy << ',' << r.held_out.loss << ',';
  if (r.train.images > 0) metrics_ << r.train.accuracy << ',' << r.train.loss;
  else metrics_ << ',';
  metrics_ << '\n';
  if (events_) {
    std::vector<std::pair<std::string, double>> values{{"validation/accuracy", r.held_out.accuracy}, {"validation/loss", r.held_out.loss}};
    if (r.train.images > 0) values.emplace_back("known/accuracy", r.train.accuracy), values.emplace_back("known/loss", r.train.loss);
    events_->scalars(r.step, values);
  }
  flush();
}
void RunFolder::flush() {
  log_.flush();
  metrics_.flush();
  if (events_) events_->flush();
}
std::string RunFolder::log_text() {
  flush();
  return read_text(path_ / "log.jsonl", std::uint64_t{1} << 32);
}
void RunFolder::report(const Json& report, const std::string& html) {
  if (!html.empty()) write_atomically(path_ / "report.html", html);
  write_atomically(path_ / "report.json", json_text(report) + "\n");
}

std::vector<CheckpointPart> checkpoint_parts(const Built& built, const Config& config, const TrainState& state) {
  CheckpointPart training{"training", state.tensors, {{"format", "pt"}}};
  each_number(state, [&](const char* key, auto v) { training.metadata[key] = exact(static_cast<double>(v)); });
  std::vector<CheckpointPart> parts{{"model", named_tensors(built.params), checkpoint_metadata(built, config, state.step)},
                                    std::move(training)};
  const Params& params = built.params;
  if (params.adapted().empty()) return parts;
  CheckpointPart adapter{"adapter", {}, {{"format", "pt"}}}, base{"base", {}, {{"format", "pt"}}};
  for (const Params::Adapted& a : params.adapted()) {
    for (const Tensor& t : {a.adapter.a, a.adapter.b}) adapter.tensors.emplace_back(t.name(), t.detach().to({}));
    const auto it = std::find_if(params.all().begin(), params.all().end(), [&](const Parameter& p) { return p.name == a.weight; });
    base.tensors.emplace_back(a.weight, it->tensor.detach().to({}));
  }
  parts.push_back(std::move(adapter));
  parts.push_back(std::move(base));
  return parts;
}
std::vector<std::pair<std::string, Tensor>> read_adapters(const fs::path& checkpoint) {
  std::vector<std::pair<std::string, Tensor>> all;
  std::error_code ec;
  for (const char* part : {"adapter.safetensors", "base.safetensors"}) {
    if (!fs::exists(checkpoint / part, ec)) return {};
    for (const SafetensorsEntry& e : SafetensorsFile::open(checkpoint / part).entries) all.emplace_back(e.name, load(e));
  }
  return all;
}
TrainState read_train_state(const fs::path& checkpoint) {
  const SafetensorsFile file = SafetensorsFile::open(checkpoint / "training.safetensors");
  TrainState state;
  each_number(state, [&](const char* key, auto& v) {
    v = static_cast<std::remove_reference_t<decltype(v)>>(number(file.metadata, key, file.path));
  });
  for (const SafetensorsEntry& e : file.entries) state.tensors.emplace_back(e.name, load(e));
  return state;
}

}  // namespace graft::cli
