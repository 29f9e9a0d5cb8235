#include "kernels/optim/optim.h"
#include "kernels/specs.h"

namespace graft {
namespace {

struct Shape {
  OptimKind kind;
  const char* name;
  bool m, v, v2;
  void (*set)(OptimArgs&);
};
const Shape kShapes[] = {
    {OptimKind::sgd, "sgd", false, false, false, [](OptimArgs& a) { a.weight_decay = 0.01; }},
    {OptimKind::sgd, "sgd_momentum", true, false, false,
     [](OptimArgs& a) {
       a.momentum = 0.9;
       a.dampening = 0.1;
       a.step = 3;
     }},
    {OptimKind::sgd, "sgd_nesterov", true, false, false,
     [](OptimArgs& a) {
       a.momentum = 0.9;
       a.nesterov = true;
       a.grad_scale = 0.5;
     }},
    {OptimKind::adam, "adam", true, true, false,
     [](OptimArgs& a) {
       a.weight_decay = 0.1;
       a.step = 5;
     }},
    {OptimKind::adam, "amsgrad", true, true, true,
     [](OptimArgs& a) {
       a.amsgrad = true;
       a.maximize = true;
       a.step = 2;
     }},
    {OptimKind::adamw, "adamw", true, true, false, [](OptimArgs& a) { a.weight_decay = 0.1; }},
    {OptimKind::rmsprop, "rmsprop", false, true, false, [](OptimArgs& a) { a.beta2 = 0.99; }},
    {OptimKind::rmsprop, "rmsprop_momentum", true, true, false,
     [](OptimArgs& a) {
       a.beta2 = 0.99;
       a.momentum = 0.9;
       a.weight_decay = 0.01;
     }},
    {OptimKind::adagrad, "adagrad", false, true, false,
     [](OptimArgs& a) {
       a.lr_decay = 0.1;
       a.step = 7;
       a.eps = 1e-10;
     }},
    {OptimKind::lion, "lion", true, false, false,
     [](OptimArgs& a) {
       a.weight_decay = 0.1;
       a.beta2 = 0.99;
     }},
};

Case<OptimArgs> make(const Shape& s, std::int64_t n, bool master, bool narrow, Fill grad = Fill::normal) {
  Case<OptimArgs> c;
  c.shape = std::string(s.name) + "_" + std::to_string(n) + (master ? "_master" : "") + (grad == Fill::some_nan ? "_nan" : "");
  // states stay in f32 beside 16-bit weights
  const std::optional<DType> state = narrow ? std::optional(DType::f32) : std::nullopt;
  c.operands = {
      {.name = "param", .role = master ? Role::out : Role::inout, .shape = {n}, .dense_only = true},
      {.name = "grad", .shape = {n}, .fill = grad, .dense_only = true},
      {.name = "m", .role = s.m ? Role::inout : Role::in, .shape = {n}, .dtype = state, .dense_only = true},
      {.name = "v", .role = s.v ? Role::inout : Role::in, .shape = {n}, .fill = Fill::positive, .dtype = state, .dense_only = true},
      {.name = "v2", .role = s.v2 ? Role::inout : Role::in, .shape = {n}, .fill = Fill::positive, .dtype = state, .dense_only = true},
      {.name = "master", .role = master ? Role::inout : Role::in, .shape = {n}, .dtype = state, .dense_only = true}};
  c.bind = [s, master](const std::vector<View>& v) {
    OptimArgs a{};
    a.kind = s.kind;
    a.param = v[0];
    a.grad = v[1];
    if (s.m) a.m = v[2];
    if (s.v) a.v = v[3];
    if (s.v2) a.v2 = v[4];
    if (master) a.master = v[5];
    a.lr = 0.01;
    s.set(a);
    return a;
  };
  const int streams = 3 + 2 * (s.m + s.v + s.v2);
  c.flops = 10.0 * static_cast<double>(n);
  c.bytes_per_item = static_cast<double>(streams * n);
  c.roundings = 40;
  c.dtypes = narrow ? std::vector{DType::bf16, DType::f16} : std::vector{DType::f32, DType::f64};
  return c;
}

// Tensors of these sizes, each with its five operands and a master copy where asked.
Case<OptimMultiArgs> make_multi(const Shape& s, const std::vector<std::int64_t>& sizes, bool master, bool narrow, bool from_memory,
                                Fill grad = Fill::normal) {
  Case<OptimMultiArgs> c;
  std::int64_t n = 0;
  for (std::int64_t k : sizes) n += k;
  c.shape = std::string(s.name) + "_" + std::to_string(sizes.size()) + "x" + std::to_string(n) + (master ? "_master" : "") +
            (from_memory ? "_scalars" : "") + (grad == Fill::some_nan ? "_nan" : "");
  const std::optional<DType> state = narrow ? std::optional(DType::f32) : std::nullopt;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    const auto add = [&](const char* name, Role role, Fill fill, std::optional<DType> dtype) {
      c.operands.push_back({.name = name + std::to_string(k), .role = role, .shape = {sizes[k]}, .fill = fill, .dtype = dtype});
    };
    add("param", master ? Role::out : Role::inout, Fill::normal, {});
    add("grad", Role::in, grad, {});
    add("m", s.m ? Role::inout : Role::in, Fill::normal, state);
    add("v", s.v ? Role::inout : Role::in, Fill::positive, state);
    add("v2", s.v2 ? Role::inout : Role::in, Fill::positive, state);
    add("master", master ? Role::inout : Role::in, Fill::normal, state);
  }
  // numbers of their own, so that a row that reads the rule's would differ
  c.operands.push_back({.name = "scalars", .shape = {kOptimScalars}, .fill = Fill::positive, .dtype = DType::f64, .dense_only = true});
  c.bind = [s, master, from_memory, count = sizes.size()](const std::vector<View>& v) {
    OptimMultiArgs a{};
    OptimArgs rule{};
    rule.kind = s.kind;
    rule.lr = 0.01;
    s.set(rule);
    static_cast<OptimRule&>(a) = rule;
    for (std::size_t k = 0; k < count; ++k) {
      const View* o = &v[6 * k];
      a.tensors.push_back({o[0], master ? o[5] : View{}, o[1], s.m ? o[2] : View{}, s.v ? o[3] : View{}, s.v2 ? o[4] : View{}});
    }
    if (from_memory) a.scalars = v[6 * count];
    return a;
  };
  const int streams = 3 + 2 * (s.m + s.v + s.v2);
  c.flops = 10.0 * static_cast<double>(n);
  c.bytes_per_item = static_cast<double>(streams * n);
  c.roundings = 40;
  c.dtypes = narrow ? std::vector{DType::bf16, DType::f16} : std::vector{DType::f32, DType::f64};
  return c;
}

std::vector<std::int64_t> repeated(std::size_t times, const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> all;
  for (std::size_t k = 0; k < times; ++k) all.insert(all.end(), sizes.begin(), sizes.end());
  return all;
}

Case<SumSquaresMultiArgs> make_squares(const std::vector<std::int64_t>& sizes, Fill fill) {
  Case<SumSquaresMultiArgs> c;
  std::int64_t n = 0;
  for (std::int64_t k : sizes) n += k;
  c.shape = std::to_string(sizes.size()) + "x" + std::to_string(n) +
            (fill == Fill::extreme    ? "_extreme"
             : fill == Fill::rare_nan ? "_nan"
             : fill == Fill::some_inf ? "_infinities"
                                      : "");
  for (std::size_t k = 0; k < sizes.size(); ++k)
    c.operands.push_back({.name = "x" + std::to_string(k), .shape = {sizes[k]}, .fill = fill, .limit = n});
  c.operands.push_back({.name = "out", .role = Role::out, .shape = {1}, .dtype = DType::f64, .dense_only = true});
  c.bind = [](const std::vector<View>& v) { return SumSquaresMultiArgs{{v.begin(), v.end() - 1}, v.back()}; };
  c.flops = 2.0 * static_cast<double>(n);
  c.bytes_per_item = static_cast<double>(n);
  c.roundings = static_cast<double>(n) + 8;
  c.layouts = {Layout::dense, Layout::misaligned};
  return c;
}

}  // namespace

