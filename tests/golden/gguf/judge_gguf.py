# What gguf-py (ggml-org, MIT) reads from a file that graft wrote: a line per key and per tensor. A tensor's line has the CRC-32 of its floats as gguf-py dequantises them.
# Usage: python judge_gguf.py FILE.gguf
import sys
import zlib

import numpy as np
from gguf import GGUFReader, quants

reader = GGUFReader(sys.argv[1])
for name, field in reader.fields.items():
    if not name.startswith("GGUF."):
        print("key", name, "/".join(t.name for t in field.types), len(field.data))
print("tokens", "|".join(reader.fields["tokenizer.ggml.tokens"].contents()))
for t in reader.tensors:
    if t.tensor_type in quants._type_traits:
        floats = quants.dequantize(np.asarray(t.data), t.tensor_type).astype(np.float32)
    else:
        floats = np.asarray(t.data).astype(np.float32)
    print("tensor", t.name, t.tensor_type.name, list(reversed([int(n) for n in t.shape])), f"{zlib.crc32(floats.tobytes()):08x}")
