#!/usr/bin/env python3
"""Makes the HDF5 files of this folder with h5py, laid out as Keras lays them, and answers.json with what h5py reads out of each. Run it here: python3 make.py

good_*.h5 are read; bad_*.h5 are refused, each for the reason in its name. Keras itself is not needed: layouts after keras/src/legacy/saving/legacy_h5_format.py and
keras/src/saving/saving_lib.py.
"""
import json
import os
import h5py
import numpy as np

CONFIG = {"class_name": "Sequential", "config": {"name": "small", "layers": [{"class_name": "Dense", "config": {"name": "dense", "units": 4, "activation": "relu"}}]}}


def values(shape, dtype="<f4", first=-2):
    n = int(np.prod(shape, dtype=np.int64))
    return (np.arange(n) + first).astype(dtype).reshape(shape)


def keras2(name, config=CONFIG, **options):
    with h5py.File(name, "w", **options) as f:
        f.attrs["keras_version"] = "2.15.0"
        f.attrs["backend"] = b"tensorflow"
        f.attrs["model_config"] = json.dumps(config)
        g = f.create_group("model_weights")
        g.attrs["layer_names"] = [b"dense", b"dense_1"]
        for k, layer in enumerate(["dense", "dense_1"]):
            h = g.create_group(layer)
            h.attrs["weight_names"] = [f"{layer}/kernel:0".encode(), f"{layer}/bias:0".encode()]
            h.create_dataset(f"{layer}/kernel:0", data=values((3, 4), first=k))
            h.create_dataset(f"{layer}/bias:0", data=values((4,), first=10 * k))
        f.create_dataset("optimizer_weights/Adam/iterations:0", data=np.int64(7))
        f.create_dataset("optimizer_weights/Adam/dense/kernel/m:0", data=values((3, 4)))


keras2("good_keras2.h5")
keras2("good_latest.h5", libver="latest")
keras2("bad_lambda.h5", {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {"name": "evil", "function": ["4wEAAAA=", None, None]}}]}})

# Keras 3: groups that track their order, numbered variables (more than eight: they move from the header to a heap), bfloat16 as raw elements with an attribute.
with h5py.File("good_keras3.weights.h5", "w") as f:
    f.create_group("layers", track_order=True)
    v = f.create_group("layers/dense/vars", track_order=True)
    v.create_dataset("0", data=values((3, 4)))
    v.create_dataset("1", data=values((4,)))
    half = v.create_dataset("2", data=(values((2, 3)).view("<u4") >> 16).astype("<u2").view("V2"))
    half.attrs["dtype"] = "bfloat16"
    v = f.create_group("optimizer/vars", track_order=True)
    for i in range(260):
        v.create_dataset(str(i), data=np.float32(i), track_times=False)

# Every type and place that is read.
with h5py.File("good_every.h5", "w") as f:
    for d in ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
        for order, c in (("le", "<"), ("be", ">")):
            f.create_dataset(f"{order}/{d}", data=values((2, 3), c + d, 0 if d[0] == "u" else -2))
    f["bool"] = np.arange(6).reshape(2, 3) % 3 == 1
    f["scalar"] = np.float32(1.5)
    f["none"] = np.zeros((0, 3), "<f4")
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_layout(h5py.h5d.COMPACT)
    d = h5py.h5d.create(f.id, b"compact", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2, 2)), dcpl)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, values((2, 2)))
    f["shared/a"] = values((2, 2))
    f["shared/b"] = f["shared/a"]  # one dataset of two names
    f["soft"] = h5py.SoftLink("/shared/a")
    f["external"] = h5py.ExternalLink("other.h5", "/x")
    f.attrs["numbers"] = np.array([1, 2, 3], "<i4")
    f.attrs["real"] = 0.5
    f.attrs["texts"] = ["a", "bc", "\u00e9"]
    f.attrs["fixed"] = np.array([b"a", b"bcd"])
    f.attrs["flag"] = True
    f["many"] = np.float32(0)
    for i in range(20):
        f["many"].attrs[f"a{i}"] = i
# Many names in one group of the old kind: a tree with several nodes.
with h5py.File("good_many.h5", "w") as f:
    for i in range(200):
        f.create_dataset(f"group/tensor_{i}", data=np.float32(i), track_times=False)


def bad(name, make):
    with h5py.File(f"bad_{name}.h5", "w") as f:
        f.create_dataset("ok", data=values((2, 2)))
        make(f)


bad("chunked", lambda f: f.create_dataset("layer/kernel:0", data=values((8, 8)), chunks=(4, 4)))
bad("gzip", lambda f: f.create_dataset("layer/kernel:0", data=values((8, 8)), compression="gzip"))
bad("lzf", lambda f: f.create_dataset("layer/kernel:0", data=values((8, 8)), compression="lzf"))
bad("fletcher", lambda f: f.create_dataset("layer/kernel:0", data=values((8, 8)), fletcher32=True))
bad("strings", lambda f: f.create_dataset("layer/kernel:0", data=np.array([b"a", b"b"])))
bad("variable", lambda f: f.create_dataset("layer/kernel:0", data=["a", "b"]))
bad("reference", lambda f: f.create_dataset("layer/kernel:0", data=f["ok"].ref, dtype=h5py.ref_dtype))
bad("compound", lambda f: f.create_dataset("layer/kernel:0", data=np.zeros(2, [("x", "<f4"), ("y", "<f4")])))
bad("complex", lambda f: f.create_dataset("layer/kernel:0", data=np.zeros(2, "<c8")))
bad("empty", lambda f: f.create_dataset("layer/kernel:0", data=h5py.Empty("<f4")))
bad("unwritten", lambda f: f.create_dataset("layer/kernel:0", shape=(3,), dtype="<f4"))
bad("opaque", lambda f: f.create_dataset("layer/kernel:0", data=np.zeros(2, "V2")))


def cycle(f):
    f.create_group("a/b")
    f["a/b/again"] = f["a"]


bad("cycle", cycle)

# One global heap with 300 texts, each of which is looked up in it.
with h5py.File("names_many.h5", "w") as f:
    f["a"] = np.zeros(10, "f4")
    f.attrs["names"] = [f"layer_{i}" for i in range(300)]

answers = {}
for name in sorted(os.listdir(".")):
    if not name.startswith("good_"):
        continue
    found = {}

    def visit(group, path):
        for key in group:
            if group.get(key, getlink=True).__class__ is not h5py.HardLink:
                continue
            item = group[key]
            inner = f"{path}/{key}" if path else key
            if isinstance(item, h5py.Group):
                visit(item, inner)
            else:
                v = item[()]
                if v.dtype.kind == "V":
                    v = (v.view("<u2").astype("<u4") << 16).view("<f4")
                found[inner] = {"shape": list(item.shape), "values": np.asarray(v).astype("f8").flatten().tolist()}

    with h5py.File(name) as f:
        visit(f, "")
    answers[name] = found
with open("answers.json", "w") as f:
    json.dump({"h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version, "files": answers}, f, separators=(",", ":"))
