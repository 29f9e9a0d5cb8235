#include "kernels/random/random.h"
#include "kernels/specs.h"

namespace graft {

std::vector<Spec> random_specs() {
  // beyond 2^32, so that a row that drops the upper half is seen
  const Operand offset{
      .name = "offset", .shape = {2}, .fill = Fill::index, .dtype = DType::i64, .limit = std::int64_t{1} << 40, .dense_only = true};
  std::vector<Case<RandomArgs>> draws;
  struct Kind {
    RandomKind kind;
    const char* name;
    double a, b;
    bool integers;
  };
  for (const Kind& k : {Kind{RandomKind::uniform, "uniform", -2, 3, false}, Kind{RandomKind::normal, "normal", 1, 0.5, false},
                        Kind{RandomKind::bernoulli, "bernoulli", 0.3, 0, false},
                        Kind{RandomKind::bernoulli, "bernoulli_bits", 0.3, 0, true}, Kind{RandomKind::integer, "integer", -7, 50, true}})
    for (std::int64_t n : {std::int64_t{1003}, std::int64_t{1}, std::int64_t{0}, std::int64_t{20000}}) {
      Case<RandomArgs> c;
      c.shape = std::string(k.name) + "_" + std::to_string(n);
      c.operands = {{.name = "out", .role = Role::out, .shape = {n}, .dense_only = true}};
      c.bind = [k](const std::vector<View>& v) {
        return RandomArgs{k.kind, v[0], k.a, k.b, 0x123456789abcdefull, 42, 0xfffffffeull};  // the position passes 2^32
      };
      c.bytes_per_item = static_cast<double>(n);
      c.exact = true;
      if (n == 1003) {
        auto moved = c;
        moved.shape += "_offset";
        moved.operands.push_back(offset);
        moved.bind = [k](const std::vector<View>& v) { return RandomArgs{k.kind, v[0], k.a, k.b, 0x123456789abcdefull, 42, 17, v[1]}; };
        if (k.integers) moved.dtypes = {DType::i64};
        draws.push_back(moved);
      }
      if (k.integers)
        c.dtypes = k.kind == RandomKind::integer ? std::vector{DType::i64, DType::i32} : std::vector{DType::b8, DType::u8, DType::i64};
      draws.push_back(c);
    }
  for (const auto& [kind, name] : {std::pair{RandomKind::uniform, "uniform"}, std::pair{RandomKind::normal, "normal"}}) {
    Case<RandomArgs> c;
    c.shape = std::string(name) + "_1048576";
    c.operands = {{.name = "out", .role = Role::out, .shape = {1 << 20}, .dense_only = true}};
    c.bind = [kind](const std::vector<View>& v) { return RandomArgs{kind, v[0], 0, 1, 7, 3, 0}; };
    c.bytes_per_item = 1 << 20;
    c.exact = true;
    c.dtypes = {DType::f32};
    c.bench = true;
    draws.push_back(std::move(c));
  }
  std::vector<Case<DropoutArgs>> drops;
  for (double p : {0.0, 0.25, 0.5, 0.9, 1.0})
    for (std::int64_t n : {std::int64_t{1003}, std::int64_t{1}, std::int64_t{0}, std::int64_t{70000}}) {
      Case<DropoutArgs> c;
      c.shape = "p" + std::to_string(p).substr(0, 4) + "_" + std::to_string(n);
      c.operands = {{.name = "x", .shape = {n}, .dense_only = true}, {.name = "y", .role = Role::out, .shape = {n}, .dense_only = true}};
      c.bind = [p](const std::vector<View>& v) { return DropoutArgs{v[0], v[1], p, 7, 3, 0xfffffff0ull}; };
      c.flops = static_cast<double>(n);
      c.bytes_per_item = 2.0 * static_cast<double>(n);
      c.roundings = 2;
      drops.push_back(c);
      if (n == 1003) {
        c.shape += "_offset";
        c.operands.push_back(offset);
        c.bind = [p](const std::vector<View>& v) { return DropoutArgs{v[0], v[1], p, 7, 3, 5, v[2]}; };
        drops.push_back(c);
      }
    }
  auto big = drops.back();
  big.shape = "p0.50_1048576";
  for (auto& o : big.operands) o.shape = {1 << 20};
  big.bind = [](const std::vector<View>& v) { return DropoutArgs{v[0], v[1], 0.5, 7, 3, 0}; };
  big.flops = 1 << 20;
  big.bytes_per_item = 2.0 * (1 << 20);
  big.dtypes = {DType::f32};
  big.bench = true;
  drops.push_back(big);
  return {make_spec(random_family(), std::move(draws)), make_spec(dropout_family(), std::move(drops))};
}

}  // namespace graft
