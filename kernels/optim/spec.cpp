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
    {OptimKind::sgd, "sgd_momentum", true, false, false, [](OptimArgs& a) { a.momentum = 0.9; a.dampening = 0.1; a.step = 3; }},
    {OptimKind::sgd, "sgd_nesterov", true, false, false, [](OptimArgs& a) { a.momentum = 0.9; a.nesterov = true; a.grad_scale = 0.5; }},
    {OptimKind::adam, "adam", true, true, false, [](OptimArgs& a) { a.weight_decay = 0.1; a.step = 5; }},
    {OptimKind::adam, "amsgrad", true, true, true, [](OptimArgs& a) { a.amsgrad = true; a.maximize = true; a.step = 2; }},
    {OptimKind::adamw, "adamw", true, true, false, [](OptimArgs& a) { a.weight_decay = 0.1; }},
    {OptimKind::rmsprop, "rmsprop", false, true, false, [](OptimArgs& a) { a.beta2 = 0.99; }},
    {OptimKind::rmsprop, "rmsprop_momentum", true, true, false, [](OptimArgs& a) { a.beta2 = 0.99; a.momentum = 0.9; a.weight_decay = 0.01; }},
    {OptimKind::adagrad, "adagrad", false, true, false, [](OptimArgs& a) { a.lr_decay = 0.1; a.step = 7; a.eps = 1e-10; }},
    {OptimKind::lion, "lion", true, false, false, [](OptimArgs& a) { a.weight_decay = 0.1; a.beta2 = 0.99; }},
};

Case<OptimArgs> make(const Shape& s, std::int64_t n, bool master, bool narrow) {
  Case<OptimArgs> c;
  c.shape = std::string(s.name) + "_" + std::to_string(n) + (master ? "_master" : "");
  // states stay in f32 beside 16-bit weights
  const std::optional<DType> state = narrow ? std::optional(DType::f32) : std::nullopt;
  c.operands = {{.name = "param", .role = master ? Role::out : Role::inout, .shape = {n}, .dense_only = true},
                {.name = "grad", .shape = {n}, .dense_only = true},
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

}  // namespace

std::vector<Spec> optim_specs() {
  std::vector<Case<OptimArgs>> cases;
  for (const Shape& s : kShapes) {
    for (std::int64_t n : {std::int64_t{1}, std::int64_t{0}, std::int64_t{1003}, std::int64_t{40000}}) cases.push_back(make(s, n, false, false));
    cases.push_back(make(s, 300, true, true));
    cases.push_back(make(s, 301, false, true));
  }
  for (const Shape* s : {&kShapes[1], &kShapes[5]}) {
    auto big = make(*s, 1 << 20, false, false);
    big.bench = true;
    big.dtypes = {DType::f32};
    cases.push_back(big);
  }
  return {make_spec(optim_family(), std::move(cases))};
}

}  // namespace graft
