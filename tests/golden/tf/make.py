#!/usr/bin/env python3
"""Makes TensorFlow bundles from the description of the format (LevelDB's doc/table_format.md, tensorflow/core/protobuf/tensor_bundle.proto), without TensorFlow. Run it here:
python3 make.py

Element i of every tensor is i - 2 (uint8: i; bool: i % 3 == 1), row-major. Files named bad_* are refused. The folder half_plus_two is no work of this script: it is the checkpoint of
TensorFlow's own saver in tensorflow/serving (Apache-2.0), tensorflow_serving/servables/tensorflow/testdata/saved_model_half_plus_two_cpu/00000123/variables.
"""
import os
import struct
import numpy as np

TABLE = []
for i in range(256):
    c = i
    for _ in range(8):
        c = c >> 1 ^ 0x82F63B78 if c & 1 else c >> 1
    TABLE.append(c)


def masked_crc(data):
    c = 0xFFFFFFFF
    for b in data:
        c = c >> 8 ^ TABLE[(c ^ b) & 255]
    c ^= 0xFFFFFFFF
    return ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF


assert masked_crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(v):
    v &= (1 << 64) - 1
    out = b""
    while v >= 128:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def number(tag, v):
    return b"" if v == 0 else varint(tag << 3) + varint(v)


def message(tag, body):
    return varint(tag << 3 | 2) + varint(len(body)) + body


def shape(s):
    return b"".join(message(2, number(1, n)) for n in s)


def extent(start, length):
    return number(1, start) + (b"" if length is None else varint(2 << 3) + varint(length))


def entry(dtype, dims, shard=0, offset=0, data=b"", slices=()):
    out = number(1, dtype) + message(2, shape(dims)) + number(3, shard) + number(4, offset) + number(5, len(data))
    if not slices:
        out += varint(6 << 3 | 5) + struct.pack("<I", masked_crc(data))
    return out + b"".join(message(7, b"".join(message(1, extent(*a)) for a in s)) for s in slices)


def header(shards, endianness=0, consumer=0):
    return number(1, shards) + number(2, endianness) + message(3, number(1, 1) + number(2, consumer))


