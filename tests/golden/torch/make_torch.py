"""Golden files of PyTorch's containers, and what PyTorch reads in them.

usage: python make_torch.py FOLDER      (made with PyTorch 2.15, NumPy 2, Python 3.11)
Each NAME.* comes with NAME.txt: a line per tensor, "name dtype shape : bytes in hexadecimal" (row-major, little endian, dtypes as safetensors spells them).
What today's PyTorch cannot write is put together here from the description of the format: the tar of before 0.1.10, big endian zips, Python 2's strings, whole
modules with their source (its old persistent ids).
"""
import collections
import io
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16",
         torch.int8: "I8", torch.uint8: "U8", torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.bool: "BOOL", torch.complex64: "C64",
         torch.complex128: "C128", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
         torch.float8_e5m2fnuz: "F8_E5M2FNUZ", torch.float8_e8m0fnu: "F8_E8M0"}


def raw(t):
    t = t.detach().contiguous()
    return t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""


def tell(name, tensors):
    """What must be read: tensors by name, in order."""
    lines = []
    for key, t in tensors.items():
        if isinstance(t, np.ndarray):
            t = torch.from_numpy(np.array(t, order="C"))
        lines.append(f"{key} {NAMES[t.dtype]} {','.join(map(str, t.shape))} : {raw(t).hex()}\n")
    (OUT / f"{name}.txt").write_text("".join(lines))


def numbers(*shape, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g).to(dtype)


def state():
    w = numbers(3, 4, seed=1)
    return collections.OrderedDict(
        [("layer.weight", w), ("layer.bias", numbers(3, seed=2)), ("head.weight", w), ("permuted", numbers(2, 3, 4, seed=3).permute(2, 0, 1)),
         ("row", w[1]), ("columns", w[:, 1:3]), ("expanded", numbers(2, 1, seed=4).expand(2, 3)), ("bf16.permuted", numbers(3, 5, seed=5, dtype=torch.bfloat16).t()),
         ("scalar", torch.tensor(2.5)), ("empty", torch.zeros(0, 3)), ("count", torch.tensor(7))])


def all_dtypes():
    out = collections.OrderedDict()
    for dtype, name in NAMES.items():
        if dtype == torch.bool:
            t = torch.tensor([True, False, True])
        elif dtype.is_complex:
            t = torch.tensor([1 + 2j, -0.5j], dtype=dtype)
        elif dtype.is_floating_point:
            t = torch.tensor([0.5, 1.0, 2.0, 4.0]).to(dtype)
        else:
            t = torch.tensor([1, 2, 100]).to(dtype)
        out["t." + name] = t
    return out


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.bn = nn.BatchNorm2d(2)
        self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))
        self.tied = self.body[0]
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("dropped", torch.arange(2.0), persistent=False)
        self.note = {"a": [1, 2]}

    def forward(self, x):
        return self.body(self.bn(self.conv(x)).mean((2, 3)).repeat(1, 2))


def fixed(module, seed=10):
    with torch.no_grad():
        for i, (_, t) in enumerate(module.state_dict().items()):
            if t.is_floating_point():
                t.copy_(numbers(*t.shape, seed=seed + i))
    return module


