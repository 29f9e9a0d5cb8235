// The differentiable functions. Shapes broadcast at the last axis and dtypes promote as PyTorch's do, unless said otherwise. Every function
// throws Error(usage) that names op, argument, shapes, dtypes and the rule. Each op is declared, with forward, backward and gradient cases,
// in the .cpp of its group; engine/ops/catalog.h lists them.
#pragma once
#include <optional>
#include <type_traits>

#include "engine/tensor/tensor.h"
#include "kernels/bias_act/bias_act.h"
#include "kernels/conv/conv.h"
#include "kernels/pool/pool.h"

namespace graft {

// A number beside a tensor: whether it was written as an integer decides if an integer tensor stays one.
struct Scalar {
  double value;
  bool integer;
  template <class T>
  requires std::is_arithmetic_v<T> Scalar(T v) : value(static_cast<double>(v)), integer(std::is_integral_v<T>) {}
};

// ---- pointwise.cpp ----
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);        // true division: integers give f32
Tensor floor_div(const Tensor& a, const Tensor& b);  // no gradient
Tensor mod(const Tensor& a, const Tensor& b);        // Python's sign: a - b * floor(a / b)
Tensor pow(const Tensor& a, const Tensor& b);
Tensor maximum(const Tensor& a, const Tensor& b);  // ties share the gradient equally, as PyTorch
Tensor minimum(const Tensor& a, const Tensor& b);
Tensor atan2(const Tensor& a, const Tensor& b);
Tensor add(const Tensor& a, Scalar b);
Tensor sub(const Tensor& a, Scalar b);
Tensor sub(Scalar a, const Tensor& b);
Tensor mul(const Tensor& a, Scalar b);
Tensor div(const Tensor& a, Scalar b);
Tensor div(Scalar a, const Tensor& b);
Tensor pow(const Tensor& a, Scalar exponent);
Tensor neg(const Tensor& x);
Tensor abs(const Tensor& x);
Tensor sign(const Tensor& x);
Tensor square(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor expm1(const Tensor& x);
Tensor log(const Tensor& x);
Tensor log1p(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor erf(const Tensor& x);
Tensor floor(const Tensor& x);
Tensor ceil(const Tensor& x);
Tensor round(const Tensor& x);  // half to even
Tensor relu(const Tensor& x);
Tensor gelu(const Tensor& x, bool tanh_form = false);
Tensor silu(const Tensor& x);
Tensor softplus(const Tensor& x);
Tensor elu(const Tensor& x, double alpha = 1);
Tensor leaky_relu(const Tensor& x, double slope = 0.01);
Tensor hardswish(const Tensor& x);
Tensor mish(const Tensor& x);
Tensor clamp(const Tensor& x, double low, double high);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor eq(const Tensor& a, const Tensor& b);
Tensor ne(const Tensor& a, const Tensor& b);
Tensor lt(const Tensor& a, const Tensor& b);
Tensor le(const Tensor& a, const Tensor& b);
Tensor gt(const Tensor& a, const Tensor& b);
Tensor ge(const Tensor& a, const Tensor& b);
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_xor(const Tensor& a, const Tensor& b);
Tensor logical_not(const Tensor& x);
Tensor isnan(const Tensor& x);
Tensor isinf(const Tensor& x);
Tensor cast(const Tensor& x, DType dtype);  // identity when it has that dtype

// ---- views.cpp: results share storage wherever strides allow ----
Tensor reshape(const Tensor& x, const Shape& shape);  // one size may be -1
Tensor permute(const Tensor& x, const std::vector<int>& axes);
Tensor transpose(const Tensor& x, int a = -2, int b = -1);
Tensor expand(const Tensor& x, const Shape& shape);  // stretches axes of size 1
Tensor squeeze(const Tensor& x, int axis);
Tensor unsqueeze(const Tensor& x, int axis);
Tensor flatten(const Tensor& x, int first = 0, int last = -1);
// x[start:stop:step] along an axis, Python's rules: negative counts from the end, step may be negative, out of range is clipped.
inline constexpr std::int64_t kEnd = INT64_MAX;
Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t stop = kEnd, std::int64_t step = 1);
Tensor select(const Tensor& x, int axis, std::int64_t index);  // removes the axis
Tensor flip(const Tensor& x, const std::vector<int>& axes);
Tensor diagonal(const Tensor& x, int a = 0, int b = 1);  // of axes a and b, as the last axis
Tensor contiguous(const Tensor& x);                      // itself when it is row-major
Tensor clone(const Tensor& x);
Tensor cat(const Tensors& xs, int axis = 0);
Tensor stack(const Tensors& xs, int axis = 0);
Tensors split(const Tensor& x, std::int64_t size, int axis = 0);
Tensor pad(const Tensor& x, const std::vector<std::pair<std::int64_t, std::int64_t>>& amounts,
           double value = 0);  // per axis {before, after}

// ---- reductions.cpp: axes empty = all; keep = leave reduced axes as 1 ----
using Axes = std::vector<int>;
Tensor sum(const Tensor& x, const Axes& axes = {}, bool keep = false);  // integers and bool sum to i64
Tensor mean(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor prod(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor amax(const Tensor& x, const Axes& axes = {}, bool keep = false);  // ties share the gradient equally
Tensor amin(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor var(const Tensor& x, const Axes& axes = {}, bool unbiased = true, bool keep = false);
Tensor logsumexp(const Tensor& x, const Axes& axes, bool keep = false);
Tensor norm(const Tensor& x);                                 // Euclidean, of all elements
Tensor argmax(const Tensor& x, int axis, bool keep = false);  // i64, the first of equals
Tensor argmin(const Tensor& x, int axis, bool keep = false);
Tensor any_true(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor all_true(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor cumsum(const Tensor& x, int axis);

// ---- indexing.cpp ----
Tensor gather(const Tensor& x, int axis, const Tensor& index);                      // PyTorch's gather
Tensor scatter(const Tensor& x, int axis, const Tensor& index, const Tensor& src);  // a copy of x with src written; the last wins
Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& src);
Tensor index_select(const Tensor& x, int axis, const Tensor& index);  // index: 1-d i64, negative counts from the end
Tensor masked_fill(const Tensor& x, const Tensor& mask, double value);
Tensor masked_select(const Tensor& x, const Tensor& mask);                                  // 1-d, in row-major order
Tensor embedding(const Tensor& table, const Tensor& ids, std::int64_t padding_index = -1);  // table [vocab, dim] -> ids.shape + [dim]
Tensor one_hot(const Tensor& ids, std::int64_t classes, DType dtype = DType::f32);
struct Sorted {
  Tensor values, indices;
};
Sorted sort(const Tensor& x, int axis = -1, bool descending = false);  // stable; NaN is the largest
Sorted topk(const Tensor& x, std::int64_t k, int axis = -1, bool largest = true);

// ---- matmul.cpp ----
Tensor matmul(const Tensor& a, const Tensor& b);  // NumPy's rules: 1-d operands are rows or columns, leading axes broadcast
// x [..., in] times weight [out, in] transposed, plus bias [out].
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});
Tensor einsum(const std::string& equation, const Tensors& operands);  // "bij,bjk->bik", implicit output, repeated letters, "..."

// ---- softmax.cpp, norm.cpp ----
Tensor softmax(const Tensor& x, int axis = -1);
Tensor log_softmax(const Tensor& x, int axis = -1);
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  double eps = 1e-5);  // over the last axis; weight, bias [cols] or undefined
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps = 1e-6);
Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias, double eps = 1e-5);  // x [n, c, ...]
// x [n, c, ...]. Training: normalises with the batch's statistics and moves running_mean and running_var (unbiased) by `momentum`, in
// place.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                  bool training, double momentum = 0.1, double eps = 1e-5);

