// What a family promises, as data: cases (operands, shapes, dtypes, layouts, hard inputs), cost (FLOPs, bytes) and how much rounding a
// plain loop may accumulate. From a Spec the harness derives tests, tolerances, benchmarks and what `graft kernels check` prints.
//
// Tolerance is derived, never set by hand. Let T be `ref` run in f64 on the very inputs (rounded to the case's dtype) and e(V) the
// largest |V - T|. The row named "naive" (plain loops in the same dtype, sums in its accumulation type) must keep, element by element,
//   |naive - T| <= roundings * eps(accum) * max|T| + ulps(T),   every other row   |V - T| <= 2 e(naive) + ulps(T),
// where ulps(T) is 4 ulp of the output dtype at T. max|T| and e(naive) are taken over 32 elements, or 16 draws of a case with fewer
// outputs: the worst of two sums is luck, and what a cancellation has left of a scalar is no measure for its roundings. An f64 output is
// held to the first bound by every row: there T is rounded as the row is, and e(naive) would measure nothing. Integer and bool outputs, and
// cases marked exact, must be equal bit for bit to `ref`. Comparisons are written so that a NaN fails them. A NaN or infinity in T must be
// met by the same. Outputs are filled with NaN bytes before, every byte outside an output (guards, holes of a strided layout, inputs) must
// be unchanged.
#pragma once
#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

enum class Fill {
  normal,        // N(0, 1)
  positive,      // uniform in [0.1, 2)
  unit,          // uniform in [0, 1)
  large_offset,  // 1000 + a spread of a few ulp at 1000: kills E[x^2] - E[x]^2
  equal,         // one value everywhere
  inf_rows,      // N(0, 1), every third row (last axis) all -inf
  denormal,      // subnormal magnitudes
  extreme,       // +-80: exp() of it must neither overflow nor vanish where the mathematics does not
  index,         // integers in [0, limit)
  boolean,       // 0 or 1
  zero,
  some_nan,  // N(0, 1), one in seven NaN, one in fourteen infinite (either sign)
  some_inf,  // N(0, 1), one in twenty infinite (either sign): rows of moderate length with none, one sign, both
  rare_nan,  // N(0, 1), one in `limit` NaN: rows that hold one, wherever it stands
  rare_inf,  // N(0, 1), one in `limit` infinite
  small,     // N(0, 1) times 2^-115: normal numbers, whose low bits alone would not be
};
enum class Role { in, out, inout };

struct Operand {
  std::string name;
  Role role = Role::in;
  std::vector<std::int64_t> shape;
  Fill fill = Fill::normal;
  std::optional<DType> dtype = {};                 // empty: the dtype of the case (f64 when the truth is computed)
  std::int64_t limit = 0;                          // for Fill::index, Fill::rare_nan and Fill::rare_inf
  int alias_of = -1;                               // same memory as that earlier operand (in-place cases)
  bool dense_only = false;                         // layouts leave this operand row-major
  std::function<void(const View&)> drawn_by = {};  // what `fill` cannot say; a function of positions alone. The memory is the host's
};

// How operands lie in memory. The harness applies each layout to every operand that is not dense_only.
enum class Layout {
  dense,
  misaligned,  // row-major, starting one element past a 64-byte boundary
  sliced,      // rows of a wider matrix: last axis dense, row stride padded
  transposed,  // last two axes swapped in memory
  stepped,     // every second element of the last axis
};
std::string_view name_of(Layout l);

template <class Args>
struct Case {
  std::string shape;  // "8x1024", as shown in tests and bench rows
  std::vector<Operand> operands;
  std::function<Args(const std::vector<View>&)> bind;  // views in operand order -> arguments
  double flops = 0, bytes_per_item = 0;                // bytes = bytes_per_item * size_of(dtype) + other_bytes
  double other_bytes = 0;
  double roundings = 1;  // longest chain of dependent roundings in the naive row
  std::vector<DType> dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16};
  std::vector<Layout> layouts = {Layout::dense};
  bool exact = false;  // outputs equal `ref` (in the same dtype) bit for bit
  bool bench = false;  // a benchmark shape: timed, and checked too where plain loops end in reasonable time
  bool large = false;  // a benchmark shape of a GPU, for which a CPU would take seconds a call; never checked by plain loops
};

