"""Files that graft converts against what the packages of their formats write and read: python containers.py GRAFT FOLDER. Files are made in FOLDER. Prints a line for each part: its name, then "ok"
and what was compared, "skipped" and what is missing, or "differs" and where. Parts: safetensors, shards, torch, numpy."""
import collections
import importlib
import json
import pathlib
import subprocess
import sys
import traceback

graft, here = sys.argv[1], pathlib.Path(sys.argv[2])


def convert(source, to, *options):
    done = subprocess.run([graft, "convert", str(source), str(to), *options], capture_output=True, text=True)
    assert done.returncode == 0, f"graft convert {source.name} {to.name}: {done.stderr}"
    return to


def part(name, *packages):
    """Runs a part where its packages are there."""
    def of(function):
        try:
            modules = [importlib.import_module(p) for p in packages]
        except ImportError as e:
            print(name, "skipped: no", e.name)
            return
        folder = here / name
        folder.mkdir()
        try:
            print(name, "ok:", function(folder, *modules))
        except Exception:
            print(name, "differs:", " | ".join(traceback.format_exc().strip().splitlines()[-4:]))
    return of


def drawn(torch, dtype, shape, generator):
    """Any bits: NaN, subnormal and negative numbers are among them."""
    n = torch.Size(shape).numel()
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    size = torch.empty(0, dtype=dtype).element_size()
    return torch.randint(0, 256, (n * size,), dtype=torch.uint8, generator=generator).view(dtype).reshape(shape)


@part("safetensors", "torch", "safetensors.torch")
def _(folder, torch, st):
    generator = torch.Generator().manual_seed(1)
    names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex64 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz"
    known = [getattr(torch, name) for name in names.split()]
    shapes = [(), (0, 4), (7,), (9, 1, 11)]
    tensors = {}
    for i, shape in enumerate(shapes):
        for dtype in known[i:] + known[:i]:
            tensors[f"{'zyxw'[i]}.{str(dtype)[6:]}"] = drawn(torch, dtype, shape, generator)
    # Names that JSON escapes, and some beyond ASCII.
    for odd in ['quote " slash \\ / tab \t', "\u00e9\u2028\U0001f600", "Z", ""]:
        tensors[odd] = torch.ones(1)
    files = 0
    for meta in (None, {}, {"format": "pt"}, {"z": "1", "format": "pt", "a": "2", "m\u00e4": "\n"}, {"other": "none of the formats"}):
        one = folder / f"in{files}.safetensors"
        st.save_file(tensors, one, metadata=meta)
        out = convert(one, folder / f"out{files}.safetensors")
        assert one.read_bytes() == out.read_bytes(), f"in and out with metadata {meta}"
        shards = folder / f"shards{files}"
        shards.mkdir()
        convert(one, shards / "model.safetensors", "--shard-size", "1KB")
        assert len(list(shards.glob("model-*.safetensors"))) > 3, "shards"
        back = convert(shards, folder / f"back{files}.safetensors")
        assert one.read_bytes() == back.read_bytes(), f"through shards and back with metadata {meta}"
        files += 1
    # From another container: the bytes that the package writes for these tensors. A tensor without a name in PyTorch's file is called "tensor".
    del tensors[""]
    torch.save(tensors, folder / "in.pt")
    out = convert(folder / "in.pt", folder / "torch.safetensors")
    st.save_file(tensors, folder / "want.safetensors", metadata={"format": "pt"})
    assert out.read_bytes() == (folder / "want.safetensors").read_bytes(), "from PyTorch's file"
    return f"{len(tensors) + 1} tensors of {len(known)} types, {files} kinds of metadata, byte for byte, also through shards and from PyTorch's file"


@part("shards", "torch", "safetensors.torch", "huggingface_hub")
def _(folder, torch, st, hub):
    generator = torch.Generator().manual_seed(2)
    tensors = {f"layer{(i * 7) % 20}.{'wb'[i % 2]}": torch.randn(1 if i % 3 == 0 else 60, 50 + i, generator=generator) for i in range(20)}
    tensors["large.first"] = torch.randn(200, 100, generator=generator)  # more than a shard: by itself, and the one before goes on
    tensors["small \u00fc"] = torch.randn(3, generator=generator).half()
    tensors["none"] = torch.zeros(0)
    torch.save(tensors, folder / "in.pt")
    counts = []
    for size in ("1KB", "13KB", "30KB", "80KB", "1MB"):
        theirs, ours = folder / ("hub" + size), folder / ("graft" + size)
        ours.mkdir(), theirs.mkdir()
        hub.save_torch_state_dict({k: v.clone() for k, v in tensors.items()}, theirs, max_shard_size=size)
        convert(folder / "in.pt", ours / "model.safetensors", "--shard-size", size)
        names = sorted(p.name for p in theirs.iterdir())
        assert names == sorted(p.name for p in ours.iterdir()), f"{size}: {names} and {sorted(p.name for p in ours.iterdir())}"
        for name in names:
            if name.endswith(".json"):  # as transformers writes it: sorted
                index = json.loads((theirs / name).read_text())
                assert (ours / name).read_text() == json.dumps(index, indent=2, sort_keys=True) + "\n", f"{size}: {name}"
            else:
                assert (ours / name).read_bytes() == (theirs / name).read_bytes(), f"{size}: {name}"
        counts.append(len([n for n in names if not n.endswith(".json")]))
    assert counts[-1] == 1 and counts[0] > 10, counts
    return f"{counts} files, byte for byte as huggingface_hub's"