// ---- conv.cpp, pool.cpp ----
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvGeometry& geometry = {});
Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvGeometry& geometry = {});
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, std::int64_t stride = 1, std::int64_t padding = 0,
              std::int64_t dilation = 1, std::int64_t groups = 1);
// weight [in, out/groups, r, s]; output_padding as PyTorch's
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvGeometry& geometry = {},
                        std::int64_t output_pad_h = 0, std::int64_t output_pad_w = 0);
Tensor max_pool2d(const Tensor& x, const PoolGeometry& geometry);
Tensor avg_pool2d(const Tensor& x, const PoolGeometry& geometry, bool count_padding = true);
Tensor max_pool1d(const Tensor& x, std::int64_t kernel, std::int64_t stride = 0, std::int64_t padding = 0);
Tensor avg_pool1d(const Tensor& x, std::int64_t kernel, std::int64_t stride = 0, std::int64_t padding = 0);
Tensor global_avg_pool(const Tensor& x);  // [n, c, ...] -> [n, c]

// ---- loss.cpp ----
enum class Reduction { none, mean, sum };
struct CrossEntropyOptions {
  Tensor class_weight = {};
  double smoothing = 0;
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};
Tensor cross_entropy(const Tensor& logits /* [rows, classes] */, const Tensor& target /* [rows] i64 */, const CrossEntropyOptions& o = {});
Tensor bce_with_logits(const Tensor& logits, const Tensor& target, Reduction r = Reduction::mean);
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction r = Reduction::mean);
Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction r = Reduction::mean);
Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, double beta = 1, Reduction r = Reduction::mean);
Tensor kl_div(const Tensor& log_p, const Tensor& target /* probabilities */, Reduction r = Reduction::mean);  // mean over all elements
Tensor focal_loss(const Tensor& logits /* [rows, classes] */, const Tensor& target, double gamma = 2, Reduction r = Reduction::mean);

