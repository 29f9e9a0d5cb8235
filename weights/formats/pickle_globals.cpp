#include "weights/formats/pickle_globals.h"

#include <unordered_map>

namespace graft {
namespace {

using R = PickleRole;

constexpr PickleGlobal kRows[] = {
    {"collections.OrderedDict", R::mapping, ""},
    {"builtins.dict", R::mapping, ""},
    {"collections.defaultdict", R::default_mapping, ""},
    {"collections.Counter", R::counter, ""},
    {"builtins.list", R::sequence, ""},
    {"builtins.tuple", R::sequence, ""},
    {"collections.deque", R::sequence, ""},
    {"builtins.set", R::set_of, ""},
    {"builtins.frozenset", R::set_of, ""},
    {"builtins.bytes", R::bytes_of, ""},
    {"builtins.bytearray", R::bytes_of, ""},
    {"_codecs.encode", R::encode, ""},
    {"copyreg._reconstructor", R::reconstructor, ""},
    {"builtins.object", R::plain_type, ""},
    {"builtins.int", R::plain_type, ""},
    {"builtins.float", R::plain_type, ""},
    {"builtins.bool", R::plain_type, ""},
    {"builtins.str", R::plain_type, ""},
    {"builtins.complex", R::opaque, ""},
    {"builtins.slice", R::opaque, ""},
    {"builtins.range", R::opaque, ""},
    {"torch.torch_version.TorchVersion", R::text_of, ""},
    {"pathlib.Path", R::text_of, ""},
    {"pathlib.PosixPath", R::text_of, ""},
    {"pathlib.PurePosixPath", R::text_of, ""},
    {"pathlib.WindowsPath", R::text_of, ""},
    {"pathlib.PureWindowsPath", R::text_of, ""},
    {"pathlib._local.PosixPath", R::text_of, ""},
    {"pathlib._local.WindowsPath", R::text_of, ""},
    {"argparse.Namespace", R::opaque, ""},
    {"types.SimpleNamespace", R::opaque, ""},
    {"functools.partial", R::opaque, ""},
    {"datetime.datetime", R::opaque, ""},
    {"datetime.date", R::opaque, ""},
    {"datetime.timedelta", R::opaque, ""},
    {"torch.nn.backends.thnn._get_thnn_function_backend", R::opaque, ""},

    {"torch._utils._rebuild_tensor", R::rebuild_tensor, ""},
    {"torch._utils._rebuild_tensor_v2", R::rebuild_tensor_v2, ""},
    {"torch._utils._rebuild_tensor_v3", R::rebuild_tensor_v3, ""},
    {"torch._utils._rebuild_parameter", R::rebuild_parameter, ""},
    {"torch._utils._rebuild_parameter_with_state", R::rebuild_parameter_with_state, ""},
    {"torch._utils._rebuild_device_tensor_from_numpy", R::rebuild_parameter, ""},       // of TPUs: the array as it lay on the host,
    {"torch._utils._rebuild_device_tensor_from_cpu_tensor", R::rebuild_parameter, ""},  // in its own type
    {"torch._utils._rebuild_xla_tensor", R::rebuild_parameter, ""},
    {"torch._utils._rebuild_qtensor", R::rebuild_qtensor, ""},
    {"torch._tensor._rebuild_from_type_v2", R::rebuild_from_type, ""},
    {"torch._tensor._rebuild_from_type", R::rebuild_from_type, ""},
    {"torch.tensor._rebuild_from_type_v2", R::rebuild_from_type, ""},
    {"torch.tensor._rebuild_from_type", R::rebuild_from_type, ""},
    {"torch._utils._rebuild_sparse_tensor", R::sparse, ""},
    {"torch._utils._rebuild_sparse_csr_tensor", R::sparse, ""},
    {"torch._utils._rebuild_nested_tensor", R::nested, ""},
    {"torch._utils._rebuild_meta_tensor_no_storage", R::meta, ""},
    {"torch._utils._rebuild_wrapper_subclass", R::wrapper, ""},
    {"torch.nn.parameter.Parameter", R::parameter_class, ""},
    {"torch.nn.parameter.Buffer", R::parameter_class, ""},
    {"torch.autograd.variable.Variable", R::parameter_class, ""},
    {"torch.Tensor", R::tensor_class, ""},
    {"torch._tensor.Tensor", R::tensor_class, ""},
    {"torch.tensor.Tensor", R::tensor_class, ""},

    {"torch.FloatStorage", R::typed_storage, "F32"},
    {"torch.DoubleStorage", R::typed_storage, "F64"},
    {"torch.HalfStorage", R::typed_storage, "F16"},
    {"torch.BFloat16Storage", R::typed_storage, "BF16"},
    {"torch.LongStorage", R::typed_storage, "I64"},
    {"torch.IntStorage", R::typed_storage, "I32"},
    {"torch.ShortStorage", R::typed_storage, "I16"},
    {"torch.CharStorage", R::typed_storage, "I8"},
    {"torch.ByteStorage", R::typed_storage, "U8"},
    {"torch.BoolStorage", R::typed_storage, "BOOL"},
    {"torch.ComplexFloatStorage", R::typed_storage, "C64"},
    {"torch.ComplexDoubleStorage", R::typed_storage, "C128"},
    {"torch.QInt8Storage", R::typed_storage, "I8"},
    {"torch.QUInt8Storage", R::typed_storage, "U8"},
    {"torch.QInt32Storage", R::typed_storage, "I32"},
    {"torch.QUInt4x2Storage", R::typed_storage, ""},
    {"torch.QUInt2x4Storage", R::typed_storage, ""},
    {"torch.Float8_e4m3fnStorage", R::typed_storage, "F8_E4M3"},
    {"torch.Float8_e5m2Storage", R::typed_storage, "F8_E5M2"},
    {"torch.Float8_e4m3fnuzStorage", R::typed_storage, "F8_E4M3FNUZ"},
    {"torch.Float8_e5m2fnuzStorage", R::typed_storage, "F8_E5M2FNUZ"},
    {"torch.Float8_e8m0fnuStorage", R::typed_storage, "F8_E8M0"},
    {"torch.UntypedStorage", R::untyped_storage, "U8"},
    {"torch.storage.UntypedStorage", R::untyped_storage, "U8"},
    {"torch.storage._UntypedStorage", R::untyped_storage, "U8"},
    {"torch.storage._load_from_bytes", R::storage_bytes, ""},

    {"torch.FloatTensor", R::tensor_class, "F32"},
    {"torch.DoubleTensor", R::tensor_class, "F64"},
    {"torch.HalfTensor", R::tensor_class, "F16"},
    {"torch.BFloat16Tensor", R::tensor_class, "BF16"},
    {"torch.LongTensor", R::tensor_class, "I64"},
    {"torch.IntTensor", R::tensor_class, "I32"},
    {"torch.ShortTensor", R::tensor_class, "I16"},
    {"torch.CharTensor", R::tensor_class, "I8"},
    {"torch.ByteTensor", R::tensor_class, "U8"},
    {"torch.BoolTensor", R::tensor_class, "BOOL"},

    {"torch.float32", R::dtype, "F32"},
    {"torch.float", R::dtype, "F32"},
    {"torch.float64", R::dtype, "F64"},
    {"torch.double", R::dtype, "F64"},
    {"torch.float16", R::dtype, "F16"},
    {"torch.half", R::dtype, "F16"},
    {"torch.bfloat16", R::dtype, "BF16"},
    {"torch.int64", R::dtype, "I64"},
    {"torch.long", R::dtype, "I64"},
    {"torch.int32", R::dtype, "I32"},
    {"torch.int", R::dtype, "I32"},
    {"torch.int16", R::dtype, "I16"},
    {"torch.short", R::dtype, "I16"},
    {"torch.int8", R::dtype, "I8"},
    {"torch.uint8", R::dtype, "U8"},
    {"torch.uint16", R::dtype, "U16"},
    {"torch.uint32", R::dtype, "U32"},
    {"torch.uint64", R::dtype, "U64"},
    {"torch.bool", R::dtype, "BOOL"},
    {"torch.complex64", R::dtype, "C64"},
    {"torch.complex128", R::dtype, "C128"},
    {"torch.float8_e4m3fn", R::dtype, "F8_E4M3"},
    {"torch.float8_e5m2", R::dtype, "F8_E5M2"},
    {"torch.float8_e4m3fnuz", R::dtype, "F8_E4M3FNUZ"},
    {"torch.float8_e5m2fnuz", R::dtype, "F8_E5M2FNUZ"},
    {"torch.float8_e8m0fnu", R::dtype, "F8_E8M0"},
    {"torch.float4_e2m1fn_x2", R::dtype, ""},
    {"torch.complex32", R::dtype, ""},
    {"torch.qint8", R::dtype, ""},
    {"torch.quint8", R::dtype, ""},
    {"torch.qint32", R::dtype, ""},

    {"torch.Size", R::size, ""},
    {"torch.device", R::device, ""},
    {"torch.serialization._get_layout", R::layout, ""},
    {"torch.strided", R::name, ""},
    {"torch.sparse_coo", R::name, ""},
    {"torch.sparse_csr", R::name, ""},
    {"torch.contiguous_format", R::name, ""},
    {"torch.preserve_format", R::name, ""},
    {"torch.channels_last", R::name, ""},
    {"torch.per_tensor_affine", R::name, ""},
    {"torch.per_tensor_symmetric", R::name, ""},
    {"torch.per_channel_affine", R::name, ""},
    {"torch.per_channel_symmetric", R::name, ""},
    {"torch.per_channel_affine_float_qparams", R::name, ""},
    {"torch.jit._pickle.build_intlist", R::int_list, ""},
    {"torch.jit._pickle.build_doublelist", R::int_list, ""},
    {"torch.jit._pickle.build_boollist", R::int_list, ""},
    {"torch.jit._pickle.build_tensorlist", R::tensor_list, ""},
    {"torch.jit._pickle.restore_type_tag", R::tagged, ""},

    {"numpy.multiarray._reconstruct", R::numpy_reconstruct, ""},
    {"numpy.multiarray.scalar", R::numpy_scalar, ""},
    {"numpy.numeric._frombuffer", R::numpy_frombuffer, ""},
    {"numpy.ndarray", R::numpy_array, ""},
    {"numpy.dtype", R::numpy_dtype, ""},
    {"numpy.float16", R::numpy_type, "F16"},
    {"numpy.float32", R::numpy_type, "F32"},
    {"numpy.float64", R::numpy_type, "F64"},
    {"numpy.int8", R::numpy_type, "I8"},
    {"numpy.int16", R::numpy_type, "I16"},
    {"numpy.int32", R::numpy_type, "I32"},
    {"numpy.int64", R::numpy_type, "I64"},
    {"numpy.uint8", R::numpy_type, "U8"},
    {"numpy.uint16", R::numpy_type, "U16"},
    {"numpy.uint32", R::numpy_type, "U32"},
    {"numpy.uint64", R::numpy_type, "U64"},
    {"numpy.bool_", R::numpy_type, "BOOL"},
    {"ml_dtypes.bfloat16", R::numpy_type, "BF16"},
    {"ml_dtypes.float8_e4m3fn", R::numpy_type, "F8_E4M3"},
    {"ml_dtypes.float8_e5m2", R::numpy_type, "F8_E5M2"},
    {"numpy.bool", R::numpy_type, "BOOL"},
};

}  // namespace

std::string normal_global(std::string_view module, std::string_view name) {
  if (module == "__builtin__") module = "builtins";
  else if (module == "copy_reg") module = "copyreg";
  std::string all = std::string(module) + "." + std::string(name);
  const auto swap = [&](std::string_view from, std::string_view to) {
    if (all.starts_with(from)) all.replace(0, from.size(), to);
  };
  swap("numpy.core.", "numpy.");
  swap("numpy._core.", "numpy.");
  if (name.ends_with("Storage") || name.ends_with("Tensor")) swap("torch.cuda.", "torch.");  // where it lay does not matter
  return all;
}

int find_global(std::string_view normal_name) {
  static const auto* const rows = [] {
    auto* map = new std::unordered_map<std::string_view, int>;
    for (const PickleGlobal& row : kRows) map->emplace(row.name, static_cast<int>(&row - kRows));
    return map;
  }();
  const auto at = rows->find(normal_name);
  return at == rows->end() ? -1 : at->second;
}

const PickleGlobal& pickle_global(int row) { return kRows[row]; }

}  // namespace graft
