"""Whether PyTorch itself takes what graft wrote: python judge.py FILE WANT.txt [WRAPPED_IN]

WANT.txt has the lines of make_torch.py: "name dtype shape : bytes in hexadecimal", then, after " = ", the names that share its storage. Prints "equal", or what differs and exits with 1.
"""
import sys

import torch

NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16",
         torch.int8: "I8", torch.uint8: "U8", torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.bool: "BOOL", torch.complex64: "C64",
         torch.complex128: "C128", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
         torch.float8_e5m2fnuz: "F8_E5M2FNUZ", torch.float8_e8m0fnu: "F8_E8M0"}
for mapped in (False, True):
    got = torch.load(sys.argv[1], weights_only=True, mmap=mapped)
    if len(sys.argv) > 3:
        got = got[sys.argv[3]]
    want = [line.rstrip("\n") for line in open(sys.argv[2], encoding="utf-8") if line.strip()]
    names = [line.split(" ", 1)[0] for line in want]
    if list(got) != names:
        sys.exit(f"names {list(got)} in place of {names}")
    for line in want:
        head, _, ties = line.partition(" = ")
        left, _, data = head.partition(" : ")
        name, dtype, *shape = left.split(" ")
        t = got[name]
        sizes = [int(x) for x in shape[0].split(",")] if shape and shape[0] else []
        raw = t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex() if t.numel() else ""
        if NAMES[t.dtype] != dtype or list(t.shape) != sizes or raw != data.strip():
            sys.exit(f"{name}: {t.dtype} {list(t.shape)} {raw} in place of {line}")
        shares = [n for n in names if n != name and t.numel() and got[n].untyped_storage().data_ptr() == t.untyped_storage().data_ptr()]
        if shares != (ties.split(",") if ties else []):
            sys.exit(f"{name} shares its storage with {shares} in place of {ties}")
        if t.numel() and t.untyped_storage().data_ptr() % 64 and mapped:
            sys.exit(f"{name} is not aligned to 64 bytes")
print("equal")