std::vector<Spec> optim_specs() {
  std::vector<Case<OptimArgs>> cases;
  for (const Shape& s : kShapes) {
    for (std::int64_t n : {std::int64_t{1}, std::int64_t{0}, std::int64_t{1003}, std::int64_t{40000}})
      cases.push_back(make(s, n, false, false));
    cases.push_back(make(s, 300, true, true));
    cases.push_back(make(s, 301, false, true));
    cases.push_back(make(s, 1003, false, false, Fill::some_nan));  // in weight and states of that element, and in no other
    cases.push_back(make(s, 301, true, true, Fill::some_nan));
  }
  for (const Shape* s : {&kShapes[1], &kShapes[5]}) {
    auto big = make(*s, 1 << 20, false, false);
    big.bench = true;
    big.dtypes = {DType::f32};
    cases.push_back(big);
  }

  cases.push_back(make(kShapes[5], 1 << 26, false, false));
  cases.back().large = true;
  cases.back().dtypes = {DType::f32};

  std::vector<Case<OptimMultiArgs>> multi;
  const std::vector<std::int64_t> some = {1, 0, 1003, 40, 9000, 3};
  for (const Shape& s : kShapes) {
    multi.push_back(make_multi(s, some, false, false, false));
    multi.back().layouts = {Layout::dense, Layout::misaligned};
    // no tensor of one element: lr is of the weights' size here, and where the one update cancels the one weight there is no other to
    // measure errors by
    multi.push_back(make_multi(s, {5, 0, 1003, 40, 9000, 3}, false, false, true));
    multi.push_back(make_multi(s, {8, 0, 301}, true, true, true));
    multi.push_back(make_multi(s, {8, 301}, false, true, false));
    multi.push_back(make_multi(s, {8, 0, 301, 3}, false, false, false, Fill::some_nan));
  }
  multi.push_back(make_multi(kShapes[5], repeated(37, {3, 8, 0, 5}), false, false, true));  // more than two launches of 64
  multi.push_back(make_multi(kShapes[5], {1003, 40}, false, false, false));
  multi.back().layouts = {Layout::dense, Layout::stepped};
  multi.push_back(make_multi(kShapes[5], {}, false, false, false));
  for (const Shape* s : {&kShapes[1], &kShapes[5]}) {
    auto big = make_multi(*s, repeated(32, {64 * 64 * 9, 64, 64, 64}), false, false, false);  // a small convolutional network
    big.bench = true;
    big.dtypes = {DType::f32};
    multi.push_back(big);
  }

  std::vector<Case<SumSquaresMultiArgs>> squares = {make_squares({1, 0, 1003, 40, 20000, 3}, Fill::normal),
                                                    make_squares(repeated(70, {1, 8, 0, 5}), Fill::normal), make_squares({}, Fill::normal),
                                                    make_squares({100, 17}, Fill::extreme)};
  for (const std::int64_t n : {1, 3, 17, 1003, 20000})  // the norm is what tells a step of a NaN
    squares.push_back(make_squares({n, 5}, Fill::rare_nan));
  squares.push_back(make_squares({100, 17}, Fill::some_inf));
  squares.push_back(make_squares(repeated(32, {64 * 64 * 9, 64, 64, 64}), Fill::normal));
  squares.back().bench = true;
  squares.back().dtypes = {DType::f32};
  return {make_spec(optim_family(), std::move(cases)), make_spec(optim_multi_family(), std::move(multi)),
          make_spec(sum_squares_multi_family(), std::move(squares))};
}

}  // namespace graft
