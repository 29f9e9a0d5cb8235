#include "kernels/reduce/fold.h"
#include "kernels/specs.h"

namespace graft {
namespace {

const std::vector<Layout> kAll = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};
using Dims = std::vector<std::int64_t>;

std::string label(const Dims& s) { return std::to_string(s[0]) + "x" + std::to_string(s[1]) + "x" + std::to_string(s[2]); }

Case<ReduceArgs> make(R op, const Dims& s, Fill fill = Fill::normal) {
  Case<ReduceArgs> c;
  c.shape = std::string(name_of(op)) + "_" + label(s);
  Operand out{.name = "out", .role = Role::out, .shape = {s[0], s[2]}};
  Operand in{.name = "in", .shape = s, .fill = fill, .limit = fill == Fill::rare_nan ? s[1] : 50};
  if (op == R::any || op == R::all) in.dtype = out.dtype = DType::b8;
  if (is_index(op)) out.dtype = DType::i64;
  c.operands = {in, out};
  c.bind = [op](const std::vector<View>& v) { return ReduceArgs{op, v[0], v[1]}; };
  const double n = static_cast<double>(s[0] * s[1] * s[2]);
  c.flops = n;
  c.bytes_per_item = n + static_cast<double>(s[0] * s[2]);
  c.roundings = 4.0 * static_cast<double>(s[1]) + 4;  // sums of mixed signs: partial sums may be larger than the result
  if (op == R::any || op == R::all) c.dtypes = {DType::f32};
  if (is_extreme(op)) c.exact = true;
  return c;
}

}  // namespace

