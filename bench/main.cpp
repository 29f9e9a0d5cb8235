// graft_bench: every benchmark row of the catalog in the laboratory (kernels/lab) under Google Benchmark, f32 products of OpenBLAS, BLIS
// and oneDNN beside them. Repetitions are interleaved at random and the ratios printed at the end come from the medians of this one run,
// since times of two runs do not compare on a shared machine. A repetition is a turn: some calls on new inputs, the answer checked after;
// its time is their median. Exit code 1 when a row is caught cheating.
//   graft_bench [--threads=N] [Google Benchmark's own options: --benchmark_filter=..., --benchmark_out=..., --benchmark_repetitions=...]
// Names: family/variant/shape/dtype; a peer's variant is "peer.openblas".
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <thread>

#include "kernels/lab/measure.h"
#include "kernels/lab/peers.h"
#include "kernels/lab/statistics.h"
#include "kernels/specs.h"

namespace graft::bench {
namespace {

// One turn of a candidate per repetition: a round of its own for every number of turns, so that rows of one case meet the same inputs.
void turn(benchmark::State& state, lab::Lab& lab, lab::Contest& contest, lab::Candidate& c) {
  if (const Verdict v = lab::may_run(contest.spec(), contest.work(), contest.dtype(), c.row); !v) {
    state.SkipWithError(("refuses: " + v.reason).c_str());
    return;
  }
  if (c.turns == 0) contest.rehearse(c);
  for (auto _ : state) {
    if (const auto t = contest.turn(c, c.turns)) state.SetIterationTime(*t);
    else state.SkipWithError(c.caught.c_str());
  }
  contest.rest();
  if (!c.caught.empty()) return;
  const lab::Work w = contest.cost();
  const lab::Bound bound = lab.roofline().bound(w, false);
  const double t = lab::median(c.samples);
  state.counters["GFLOPS"] = w.flops / t * 1e-9;
  state.counters["GBps"] = w.bytes / t * 1e-9;
  state.counters["of_roofline"] = bound.seconds / t;
  state.counters["calls"] = static_cast<double>(c.samples.size());
}

// Every row that the device may run is registered, minutes of plain loops left out; a limit that says no is reported when its turn comes.
std::vector<std::unique_ptr<lab::Contest>> register_rows(const std::vector<Spec>& specs, lab::Lab& lab) {
  std::vector<std::unique_ptr<lab::Contest>> contests;
  for (const Spec& s : specs)
    for (const ErasedCase& c : s.cases) {
      if (!c.timed_on(lab.queue().device().kind)) continue;
      for (const DType t : c.dtypes) {
        std::vector<int> rows;
        for (int r = 0; r < static_cast<int>(s.rows.size()); ++r) {
          const VariantInfo& row = s.rows[static_cast<std::size_t>(r)];
          const bool peer = row.name.starts_with("peer.");
          if (serves(row.backend, lab.queue().device().kind) && !(row.name == "naive" && c.only_timed()) && !(peer && t != DType::f32))
            rows.push_back(r);
        }
        contests.push_back(std::make_unique<lab::Contest>(lab, s, c, t, rows, lab::trusted_rows(s)));
        lab::Contest& contest = *contests.back();
        for (lab::Candidate& k : contest.candidates())
          benchmark::RegisterBenchmark(contest.row_name(k).c_str(),
                                       [&lab, &contest, &k](benchmark::State& state) { turn(state, lab, contest, k); })
              ->UseManualTime()
              ->Iterations(1)
              ->Unit(benchmark::kMillisecond);
      }
    }
  return contests;
}

// Console output, and the times of every row for the table of ratios.
class Reporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& r : runs) {  // of aggregates, where nothing else is reported, the median
      if (!r.error_occurred && (r.run_type == Run::RT_Iteration || r.aggregate_name == "median"))
        times_[r.run_name.function_name].push_back(r.GetAdjustedRealTime());
    }
  }
  // Per row with a peer: our best variant's speed over each peer's, from medians. 1 is as fast, above 1 faster.
  void print_ratios(std::FILE* out) const {
    struct Line {
      double ours = 0;
      std::string variant;
      std::map<std::string, double> peers;
    };
    std::map<std::string, Line> lines;
    for (auto [name, t] : times_) {
      std::nth_element(t.begin(), t.begin() + static_cast<std::ptrdiff_t>(t.size() / 2), t.end());
      const double median = t[t.size() / 2];
      const auto first = name.find('/'), second = name.find('/', first + 1);
      const std::string variant = name.substr(first + 1, second - first - 1);
      Line& line = lines[name.substr(0, first) + name.substr(second)];
      if (variant.starts_with("peer.")) line.peers[variant.substr(5)] = median;
      else if (line.variant.empty() || median < line.ours) {
        line.ours = median;
        line.variant = variant;
      }
    }
    for (const auto& [row, line] : lines) {
      if (line.peers.empty() || line.variant.empty()) continue;
      double best = INFINITY;
      std::fprintf(out, "%-44s %-14s", row.c_str(), line.variant.c_str());
      for (const auto& [peer, time] : line.peers) {
        std::fprintf(out, "  /%s %.2f", peer.c_str(), time / line.ours);
        best = std::min(best, time);
      }
      std::fprintf(out, "  /best %.2f\n", best / line.ours);
    }
  }

 private:
  std::map<std::string, std::vector<double>> times_;
};

