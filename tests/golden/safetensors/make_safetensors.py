"""Makes the golden files beside it with the reference package: python make_safetensors.py
Made with safetensors 0.8.0 and torch 2.15. Its metadata comes out in a random order, so no file has more than one key."""
import pathlib

import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
TYPES = {
    "f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16,
    "i64": torch.int64, "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool,
}


def ramp(dtype, *shape):
    n = torch.Size(shape).numel()
    x = torch.arange(n, dtype=torch.float64) - 2
    if dtype == torch.bool:
        return (torch.arange(n) % 3 == 1).reshape(shape)
    if dtype == torch.uint8:
        return (torch.arange(n) * 7 % 256).to(dtype).reshape(shape)
    return (x * (0.5 if dtype.is_floating_point else 3)).to(dtype).reshape(shape)


# Every dtype that graft computes in, two of each, so that both halves of the write order are seen; odd sizes leave later data unaligned.
save_file({f"{part}.{name}": ramp(t, *shape) for name, t in TYPES.items() for part, shape in (("b", (2, 3)), ("a", (5,)))},
          here / "all_dtypes.safetensors", metadata={"format": "pt"})
# Rank 0, zero sizes, NaN and infinities, no metadata.
save_file({"scalar": torch.tensor(1.5), "none": torch.zeros(0), "hollow": torch.zeros(3, 0, 2, dtype=torch.int64),
           "odd": torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0])}, here / "edges.safetensors")
# Names and metadata that need escapes in JSON.
save_file({'quote " slash \\ / tab \t line \n one \x01 del \x7f': torch.ones(1),
           "\u00e9\u2028\U0001f600": torch.ones(1), "": torch.ones(1),
           "Z": torch.ones(1), "a": torch.ones(1)}, here / "names.safetensors", metadata={"k\b\f\r": 'v"\\\x1f\u00e9'})
# No tensors at all.
save_file({}, here / "empty.safetensors", metadata={"format": "pt"})
# dtypes that graft lists but does not load.
save_file({"c64": torch.tensor([1 + 2j], dtype=torch.complex64), "f8": torch.ones(3).to(torch.float8_e4m3fn),
           "f8b": torch.ones(2).to(torch.float8_e5m2), "i16": ramp(torch.int16, 4), "i8": ramp(torch.int8, 5),
           "u16": torch.arange(3).to(torch.uint16), "u32": torch.arange(2).to(torch.uint32), "u64": torch.arange(1).to(torch.uint64),
           "f32": torch.ones(1), "i64": torch.ones(1).long()},
          here / "foreign.safetensors", metadata={"format": "pt"})