std::vector<Spec> reduce_specs() {
  std::vector<Case<ReduceArgs>> cases;
  for (R op : {R::sum, R::mean, R::prod, R::max, R::min, R::argmax, R::argmin, R::any, R::all, R::sum_of_squares}) {
    const Fill fill = op == R::any || op == R::all ? Fill::boolean : op == R::prod ? Fill::positive : Fill::normal;
    for (const Dims& s : std::vector<Dims>{{5, 67, 1}, {3, 19, 37}}) {
      auto c = make(op, s, fill);
      c.layouts = kAll;
      cases.push_back(c);
    }
    for (const Dims& s : std::vector<Dims>{{1, 1, 1}, {0, 4, 3}, {3, 4, 0}, {2, 1, 9}, {40, 3, 1}}) cases.push_back(make(op, s, fill));
    if (!is_extreme(op)) cases.push_back(make(op, {3, 0, 5}, fill));  // the neutral element; a mean of nothing is NaN
    if (op != R::prod) {
      cases.push_back(make(op, {1, 200000, 1}, fill));
      cases.push_back(make(op, {2, 2000, 130}, fill));
      cases.push_back(make(op, {2, 1301, 1}, fill));
    }
    if (op == R::sum || op == R::prod || is_extreme(op)) {
      auto k = make(op, {4, 33, 5}, Fill::index);
      k.shape += "_int";
      k.dtypes = {DType::i64, DType::i32, DType::u8};
      if (op == R::sum || op == R::prod) k.operands[1].dtype = DType::i64;
      k.exact = true;
      cases.push_back(k);
    }
  }
  for (R op : {R::max, R::min, R::argmax, R::argmin}) {
    auto bits = make(op, {3, 20, 4}, Fill::boolean);
    bits.shape += "_bool";
    bits.dtypes = {DType::b8};
    cases.push_back(bits);
    auto equal = make(op, {3, 70, 1}, Fill::equal);  // the first of equals
    equal.shape += "_equal";
    cases.push_back(equal);
    auto inf = make(op, {9, 5, 7}, Fill::inf_rows);
    inf.shape += "_inf";
    cases.push_back(inf);
  }
  // One NaN in an axis, wherever it stands: in a lane, a tail, a piece, behind a larger number; many of them, of which argmax and argmin
  // name the first; infinities, whose sum is NaN where both signs meet.
  for (R op : {R::sum, R::mean, R::prod, R::max, R::min, R::argmax, R::argmin, R::sum_of_squares}) {
    std::vector<Dims> shapes = {{200, 9, 1}, {40, 67, 1}, {3, 19, 37}};
    if (op != R::prod) {
      const std::vector<Dims> longer = {{7, 1301, 1}, {3, 40001, 1}, {2, 2001, 35}};
      shapes.insert(shapes.end(), longer.begin(), longer.end());
    }
    for (const Dims& s : shapes) {
      auto c = make(op, s, Fill::rare_nan);
      c.shape += "_nan";
      if (s[1] > 1000) c.dtypes = {DType::f32};  // the same folds: for each dtype the emulator would take seconds
      cases.push_back(c);
    }
    for (Fill fill : {Fill::some_nan, Fill::some_inf})
      for (const Dims& s : std::vector<Dims>{{31, 7, 1}, {9, 35, 1}, {9, 5, 21}}) {
        auto c = make(op, s, fill);
        c.shape += fill == Fill::some_nan ? "_nans" : "_infinities";
        cases.push_back(c);
      }
  }
  for (Fill fill : {Fill::large_offset, Fill::denormal}) {
    auto c = make(R::sum, {4, 999, 1}, fill);
    c.shape += fill == Fill::denormal ? "_denormal" : "_offset";
    c.dtypes = {DType::f32, DType::f64};
    cases.push_back(c);
  }
  for (R op : {R::sum, R::max}) {
    for (const Dims& s : std::vector<Dims>{{4096, 1024, 1}, {1, 4096, 1024}}) {
      auto c = make(op, s);
      c.bench = true;
      c.dtypes = {DType::f32};
      cases.push_back(c);
    }
  }

  std::vector<Case<CumsumArgs>> sums;
  for (const Dims& s :
       std::vector<Dims>{{3, 50, 1}, {2, 17, 9}, {1, 1, 1}, {0, 3, 2}, {2, 0, 3}, {1, 5000, 3}, {2, 1500, 1}, {1, 20001, 1}}) {
    Case<CumsumArgs> c;
    c.shape = label(s);
    c.operands = {{.name = "in", .shape = s, .limit = 50}, {.name = "out", .role = Role::out, .shape = s}};
    c.bind = [](const std::vector<View>& v) { return CumsumArgs{v[0], v[1]}; };
    c.flops = static_cast<double>(s[0] * s[1] * s[2]);
    c.bytes_per_item = 2 * c.flops;
    c.roundings = 4.0 * static_cast<double>(s[1]) + 4;
    c.layouts = kAll;
    sums.push_back(c);
    auto integers = c;
    integers.shape += "_int";
    integers.operands[0].fill = Fill::index;
    integers.dtypes = {DType::i64, DType::i32};
    integers.exact = true;
    sums.push_back(integers);
    // NaN from its place on, and not before
    c.shape = label(s) + "_nan";
    c.layouts = {Layout::dense};
    c.operands[0].fill = Fill::rare_nan;
    c.operands[0].limit = std::max<std::int64_t>(1, s[1]);
    sums.push_back(c);
    c.shape = label(s) + "_infinities";
    c.operands[0].fill = Fill::some_inf;
    sums.push_back(c);
  }

  std::vector<Case<SortArgs>> sorts;
  struct S {
    std::int64_t rows, n, k;
    Fill fill;
    bool descending;
  };
  for (const S& s : {S{5, 40, 40, Fill::normal, false}, S{5, 40, 40, Fill::normal, true}, S{5, 40, 3, Fill::normal, true},
                     S{3, 64, 5, Fill::index, true}, S{3, 64, 64, Fill::index, false}, S{3, 64, 7, Fill::equal, false},
                     S{6, 20, 20, Fill::inf_rows, false}, S{0, 4, 2, Fill::normal, false}, S{4, 1, 1, Fill::normal, true},
                     S{2, 0, 0, Fill::normal, false}, S{3, 5, 0, Fill::normal, false}, S{300, 100, 10, Fill::normal, true},
                     S{2, 600, 600, Fill::normal, true}, S{2, 2500, 2500, Fill::normal, false}, S{1, 2100, 50, Fill::index, true},
                     // NaN is the largest, and NaNs keep their order
                     S{7, 41, 41, Fill::some_nan, false}, S{7, 41, 41, Fill::some_nan, true}, S{7, 41, 5, Fill::some_nan, false},
                     S{7, 41, 10, Fill::some_nan, true}, S{40, 9, 9, Fill::rare_nan, false}, S{40, 9, 2, Fill::rare_nan, true},
                     S{1, 2501, 2501, Fill::some_nan, false}, S{1, 2501, 2501, Fill::some_nan, true}}) {
    Case<SortArgs> c;
    c.shape = std::to_string(s.rows) + "x" + std::to_string(s.n) + "_k" + std::to_string(s.k) + (s.descending ? "_down" : "") +
              (s.fill == Fill::index      ? "_ties"
               : s.fill == Fill::equal    ? "_equal"
               : s.fill == Fill::inf_rows ? "_inf"
               : s.fill == Fill::some_nan ? "_nans"
               : s.fill == Fill::rare_nan ? "_nan"
                                          : "");
    c.operands = {{.name = "in", .shape = {s.rows, s.n}, .fill = s.fill, .limit = 6},
                  {.name = "values", .role = Role::out, .shape = {s.rows, s.k}},
                  {.name = "indices", .role = Role::out, .shape = {s.rows, s.k}, .dtype = DType::i64}};
    c.bind = [down = s.descending](const std::vector<View>& v) { return SortArgs{v[0], v[1], v[2], down}; };
    c.flops = static_cast<double>(s.rows * s.n);
    c.bytes_per_item = c.flops;
    c.exact = true;
    c.layouts = {Layout::dense, Layout::sliced, Layout::stepped};
    if (s.n > 2000) c.layouts = {Layout::dense};  // the emulator takes seconds for each
    if (s.fill == Fill::index) c.dtypes = {kAllDTypes, kAllDTypes + 7};
    sorts.push_back(c);
  }
  return {make_spec(reduce_family(), std::move(cases)), make_spec(cumsum_family(), std::move(sums)),
          make_spec(sort_family(), std::move(sorts))};
}

}  // namespace graft
