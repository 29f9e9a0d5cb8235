#include "weights/onnx/types.h"

namespace graft::onnx {
namespace {

constexpr TypeInfo kTypes[] = {
    {kFloat, "FLOAT", "F32", 32, true, DType::f32},
    {kUint8, "UINT8", "U8", 8, true, DType::u8},
    {kInt8, "INT8", "I8", 8, true, DType::i32},
    {kUint16, "UINT16", "U16", 16, true, DType::i32},
    {kInt16, "INT16", "I16", 16, true, DType::i32},
    {kInt32, "INT32", "I32", 32, true, DType::i32},
    {kInt64, "INT64", "I64", 64, true, DType::i64},
    {kString, "STRING", "STRING", 0, false, DType::u8},
    {kBool, "BOOL", "BOOL", 8, true, DType::b8},
    {kFloat16, "FLOAT16", "F16", 16, true, DType::f16},
    {kDouble, "DOUBLE", "F64", 64, true, DType::f64},
    {kUint32, "UINT32", "U32", 32, true, DType::i64},
    {kUint64, "UINT64", "U64", 64, true, DType::i64},
    {kComplex64, "COMPLEX64", "C64", 64, false, DType::f32},
    {kComplex128, "COMPLEX128", "C128", 128, false, DType::f64},
    {kBfloat16, "BFLOAT16", "BF16", 16, true, DType::bf16},
    {17, "FLOAT8E4M3FN", "F8_E4M3", 8, false, DType::f32},
    {18, "FLOAT8E4M3FNUZ", "F8_E4M3FNUZ", 8, false, DType::f32},
    {19, "FLOAT8E5M2", "F8_E5M2", 8, false, DType::f32},
    {20, "FLOAT8E5M2FNUZ", "F8_E5M2FNUZ", 8, false, DType::f32},
    {21, "UINT4", "UINT4", 4, false, DType::u8},
    {22, "INT4", "INT4", 4, false, DType::i32},
    {23, "FLOAT4E2M1", "F4", 4, false, DType::f32},
    {24, "FLOAT8E8M0", "F8_E8M0", 8, false, DType::f32},
    {25, "UINT2", "UINT2", 2, false, DType::u8},
    {26, "INT2", "INT2", 2, false, DType::i32},
};

}  // namespace

const TypeInfo* type_info(int type) {
  for (const TypeInfo& t : kTypes)
    if (t.type == type) return &t;
  return nullptr;
}
std::string type_name(int type) {
  const TypeInfo* t = type_info(type);
  return t ? std::string(t->name) : "element type " + std::to_string(type);
}
bool is_float_type(int type) { return type == kFloat || type == kDouble || type == kFloat16 || type == kBfloat16; }
int type_of(DType t) {
  switch (t) {
    case DType::f64: return kDouble;
    case DType::f32: return kFloat;
    case DType::bf16: return kBfloat16;
    case DType::f16: return kFloat16;
    case DType::i64: return kInt64;
    case DType::i32: return kInt32;
    case DType::u8: return kUint8;
    case DType::b8: return kBool;
  }
  return kUndefined;
}
std::int64_t wrap(int type, std::int64_t v) {
  switch (type) {
    case kInt8: return static_cast<std::int8_t>(v);
    case kUint8: return static_cast<std::uint8_t>(v);
    case kInt16: return static_cast<std::int16_t>(v);
    case kUint16: return static_cast<std::uint16_t>(v);
    case kInt32: return static_cast<std::int32_t>(v);
    case kUint32: return static_cast<std::uint32_t>(v);
    case kBool: return v != 0;
    default: return v;
  }
}

}  // namespace graft::onnx
