#include "kernels/bias_act/bias_act.h"
#include "kernels/specs.h"

namespace graft {
namespace {

const char* name_of(ActKind act) {
  switch (act) {
    case ActKind::none: return "none";
    case ActKind::relu: return "relu";
    case ActKind::gelu: return "gelu";
    case ActKind::silu: return "silu";
  }
  return "?";
}

struct Shape {
  ActKind act;
  std::int64_t outer, channels, inner = 1;
  bool bias = true, residual = true;
  double p = 0.3;
  bool offset = false, in_place = false, bench = false;
  Fill fill = Fill::normal;
  std::string name() const {
    std::string s = std::string(name_of(act)) + "_" + std::to_string(outer) + "x" + std::to_string(channels) + "x" + std::to_string(inner);
    if (!bias) s += "_nobias";
    if (!residual) s += "_noresidual";
    if (p == 0) s += "_nodrop";
    if (p == 1) s += "_alldrop";
    if (offset) s += "_offset";
    if (in_place) s += "_inplace";
    if (fill != Fill::normal) s += fill == Fill::some_nan ? "_nan" : "_extreme";
    return s;
  }
};

template <class Args>
void random_of(Args& a, const Shape& s, const View& offset) {
  a.act = s.act;
  a.p = s.p;
  a.seed = 7;
  a.stream = 3;
  a.position = 0xfffffff0ull;  // passes 2^32
  if (s.offset) a.offset = offset;
}

}  // namespace

std::vector<Spec> bias_act_specs() {
  using enum ActKind;
  std::vector<Case<BiasActArgs>> forward;
  std::vector<Case<BiasActGradArgs>> backward;
  for (const Shape& s : std::vector<Shape>{{.act = none, .outer = 7, .channels = 37},
                                           {.act = relu, .outer = 7, .channels = 37},
                                           {.act = gelu, .outer = 7, .channels = 37},
                                           {.act = silu, .outer = 7, .channels = 37, .offset = true},
                                           {.act = gelu, .outer = 40, .channels = 64},
                                           {.act = relu, .outer = 3, .channels = 5, .inner = 64},
                                           {.act = silu, .outer = 3, .channels = 5, .inner = 49, .in_place = true},
                                           {.act = gelu, .outer = 9, .channels = 120, .p = 0},
                                           {.act = relu, .outer = 9, .channels = 8, .inner = 25, .residual = false},
                                           {.act = silu, .outer = 1, .channels = 1003, .bias = false},
                                           {.act = none, .outer = 1, .channels = 2, .bias = false, .residual = false},
                                           {.act = relu, .outer = 4, .channels = 16, .p = 1},
                                           {.act = gelu, .outer = 0, .channels = 3, .inner = 2},
                                           {.act = none, .outer = 1, .channels = 1},
                                           {.act = gelu, .outer = 5, .channels = 11, .p = 0, .fill = Fill::extreme},
                                           {.act = silu, .outer = 5, .channels = 11, .fill = Fill::extreme},
                                           // what is dropped is 0 also where it was NaN or infinite, what is kept passes the activation
                                           {.act = none, .outer = 5, .channels = 37, .fill = Fill::some_nan},
                                           {.act = relu, .outer = 5, .channels = 37, .fill = Fill::some_nan},
                                           {.act = relu, .outer = 5, .channels = 3, .inner = 25, .p = 0, .fill = Fill::some_nan},
                                           {.act = gelu, .outer = 5, .channels = 37, .fill = Fill::some_nan},
                                           {.act = silu, .outer = 9, .channels = 64, .fill = Fill::some_nan},
                                           {.act = relu, .outer = 4, .channels = 16, .p = 1, .fill = Fill::some_nan},
                                           {.act = gelu, .outer = 1024, .channels = 1024, .p = 0.1, .bench = true}}) {
    const double n = static_cast<double>(s.outer * s.channels * s.inner);
    const std::vector<std::int64_t> all = {s.outer, s.channels, s.inner};
    const Operand x{.name = "x", .shape = all, .fill = s.fill}, bias{.name = "bias", .shape = {s.channels}};
    const Operand offset{
        .name = "offset", .shape = {2}, .fill = Fill::index, .dtype = DType::i64, .limit = std::int64_t{1} << 40, .dense_only = true};
    const auto cost = [&](auto& c, double flops, double streams) {
      c.shape = s.name();
      c.flops = flops * n;
      c.bytes_per_item = streams * n;
      c.roundings = 40;
      if (s.fill == Fill::extreme) c.roundings += 80;  // exp of a sum up to 80: its rounding times 80
      c.layouts = s.bench ? std::vector{Layout::dense} : std::vector{Layout::dense, Layout::misaligned};
      c.bench = s.bench;
      if (s.bench) c.dtypes = {DType::f32};
    };

    Case<BiasActArgs> f;
    f.operands = {x, bias, {.name = "residual", .shape = all}, {.name = "y", .role = Role::out, .shape = all}, offset};
    if (s.in_place) {
      f.operands[2].role = Role::inout;
      f.operands[3].alias_of = 2;
    }
    f.bind = [s](const std::vector<View>& v) {
      BiasActArgs a{.x = v[0], .y = v[3]};
      if (s.bias) a.bias = v[1];
      if (s.residual) a.residual = v[2];
      random_of(a, s, v[4]);
      return a;
    };
    cost(f, 12, s.residual ? 3 : 2);
    forward.push_back(f);

    Case<BiasActGradArgs> b;
    b.operands = {x,
                  bias,
                  {.name = "dy", .shape = all, .fill = s.fill == Fill::some_nan ? s.fill : Fill::normal},
                  {.name = "dx", .role = Role::out, .shape = all},
                  offset};
    if (s.in_place) {
      b.operands[2].role = Role::inout;
      b.operands[3].alias_of = 2;
    }
    b.bind = [s](const std::vector<View>& v) {
      BiasActGradArgs a{.dy = v[2], .dx = v[3]};
      if (s.act != none) a.x = v[0];
      if (s.bias) a.bias = v[1];
      random_of(a, s, v[4]);
      return a;
    };
    cost(b, 16, s.act == none ? 2 : 3);
    backward.push_back(b);
  }
  return {make_spec(bias_act_family(), std::move(forward)), make_spec(bias_act_grad_family(), std::move(backward))};
}

}  // namespace graft