// ---- random.cpp: values are a function of (seed, stream, position) ----
struct RandomState {
  std::uint64_t seed = 0, stream = 0, position = 0;
  // i64 [2] on the device or undefined: added to stream and position when a kernel runs, so that a captured step is replayed with other
  // numbers. It must not change between a forward pass and its backward pass.
  Tensor offset = {};
};
Tensor rand_uniform(const Shape& shape, double low, double high, RandomState& r, DType dtype = DType::f32);  // moves r.position
Tensor rand_normal(const Shape& shape, double mean, double std, RandomState& r, DType dtype = DType::f32);
Tensor rand_int(const Shape& shape, std::int64_t low, std::int64_t high, RandomState& r, DType dtype = DType::i64);
Tensor rand_permutation(std::int64_t n, RandomState& r);
Tensor dropout(const Tensor& x, double p, RandomState& r);

// ---- bias_act.cpp: residual + dropout(act(x + bias)) in one pass; bias and residual may be undefined ----
struct BiasActOptions {
  ActKind act = ActKind::none;
  double dropout = 0;  // the elements that dropout() would keep at `random`, which moves on alike
  int axis = -1;       // that the bias [x.size(axis)] goes along: -1 after linear, 1 after a convolution
};
Tensor bias_act(const Tensor& x, const Tensor& bias, const Tensor& residual, const BiasActOptions& o, RandomState& random);
Tensor bias_act(const Tensor& x, const Tensor& bias, const BiasActOptions& o);  // no dropout, no residual

// ---- in place; under NoGrad or on tensors without history only ----
void copy_into(const Tensor& dst, const Tensor& src);  // broadcasts and converts
void fill_(const Tensor& x, double value);
void add_(const Tensor& x, const Tensor& y, double factor = 1);  // x += factor * y
void mul_(const Tensor& x, double factor);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& a, Scalar b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, Scalar b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, Scalar b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, Scalar b) { return div(a, b); }
inline Tensor operator-(Scalar a, const Tensor& b) { return sub(a, b); }
inline Tensor operator/(Scalar a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& a) { return neg(a); }

}  // namespace graft
