// ONNX's element types: what each is called and what graft keeps its elements as. Types that graft does not compute in ride in a wider one:
// the number of the type stays beside the tensor, and integers wrap as the narrow type would.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/core/dtype.h"

namespace graft::onnx {

// TensorProto.DataType
enum ElementType : int {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kUint32 = 12,
  kUint64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBfloat16 = 16,
};

struct TypeInfo {
  int type;
  std::string_view name;    // ONNX's: "FLOAT16"
  std::string_view stored;  // weights/stored_type.h's, or ONNX's own where that has none
  int bits;                 // of an element; 0: not of one size
  bool computes;            // graft can run with it
  DType held;               // as which; uint64 rides in the bits of i64
};
const TypeInfo* type_info(int type);          // nullptr when nobody knows it
std::string type_name(int type);              // also of unknown ones
bool is_float_type(int type);                 // FLOAT, DOUBLE, FLOAT16, BFLOAT16
int type_of(DType t);                         // the ONNX type whose elements are exactly these
std::int64_t wrap(int type, std::int64_t v);  // to the integer type's range, as two's complement does

}  // namespace graft::onnx