@part("torch", "torch")
def _(folder, torch):
    generator = torch.Generator().manual_seed(3)
    w = torch.randn(6, 4, generator=generator)
    long = torch.randn(10, 12, generator=generator)
    tensors = collections.OrderedDict([("z", w), ("tied", w), ("transposed", w.t()), ("row", w[2]), ("expanded", torch.randn(3, 1, generator=generator).expand(3, 5)), ("step", long[2:5, ::2]),
                                       ("columns", long[:, 3:5]), ("last", torch.randn(2, 3, 4, 5, generator=generator).to(memory_format=torch.channels_last)), ("n", torch.tensor(7)),
                                       ("none", torch.zeros(0, 2)), ("b", torch.tensor([True, False]))])
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.complex64, torch.complex128,
                  torch.float8_e4m3fn, torch.float8_e5m2):
        tensors[str(dtype)[6:]] = drawn(torch, dtype, (3, 2), generator)

    def same(got, want, where):
        assert list(got) == list(want), f"{where}: names {list(got)}"
        for name, t in want.items():
            o = got[name]
            assert (o.dtype, o.shape, o.stride()) == (t.dtype, t.shape, t.stride()), f"{where}: {name} {o.dtype} {o.shape} {o.stride()} in place of {t.dtype} {t.shape} {t.stride()}"
            a, b = (x.contiguous().view(torch.uint8) if x.dim() else x for x in (o, t))
            assert torch.equal(a, b), f"{where}: {name}"
            ties = [[n for n, x in of.items() if x.numel() and t.numel() and x.untyped_storage().data_ptr() == of[name].untyped_storage().data_ptr()] for of in (got, want)]
            assert ties[0] == ties[1], f"{where}: {name} shares its storage with {ties[0]} in place of {ties[1]}"
            if t.numel():
                assert o.data_ptr() - got["z"].data_ptr() == t.data_ptr() - want["z"].data_ptr() or "z" not in ties[0], f"{where}: {name} begins elsewhere"

    count = 0
    for kind, value in (("plain", tensors), ("wrapped", {"state_dict": tensors, "epoch": 3}), ("dict", dict(tensors))):
        for old in (False, True):
            source = folder / f"{kind}{old}.pt"
            torch.save(value, source, _use_new_zipfile_serialization=not old)
            out = convert(source, folder / f"{kind}{old}.out.pt")
            again = convert(out, folder / f"{kind}{old}.again.pt")
            for file in (out, again):
                for mapped in (False, True):
                    got = torch.load(file, weights_only=True, mmap=mapped)
                    same(got["state_dict"] if kind == "wrapped" else got, tensors, f"{file.name} mmap={mapped}")
                    count += 1
    return f"{len(tensors)} tensors in {count} loads: values, types, strides, ties, order"


@part("numpy", "numpy")
def _(folder, np):
    rng = np.random.default_rng(4)
    arrays = {}
    for t in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8", "c16"):
        a = (rng.standard_normal((3, 4, 2)) * 50).astype(t)
        arrays.update({"c." + t: a, "f." + t: np.asfortranarray(a[:, :, 0])})
        if t not in ("i1", "u1", "?"):
            arrays["be." + t] = a.astype(">" + t)
    arrays.update({"deep/scalar": np.float32(2.5), "none": np.zeros((0, 3), "f4"), "one": np.asfortranarray(np.ones((1, 1)))})
    for packed in (np.savez, np.savez_compressed):
        packed(folder / "in.npz", **arrays)
        out = convert(folder / "in.npz", folder / "out.npz")
        with np.load(out, allow_pickle=False) as got:
            assert sorted(got.files) == sorted(arrays), sorted(got.files)
            for name, a in arrays.items():
                b = got[name]
                assert b.dtype == a.dtype.newbyteorder("<") and b.shape == a.shape and np.array_equal(a, b), f"{name}: {b.dtype} {b.shape} {b.ravel()[:3]} in place of {a.dtype} {a.shape}"
    for order in "CF":  # one array alone
        one = np.asarray(rng.standard_normal((4, 3, 2)), order=order)
        np.save(folder / f"{order}.npy", one)
        with np.load(convert(folder / f"{order}.npy", folder / f"{order}.npz"), allow_pickle=False) as got:
            assert len(got.files) == 1 and np.array_equal(got[got.files[0]], one), order
    return f"{len(arrays)} arrays"