def block(entries, kind=0, interval=16):
    out, restarts, last = b"", [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % interval == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(last), len(key)) and last[shared] == key[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return out + b"".join(struct.pack("<I", r) for r in restarts) + struct.pack("<I", len(restarts))


def snappy(data):
    """Literals, and a copy wherever the last four bytes were there before: as much of the format as a reader must know."""
    out, at, pending = varint(len(data)), 0, b""

    def literal(piece):
        if not piece:
            return b""
        n = len(piece) - 1
        return (bytes([n << 2]) if n < 60 else bytes([60 << 2, n]) if n < 256 else bytes([61 << 2, n & 255, n >> 8])) + piece

    while at < len(data):
        before = data.rfind(data[at : at + 4], 0, at + 3) if at + 4 <= len(data) else -1
        if before < 0:
            pending += data[at : at + 1]
            at += 1
            continue
        n = 4
        while at + n < len(data) and n < 64 and data[before + n] == data[at + n]:
            n += 1
        out += literal(pending)
        pending, back = b"", at - before
        if n < 12 and back < 2048:
            out += bytes([back >> 8 << 5 | n - 4 << 2 | 1, back & 255])
        elif at % 2:
            out += bytes([n - 1 << 2 | 2, back & 255, back >> 8])
        else:
            out += bytes([n - 1 << 2 | 3]) + struct.pack("<I", back)
        at += n
    return out + literal(pending)


def table(entries, per_block=1000, kind=0):
    out, index = b"", []

    def put(body, kind=0):
        nonlocal out
        body = snappy(body) if kind == 1 else body
        handle = varint(len(out)) + varint(len(body))
        out += body + bytes([kind]) + struct.pack("<I", masked_crc(body + bytes([kind])))
        return handle

    entries = sorted(entries)
    for i in range(0, len(entries), per_block):
        part = entries[i : i + per_block]
        index.append((part[-1][0], put(block(part), kind)))
    filters = put(block([]))
    where = put(block(index, interval=1))
    foot = filters + where
    return out + foot + bytes(40 - len(foot)) + struct.pack("<Q", 0xDB4775248B80FB57)


# The key of a slice, in the ordered code of tensorflow/core/lib/strings/ordered_code.
def ordered_signed(v):
    magnitude = ~v if v < 0 else v
    n = 1
    while magnitude >= 1 << (7 * n - 1):
        n += 1
    body = int.to_bytes(v & ((1 << 8 * n) - 1), n, "big")
    ones = ((1 << n) - 1) << (8 * n - n)
    return int.to_bytes(int.from_bytes(body, "big") ^ ones, n, "big")


def ordered_natural(v):
    body = b"" if v == 0 else int.to_bytes(v, (v.bit_length() + 7) // 8, "big")
    return bytes([len(body)]) + body


def slice_key(name, s):
    out = ordered_natural(0) + name.replace(b"\xff", b"\xff\x00").replace(b"\x00", b"\x00\xff") + b"\x00\x01" + ordered_natural(len(s))
    for start, length in s:
        out += ordered_signed(start) + ordered_signed(-1 if length is None else length)
    return out


DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 6: "i1", 9: "<i8", 10: "?", 14: "bf16", 19: "<f2", 22: "<u4"}


def values(dtype, dims):
    i = np.arange(int(np.prod(dims, dtype=np.int64)))
    d = DTYPES[dtype]
    if d == "?":
        return (i % 3 == 1).reshape(dims)
    if d == "bf16":
        return ((i - 2).astype("<f4").view("<u4") >> 16).astype("<u2").reshape(dims)
    return (i if d in ("u1", "<u4") else i - 2).astype(d).reshape(dims)


class Bundle:
    def __init__(self, shards=1):
        self.data = [b""] * shards
        self.entries = []

    def place(self, data, shard):
        at = len(self.data[shard])
        self.data[shard] += data
        return at

    def add(self, name, dtype, dims, shard=0):
        data = values(dtype, dims).tobytes()
        self.entries.append((name, entry(dtype, dims, shard, self.place(data, shard), data)))

    def add_sliced(self, name, dtype, dims, slices, shard=0):
        whole = values(dtype, dims)
        self.entries.append((name, entry(dtype, dims, slices=slices)))
        for s in slices:
            part = np.ascontiguousarray(whole[tuple(slice(a, None if n is None else a + n) for a, n in s)])
            data = part.tobytes()
            self.entries.append((slice_key(name, s), entry(dtype, part.shape, shard, self.place(data, shard), data)))

    def write(self, prefix, head=None, **options):
        n = len(self.data)
        with open(prefix + ".index", "wb") as f:
            f.write(table([(b"", header(n) if head is None else head)] + self.entries, **options))
        for i, d in enumerate(self.data):
            with open(f"{prefix}.data-{i:05d}-of-{n:05d}", "wb") as f:
                f.write(d)


b = Bundle()
for d in DTYPES:
    b.add(f"type/{d}".encode(), d, (2, 3))
b.add(b"scalar", 9, ())
b.add(b"none", 1, (0, 3))
graph = b"\x0a\x00"
b.entries.append((b"_CHECKPOINTABLE_OBJECT_GRAPH", entry(7, (), 0, b.place(graph, 0), graph)))
b.write("good_types")
b.write("good_snappy", kind=1)

b = Bundle(3)
for i in range(12):
    b.add(f"model/h{i}/attn/c_attn/w".encode(), 1, (1, 4, 3), i % 3)
b.write("good_shards", per_block=4)

b = Bundle()
b.add(b"whole", 1, (3,))
b.add_sliced(b"parts/rows", 1, (5, 3), [((0, 2), (0, None)), ((2, 3), (0, None))])
b.add_sliced(b"parts/columns", 14, (4, 5, 2), [((0, None), (0, 3), (0, None)), ((0, None), (3, 2), (0, None))])
b.add_sliced(b"parts/many", 3, (300,), [((0, 100),), ((100, 30),), ((130, 170),)])
b.write("good_slices")

os.makedirs("folder", exist_ok=True)
b = Bundle()
b.add(b"w", 1, (2, 2))
b.write("folder/ckpt-7")
b = Bundle()
b.add(b"old", 1, (2, 2))
b.write("folder/ckpt-3")
with open("folder/checkpoint", "w") as f:
    f.write('model_checkpoint_path: "/home/somebody/run/ckpt-7"\nall_model_checkpoint_paths: "ckpt-3"\nall_model_checkpoint_paths: "ckpt-7"\n')

b = Bundle()
text = b"\x01a"
b.entries.append((b"names", entry(7, (1,), 0, b.place(text, 0), text)))
b.write("bad_text")
b = Bundle()
b.entries.append((b"table", entry(21, (), 0, 0, b"")))
b.write("bad_variant")
b = Bundle()
b.add(b"w", 1, (2, 2))
b.write("bad_compression", kind=7)
b.write("bad_big_endian", head=header(1, endianness=1))
b.write("bad_newer", head=header(1, consumer=2))
# A checkpoint of version 1 is a table too, of SavedTensorSlices: its field 1 is a message.
with open("bad_version_1", "wb") as f:
    f.write(table([(b"", message(1, message(1, b"\x0a\x01w"))), (slice_key(b"w", [(0, 2)]), message(2, b""))]))
b = Bundle()
b.add_sliced(b"parts", 1, (5, 3), [((0, 2), (0, None)), ((2, 3), (0, None))])
b.entries.pop()
b.write("bad_slice_missing")
b = Bundle()
b.add_sliced(b"parts", 1, (5, 3), [((0, 2), (0, None)), ((1, 3), (0, None))])
b.write("bad_slices_overlap")
