// Comparisons, booleans, bits, choices, and changes of type.
#include <algorithm>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

// Before opset 7, as in ops_math.cpp.
OnnxValue aligned(const Call& c) {
  const OnnxValue &a = c.in(0), &b = c.in(1);
  if (c.opset >= 7 || c.attr("broadcast", 0) == 0 || b.tensor.rank() >= a.tensor.rank() || !c.has("axis")) return b;
  Shape shape = b.tensor.shape();
  while (shape.rank() + c.axis(c.attr("axis", 0), a.tensor.rank()) < a.tensor.rank()) shape.push_back(1);
  return {reshape(b.tensor, shape), b.type};
}

using Compare = Tensor (*)(const Tensor&, const Tensor&);
template <Compare F, bool (*G)(std::int64_t, std::int64_t)>
void compare(Call& c) {
  if (c.type(0) != c.type(1)) c.wrong("compares " + type_name(c.type(0)) + " with " + type_name(c.type(1)));
  const OnnxValue b = aligned(c);
  if (c.floats(0)) return c.out(F(c.x(0), cast(here(b.tensor), c.x(0).dtype())), kBool);
  // Moved by 2^63, unsigned numbers are in the order of signed ones.
  const std::int64_t bias = is_unsigned64(c.type(0)) ? std::numeric_limits<std::int64_t>::min() : 0;
  c.out(map_ints(c.in(0), b, kBool, [&](std::int64_t x, std::int64_t y) { return std::int64_t{G(x ^ bias, y ^ bias)}; }));
}
bool eq_whole(std::int64_t a, std::int64_t b) { return a == b; }
bool lt_whole(std::int64_t a, std::int64_t b) { return a < b; }
bool le_whole(std::int64_t a, std::int64_t b) { return a <= b; }
bool gt_whole(std::int64_t a, std::int64_t b) { return a > b; }
bool ge_whole(std::int64_t a, std::int64_t b) { return a >= b; }

using Bits = std::int64_t (*)(std::int64_t, std::int64_t);
std::int64_t and_bits(std::int64_t a, std::int64_t b) { return a & b; }
std::int64_t or_bits(std::int64_t a, std::int64_t b) { return a | b; }
std::int64_t xor_bits(std::int64_t a, std::int64_t b) { return a ^ b; }
template <Bits F, bool Boolean>
void bits(Call& c) {
  if (c.floats(0) || c.type(0) != c.type(1) || Boolean != (c.type(0) == kBool)) c.wrong("takes " + type_name(c.type(0)) + " and " + type_name(c.type(1)));
  c.out(map_ints(c.in(0), aligned(c), c.type(0), F));
}
void logical_no(Call& c) {
  if (c.type(0) != kBool) c.wrong("takes " + type_name(c.type(0)));
  c.out(map_ints(c.in(0), kBool, [](std::int64_t v) { return std::int64_t{!v}; }));
}
void bits_no(Call& c) {
  if (c.floats(0)) c.wrong("takes " + type_name(c.type(0)));
  c.out(map_ints(c.in(0), c.type(0), [](std::int64_t v) { return ~v; }));
}
void shift(Call& c) {
  const std::string direction = c.attr("direction", "");
  if (direction != "LEFT" && direction != "RIGHT") c.wrong("shifts bits in the direction '" + direction + "'");
  c.out(map_ints(c.in(0), c.in(1), c.type(0), [&](std::int64_t v, std::int64_t by) {
    const auto bits = static_cast<std::uint64_t>(v);
    if (by < 0 || by > 63) return std::int64_t{0};
    return static_cast<std::int64_t>(direction == "LEFT" ? bits << by : bits >> by);  // the types are unsigned, so zeros come in
  }));
}

void choose(Call& c) {
  if (c.type(0) != kBool) c.wrong("chooses by " + type_name(c.type(0)) + ", not by BOOL");
  if (c.type(1) != c.type(2)) c.wrong("chooses between " + type_name(c.type(1)) + " and " + type_name(c.type(2)));
  c.out(where(c.x(0), c.x(1), c.x(2)), c.type(1));
}
void is_infinite(Call& c) {
  const bool negative = c.attr("detect_negative", 1) != 0, positive = c.attr("detect_positive", 1) != 0;
  const Tensor x = c.x(0), zero = Tensor::scalar(0, x.dtype());
  Tensor y = isinf(x);
  if (!negative) y = logical_and(y, gt(x, zero));
  if (!positive) y = logical_and(y, lt(x, zero));
  c.out(y, kBool);
}
void is_not_number(Call& c) { c.out(isnan(c.x(0)), kBool); }

void cast_to(Call& c) {
  if (c.has("to")) {
    const OnnxAttribute* a = c.node.find("to");
    if (a->kind == OnnxAttribute::Kind::text) c.refuse("names its type by text, as opset 1 did");
  }
  c.out(cast_value(c.in(0), static_cast<int>(std::clamp<std::int64_t>(c.attr("to", 0), 0, 1000)), c));
}
void cast_like(Call& c) { c.out(cast_value(c.in(0), c.type(1), c)); }
void identity(Call& c) { c.out(c.in(0)); }

constexpr Operator kTable[] = {
    {"Equal", compare<eq, eq_whole>}, {"Less", compare<lt, lt_whole>}, {"LessOrEqual", compare<le, le_whole>}, {"Greater", compare<gt, gt_whole>},
    {"GreaterOrEqual", compare<ge, ge_whole>}, {"And", bits<and_bits, true>}, {"Or", bits<or_bits, true>}, {"Xor", bits<xor_bits, true>}, {"Not", logical_no},
    {"BitwiseAnd", bits<and_bits, false>}, {"BitwiseOr", bits<or_bits, false>}, {"BitwiseXor", bits<xor_bits, false>}, {"BitwiseNot", bits_no}, {"BitShift", shift},
    {"Where", choose}, {"IsInf", is_infinite}, {"IsNaN", is_not_number}, {"Cast", cast_to}, {"CastLike", cast_like}, {"Identity", identity},
};

}  // namespace

std::span<const Operator> logic_operators() { return kTable; }

}  // namespace graft::onnx