int main_of(int argc, char** argv) {
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<char*> rest;
  for (int i = 0; i < argc; ++i) {
    if (std::strncmp(argv[i], "--threads=", 10) == 0) {
      char* end = nullptr;
      const long n = std::strtol(argv[i] + 10, &end, 10);
      if (*end || n < 1 || n > 1024) {
        std::fprintf(stderr, "graft_bench: --threads=%s is not a number from 1 to 1024\n", argv[i] + 10);
        return 2;
      }
      threads = static_cast<int>(n);
    } else {
      rest.push_back(argv[i]);
    }
  }
  static char interleave[] = "--benchmark_enable_random_interleaving=true", repeat[] = "--benchmark_repetitions=5";
  rest.insert(rest.begin() + 1, {interleave, repeat});  // a caller's own, later, win
  int count = static_cast<int>(rest.size());
  benchmark::Initialize(&count, rest.data());
  if (benchmark::ReportUnrecognizedArguments(count, rest.data())) return 2;

  const lab::Peers peers = lab::add_peers(threads);
  const std::vector<Spec> specs = all_specs();
  Queue q(threads);
  lab::Lab lab(q, {});
  benchmark::AddCustomContext("threads", std::to_string(threads));
  benchmark::AddCustomContext("roofline_gflops_f32", std::to_string(lab.roofline().flops(DType::f32) * 1e-9));
  for (const auto& l : lab.roofline().levels()) benchmark::AddCustomContext("roofline_gbps_" + l.name, std::to_string(l.rate * 1e-9));
  for (const auto& p : peers.found) benchmark::AddCustomContext("peer " + p.substr(0, p.find(' ')), p);
  for (const auto& m : peers.missing) benchmark::AddCustomContext("peer " + m, "not installed: left out");
  const auto contests = register_rows(specs, lab);
  Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  std::fprintf(stderr, "\nspeed over each peer, medians of this run (above 1: graft is faster)\n");
  reporter.print_ratios(stderr);
  benchmark::Shutdown();
  bool caught = false;
  for (const auto& contest : contests) {
    for (lab::Candidate& c : contest->candidates()) {
      if (c.turns > 0 && c.caught.empty() && !contest->asks_every_round()) {
        contest->close(c);
        if (!c.caught.empty()) std::fprintf(stderr, "%s: its time does not count: %s\n", contest->row_name(c).c_str(), c.caught.c_str());
      }
      caught |= !c.caught.empty();
    }
    contest->rest();
  }
  return caught ? 1 : 0;
}

}  // namespace
}  // namespace graft::bench

int main(int argc, char** argv) { return graft::bench::main_of(argc, argv); }
