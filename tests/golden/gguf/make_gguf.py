# Files that gguf-py (ggml-org, MIT) writes, and what gguf-py reads back from them:
#   all.gguf        a key of every type, arrays, an array of arrays, a small vocabulary; a tensor of every type that gguf-py can write
#   all.safetensors what graft must load of it: 16-bit floats as they are, small integers widened, blocks dequantised
#   aligned.gguf    alignment 64, tensors of odd sizes
#   vocab.gguf      keys without tensors
#   part-0000?-of-00003.gguf  one model in three pieces
# Usage: python make_gguf.py
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, GGUFReader, GGUFValueType as Value, GGUFWriter, quants
from safetensors.numpy import save_file

HERE = Path(__file__).parent
rng = np.random.default_rng(11)


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def vocabulary(w):
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(["<unk>", "<s>", "</s>", "\u2581the", "\u00fcber", "\U0001f600", "<0x0A>", "a b"])
    w.add_token_scores([0.0, 0.0, 0.0, -1.5, -2.25, -3.0, 0.0, -4.125])
    w.add_token_types([2, 3, 3, 1, 1, 1, 6, 1])
    w.add_token_merges(["a b", "ab c"])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)


w = GGUFWriter(HERE / "all.gguf", "llama")
w.add_name("every type")
w.add_quantization_version(2)
w.add_file_type(1)
w.add_uint8("k.u8", 200)
w.add_int8("k.i8", -100)
w.add_uint16("k.u16", 60000)
w.add_int16("k.i16", -30000)
w.add_uint32("k.u32", 4000000000)
w.add_int32("k.i32", -2000000000)
w.add_float32("k.f32", 0.1)
w.add_uint64("k.u64", 2**64 - 1)
w.add_int64("k.i64", -(2**63))
w.add_float64("k.f64", 0.1)
w.add_bool("k.yes", True)
w.add_bool("k.no", False)
w.add_string("k.text", "Gr\u00fc\u00dfe, \"\u4e16\u754c\"\n")
w.add_array("k.numbers", [3, -1, 4, -1, 5, -9, 2, 6, 5, 3])
w.add_array("k.floats", [0.5, -0.25, 1e30])
w.add_array("k.truths", [True, False, True])
w.add_array("k.texts", ["", "one", "two\u00b2"])
w.add_array("k.bytes", b"\x00\x7f\xff")
w.add_key_value("k.wide", [1, 2**63], Value.ARRAY, sub_type=Value.UINT64)
w.add_array("k.nested", [[1, 2, 3], [4], [5, 6]])
vocabulary(w)

expected = {}


def add(name, array, raw_dtype=None, shape=None):
    w.add_tensor(name, array, raw_dtype=raw_dtype)
    return array


for name, dtype in [("f32", np.float32), ("f16", np.float16), ("f64", np.float64)]:
    expected[name] = add(name, rng.standard_normal((3, 5)).astype(dtype))
for name, dtype, wide in [("i8", np.int8, np.int32), ("i16", np.int16, np.int32), ("i32", np.int32, np.int32), ("i64", np.int64, np.int64)]:
    info = np.iinfo(dtype)
    expected[name] = add(name, rng.integers(info.min, info.max, (2, 3, 4), dtype=dtype, endpoint=True)).astype(wide)
expected["scalar"] = add("scalar", np.array(2.5, np.float32))
expected["four axes"] = add("four axes", rng.standard_normal((2, 3, 4, 5)).astype(np.float32))
for t in [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.TQ1_0, Type.TQ2_0, Type.MXFP4]:
    packed = quants.quantize(rng.standard_normal((2, 256)).astype(np.float32), t)
    w.add_tensor(t.name, packed, raw_dtype=t)
    expected[t.name] = quants.dequantize(packed, t).astype(np.float32)
for t in [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ1_S, Type.IQ1_M, Type.IQ2_XXS, Type.IQ2_XS, Type.IQ2_S, Type.IQ3_XXS, Type.IQ3_S, Type.IQ4_NL,
          Type.IQ4_XS, Type.NVFP4]:
    elements, size = GGML_QUANT_SIZES[t]
    packed = rng.integers(0, 0x3C, (2, 512 // elements * size), dtype=np.uint8)  # no byte makes a scale of NaN or infinity
    w.add_tensor(t.name, packed, raw_dtype=t)
    expected[t.name] = quants.dequantize(packed, t).astype(np.float32)
finish(w)
save_file({k: np.array(v) for k, v in expected.items()}, HERE / "all.safetensors")

w = GGUFWriter(HERE / "aligned.gguf", "test")
w.add_custom_alignment(64)
for i, n in enumerate([1, 3, 16, 17, 40]):
    w.add_tensor(f"t{i}", np.arange(n, dtype=np.float32) + i)
finish(w)

w = GGUFWriter(HERE / "vocab.gguf", "llama")
vocabulary(w)
w.write_header_to_file()
w.write_kv_data_to_file()
w.close()

w = GGUFWriter(HERE / "part.gguf", "test", split_max_tensors=2)
w.add_name("three pieces")
for i in range(5):
    w.add_tensor(f"blk.{i}.weight", np.full((2, 4), i + 0.5, np.float32))
finish(w)

for file in sorted(HERE.glob("*.gguf")):
    r = GGUFReader(file)
    print(file.name, len(r.fields) - 3, "keys", len(r.tensors), "tensors", file.stat().st_size, "bytes")
