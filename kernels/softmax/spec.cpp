#include "kernels/softmax/softmax.h"
#include "kernels/specs.h"

namespace graft {
namespace {

using Dims = std::vector<std::int64_t>;
const std::vector<Layout> kAll = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};

Case<SoftmaxArgs> forward(const Dims& s, bool log, Fill fill = Fill::normal) {
  Case<SoftmaxArgs> c;
  c.shape = std::to_string(s[0]) + "x" + std::to_string(s[1]) + (log ? "_log" : "");
  c.operands = {{.name = "x", .shape = s, .fill = fill, .limit = s[1]}, {.name = "y", .role = Role::out, .shape = s}};
  c.bind = [log](const std::vector<View>& v) { return SoftmaxArgs{v[0], v[1], log}; };
  const double n = static_cast<double>(s[0] * s[1]);
  c.flops = 4 * n;
  c.bytes_per_item = 2 * n;
  c.roundings = static_cast<double>(s[1]) + 8;  // the sum, exp and the quotient
  return c;
}
Case<SoftmaxGradArgs> backward(const Dims& s, bool log, bool nan = false) {
  Case<SoftmaxGradArgs> c;
  c.shape = std::to_string(s[0]) + "x" + std::to_string(s[1]) + (log ? "_log" : "");
  c.operands = {{.name = "y", .shape = s, .fill = log ? Fill::normal : Fill::unit},
                {.name = "dy", .shape = s, .fill = nan ? Fill::rare_nan : Fill::normal, .limit = s[1]},
                {.name = "dx", .role = Role::out, .shape = s}};
  c.bind = [log](const std::vector<View>& v) { return SoftmaxGradArgs{v[0], v[1], v[2], log}; };
  const double n = static_cast<double>(s[0] * s[1]);
  c.flops = 4 * n;
  c.bytes_per_item = 3 * n;
  c.roundings = 4 * static_cast<double>(s[1]) + 8;
  return c;
}

}  // namespace

std::vector<Spec> softmax_specs() {
  std::vector<Case<SoftmaxArgs>> f;
  std::vector<Case<SoftmaxGradArgs>> b;
  for (bool log : {false, true}) {
    auto c = forward({7, 37}, log);
    c.layouts = kAll;
    f.push_back(c);
    auto g = backward({7, 37}, log);
    g.layouts = kAll;
    b.push_back(g);
    for (const Dims& s : std::vector<Dims>{{1, 1}, {0, 5}, {3, 0}, {5, 8}, {64, 10}, {3, 1000}, {2, 5003}}) {
      f.push_back(forward(s, log));
      b.push_back(backward(s, log));
    }
    for (Fill fill : {Fill::large_offset, Fill::equal, Fill::inf_rows, Fill::extreme, Fill::denormal}) {
      auto hard = forward({9, 41}, log, fill);
      hard.shape += "_fill" + std::to_string(static_cast<int>(fill));
      hard.dtypes = {DType::f32, DType::f64, DType::bf16};
      f.push_back(hard);
    }
    // a NaN or +inf makes its row NaN (inf - inf is in the sum), -inf among numbers is a probability of 0
    for (Fill fill : {Fill::some_nan, Fill::some_inf, Fill::rare_nan})
      for (const Dims& s : std::vector<Dims>{{30, 7}, {20, 41}, {4, 1501}}) {
        auto hard = forward(s, log, fill);
        hard.shape += fill == Fill::some_nan ? "_nans" : fill == Fill::some_inf ? "_infinities" : "_nan";
        f.push_back(hard);
      }
    for (const Dims& s : std::vector<Dims>{{20, 41}, {4, 1501}}) {
      auto hard = backward(s, log, true);
      hard.shape += "_nan";
      b.push_back(hard);
    }
    auto in_place = forward({9, 41}, log);
    in_place.shape += "_in_place";
    in_place.operands[0].role = Role::inout;
    in_place.operands[1].alias_of = 0;
    f.push_back(in_place);
    auto big = forward({4096, 1024}, log);
    big.bench = true;
    big.dtypes = {DType::f32};
    f.push_back(big);
    auto big_grad = backward({4096, 1024}, log);
    big_grad.bench = true;
    big_grad.dtypes = {DType::f32};
    b.push_back(big_grad);
  }
  for (const std::int64_t columns : {1024, 8192}) {
    f.push_back(forward({8192, columns}, false));
    b.push_back(backward({8192, columns}, false));
    f.back().large = b.back().large = true;
    f.back().dtypes = b.back().dtypes = {DType::f32, DType::bf16};
  }
  return {make_spec(softmax_family(), std::move(f)), make_spec(softmax_grad_family(), std::move(b))};
}

}  // namespace graft