def repack(source, target, change=lambda name, data: data, compress=None):
    """The same archive with members changed, in Python's own layout (or, with compress, deflated)."""
    with zipfile.ZipFile(source) as z, zipfile.ZipFile(target, "w") as out:
        for i in z.infolist():
            if i.filename.endswith(".debug_pkl"):  # where the program's lines came from
                continue
            data = change(i.filename, z.read(i))
            info = zipfile.ZipInfo(i.filename, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED if compress and compress(i.filename) else zipfile.ZIP_STORED
            out.writestr(info, data)


# ---- containers ----
s = state()
torch.save(s, OUT / "state.pt")
tell("state", s)
torch.save(s, OUT / "legacy.pth", _use_new_zipfile_serialization=False)
tell("legacy", s)
repack(OUT / "state.pt", OUT / "deflated.pt", compress=lambda n: True)
tell("deflated", s)
torch.save(all_dtypes(), OUT / "dtypes.pt")
tell("dtypes", all_dtypes())

# big endian: every storage turned around, and the member that says so
order = {}
big = collections.OrderedDict([("f32", numbers(5, seed=6)), ("i64", torch.arange(4)), ("bf16", numbers(3, dtype=torch.bfloat16)), ("c64", torch.tensor([1 + 2j], dtype=torch.complex64)),
                               ("u8", torch.tensor([1, 2, 3], dtype=torch.uint8)), ("f64", numbers(2, 2, dtype=torch.float64).t())])
torch.save(big, OUT / "big_endian.pt")
widths = {str(i): (4 if t.is_complex() else t.element_size()) for i, t in enumerate(big.values())}


def turned(name, data):
    if name.endswith("/byteorder"):
        return b"big"
    if "/data/" in name and "/.data/" not in name:
        w = widths[name.rsplit("/", 1)[1]]
        return b"".join(data[i:i + w][::-1] for i in range(0, len(data), w))
    return data


repack(OUT / "big_endian.pt", OUT / "big_endian.pt.new", change=turned)
(OUT / "big_endian.pt.new").rename(OUT / "big_endian.pt")
got = torch.load(OUT / "big_endian.pt", weights_only=True)
assert all(torch.equal(got[k], big[k]) for k in big), "PyTorch reads it alike"
tell("big_endian", big)

# a training script's checkpoint: everything around the weights
torch.save({"epoch": 3, "best": 0.5, "arch": "resné", "state_dict": s, "flags": (True, None, [1, 2.5]), "device": torch.device("cuda:1"), "dtype": torch.bfloat16,
            "size": torch.Size([2, 3]), "odd": {1: torch.ones(2), "deep": [torch.zeros(1), {"x": torch.full((1,), 3.0)}]}, "numpy": np.float32(1.5), "np": np.arange(3)}, OUT / "training.pt")
tell("training", {**{"state_dict." + k: v for k, v in s.items()}, "odd.1": torch.ones(2), "odd.deep.0": torch.zeros(1), "odd.deep.1.x": torch.full((1,), 3.0), "np": np.arange(3)})

# ---- whole modules ----
net = fixed(Net())
torch.save(net, OUT / "module.pt")
tell("module", net.state_dict())
torch.serialization.get_source_lines_and_file = lambda cls: ([f"class {cls.__name__}: the source text goes here\n"], 0, "net.py")
torch.save({"model": net, "epoch": 1}, OUT / "module_legacy.pth", _use_new_zipfile_serialization=False)
tell("module_legacy", {"model." + k: v for k, v in net.state_dict().items()})



class Inner(nn.Module):
    def __init__(self, n: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n, n))
        self.register_buffer("mean", torch.zeros(n))
        self.scale = 2.5
        self.sizes = [n, n]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) @ self.weight * self.scale


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Inner(2)
        self.second = Inner(3)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.cat([self.first(x), x[:, :1]], 1)) + self.bias


script = torch.jit.script(fixed(Outer()))
torch.jit.save(script, OUT / "script.pt.new")
repack(OUT / "script.pt.new", OUT / "script.pt", compress=lambda n: "/code/" in n)
(OUT / "script.pt.new").unlink()
tell("script", script.state_dict())

# parameters as such, and a tensor with attributes of its own
tagged = torch.arange(4.0)
tagged.note = "mine"
p = {"p": nn.Parameter(numbers(2, 2, seed=7)), "tagged": tagged, "f8": numbers(2, 2, seed=8).to(torch.float8_e5m2)}
torch.save(p, OUT / "parameters.pt")
tell("parameters", p)

# quantised: read as the floats that they stand for
q = {"tensor": torch.quantize_per_tensor(numbers(3, 4, seed=9), 0.05, 3, torch.qint8), "unsigned": torch.quantize_per_tensor(numbers(4, seed=9), 0.1, 128, torch.quint8),
     "channel": torch.quantize_per_channel(numbers(3, 4, seed=11), torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), torch.tensor([0, 1, -2]), 0, torch.qint8),
     "i32": torch.quantize_per_tensor(numbers(4, seed=12), 0.001, -5, torch.qint32)}
torch.save(q, OUT / "quantised.pt")
tell("quantised", {k: v.dequantize() for k, v in q.items()})

# ---- pickles by themselves ----
arrays = {"f4": np.arange(6, dtype="<f4").reshape(2, 3), "f8": np.linspace(0, 1, 3), "fortran": np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3)), "big": np.arange(3, dtype=">i2"),
          "bool": np.array([True, False]), "zero": np.zeros((0, 2), dtype="<f4"), "single": np.array(5, dtype="<i8")}
