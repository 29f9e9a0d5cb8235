#!/usr/bin/env python3
"""Makes tiny files in the formats of llm.c (versions 3 and 5) and llama2.c (version 0), written after the order in which their exporters (train_gpt2.py, export.py) write. Run it
here: python3 make.py

Element i of the whole stream of parameters is ((i * 37) % 251 - 125) / 64, which f32 and bf16 hold exactly, so that the tests know the values by the place alone.
"""
import struct
import numpy as np


def stream(n):
    i = np.arange(n, dtype=np.int64)
    return (((i * 37) % 251 - 125) / 64).astype("<f4")


def llm_c(name, version, positions, vocab, layers, heads, c, padded):
    header = np.zeros(256, dtype="<i4")
    header[:8] = [20240326, version, positions, vocab, layers, heads, c, padded]
    n = padded * c + positions * c + layers * (12 * c * c + 13 * c) + 2 * c
    x = stream(n)
    if version == 5:
        x = (x.view("<u4") >> 16).astype("<u2")
    with open(name, "wb") as f:
        f.write(header.tobytes() + x.tobytes())


def llama2_c(name, dim, hidden, layers, heads, kv_heads, vocab, positions, shared):
    head = dim // heads
    kv = head * kv_heads
    n = vocab * dim + layers * (dim + 2 * dim * dim + 2 * kv * dim + dim + 3 * dim * hidden) + dim + 2 * positions * (head // 2) + (0 if shared else vocab * dim)
    with open(name, "wb") as f:
        f.write(struct.pack("<7i", dim, hidden, layers, heads, kv_heads, vocab if shared else -vocab, positions) + stream(n).tobytes())


llm_c("gpt2_fp32.bin", 3, 6, 11, 2, 2, 4, 16)
llm_c("gpt2_bf16.bin", 5, 6, 11, 2, 2, 4, 16)
llama2_c("llama_shared.bin", 8, 12, 2, 4, 2, 10, 6, True)
llama2_c("llama_own.bin", 8, 12, 1, 2, 1, 10, 6, False)
