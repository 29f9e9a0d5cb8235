// Times that cannot be fooled. Candidates of one case (rows of a family's table, peers and a user's own among them) take turns in random
// order under Google Benchmark. A round has inputs of its own, from a seed nobody can foresee. A turn is a random number of timed calls:
// before each one inputs are stirred, outputs and scratch filled with NaN bytes; after each one 64 elements of the outputs are looked at;
// the last one, which no kernel can tell from the others, is held against the oracle, guards and inputs are checked, and outputs are read
// twice, some milliseconds apart. Processor time of threads that are not the queue's, and times below the roofline's floor, are refused. A
// candidate that is caught gets no time.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/spec.h"
#include "kernels/lab/machine.h"
#include "kernels/lab/oracle.h"
#include "kernels/lab/roofline.h"
#include "kernels/lab/stage.h"

namespace graft::lab {

struct Options {
  bool cold = false;                       // the caches hold nothing of the operands when a call begins
  double seconds = 0.3;                    // timed calls per row and run, about
  double noise = 0.02;                     // rounds go on until the median is known to this share of itself,
  int most_rounds = 24;                    // or until there were so many, or they took 20 times `seconds` per row: the row is noisy then
  std::optional<std::uint64_t> seed = {};  // to repeat a run; drawn from the system's entropy otherwise
};

// What is measured with: queue, roofline, options. One at a time in a process.
class Lab {
 public:
  Lab(Queue& q, Options options);
  Queue& queue() { return q_; }
  Queue& host() { return host_ ? *host_ : q_; }
  Roofline& roofline() { return roofline_; }
  Threads& threads() { return threads_; }
  const Options& options() const { return options_; }
  std::uint64_t seed() const { return seed_; }
  void flush();                // when options say cold
  void rest(bool after_peer);  // spinning workers of the last turn come to rest
  int least_rounds() const { return options_.seconds > 0 ? 6 : 3; }

 private:
  Queue& q_;
  Options options_;
  Threads threads_;
  std::optional<Queue> host_;
  Roofline roofline_;
  std::uint64_t seed_;
  std::optional<Flusher> flusher_;
  bool peer_ran_ = false;
};

struct Candidate {
  int row = 0;  // in the spec's rows
  std::string name;
  bool peer = false;            // another library: brings threads of its own
  std::string caught;           // why it gets no time; empty while it is honest
  std::vector<double> samples;  // s, every timed call
  std::vector<double> rounds;   // s, the median of each turn as the benchmark reported it
  std::vector<double> clocks;   // MHz after each turn
  std::vector<double> watts;
  double error = 0;  // largest error against the oracle
  int checked = 0;   // answers held against the oracle
  int calls = 1;     // timed calls per turn, on average
  std::uint64_t turns = 0;
};

class Contest {
 public:
  // trusted: rows from this index on came from outside
  Contest(Lab& lab, const Spec& spec, const ErasedCase& c, DType t, const std::vector<int>& rows, int trusted);
  ~Contest();
  const Spec& spec() const { return spec_; }
  const ErasedCase& work() const { return case_; }
  DType dtype() const { return dtype_; }
  std::vector<Candidate>& candidates() { return candidates_; }
  Work cost() const;
  std::string row_name(const Candidate& c) const;  // family/variant/shape/dtype/threads:N
  // One turn of a candidate in the given round; the median time of its calls in s, or nothing once it is caught.
  std::optional<double> turn(Candidate& c, std::uint64_t round);
  // A turn of one call without a time: checks the answer, and finds how many calls make a turn.
  void rehearse(Candidate& c);
  // A last turn of one call without a time, held against the oracle; needed where some rounds were not.
  void close(Candidate& c);
  bool asks_every_round() const;
  // Frees the operands; the next turn draws them again.
  void rest();

 private:
  struct Round;
  Round& round(std::uint64_t number);
  std::string after_turn(Candidate& c, Round& r, double slowest);
  std::optional<double> unrecorded_turn(Candidate& c, std::uint64_t number);
  Lab& lab_;
  const Spec& spec_;
  const ErasedCase& case_;
  DType dtype_;
  Oracle oracle_;
  std::vector<Candidate> candidates_;
  std::unique_ptr<Round> round_;
};

// What a row's limit says of a case whose operands are dense.
Verdict may_run(const Spec& spec, const ErasedCase& c, DType t, int row);
// Rows up to here are the family's own; peers and rows from a user's file come after them.
int trusted_rows(const Spec& spec, const std::string& outside = {});
// Rows that may take part: they serve the device and their limit says yes. `named` empty: all but the oracle, peers, and naive where it
// would take minutes. The row `against` takes part too.
std::vector<int> able(const Spec& spec, const ErasedCase& c, DType t, DeviceKind device, const std::vector<std::string>& named,
                      const std::string& against);

// Registers every candidate with Google Benchmark and runs rounds until the medians stand still.
void run_contest(Contest& contest, Lab& lab);
// To be called once before: starts Google Benchmark with random interleaving.
void start_benchmarks();

}  // namespace graft::lab