for protocol in (0, 1, 2, 3, 4, 5):
    (OUT / f"arrays{protocol}.pkl").write_bytes(pickle.dumps({"weights": arrays, "lr": np.float64(0.1), "steps": 3, "name": "n\u00e9t", "list": [1, "a", None]}, protocol=protocol))
    tell(f"arrays{protocol}", {"weights." + k: v.astype(v.dtype.newbyteorder("<")) for k, v in arrays.items()})
objects = np.empty(2, dtype=object)
objects[0], objects[1] = np.arange(2.0), {"w": np.ones(1, dtype="<f4")}
(OUT / "objects.pkl").write_bytes(pickle.dumps(objects, protocol=2))
tell("objects", {"0": np.arange(2.0), "1.w": np.ones(1, dtype="<f4")})
for protocol in (2, 4):
    (OUT / f"tensors{protocol}.pkl").write_bytes(pickle.dumps({"a": s["layer.weight"], "b": s["permuted"], "row": s["row"]}, protocol=protocol))
    tell(f"tensors{protocol}", {"a": s["layer.weight"], "b": s["permuted"], "row": s["row"]})


# ---- Python 2 ----
class Py2:
    """A writer of what Python 2's cPickle wrote in protocol 2: str as SHORT_BINSTRING or BINSTRING, OrderedDict made from a list of its pairs."""

    def __init__(self):
        self.b = b"\x80\x02"

    def put(self, v):
        if isinstance(v, bytes):
            self.b += (b"U" + bytes([len(v)]) if len(v) < 256 else b"T" + struct.pack("<i", len(v))) + v
        elif isinstance(v, bool):
            self.b += b"\x88" if v else b"\x89"
        elif isinstance(v, int):
            self.b += b"K" + bytes([v]) if 0 <= v < 256 else b"J" + struct.pack("<i", v)
        elif v is None:
            self.b += b"N"
        elif isinstance(v, tuple):
            self.b += b"("
            for x in v:
                self.put(x)
            self.b += b"t"
        elif isinstance(v, list):
            self.b += b"]("
            for x in v:
                self.put(x)
            self.b += b"e"
        elif isinstance(v, collections.OrderedDict):
            self.b += b"ccollections\nOrderedDict\n"
            self.put(([[k, x] for k, x in v.items()],))
            self.b += b"R"
        elif isinstance(v, np.ndarray):
            self.b += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
            self.put((0,))
            self.put(b"b")
            self.b += b"\x87R("
            for x in (1, v.shape):
                self.put(x)
            self.b += b"cnumpy\ndtype\n"
            self.put((v.dtype.str[1:].encode(), 0, 1))
            self.b += b"R"
            self.put((3, v.dtype.str[:1].encode() if v.dtype.itemsize > 1 else b"|", None, None, None, -1, -1, 0))
            self.b += b"b"
            self.put(False)
            self.put(v.tobytes())
            self.b += b"tb"
        else:
            v(self)
        return self

    def done(self):
        return self.b + b"."


latin = collections.OrderedDict([("caf\u00e9".encode("latin-1"), np.arange(100, dtype="<f4") / 7), (b"b", np.arange(256, dtype="|u1"))])
(OUT / "python2.pkl").write_bytes(Py2().put(latin).done())
back = pickle.loads((OUT / "python2.pkl").read_bytes(), encoding="latin-1")
assert list(back) == ["caf\u00e9", "b"] and np.array_equal(back["b"], np.arange(256))
tell("python2", back)


def storage2(key, numel, view=None):
    def write(w):
        w.b += b"("
        w.put(b"storage")
        w.b += b"ctorch.cuda\nFloatStorage\n"
        for x in (key, b"cuda:0", numel, view):
            w.put(x)
        w.b += b"tQ"
    return write


def tensor2(storage, offset, shape, stride):
    def write(w):
        w.b += b"ctorch._utils\n_rebuild_tensor\n("
        storage(w)
        for x in (offset, shape, stride):
            w.put(x)
        w.b += b"tR"
    return write


# Written under Python 2 in 2017: strings of bytes, no _v2, CUDA storages, a storage that is a view of another.
base = np.arange(12, dtype="<f4") * 0.25
parts = [b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b".", b"\x80\x02M\xe9\x03.",
         Py2().put(collections.OrderedDict([(b"protocol_version", 1001), (b"little_endian", True)])).done(),
         Py2().put(collections.OrderedDict([(b"w", tensor2(storage2(b"77", 12), 0, (3, 4), (4, 1))), (b"t", tensor2(storage2(b"77", 12), 0, (4, 3), (1, 4))),
                                            (b"view", tensor2(storage2(b"77", 12, (b"78", 4, 6)), 1, (2, 2), (3, 1)))])).done(),
         Py2().put([b"77"]).done(), struct.pack("<q", 12), base.tobytes()]
