// Random numbers. They are graft's own, from the run's seed and place, whatever seed the graph names; nobody's expected output can be
// compared with them.
#include <algorithm>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

int float_type(const Call& c, int otherwise) {
  const int type = static_cast<int>(std::clamp<std::int64_t>(c.attr("dtype", otherwise), 0, 100));
  if (!is_float_type(type)) c.refuse("draws numbers of " + type_name(type));
  return type;
}
void normal_of(Call& c, const Shape& shape, int type) {
  c.out(rand_normal(shape, c.attr("mean", 0.0), c.attr("scale", 1.0), c.random(), type_info(type)->held), type);
}
void uniform_of(Call& c, const Shape& shape, int type) {
  c.out(rand_uniform(shape, c.attr("low", 0.0), c.attr("high", 1.0), c.random(), type_info(type)->held), type);
}
void normal(Call& c) { normal_of(c, shape_of(c.list("shape"), c), float_type(c, kFloat)); }
void uniform(Call& c) { uniform_of(c, shape_of(c.list("shape"), c), float_type(c, kFloat)); }
void normal_like(Call& c) { normal_of(c, c.in(0).tensor.shape(), float_type(c, c.floats(0) ? c.type(0) : kFloat)); }
void uniform_like(Call& c) { uniform_of(c, c.in(0).tensor.shape(), float_type(c, c.floats(0) ? c.type(0) : kFloat)); }

void bernoulli(Call& c) {
  const Tensor p = c.x(0);
  const Tensor y = lt(rand_uniform(p.shape(), 0, 1, c.random()), cast(p, DType::f32));
  c.out(cast_value({y, kBool}, static_cast<int>(c.attr("dtype", c.type(0))), c));
}
void multinomial(Call& c) {  // by the largest of log p plus Gumbel's noise
  const Tensor log_p = c.x(0);
  const std::int64_t n = c.attr("sample_size", 1);
  if (log_p.rank() != 2) c.wrong("draws from " + log_p.str());
  const Shape shape = shape_of({log_p.size(0), n, log_p.size(1)}, c);
  const Tensor noise = neg(log(neg(log(rand_uniform(shape, 1e-12, 1, c.random())))));
  const Tensor y = argmax(add(unsqueeze(cast(log_p, DType::f32), 1), noise), 2);
  c.out(cast_value({y, kInt64}, static_cast<int>(c.attr("dtype", kInt32)), c));
}

constexpr Operator kTable[] = {
    {"RandomNormal", normal, "", true},   {"RandomNormalLike", normal_like, "", true},
    {"RandomUniform", uniform, "", true}, {"RandomUniformLike", uniform_like, "", true},
    {"Bernoulli", bernoulli, "", true},   {"Multinomial", multinomial, "", true},
};

}  // namespace

std::span<const Operator> random_operators() { return kTable; }

}  // namespace graft::onnx
