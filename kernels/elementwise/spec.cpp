#include "kernels/elementwise/functions.h"
#include "kernels/specs.h"

namespace graft {
namespace {

const std::vector<Layout> kAll = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};

struct Domain {
  Fill a = Fill::normal, b = Fill::normal, c = Fill::normal;
};
Domain domain(E op) {
  switch (op) {
    // clang-format off
    case E::sqrt: case E::rsqrt: case E::reciprocal: case E::log: case E::log1p: case E::pow_scalar: return {Fill::positive};
    case E::div: case E::floor_div: case E::mod: return {Fill::normal, Fill::positive};
    // clang-format on
    case E::pow: return {Fill::positive, Fill::normal};
    case E::where: return {Fill::boolean, Fill::normal, Fill::normal};
    default: return {};
  }
}
// Roundings of the naive row, in ulps of the largest result: one per operation, a libm function counted as two, argument roundings times
// the slope. The long chains are the gradients of gelu and mish.
double roundings(E op) {
  switch (op) {
    // clang-format off
    case E::gelu_grad: case E::gelu_tanh_grad: case E::mish_grad: case E::mish: case E::silu_grad: return 24;
    case E::gelu: case E::gelu_tanh: case E::softplus_grad: case E::hardswish_grad: return 12;
    case E::pow: case E::pow_scalar: return 8;
    // clang-format on
    default: return 6;
  }
}

std::string label(const std::vector<std::int64_t>& shape) {
  std::string s;
  for (auto n : shape) s += (s.empty() ? "" : "x") + std::to_string(n);
  return s.empty() ? "scalar" : s;
}

Case<ElementwiseArgs> make(E op, const std::vector<std::int64_t>& shape, Domain fills) {
  Case<ElementwiseArgs> c;
  c.shape = std::string(name_of(op)) + "_" + label(shape);
  const int n = arity(op);
  const Fill fill[3] = {fills.a, fills.b, fills.c};
  static const char* const names[3] = {"a", "b", "c"};
  for (int k = 0; k < n; ++k) {
    Operand o{.name = names[k], .shape = shape, .fill = fill[k], .limit = 100};
    if (op == E::where && k == 0) o.dtype = DType::b8;
    c.operands.push_back(o);
  }
  Operand out{.name = "out", .role = Role::out, .shape = shape};
  if (is_predicate(op)) out.dtype = DType::b8;
  c.operands.push_back(out);
  c.bind = [op, n](const std::vector<View>& v) {
    ElementwiseArgs a{};
    a.op = op;
    for (int k = 0; k < n; ++k) a.in[k] = v[static_cast<std::size_t>(k)];
    a.out = v[static_cast<std::size_t>(n)];
    a.s0 = op == E::clamp || op == E::clamp_grad ? -0.5 : op == E::leaky_relu || op == E::leaky_relu_grad ? 0.01 : 1.5;
    a.s1 = 0.75;
    return a;
  };
  double count = 1;
  for (auto s : shape) count *= static_cast<double>(s);
  c.flops = count;
  c.bytes_per_item = count * (n + 1);
  c.roundings = roundings(op);
  return c;
}

}  // namespace