(OUT / "python2.pth").write_bytes(b"".join(parts))
w = torch.from_numpy(base.copy()).reshape(3, 4)
want = {"w": w, "t": w.t(), "view": torch.as_strided(w, (2, 2), (3, 1), 5)}
if not torch.cuda.is_available():
    got = torch.load(OUT / "python2.pth", map_location="cpu", weights_only=False)
    assert all(torch.equal(got[k], want[k]) for k in want), "PyTorch reads it alike"
tell("python2_legacy", want)
(OUT / "python2.pth").rename(OUT / "python2_legacy.pth")

# ---- the tar of before 0.1.10 ----
stores = {1001: ("FloatStorage", base), 1002: ("LongStorage", np.arange(3, dtype="<i8"))}
store_member = pickle.dumps(len(stores), 2)
for key, (kind, a) in stores.items():
    store_member += b"\x80\x02(" + b"J" + struct.pack("<i", key) + b"X\x03\x00\x00\x00cpuctorch\n" + kind.encode() + b"\nt." + struct.pack("<q", a.size) + a.tobytes()
store_member += pickle.dumps([(1003, 1001, 4, 8)], 2)
tensor_list = [(2001, 1001, "FloatTensor", (3, 4), (4, 1), 0), (2002, 1001, "FloatTensor", (4, 3), (1, 4), 0), (2003, 1003, "FloatTensor", (2, 2), (4, 1), 2), (2004, 1002, "LongTensor", (3,), (1,), 0)]
tensor_member = pickle.dumps(len(tensor_list), 2)
for key, storage, kind, shape, stride, offset in tensor_list:
    tensor_member += b"\x80\x02(J" + struct.pack("<i", key) + b"J" + struct.pack("<i", storage) + b"ctorch\n" + kind.encode() + b"\nt."
    tensor_member += struct.pack("<i", len(shape)) + b"\0\0\0\0" + struct.pack(f"<{len(shape)}q", *shape) + struct.pack(f"<{len(stride)}q", *stride) + struct.pack("<q", offset)


class Ids(pickle._Pickler):
    def persistent_id(self, obj):
        return str(obj.key) if isinstance(obj, Key) else None


class Key:
    def __init__(self, key):
        self.key = key


obj = io.BytesIO()
Ids(obj, 2).dump(collections.OrderedDict([("w", Key(2001)), ("t", Key(2002)), ("view", Key(2003)), ("n", Key(2004)), ("again", Key(2001)), ("epoch", 5)]))
with tarfile.open(OUT / "old.tar", "w", format=tarfile.PAX_FORMAT) as tar:
    for name, data in (("sys_info", pickle.dumps({"protocol_version": 1000, "little_endian": True}, 2)), ("pickle", obj.getvalue()), ("tensors", tensor_member), ("storages", store_member)):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
data = (OUT / "old.tar").read_bytes()
(OUT / "old.tar").write_bytes(data[:len(data.rstrip(b"\0")) + 511 & ~511] + bytes(1024))  # the two blocks that end it, without what pads to 10 kB
got = torch.load(OUT / "old.tar", weights_only=False)
want = {"w": w, "t": w.t(), "view": torch.as_strided(w, (2, 2), (4, 1), 6), "n": torch.arange(3), "again": w}
assert all(torch.equal(got[k], want[k]) for k in want) and got["epoch"] == 5, "PyTorch reads it alike"
tell("old", want)

# ---- shards ----
torch.save({"a": torch.arange(3.0), "tied": torch.arange(2.0)}, OUT / "pytorch_model-00001-of-00002.bin")
torch.save({"b": torch.arange(4.0).reshape(2, 2).t()}, OUT / "pytorch_model-00002-of-00002.bin")
(OUT / "pytorch_model.bin.index.json").write_text('{"metadata": {"total_size": 36}, "weight_map": {"a": "pytorch_model-00001-of-00002.bin", "tied": "pytorch_model-00001-of-00002.bin", '
                                                  '"b": "pytorch_model-00002-of-00002.bin"}}\n')
tell("shards", {"a": torch.arange(3.0), "tied": torch.arange(2.0), "b": torch.arange(4.0).reshape(2, 2).t()})
