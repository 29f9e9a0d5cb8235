# Golden values of ggml's block types, in blocks.safetensors:
#   TYPE.bytes, TYPE.floats   random bytes as blocks, and what they stand for; every type
#   x, TYPE.packed            floats, and what they become; the types that the reference quantises in one way
#   weights, TYPE.squares     floats as weights are distributed, and the sum of squared errors of ggml's reference per row of 256; the K types
# Floats and packed bytes come from gguf-py (MIT) where it knows the type. ggml's own C (MIT) is asked for all of them as well, and is the judge where the two differ.
# Usage: python make_blocks.py libggml-base.so      (any build of ggml without -ffast-math and FMA contraction: -DCMAKE_C_FLAGS=-ffp-contract=off -DGGML_NATIVE=OFF)
import ctypes
import sys
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from safetensors.numpy import save_file

ggml = ctypes.CDLL(sys.argv[1])
SIZES = {t.name: GGML_QUANT_SIZES[t] for t in GGMLQuantizationType} | {"Q1_0": (128, 18), "Q2_0": (64, 18)}
C_NAMES = {n: n.lower().replace("_k", "_K") for n in SIZES}
# Where the f16 scales are: bytes that are made finite.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64],
          "MXFP4": [], "NVFP4": [], "Q1_0": [0], "Q2_0": [0]}


def c_dequantise(name, data):
    elements, size = SIZES[name]
    out = np.empty(data.size // size * elements, np.float32)
    getattr(ggml, "dequantize_row_" + C_NAMES[name])(data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(out.size))
    return out


def c_quantise(name, x):
    elements, size = SIZES[name]
    out = np.zeros(x.size // elements * size, np.uint8)
    getattr(ggml, "quantize_row_" + C_NAMES[name] + "_ref")(x.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(x.size))
    return out


def py(name):
    t = getattr(GGMLQuantizationType, name, None)
    return t if t in quants._type_traits else None


rng = np.random.default_rng(20240517)
golden = {}
for name, places in SCALES.items():
    elements, size = SIZES[name]
    blocks = rng.integers(0, 256, (1024 // elements, size), dtype=np.uint8)
    for p in places:
        high = blocks[:, p + 1]
        high[(high & 0x7C) == 0x7C] &= 0xBF  # an exponent of all ones: NaN or infinity
    if name == "IQ1_M":  # its scale's top nibble is the top of the last two bytes
        blocks[:, 55][(blocks[:, 55] & 0x70) == 0x70] &= 0xBF
    if name == "MXFP4":
        blocks[0, 0], blocks[1, 0], blocks[2, 0] = 0, 1, 2
        blocks[:, 0][blocks[:, 0] == 255] = 254
    if name == "NVFP4":
        blocks[0, :4] = [0, 1, 0x7F, 0x80]
        blocks[1, :4] = [0xFF, 7, 8, 0x7E]
    floats = c_dequantise(name, blocks)
    if py(name) is not None:
        other = quants.dequantize(blocks, py(name)).astype(np.float32).ravel()
        differ = floats.view(np.uint32) != other.view(np.uint32)
        print(f"{name}: {differ.sum()} of {floats.size} floats differ between ggml and gguf-py", (floats[differ][:2], other[differ][:2]) if differ.any() else "")
    else:
        print(f"{name}: gguf-py does not know it; from ggml alone")
    golden[name + ".bytes"], golden[name + ".floats"] = blocks.reshape(-1), floats

row = lambda *parts: np.concatenate([np.asarray(p, np.float32).reshape(-1) for p in parts])
x = row(rng.standard_normal(256), rng.standard_normal(256) * 1e-3, rng.laplace(size=256) * 30, np.zeros(256), np.full(256, 2.5), np.full(256, -0.3),
        rng.random(256) + 4, -rng.random(256) * 1e4, np.arange(256) - 128, np.where(np.arange(256) % 32 == 5, 50, rng.standard_normal(256)),
        rng.integers(-8, 9, 256) * 0.5, rng.standard_normal(256) * 1e-7)
golden["x"] = x
for name in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4", "Q1_0", "Q2_0"]:
    packed = c_quantise(name, x)
    if py(name) is not None:
        other = quants.quantize(x, py(name)).view(np.uint8).ravel()
        print(f"{name}: {(packed != other).sum()} of {packed.size} packed bytes differ between ggml and gguf-py")
    golden[name + ".packed"] = packed

rows = [rng.standard_normal((16, 256)) * 0.02, rng.laplace(size=(16, 256)) * 0.05, rng.random((8, 256)) + 0.5, -rng.random((4, 256)),
        rng.standard_normal((8, 256)) * np.exp(rng.standard_normal((8, 16))).repeat(16, axis=1), rng.standard_t(3, (12, 256))]
weights = np.concatenate(rows).astype(np.float16)
golden["weights"] = weights
w = weights.astype(np.float32).reshape(-1)
for name in ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]:
    error = (c_dequantise(name, c_quantise(name, w)).astype(np.float64) - w).reshape(-1, 256)
    golden[name + ".squares"] = (error ** 2).sum(axis=1)
save_file(golden, Path(__file__).parent / "blocks.safetensors")
