// Who measures `ref`? Every row of a kernel family is compared with it, and it shares its formulas with most of them, so that an isnan that
// always said no would agree with itself. Here `ref` answers for NaN and infinities to PyTorch: tests/golden/nan/rules.txt, written by
// make.py beside it, which also says where graft's answers are others on purpose.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "kernels/copy/copy.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/loss/loss.h"
#include "kernels/pool/pool.h"
#include "kernels/reduce/reduce.h"
#include "kernels/softmax/softmax.h"

namespace graft {
namespace {

struct NanRule {
  std::string kind, op;
  std::vector<std::int64_t> sizes;
  std::vector<double> numbers;  // inputs one after the other, then what PyTorch answers
};
std::vector<NanRule> rules() {
  std::ifstream file(GRAFT_SOURCE_DIR "/tests/golden/nan/rules.txt");
  std::vector<NanRule> all;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    NanRule r;
    words >> r.kind >> r.op;
    r.sizes.resize(r.kind == "elementwise" || r.kind == "copy" ? 1 : 2);
    for (auto& n : r.sizes) words >> n;
    for (std::string w; words >> w;) r.numbers.push_back(std::strtod(w.c_str(), nullptr));  // which reads nan and inf; >> does not
    all.push_back(std::move(r));
  }
  return all;
}

// A dense tensor of a rule: f64 unless the kernel asks for something else.
struct NanBlock {
  View view;
  std::vector<double> memory;  // 8 bytes an element hold any dtype
  NanBlock(std::vector<std::int64_t> shape, DType t = DType::f64) {
    view = dense_view(nullptr, t, shape);
    memory.resize(static_cast<std::size_t>(view.numel()) + 1);
    view.data = memory.data();
  }
  NanBlock(std::vector<std::int64_t> shape, const double* from, DType t = DType::f64) : NanBlock(std::move(shape), t) {
    visit(t, [&]<class T>() {
      for (std::int64_t i = 0; i < view.numel(); ++i) {
        if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) view.as<T>()[i] = T(static_cast<float>(from[i]));
        else view.as<T>()[i] = static_cast<T>(from[i]);
      }
    });
  }
  double at(std::int64_t i) const {
    return visit(view.dtype, [&]<class T>() -> double {
      if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) return static_cast<float>(view.as<const T>()[i]);
      else return static_cast<double>(view.as<const T>()[i]);
    });
  }
};

template <class Args>
void run_ref(const Family<Args>& family, const Args& a) {
  Queue q(1);
  for (const auto& row : family.rows())
    if (row.name == "ref") return family.run_row(q, row, a);
  FAIL() << family.name() << " has no ref";
}

// got[0, n) against what PyTorch says from `first` on; finite numbers but for the last roundings
void compare(const NanRule& r, const NanBlock& got, std::size_t first) {
  const std::int64_t n = got.view.numel();
  ASSERT_GE(r.numbers.size(), first + static_cast<std::size_t>(n)) << r.kind << " " << r.op;
  const double eps = got.view.dtype == DType::f64 ? 1e-12 : 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double want = r.numbers[first + static_cast<std::size_t>(i)], is = got.at(i);
    const bool same = std::isnan(want)    ? std::isnan(is)
                      : std::isinf(want)  ? is == want
                      : std::isfinite(is) ? std::abs(is - want) <= eps * std::max(1.0, std::abs(want))
                                          : false;
    EXPECT_TRUE(same) << r.kind << " " << r.op << " element " << i << " is " << is << ", PyTorch says " << want;
  }
}

bool is_bool(ElementwiseOp op) {
  using E = ElementwiseOp;
  return op == E::logical_not || op == E::isnan || op == E::isinf || (op >= E::eq && op <= E::logical_xor);
}
void elementwise(const NanRule& r) {
  ElementwiseArgs a{};
  a.op = ElementwiseOp::kCount;
  for (int i = 0; i < static_cast<int>(ElementwiseOp::kCount); ++i)
    if (name_of(static_cast<ElementwiseOp>(i)) == r.op) a.op = static_cast<ElementwiseOp>(i);
  ASSERT_NE(a.op, ElementwiseOp::kCount) << r.op;
  const bool clamps = r.op == "clamp" || r.op == "clamp_grad", leaks = r.op == "leaky_relu" || r.op == "leaky_relu_grad";
  a.s0 = clamps ? -0.5 : leaks ? 0.01 : 1.5;
  a.s1 = 0.75;
  const std::int64_t n = r.sizes[0];
  const int count = arity(a.op);
  std::vector<NanBlock> in;
  for (int k = 0; k < count; ++k)
    in.emplace_back(std::vector{n}, &r.numbers[static_cast<std::size_t>(k * n)],
                    a.op == ElementwiseOp::where && k == 0 ? DType::b8 : DType::f64);
  for (int k = 0; k < count; ++k)
    a.in[k] = in[static_cast<std::size_t>(k)].view, a.in[k].data = in[static_cast<std::size_t>(k)].memory.data();
  NanBlock out({n}, is_bool(a.op) ? DType::b8 : DType::f64);
  a.out = out.view;
  run_ref(elementwise_family(), a);
  compare(r, out, static_cast<std::size_t>(count * n));
}

void reduce(const NanRule& r) {
  const std::int64_t n = r.sizes[0], m = r.sizes[1];
  for (int i = 0; i <= static_cast<int>(ReduceOp::sum_of_squares); ++i) {
    const auto op = static_cast<ReduceOp>(i);
    if (name_of(op) != r.op) continue;
    NanBlock in({n, m, 1}, r.numbers.data()), out({n, 1}, op == ReduceOp::argmax || op == ReduceOp::argmin ? DType::i64 : DType::f64);
    run_ref(reduce_family(), ReduceArgs{op, in.view, out.view});
    return compare(r, out, r.numbers.size() - static_cast<std::size_t>(n));
  }
  FAIL() << r.op;
}