// A case with its argument type erased; what the harness works on.
struct ErasedCase {
  std::string shape;
  std::vector<Operand> operands;
  double flops, bytes_per_item, other_bytes, roundings;
  std::vector<DType> dtypes;
  std::vector<Layout> layouts;
  bool exact, bench, large;
  std::function<Verdict(int row, const std::vector<View>&)> allowed;
  std::function<void(Queue&, int row, const std::vector<View>&)> run;
  // Plain loops would take seconds (matmul 2048^3): other cases of the family check what this one times.
  bool only_timed() const { return large || (bench && (flops > 2e8 || bytes_per_item > 3e6)); }
  // May it be timed on such a device?
  bool timed_on(DeviceKind d) const { return d == DeviceKind::cuda ? bench || large : bench && !large; }
};

struct Spec {
  const FamilyBase* family = nullptr;
  std::vector<VariantInfo> rows;
  std::vector<ErasedCase> cases;
};

template <class Args>
Spec make_spec(const Family<Args>& family, std::vector<Case<Args>> cases) {
  Spec s;
  s.family = &family;
  s.rows = family.variants();
  for (auto& c : cases) {
    ErasedCase e{c.shape, c.operands, c.flops, c.bytes_per_item, c.other_bytes, c.roundings, c.dtypes, c.layouts, c.exact, c.bench,
                 c.large, {},         {}};
    e.allowed = [&family, bind = c.bind](int row, const std::vector<View>& v) { return family.rows()[row].allowed(bind(v)); };
    e.run = [&family, bind = c.bind](Queue& q, int row, const std::vector<View>& v) { family.run_row(q, family.rows()[row], bind(v)); };
    s.cases.push_back(std::move(e));
  }
  return s;
}

// One output against what it should be, element by element; an element may differ by `allowance` and the ulps above.
struct Judgement {
  bool ok = true;
  std::string worst;         // "[3,4] is 1, wants 2 (error 1, 30 times the tolerance)"; empty when ok
  double largest_error = 0;  // of the elements that are finite on both sides
};
Judgement judge(const View& out, const std::vector<double>& expect, bool exact, double allowance);
std::vector<double> values_of(const View& v);          // row-major
double largest_of(const std::vector<double>& expect);  // the largest magnitude that is finite
// What the naive row, or an f64 row, may differ from T: roundings * eps(accum) * max|T|.
double a_priori_allowance(const ErasedCase& c, DType out, double largest);

struct CheckOptions {
  std::string variant;  // empty: every row that serves the queue's device, and `ref` as the oracle
  std::uint64_t seed = 1;
  bool verbose = false;  // every case to stderr
};
struct CheckReport {
  std::map<std::string, std::int64_t> ran, refused;  // per variant; a variant in `refused` only, never ran
  std::vector<std::string> failures;                 // one line each: variant, case, worst element, both values, seed
};
CheckReport check(const Spec& spec, Queue& q, const CheckOptions& options);

// Buffers of one case in one dtype and layout, filled from `seed`; guarded. Used by check and by the benches.
class Operands {
 public:
  // as_truth: operands that follow the case dtype are f64 and hold exactly the values that `dtype` would hold
  Operands(const ErasedCase& c, DType dtype, Layout layout, std::uint64_t seed, bool as_truth = false);
  const std::vector<View>& views() const { return views_; }
  // Empty when every byte outside the written operands is unchanged; else which operand was damaged.
  std::string damage() const;
  void poison_outputs();
  // The element at row-major position `from` of an operand written over the one at `to`, as if it had been drawn there; restart() undoes
  // that and all that kernels wrote. Returns where that is in the operand's buffer.
  std::size_t copy_element(std::size_t operand, std::int64_t from, std::int64_t to);
  void restart();
  const ErasedCase& work() const { return *case_; }
  // Everything an operand lies in, guards and all, and where its first element stands; empty for one that shares another's memory.
  std::span<std::byte> buffer(std::size_t operand) { return buffers_[operand].bytes; }
  std::size_t begin(std::size_t operand) const { return buffers_[operand].begin; }
  // Runs a row of the case. On a device other than the CPU the buffers, guards and all, are copied there first and back afterwards.
  void run(Queue& q, int row);

 private:
  struct Buffer {
    std::vector<std::byte> bytes, before;
    std::size_t begin = 0;
  };
  struct Change {
    std::size_t operand, at;
    std::array<std::byte, 8> old;
  };
  const ErasedCase* case_;
  std::vector<Change> changes_;
  std::vector<Buffer> buffers_;
  std::vector<View> views_;
};

}  // namespace graft