std::vector<Spec> elementwise_specs() {
  std::vector<Case<ElementwiseArgs>> cases;
  for (int i = 0; i < static_cast<int>(E::kCount); ++i) {
    const E op = static_cast<E>(i);
    auto c = make(op, {7, 53}, domain(op));
    c.layouts = kAll;
    cases.push_back(c);
    for (const auto& shape : std::vector<std::vector<std::int64_t>>{{}, {0, 3}, {1000}}) cases.push_back(make(op, shape, domain(op)));
    if (takes_integers(op)) {
      Domain integers{Fill::index, Fill::index, Fill::index};
      if (op == E::where) integers.a = Fill::boolean;
      auto k = make(op, {5, 37}, integers);
      k.shape += "_int";
      k.dtypes = {DType::i64, DType::i32, DType::u8, DType::b8};
      if (op == E::logical_and || op == E::logical_or || op == E::logical_xor) k.dtypes = {DType::b8};
      for (auto& o : k.operands)
        if (o.fill == Fill::index) o.limit = 7;
      k.layouts = {Layout::dense, Layout::transposed};
      k.exact = true;
      cases.push_back(k);
    }
  }
  // what overflows, vanishes or is not a number
  for (E op : {E::exp, E::log, E::tanh, E::sigmoid, E::erf,   E::relu,  E::gelu, E::gelu_tanh, E::silu,  E::softplus, E::elu,      E::neg,
               E::abs, E::max, E::min,  E::clamp,   E::isinf, E::isnan, E::sign, E::floor,     E::round, E::scale,    E::relu_grad})
    for (Fill fill : {Fill::extreme, Fill::denormal, Fill::inf_rows}) {
      if (fill == Fill::inf_rows && (op == E::gelu || op == E::gelu_tanh || op == E::silu || op == E::softplus)) continue;  // -inf * 0
      auto c = make(op, {9, 33}, {fill, fill, fill});
      c.shape += fill == Fill::extreme ? "_extreme" : fill == Fill::denormal ? "_denormal" : "_inf";
      c.dtypes = {DType::f32, DType::f64};
      cases.push_back(c);
    }
  // every operation on NaN, infinities and numbers in all combinations: what C and PyTorch say of NaN, a row must not lose in a vector
  // minimum, a mask or a polynomial
  for (int i = 0; i < static_cast<int>(E::kCount); ++i) {
    const E op = static_cast<E>(i);
    if (arity(op) == 0) continue;
    auto c = make(op, {11, 53}, {op == E::where ? Fill::boolean : Fill::some_nan, Fill::some_nan, Fill::some_nan});
    c.shape += "_nan";
    c.layouts = {Layout::dense, Layout::sliced, Layout::stepped};
    cases.push_back(c);
  }
  // stretched operands, in place, and two inputs that are one
  for (E op : {E::add, E::mul, E::max}) {
    auto rows = make(op, {40, 33}, {});
    rows.shape += "_row";
    rows.operands[1].shape = {33};
    rows.bind = [op](const std::vector<View>& v) {
      ElementwiseArgs a{};
      a.op = op;
      a.in[0] = v[0];
      a.in[1] = v[0];
      a.in[1].data = v[1].data;
      a.in[1].stride[0] = 0;
      a.in[1].stride[1] = v[1].stride[0];
      a.out = v[2];
      return a;
    };
    rows.layouts = {Layout::dense, Layout::sliced};
    auto columns = rows;
    columns.shape = make(op, {40, 33}, {}).shape + "_column";
    columns.operands[1].shape = {40};
    columns.bind = [bind = rows.bind](const std::vector<View>& v) {
      ElementwiseArgs a = bind(v);
      std::swap(a.in[1].stride[0], a.in[1].stride[1]);
      return a;
    };
    auto in_place = make(op, {1003}, {});
    in_place.shape += "_in_place";
    in_place.operands[0].role = Role::inout;
    in_place.operands[2].alias_of = 0;
    cases.insert(cases.end(), {rows, columns, in_place});
    // runs of whole 16-byte packs
    auto pack_rows = rows, pack_columns = columns;
    pack_rows.shape = make(op, {40, 64}, {}).shape + "_row";
    pack_columns.shape = make(op, {40, 64}, {}).shape + "_column";
    for (auto* c : {&pack_rows, &pack_columns}) c->operands[0].shape = c->operands[2].shape = {40, 64};
    pack_rows.operands[1].shape = {64};
    cases.insert(cases.end(), {pack_rows, pack_columns});
  }
  for (E op : {E::add, E::relu, E::fma, E::where}) cases.push_back(make(op, {5003}, domain(op)));  // several blocks of packs and a tail
  for (E op : {E::add, E::relu, E::exp, E::gelu, E::relu_grad}) {
    auto big = make(op, {1 << 20}, domain(op));
    big.bench = true;
    big.dtypes = {DType::f32};
    cases.push_back(big);
  }
  return {make_spec(elementwise_family(), std::move(cases))};
}

}  // namespace graft
