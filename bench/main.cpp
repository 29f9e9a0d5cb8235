// graft_bench: every benchmark row of the catalog under Google Benchmark, f32 products of OpenBLAS, BLIS and oneDNN beside them. Repetitions are interleaved at
// random and the ratios printed at the end come from the medians of this one run, since times of two runs do not compare on a shared machine.
//   graft_bench [--threads=N] [Google Benchmark's own options: --benchmark_filter=..., --benchmark_out=..., --benchmark_repetitions=...]
// Names: family/variant/shape/dtype; a peer's variant is "peer.openblas".
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <thread>

#include "bench/peers.h"
#include "kernels/catalog.h"
#include "kernels/simd/peak.h"
#include "kernels/specs.h"

namespace graft::bench {
namespace {

// Operands are made when a row is first run and shared by its variants and peers: only rows that the filter takes cost memory.
struct Shared {
  const ErasedCase* work;
  DType dtype;
  std::unique_ptr<Operands> operands;
  const std::vector<View>& views() {
    if (!operands) operands = std::make_unique<Operands>(*work, dtype, Layout::dense, 1);
    return operands->views();
  }
};

// The peers' and our own worker threads spin for a while after a call; let them come to rest before somebody else is timed.
void settle(const benchmark::State&) { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }

template <class F>
void measure(benchmark::State& state, const ErasedCase& c, DType dtype, const Peak& peak, F&& call) {
  call();  // warm: scratch, pages
  for (auto _ : state) {
    call();
    benchmark::ClobberMemory();
  }
  const double bytes = c.bytes_per_item * static_cast<double>(size_of(dtype)) + c.other_bytes, n = static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters["GFLOPS"] = Counter(c.flops * n * 1e-9, Counter::kIsRate);
  state.counters["GBps"] = Counter(bytes * n * 1e-9, Counter::kIsRate);
  state.counters["of_roofline"] = Counter(std::max(c.flops / (peak.gflops * 1e9), bytes / (peak.gbps * 1e9)) * n, Counter::kIsRate);
}

void set_up(benchmark::internal::Benchmark* b) { b->UseRealTime()->Unit(benchmark::kMillisecond)->Setup(settle); }

// C of the peer's call as C of ours: a benchmark of a wrong answer is worth nothing.
double largest_difference(const View& x, const std::vector<float>& y) {
  double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double d = std::abs(static_cast<double>(x.as<const float>()[i]) - static_cast<double>(y[i]));
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

void register_peers(const ErasedCase& c, const std::shared_ptr<Shared>& shared, std::vector<Peer>& peers, Queue& q, const Peak& peak, const std::string& shape) {
  const bool ta = shape.ends_with("_tn") || shape.ends_with("_tt"), tb = shape.ends_with("_nt") || shape.ends_with("_tt");
  for (Peer& p : peers) {
    const std::string name = "matmul/peer." + p.name + "/" + shape + "/f32/threads:" + std::to_string(q.threads());
    set_up(benchmark::RegisterBenchmark(name.c_str(), [&c, shared, &p, &q, &peak, ta, tb](benchmark::State& state) {
      const auto& v = shared->views();
      MatmulArgs a;
      const auto op = [](View x, bool swap) {
        if (swap) {
          std::swap(x.shape[1], x.shape[2]);
          std::swap(x.stride[1], x.stride[2]);
        }
        return x;
      };
      a.a = op(v[0], ta);
      a.b = op(v[1], tb);
      a.c = v[2];
      matmul_family().run(q, a);
      const std::vector<float> ours(a.c.as<const float>(), a.c.as<const float>() + a.c.numel());
      p.matmul(a);
      const double bound = 1e-6 * static_cast<double>(a.a.shape[2]);
      if (const double d = largest_difference(a.c, ours); !(d <= bound)) {
        state.SkipWithError(("answers differ by " + std::to_string(d)).c_str());
        return;
      }
      measure(state, c, DType::f32, peak, [&] { p.matmul(a); });
    }));
  }
}

void register_rows(std::vector<Spec>& specs, std::vector<Peer>& peers, Queue& q, const Peak& peak) {
  for (const Spec& s : specs)
    for (const ErasedCase& c : s.cases) {
      if (!c.bench) continue;
      for (const DType t : c.dtypes) {
        const auto shared = std::make_shared<Shared>(Shared{&c, t, nullptr});
        for (int r = 0; r < static_cast<int>(s.rows.size()); ++r) {
          const VariantInfo& row = s.rows[static_cast<std::size_t>(r)];
          if (!serves(row.backend, q.device().kind) || (row.name == "naive" && c.only_timed())) continue;  // minutes of plain loops
          const std::string name = std::string(s.family->name()) + "/" + std::string(row.name) + "/" + c.shape + "/" + std::string(name_of(t)) + "/threads:" + std::to_string(q.threads());
          set_up(benchmark::RegisterBenchmark(name.c_str(), [&c, shared, r, t, &q, &peak](benchmark::State& state) {
            const auto& v = shared->views();
            if (const Verdict ok = c.allowed(r, v); !ok) {
              state.SkipWithError(("refuses: " + ok.reason).c_str());
              return;
            }
            measure(state, c, t, peak, [&] { c.run(q, r, v); });
          }));
        }
        if (s.family->name() == "matmul" && t == DType::f32) register_peers(c, shared, peers, q, peak, c.shape);
      }
    }
}

// Console output, and the times of every row for the table of ratios.
class Reporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& r : runs)
      if (!r.error_occurred && r.run_type == Run::RT_Iteration) times_[r.run_name.function_name].push_back(r.GetAdjustedRealTime());
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
  static char interleave[] = "--benchmark_enable_random_interleaving=true", repeat[] = "--benchmark_repetitions=5", quick[] = "--benchmark_min_time=0.1";
  rest.insert(rest.begin() + 1, {interleave, repeat, quick});  // a caller's own, later, win
  int count = static_cast<int>(rest.size());
  benchmark::Initialize(&count, rest.data());
  if (benchmark::ReportUnrecognizedArguments(count, rest.data())) return 2;

  std::vector<std::string> missing;
  std::vector<Peer> peers = open_peers(threads, missing);
  Queue q(threads);
  const Peak peak = measure_peak(q);
  benchmark::AddCustomContext("threads", std::to_string(threads));
  benchmark::AddCustomContext("roofline_gflops_f32", std::to_string(peak.gflops));
  benchmark::AddCustomContext("roofline_gbps", std::to_string(peak.gbps));
  for (const auto& m : missing) benchmark::AddCustomContext("peer " + m, "not installed: left out");

  std::vector<Spec> specs = all_specs();
  register_rows(specs, peers, q, peak);
  Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  std::fprintf(stderr, "\nspeed over each peer, medians of this run (above 1: graft is faster)\n");
  reporter.print_ratios(stderr);
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace graft::bench

int main(int argc, char** argv) { return graft::bench::main_of(argc, argv); }
