#!/usr/bin/env python3
"""Makes the files of this folder with numpy. Run it here: python3 make.py

Element i of every array of numbers is i - 2 (unsigned: i; bool: i % 3 == 1; complex: (i - 2) + i j), in row-major order, so that the tests know the values.
good_*.npy and good_*.npz are read; bad_*.npy are refused.
"""
import io
import os
import pickle
import numpy as np


def values(dtype, shape):
    n = int(np.prod(shape, dtype=np.int64))
    i = np.arange(n)
    d = np.dtype(dtype)
    if d.kind == "b":
        v = i % 3 == 1
    elif d.kind == "c":
        v = (i - 2) + 1j * i
    elif d.kind == "u":
        v = i
    else:
        v = i - 2
    return v.astype(d).reshape(shape)


def save(name, array, version=None):
    with open(name, "wb") as f:
        np.lib.format.write_array(f, array, version=version)


every = {}
for d in ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "c8", "c16"]:
    every["le." + d] = values("<" + d, (2, 3))
    every["be." + d] = values(">" + d, (2, 3))
every["le.b1"] = values("?", (2, 3))
every["fortran"] = np.asfortranarray(values("<f4", (2, 3, 4)))
every["fortran.be"] = np.asfortranarray(values(">f4", (2, 3, 4)))
every["scalar"] = values("<f4", ())
every["none"] = values("<f4", (0, 3))
every["vector"] = values("<f4", (5,))
every["layer/kernel"] = values("<f4", (4, 2))
# bfloat16 of ml_dtypes arrives as raw elements of two bytes: the upper halves of f32.
every["bf16"] = (values("<f4", (2, 3)).view("<u4") >> 16).astype("<u2").view("V2")
np.savez("good_every.npz", **every)
np.savez_compressed("good_packed.npz", **{k: every[k] for k in ["le.f4", "be.i8", "fortran", "scalar", "none", "bf16"]})
save("good_version_1.npy", values("<f4", (3, 2)), (1, 0))
save("good_version_2.npy", values("<f8", (3, 2)), (2, 0))
save("good_version_3.npy", values("<i8", (3, 2)), (3, 0))
save("good_fortran.npy", np.asfortranarray(values("<f4", (3, 4))))
save("good_big_endian.npy", values(">f4", (3, 4)))

# As Python 2 wrote it: long integers in the shape.
body = values("<f4", (3, 2)).tobytes()
head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 2L), }"
head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
with open("good_python2.npy", "wb") as f:
    f.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + body)

save("bad_objects.npy", np.array([1, "a", None], dtype=object))
save("bad_structured.npy", np.zeros(3, dtype=[("x", "<f4"), ("y", "<i4")]))
save("bad_text.npy", np.array(["a", "bc"]))
save("bad_bytes.npy", np.array([b"a", b"bc"]))
save("bad_dates.npy", np.array(["2020-01-01"], dtype="M8[D]"))
save("bad_long_double.npy", np.zeros(2, dtype=np.longdouble))

# Arrays of objects: np.save of a dict, of a list, and what of them is refused. Nothing here is ever run by graft, and nothing is run in writing it.


def objects(value):
    a = np.empty((), dtype=object)
    a[()] = value
    return a


weights = {"conv": {"kernel": values("<f4", (2, 3)), "bias": values(">f8", (3,))}, "steps": 7, "name": "net"}
save("good_objects_dict.npy", objects(weights))
rows = np.empty(3, dtype=object)
rows[:] = [values("<f4", (2, 2)), values("<i8", (5,)), np.asfortranarray(values("<f4", (2, 3)))]
save("good_objects_rows.npy", rows)
np.savez("good_objects.npz", plain=values("<f4", (3,)), params=objects(weights), config=objects({"lr": 0.1, "layers": [1, 2]}))
np.savez_compressed("good_objects_packed.npz", plain=values("<f4", (3,)), params=objects(weights))


class Python2(pickle._Pickler):
    """Texts and bytes as Python 2 wrote them: both are strings of bytes."""
    dispatch = pickle._Pickler.dispatch.copy()

    def save_bytes(self, b):
        self.write((b"U" + bytes([len(b)]) if len(b) < 256 else b"T" + len(b).to_bytes(4, "little")) + b)
        self.memoize(b)

    dispatch[bytes] = save_bytes
    dispatch[str] = lambda self, s: self.save_bytes(s.encode("latin-1"))


body = io.BytesIO()
Python2(body, 2).dump(objects({"w": values("<f4", (40, 2)), "b\xe9": values("<f4", (2,))}))
head = b"{'descr': '|O8', 'fortran_order': False, 'shape': (), }"
head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
with open("good_objects_python2.npy", "wb") as f:
    f.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + body.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


class Runs:
    def __reduce__(self):
        return os.system, ("false",)


save("bad_objects_call.npy", objects({"w": values("<f4", (2,)), "x": Runs()}))
save("bad_objects_class.npy", objects({"w": values("<f4", (2,)), "x": np.random.RandomState}))