void rows(const NanRule& r) {
  const std::int64_t n = r.sizes[0], m = r.sizes[1];
  const auto all = static_cast<std::size_t>(n * m);
  if (r.kind == "cumsum") {
    NanBlock in({n, m, 1}, r.numbers.data()), out({n, m, 1});
    run_ref(cumsum_family(), CumsumArgs{in.view, out.view});
    compare(r, out, all);
  } else if (r.kind == "sort") {
    NanBlock in({n, m}, r.numbers.data()), values({n, m}), indices({n, m}, DType::i64);
    run_ref(sort_family(), SortArgs{in.view, values.view, indices.view, r.op == "down"});
    compare(r, values, all);
    compare(r, indices, 2 * all);
  } else if (r.kind == "softmax") {
    NanBlock in({n, m}, r.numbers.data()), out({n, m});
    run_ref(softmax_family(), SoftmaxArgs{in.view, out.view, r.op == "log"});
    compare(r, out, all);
  } else if (r.kind == "cross_entropy") {
    NanBlock in({n, m}, r.numbers.data()), target({n}, &r.numbers[all], DType::i64), loss({n}), lse({n});
    run_ref(cross_entropy_family(),
            CrossEntropyArgs{.logits = in.view, .target = target.view, .class_weight = {}, .loss = loss.view, .lse = lse.view});
    compare(r, loss, all + static_cast<std::size_t>(n));
  } else {
    PoolGeometry g{.kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2};
    NanBlock in({1, 1, n, m}, r.numbers.data()), out({1, 1, n / 2, m / 2}), where({1, 1, n / 2, m / 2}, DType::i32);
    if (r.op == "max") {
      run_ref(max_pool_family(), MaxPoolArgs{in.view, out.view, where.view, g});
      compare(r, where, all + static_cast<std::size_t>(n * m / 4));
    } else {
      run_ref(avg_pool_family(), AvgPoolArgs{in.view, out.view, g});
    }
    compare(r, out, all);
  }
}

void copy(const NanRule& r) {
  const DType to = *parse_dtype(r.op);
  NanBlock in({r.sizes[0]}, r.numbers.data()), out({r.sizes[0]}, to);
  run_ref(copy_family(), CopyArgs{in.view, out.view});
  compare(r, out, static_cast<std::size_t>(r.sizes[0]));
}

TEST(NanRules, RefSaysWhatPyTorchSays) {
  std::set<std::string> seen;
  for (const NanRule& r : rules()) {
    seen.insert(r.kind == "elementwise" ? r.op : r.kind);
    if (r.kind == "elementwise") elementwise(r);
    else if (r.kind == "reduce") reduce(r);
    else if (r.kind == "copy") copy(r);
    else rows(r);
  }
  for (int i = 0; i < static_cast<int>(ElementwiseOp::kCount); ++i)
    if (const auto op = static_cast<ElementwiseOp>(i); arity(op) > 0) {
      EXPECT_TRUE(seen.count(std::string(name_of(op)))) << name_of(op) << " has no line in rules.txt";
    }
  for (const char* kind : {"reduce", "cumsum", "sort", "softmax", "cross_entropy", "pool", "copy"}) EXPECT_TRUE(seen.count(kind)) << kind;
}

// Where PyTorch is silent or says something else, and graft's headers speak.
TEST(NanRules, GraftsOwn) {
  const double odd[] = {NAN, INFINITY, -INFINITY, 300, -1.5, 1e300};
  const std::map<DType, std::vector<double>> integers = {{DType::i32, {0, 2147483647.0, -2147483648.0, 300, -1, 2147483647.0}},
                                                         {DType::u8, {0, 255, 0, 255, 0, 255}},
                                                         {DType::b8, {1, 1, 1, 1, 1, 1}}};
  for (const auto& [to, want] : integers) {  // copy.h: NaN becomes 0, the rest saturates
    NanBlock in({6}, odd), out({6}, to);
    run_ref(copy_family(), CopyArgs{in.view, out.view});
    for (std::int64_t i = 0; i < 6; ++i) EXPECT_EQ(out.at(i), want[static_cast<std::size_t>(i)]) << name_of(to) << " of " << odd[i];
  }
  // pool.h: a NaN wins, and of several the first
  const double window[] = {1, NAN, NAN, 3};
  NanBlock x({1, 1, 2, 2}, window), y({1, 1, 1, 1}), where({1, 1, 1, 1}, DType::i32);
  run_ref(max_pool_family(), MaxPoolArgs{x.view, y.view, where.view, {.kernel_h = 2, .kernel_w = 2}});
  EXPECT_TRUE(std::isnan(y.at(0)));
  EXPECT_EQ(where.at(0), 1);
  // loss.h: an ignored row has loss 0 and gradient 0, whatever its logits
  const double logits[] = {1, NAN, 2, 0, 1, 2}, targets[] = {-100, 1};
  NanBlock in({2, 3}, logits), target({2}, targets, DType::i64), loss({2}), lse({2}), dx({2, 3});
  CrossEntropyFusedArgs a{};
  a.logits = in.view, a.target = target.view, a.loss = loss.view, a.lse = lse.view, a.dlogits = dx.view;
  run_ref(cross_entropy_fused_family(), a);
  EXPECT_EQ(loss.at(0), 0);
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(dx.at(i), 0);
  EXPECT_GT(loss.at(1), 0);
}

}  // namespace
}  // namespace graft
