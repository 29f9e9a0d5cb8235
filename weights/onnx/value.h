// A value that flows between the nodes of an ONNX graph: a tensor of graft's and the element type that ONNX says it has. Floats live on the
// device of this thread's queue, integers and booleans wherever the last node left them (most are shapes and live on the host).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"
#include "weights/onnx/proto.h"
#include "weights/onnx/types.h"

namespace graft {

struct OnnxValue {
  Tensor tensor;
  int type = 0;  // onnx::ElementType
  bool defined() const { return tensor.defined(); }
};

// Not wrong, but nothing that graft can do: strings, sequences, options without a counterpart. The message names the node.
class OnnxRefusal : public Error {
 public:
  explicit OnnxRefusal(const std::string& what) : Error(Code::input, what) {}
};

namespace onnx {

// The elements of a stored tensor, on the host. It borrows the file's bytes where it can. OnnxRefusal for types that graft does not compute
// in.
OnnxValue value_of(const OnnxTensor& t, const std::string& path);

// Integer or boolean elements, row-major, exact; uint64 as the bits of int64.
std::vector<std::int64_t> ints_of(const OnnxValue& v);
// On the host; values are wrapped into `type`, an integer type or BOOL.
OnnxValue from_ints(const std::vector<std::int64_t>& v, const Shape& shape, int type);
OnnxValue from_doubles(const std::vector<double>& v, const Shape& shape, int type);  // rounded to a float type, on this thread's device
inline OnnxValue valued(Tensor t) {                                                  // of the type that t's elements are
  const int type = type_of(t.dtype());
  return {std::move(t), type};
}

}  // namespace onnx
}  // namespace graft
