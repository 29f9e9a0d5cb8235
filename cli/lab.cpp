// graft kernels bench|compare|try: the laboratory on the command line.
#include "cli/lab.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <random>
#include <thread>

#include "cli/common.h"
#include "kernels/catalog.h"
#include "kernels/core/device.h"
#include "kernels/lab/compare.h"
#include "kernels/lab/load.h"
#include "kernels/lab/peers.h"
#include "kernels/lab/report.h"
#include "kernels/specs.h"

namespace graft::cli {
namespace {

struct BenchOptions {
  Common common;
  std::string family, shape, dtype, against, csv, html;
  std::vector<std::string> variants;
  bool cold = false;
  double seconds = 0.3;
};
struct Job {
  const Spec* spec;
  const ErasedCase* work;
  DType dtype;
  std::vector<int> rows;
  int trusted;
  std::string against;  // a row of the spec, or empty
};

// "openblas", "peer.openblas", "cublaslt", "cuda.cublaslt", "naive": the row of that name, with or without what stands before its first
// point.
std::string row_named(const Spec& s, const std::string& name) {
  for (const auto& r : s.rows)
    if (r.name == name) return name;
  for (const auto& r : s.rows)
    if (r.name.ends_with("." + name)) return std::string(r.name);
  if (name == "cublas") return row_named(s, "cublaslt");  // what people call it
  return {};
}
bool is_peer(const std::string& name) {
  for (const auto& p : lab::peer_names())
    if (name == p || name == "peer." + p) return true;
  return false;
}
void write_file(const std::string& path, const std::string& text) {
  std::ofstream f(path, std::ios::binary);
  if (!(f << text) || !f.flush()) throw Error(Code::input, path + ": cannot be written; name a file in a folder that exists");
}
// Before minutes are spent.
void must_be_writable(const std::string& path) {
  if (path.empty()) return;
  const bool there = std::ifstream(path).good();
  if (!std::ofstream(path, std::ios::app)) throw Error(Code::input, path + ": cannot be written; name a file in a folder that exists");
  if (!there) std::remove(path.c_str());
}

// Without a text: the benchmark shapes, or the largest case of a family that has none. On the emulator those would take minutes a call:
// there the largest of the other cases up to this many FLOPs and elements.
constexpr double kEmulated = 1e5;
bool chosen_shape(const Spec& s, const ErasedCase& c, const std::string& text, DeviceKind device) {
  if (c.large && device != DeviceKind::cuda) return false;
  if (!text.empty()) return c.shape.find(text) != std::string::npos;
  const bool emulated = device == DeviceKind::emu;
  if (!emulated && std::any_of(s.cases.begin(), s.cases.end(), [&](const ErasedCase& x) { return x.timed_on(device); }))
    return c.timed_on(device);
  const auto size = [](const ErasedCase& x) { return std::max(x.flops, x.bytes_per_item); };
  const ErasedCase* largest = nullptr;
  for (const auto& x : s.cases)
    if (!x.bench && !x.large && (!emulated || size(x) <= kEmulated) && (!largest || size(x) > size(*largest))) largest = &x;
  return &c == largest;
}

std::vector<Job> jobs_of(const std::vector<Spec>& specs, const BenchOptions& o, Device device, const std::string& outside = {}) {
  const std::optional<DType> dtype = o.dtype.empty() ? std::nullopt : parse_dtype(o.dtype);
  std::vector<Job> jobs;
  std::string shapes;
  bool any_shape = false, any_dtype = false;
  for (const Spec& s : specs) {
    if (!o.family.empty() && s.family->name() != o.family) continue;
    const int trusted = lab::trusted_rows(s, outside);
    const std::string against = o.against.empty() ? "" : row_named(s, o.against);
    bool bench_shape = false;  // the text picks among the benchmark shapes; only where none has it, among all
    for (const auto& c : s.cases) bench_shape |= c.timed_on(device.kind) && c.shape.find(o.shape) != std::string::npos;
    for (const auto& c : s.cases) {
      if (c.timed_on(device.kind)) shapes += (shapes.find(" " + c.shape) == std::string::npos ? " " + c.shape : "");
      if (!chosen_shape(s, c, o.shape, device.kind) || (!o.shape.empty() && bench_shape && !c.timed_on(device.kind))) continue;
      any_shape = true;
      for (const DType t : c.dtypes) {
        if (dtype && t != *dtype) continue;
        any_dtype = true;
        std::vector<int> rows = lab::able(s, c, t, device.kind, o.variants, against);
        if (!rows.empty()) jobs.push_back({&s, &c, t, std::move(rows), trusted, against});
      }
    }
  }
  const std::string what = o.family.empty() ? "any family" : o.family;
  if (!any_shape)
    throw Error(Code::usage, "--shape " + o.shape + ": no case of " + what + " has this in its name; benchmark shapes are" + shapes);
  if (!any_dtype)
    throw Error(Code::usage,
                "--dtype " + o.dtype + ": no chosen case of " + what + " is in this dtype; leave --dtype out to see which are");
  if (jobs.empty())
    throw Error(Code::usage, "no chosen variant runs on " + name_of(device) + " here; graft kernels explain " +
                                 (o.family.empty() ? "FAMILY" : o.family) + " says why");
  return jobs;
}

// Runs the jobs in an order that nobody can foresee; results come back in the catalog's.
std::vector<lab::Result> measure_all(std::vector<Job>& jobs, lab::Lab& lab, bool print) {
  std::vector<std::size_t> order(jobs.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::mt19937_64 bits(lab.seed());
  std::shuffle(order.begin(), order.end(), bits);
  std::vector<std::vector<lab::Result>> by_job(jobs.size());
  for (const std::size_t i : order) {
    Job& j = jobs[i];
    lab::Contest contest(lab, *j.spec, *j.work, j.dtype, j.rows, j.trusted);
    lab::run_contest(contest, lab);
    if (interrupted())
      throw Error(Code::stopped, "stopped while the kernels were measured; nothing is kept: run it again");  // where a verb watches signals
    by_job[i] = lab::results_of(contest, lab, j.against);
    for (const auto& r : by_job[i]) {
      if (print) std::printf("%s\n", lab::text_of(r).c_str());
      else if (!r.caught.empty()) std::fprintf(stderr, "%s\n", lab::text_of(r).c_str());
    }
    std::fflush(stdout);
  }
  std::vector<lab::Result> all;
  for (auto& rows : by_job)
    for (auto& r : rows) all.push_back(std::move(r));
  return all;
}

void check_names(const BenchOptions& o, const std::vector<Spec>& specs) {
  std::vector<std::string_view> families_named, rows;
  for (const Spec& s : specs) {
    families_named.push_back(s.family->name());
    if (!o.family.empty() && s.family->name() != o.family) continue;
    for (const auto& r : s.rows) rows.push_back(r.name);
  }
  const auto hint = [](const std::string& name, const std::vector<std::string_view>& names) {
    const std::string near = nearest(name, names);
    return near.empty() ? std::string("; see graft kernels list") : "; did you mean " + near + "?";
  };
  if (!o.family.empty() && std::find(families_named.begin(), families_named.end(), o.family) == families_named.end())
    throw Error(Code::usage, "no kernel family '" + o.family + "'" + hint(o.family, families_named));
  const std::string in = o.family.empty() ? "" : " in " + o.family;
  for (const auto& v : o.variants)
    if (std::find(rows.begin(), rows.end(), v) == rows.end()) throw Error(Code::usage, "no variant '" + v + "'" + in + hint(v, rows));
  if (!o.against.empty()) {
    bool known = false;
    for (const Spec& s : specs) known |= (o.family.empty() || s.family->name() == o.family) && !row_named(s, o.against).empty();
    if (!known) throw Error(Code::usage, "--against " + o.against + ": neither a variant nor a peer" + in + hint(o.against, rows));
  }
}

void check_options(const BenchOptions& o) {
  if (!o.dtype.empty() && !parse_dtype(o.dtype)) {
    std::string all;
    for (const DType t : kAllDTypes) all += " " + std::string(name_of(t));
    throw Error(Code::usage, "--dtype " + o.dtype + ": there is" + all);
  }
  for (const auto* path : {&o.common.out, &o.csv, &o.html}) must_be_writable(*path);
}
int threads_of(const BenchOptions& o) {
  return o.common.threads > 0 ? o.common.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}
lab::Options options_of(const BenchOptions& o) {
  lab::Options options{.cold = o.cold, .seconds = o.seconds};
  if (o.common.seed) options.seed = static_cast<std::uint64_t>(*o.common.seed);
  return options;
}

int measure_and_report(std::vector<Job>& jobs, lab::Lab& lab, const BenchOptions& o, const std::vector<std::string>& peers) {
  lab::Document document = lab::make_document(lab, GRAFT_VERSION);
  document.peers = peers;
  if (lab.queue().device().kind == DeviceKind::emu)
    std::fprintf(stderr, "times of the emulator mean nothing: this shows that the CUDA kernels compute right, not how fast they are\n");
  if (!o.common.json && lab.roofline().known()) {
    std::printf("roofline of this machine, %s, %d threads: %.1f GFLOP/s f32", document.machine.device.c_str(), document.threads,
                document.flops_f32 * 1e-9);
    for (const auto& l : document.levels) std::printf(", %.1f GB/s %s", l.rate * 1e-9, l.name.c_str());
    std::printf("; seed %llu\n", static_cast<unsigned long long>(lab.seed()));
  }
  document.rows = measure_all(jobs, lab, !o.common.json);
  const std::string json = json_text(lab::json_of(document)) + "\n";
  if (o.common.json) std::fputs(json.c_str(), stdout);
  if (!o.common.out.empty()) write_file(o.common.out, json);
  if (!o.csv.empty()) write_file(o.csv, lab::csv_of(document));
  if (!o.html.empty()) write_file(o.html, lab::html_of(document));
  return std::any_of(document.rows.begin(), document.rows.end(), [](const auto& r) { return !r.caught.empty(); })
             ? static_cast<int>(Code::no)
             : 0;
}

}  // namespace

lab::Document quick_bench(const std::vector<std::string>& families, double seconds) {
  lab::start_benchmarks();
  Queue& queue = current_queue();
  const std::vector<Spec> specs = all_specs();
  lab::Lab lab(queue, {.seconds = seconds, .noise = 0.05, .most_rounds = 8, .seed = 1});
  std::vector<Job> jobs;
  for (const std::string& family : families)
    for (const Spec& s : specs) {
      if (s.family->name() != family) continue;
      for (const auto& c : s.cases) {
        if (!c.timed_on(queue.device().kind) || c.large || std::find(c.dtypes.begin(), c.dtypes.end(), DType::f32) == c.dtypes.end())
          continue;
        const std::vector<int> rows = lab::able(s, c, DType::f32, queue.device().kind, {}, "");
        const auto rank = [&](int r) { return s.rows[static_cast<std::size_t>(r)].rank; };
        int chosen = -1, plain = -1;
        for (const int r : rows) {
          if (chosen < 0 || rank(r) > rank(chosen)) chosen = r;
          if (s.rows[static_cast<std::size_t>(r)].name == "naive") plain = r;
        }
        if (chosen < 0) continue;
        jobs.push_back({&s, &c, DType::f32, plain >= 0 && plain != chosen ? std::vector<int>{plain, chosen} : std::vector<int>{chosen},
                        lab::trusted_rows(s), ""});
        break;
      }
    }
  lab::Document document = lab::make_document(lab, GRAFT_VERSION);
  document.rows = measure_all(jobs, lab, false);
  return document;
}

namespace {

int bench_verb(const BenchOptions& o) {
  check_options(o);
  const Device device = parse_device(o.common.device.empty() ? "cpu" : o.common.device);
  std::vector<std::string> asked_for = o.variants;
  asked_for.push_back(o.against);
  lab::Peers peers;
  if (std::any_of(asked_for.begin(), asked_for.end(), is_peer)) peers = lab::add_peers(threads_of(o));
  for (const auto& name : peers.missing)
    for (const auto& asked : asked_for)
      if (asked == name || asked == "peer." + name)
        throw Error(Code::usage, "peer " + name + " is not installed here; install lib" + (name == "onednn" ? "dnnl" : name) +
                                     "-dev (Debian) or choose another");
  const std::vector<Spec> specs = all_specs();
  check_names(o, specs);
  std::vector<Job> jobs = jobs_of(specs, o, device);
  Queue q(threads_of(o), device);
  lab::Lab lab(q, options_of(o));
  return measure_and_report(jobs, lab, o, peers.found);
}

int compare_verb(const std::string& a, const std::string& b, double percent, bool json) {
  const lab::Comparison c = lab::compare(lab::read_document(a), lab::read_document(b), percent / 100);
  if (json) {
    Json rows = Json::array();
    for (const auto& r : c.rows) {
      Json j = {{"row", r.key}, {"verdict", r.verdict}};
      if (r.ratio > 0) j["time_ratio"] = r.ratio, j["low"] = r.interval.low, j["high"] = r.interval.high;
      rows.push_back(std::move(j));
    }
    print_json(Json{{"remarks", c.remarks}, {"rows", rows}, {"slower", c.slower}});
  } else {
    for (const auto& r : c.remarks) std::printf("%s\n", r.c_str());
    for (const auto& r : c.rows) {
      if (r.ratio > 0)
        std::printf("%-9s %6.3f [%.3f %.3f] times the time  %10.4f -> %.4f ms  %s\n", r.verdict.c_str(), r.ratio, r.interval.low,
                    r.interval.high, r.a * 1e3, r.b * 1e3, r.key.c_str());
      else std::printf("%-9s %s\n", r.verdict.c_str(), r.key.c_str());
    }
  }
  return c.slower ? static_cast<int>(Code::no) : 0;
}

// A file to start from; never over one that is there.
int new_file(const std::string& path) {
  const bool cu = path.ends_with(".cu");
  if (!cu && !path.ends_with(".cpp")) throw Error(Code::usage, path + ": name a .cpp (runs on the CPU) or a .cu (emu and cuda)");
  if (std::ifstream(path).good()) throw Error(Code::usage, path + " is there already; choose another name");
  write_file(path, lab::example(cu));
  std::printf("%s: a softmax to start from; graft kernels try %s compiles, checks and times it\n", path.c_str(), path.c_str());
  return 0;
}

// Compiled, loaded, checked on every case of its family; timed beside the variant that is taken otherwise.
int try_verb(BenchOptions o, const std::string& path, const std::vector<std::string>& flags, bool only_check) {
  check_options(o);
  const Device device = lab::device_for(path, o.common.device);
  lab::Compiled compiled({path, device, flags});
  Queue q(threads_of(o), device);
  std::optional<lab::Lab> lab;  // before the row is loaded: threads that it starts are not the queue's
  if (!only_check) lab.emplace(q, options_of(o));
  const lab::Compiled::Row mine = compiled.add_row();
  o.family = mine.family;
  const std::vector<Spec> specs = all_specs();
  const Spec& spec = *std::find_if(specs.begin(), specs.end(), [&](const Spec& s) { return s.family->name() == mine.family; });
  CheckReport report;
  try {
    report = check(spec, q, {.variant = mine.variant, .seed = std::random_device{}()});
  } catch (const Error& e) {  // a barrier that not all meet, shared memory beyond its end: the emulator's own words
    if (e.code() != Code::bug) throw;
    std::fprintf(stderr, "%s %s: %s\n", mine.family.c_str(), mine.variant.c_str(), e.what());
    return static_cast<int>(Code::no);
  }
  for (const auto& f : report.failures) std::fprintf(stderr, "%s\n", f.c_str());
  const auto ran = report.ran.count(mine.variant) ? report.ran.at(mine.variant) : 0,
             refused = report.refused.count(mine.variant) ? report.refused.at(mine.variant) : 0;
  if (!o.common.json)
    std::printf("%s %s on %s: %lld cases, %lld refused, %zu failures\n", mine.family.c_str(), mine.variant.c_str(), name_of(device).c_str(),
                static_cast<long long>(ran), static_cast<long long>(refused), report.failures.size());
  if (ran == 0) std::fprintf(stderr, "graft: its limit refuses every case of %s: nothing was checked\n", mine.family.c_str());
  if (ran == 0 || !report.failures.empty()) return static_cast<int>(Code::no);
  if (only_check) {
    if (o.common.json) print_json(Json{{"family", mine.family}, {"variant", mine.variant}, {"ran", ran}, {"refused", refused}});
    return 0;
  }
  o.variants = {mine.variant};
  std::vector<Job> jobs = jobs_of(specs, o, device, mine.variant);
  for (Job& j : jobs) {
    int best = -1;
    for (const int r : lab::able(spec, *j.work, j.dtype, device.kind, {}, "naive"))
      if (r < j.trusted && !spec.rows[static_cast<std::size_t>(r)].order_dependent &&
          (best < 0 || spec.rows[static_cast<std::size_t>(r)].rank > spec.rows[static_cast<std::size_t>(best)].rank))
        best = r;
    if (best >= 0) j.rows.push_back(best);
    j.against = best >= 0 ? std::string(spec.rows[static_cast<std::size_t>(best)].name) : "";
  }
  return measure_and_report(jobs, *lab, o, {});
}

}  // namespace

void add_lab(const Verb& verb) {
  const auto measured = [](const Verb& s, BenchOptions& o) {  // what bench and try share
    s.option("--shape", o.shape, "only shapes with this text");
    s.option("--dtype", o.dtype, "only this one: f32, bf16, ...");
    s.flag("--cold", o.cold, "flush the caches before every call (default: warm)");
    s.option("--seconds", o.seconds, "timed calls per row, about").between(0.0, 3600.0);
    add_threads(s, o.common.threads, "threads on the CPU (default: one per core)");
    add_seed(s, o.common.seed, "of the inputs, to repeat a run (default: unpredictable)");
    s.flag("--json", o.common.json, "one JSON document on stdout");
    s.option("-o,--out", o.common.out, "the JSON document into this file");
    s.option("--csv", o.csv, "a table into this file");
    s.option("--html", o.html, "a page with plots into this file");
    o.common.device.clear();
  };
  auto bench = std::make_shared<BenchOptions>();
  const Verb b =
      verb.verb("bench", "times that cannot be fooled, of the variants on the benchmark shapes; exit 1 when a variant is caught cheating");
  b.option("family", bench->family, "kernel family (default: all)");
  b.option("--device", bench->common.device, "cpu (the default), emu, cuda or cuda:N");
  b.option("--variant", bench->variants, "only these: a comma list, or several times").by_commas().repeated();
  b.option("--against", bench->against,
           "a variant (naive, cublaslt) or a peer (openblas, blis, onednn): how many times its speed, with an interval");
  measured(b, *bench);
  b.does([=] { return bench_verb(*bench); });

  struct Tried {
    BenchOptions bench;
    std::string file;
    std::vector<std::string> flags;
    bool fresh = false, only_check = false;
  };
  auto tried = std::make_shared<Tried>();
  const Verb t = verb.verb(
      "try", "a file of yours with one variant: compiled, loaded, checked, timed beside the one taken now; exit 1 when it is wrong");
  t.option("file", tried->file, "FILE.cpp, or FILE.cu for emu and cuda").required();
  t.option("--device", tried->bench.common.device, "where a .cu runs: emu or cuda (default: cuda where there is a GPU)");
  t.option("--flag", tried->flags, "one more flag for the compiler, such as --flag=-march=native (may come several times)").repeated();
  t.flag("--new", tried->fresh, "write a file to start from, and end");
  t.flag("--check", tried->only_check, "check it, do not time it");
  measured(t, tried->bench);
  t.does([=] { return tried->fresh ? new_file(tried->file) : try_verb(tried->bench, tried->file, tried->flags, tried->only_check); });

  struct Two {
    std::string a, b;
    double threshold = 0;
    bool json = false;
  };
  auto two = std::make_shared<Two>();
  const Verb c = verb.verb("compare", "two documents of bench --json, a verdict per row; exit 1 when a row became slower");
  c.option("a", two->a, "before").required();
  c.option("b", two->b, "after").required();
  c.option("--threshold", two->threshold, "percent that are no difference").between(0.0, 1000.0);
  c.flag("--json", two->json, "one JSON document on stdout");
  c.does([=] { return compare_verb(two->a, two->b, two->threshold, two->json); });
}

}  // namespace graft::cli
