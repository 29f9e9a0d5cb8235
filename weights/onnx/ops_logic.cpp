// Comparisons, booleans, bits, choices, and changes of type.
#include <algorithm>
#include <cstring>
#include <limits>

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
  if (c.floats(0) || c.type(0) != c.type(1) || Boolean != (c.type(0) == kBool))
    c.wrong("takes " + type_name(c.type(0)) + " and " + type_name(c.type(1)));
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
  if (c.floats(0) || c.type(1) != c.type(0)) c.wrong("shifts " + type_name(c.type(0)) + " by " + type_name(c.type(1)));
  const int width = type_info(c.type(0))->bits;
  const bool big = is_unsigned64(c.type(0)), left = direction == "LEFT";
  c.out(map_ints(c.in(0), c.in(1), c.type(0), [&](std::int64_t v, std::int64_t by) -> std::int64_t {
    if (by < 0 || by >= width) return !left && !big && v < 0 ? -1 : 0;  // all that is left is the sign
    if (left) return static_cast<std::int64_t>(static_cast<std::uint64_t>(v) << by);
    return big ? static_cast<std::int64_t>(static_cast<std::uint64_t>(v) >> by) : v >> by;
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

// The same bits as another type of the same width.
void bit_cast(Call& c) {
  const int to = static_cast<int>(std::clamp<std::int64_t>(c.attr("to", 0), 0, 1000)), from = c.type(0);
  const TypeInfo* info = type_info(to);
  if (!info || !info->computes) c.refuse("reads bits as " + type_name(to));
  if (info->bits != type_info(from)->bits) c.wrong("reads " + type_name(from) + " as " + type_name(to) + ", which is of another width");
  if (to == from) return c.out(c.in(0));
  const Tensor x = contiguous(c.x(0)).to(Device{});
  const std::int64_t n = x.numel();
  if (!is_float_type(from) && !is_float_type(to)) return c.out(map_ints(c.in(0), to, [](std::int64_t v) { return v; }));
  const bool same_held = size_of(info->held) == size_of(x.dtype());
  if (same_held) {
    const Tensor y = Tensor::empty(x.shape(), info->held, Device{});
    if (n) std::memcpy(y.raw(), x.raw(), static_cast<std::size_t>(x.bytes()));
    return c.out(is_float_type(to) ? here(y) : y, to);
  }
  // Integers of 16 or 32 bits are held wider than the floats of their width.
  const std::size_t width = static_cast<std::size_t>(info->bits) / 8;
  if (is_float_type(from)) {
    std::vector<std::int64_t> v(static_cast<std::size_t>(n), 0);
    for (std::size_t i = 0; i < v.size(); ++i) std::memcpy(&v[i], static_cast<const std::byte*>(x.raw()) + i * width, width);
    return c.out(from_ints(v, x.shape(), to));
  }
  const std::vector<std::int64_t> v = ints_of(c.in(0));
  const Tensor y = Tensor::empty(x.shape(), info->held, Device{});
  for (std::size_t i = 0; i < v.size(); ++i) std::memcpy(static_cast<std::byte*>(y.raw()) + i * width, &v[i], width);
  c.out(here(y), to);
}
void identity(Call& c) { c.out(c.in(0)); }

constexpr Operator kTable[] = {
    {"Equal", compare<eq, eq_whole>},
    {"Less", compare<lt, lt_whole>},
    {"LessOrEqual", compare<le, le_whole>},
    {"Greater", compare<gt, gt_whole>},
    {"GreaterOrEqual", compare<ge, ge_whole>},
    {"And", bits<and_bits, true>},
    {"Or", bits<or_bits, true>},
    {"Xor", bits<xor_bits, true>},
    {"Not", logical_no},
    {"BitwiseAnd", bits<and_bits, false>},
    {"BitwiseOr", bits<or_bits, false>},
    {"BitwiseXor", bits<xor_bits, false>},
    {"BitwiseNot", bits_no},
    {"BitShift", shift},
    {"Where", choose},
    {"IsInf", is_infinite},
    {"IsNaN", is_not_number},
    {"Cast", cast_to},
    {"CastLike", cast_like},
    {"BitCast", bit_cast},
    {"Identity", identity},
};

}  // namespace

std::span<const Operator> logic_operators() { return kTable; }

}  // namespace graft::onnx
