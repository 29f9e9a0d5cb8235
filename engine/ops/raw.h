// From tensors to kernel arguments: the engine decides shapes, dtypes, accumulation type and where results live, then calls one family.
// Nothing here records; ops call these in forward and in fused backward.
#pragma once
#include "engine/ops/ops.h"
#include "engine/tensor/tensor.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/reduce/reduce.h"

namespace graft::raw {

Tensor expand(const Tensor& x, const Shape& shape);  // stride 0 where stretched; the shape must broadcast
Tensor contiguous(const Tensor& x);
Tensor cast(const Tensor& x, DType dtype);        // row-major copy in another dtype, or x itself
Tensor copy_of(const Tensor& x);                  // always a new row-major tensor
void copy(const Tensor& dst, const Tensor& src);  // same shape; converts
// Images [n, c, h, w] that lie in memory as [n, h, w, c] (`last`) or as their shape says. in_order copies what lies the other way: a
// gradient that meets what it belongs to in another order would leave kernels the slow way, element by element.
bool channels_last(const Tensor& x);
Tensor empty_in_order(const Shape& shape, DType dtype, bool last);
Tensor in_order(const Tensor& x, bool last);
Tensor reshape(const Tensor& x, const Shape& shape);  // sizes resolved; a view where strides allow, else a copy

Tensor unary(ElementwiseOp op, const Tensor& x, double s0 = 0, double s1 = 0);
Tensor binary(ElementwiseOp op, const Tensor& a, const Tensor& b, double s0 = 0, double s1 = 0);  // one dtype, broadcast
Tensor ternary(ElementwiseOp op, const Tensor& a, const Tensor& b, const Tensor& c);
void into(const Tensor& out, ElementwiseOp op, const Tensors& in, double s0 = 0, double s1 = 0);  // operands broadcast to out

// Reduces `axes` (sorted, normal); keep leaves them as 1.
Tensor reduce(ReduceOp op, const Tensor& x, const Axes& axes, bool keep);
std::vector<int> normal_axes(const Axes& axes, int rank, const char* op);
Shape reduced_shape(const Shape& s, const std::vector<int>& axes, bool keep);

// a [.., m, k], b [.., k, n] with equal leading axes (strides may be 0) -> [.., m, n]
Tensor matmul(const Tensor& a, const Tensor& b);

// The accumulation dtype of x: f32 for 16-bit floats, else its own.
DType accum(DType t);
// View of an optional tensor: data == nullptr when it is undefined.
View maybe(const Tensor& t);
// x as rank-2 [rows, cols] with cols = last axis; a view where strides allow.
Tensor rows(const Tensor& x);
// Error(usage) when x is not a float tensor.
void want_float(const char* op, const char* argument, const Tensor& x);

}  // namespace graft::raw
