"""Makes the seeds of tests/fuzz/corpus that no golden file is: containers whose tests build them in code, and one bad file where every golden one is good.
What fuzzing found stands beside them under names that begin with found_, and is not touched. Python's standard library and h5py alone: make_corpus.py"""
import io, json, os, struct, zipfile
from pathlib import Path

here = Path(__file__).parent / "corpus"


def put(name, data):
    path = here / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


put("safetensors/hole", safetensors({"a": one(), "b": one(offsets=(12, 20))}, bytes(20)))
put("safetensors/overflow", safetensors({"a": one(shape=(2**40, 2**40))}, bytes(8)))
put("safetensors/twice", safetensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"))
put("safetensors/metadata", safetensors({"__metadata__": {"format": "pt"}, "w": one("F8_E4M3", (3,), (0, 3))}, b"abc"))

put("safetensors_index/good", json.dumps({"metadata": {"total_size": 16}, "weight_map": {}}))
put("safetensors_index/missing", json.dumps({"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))
put("safetensors_index/path", json.dumps({"weight_map": {"a": "../model.safetensors"}}))
put("safetensors_index/kinds", '{"weight_map":{"a":1,"b":null,"c":["x"]},"metadata":{"total_size":1.5}}')

put("json_guard/kinds", '{"a":[1,-1,1.5e3,true,false,null,"\\u00e9\\ud83d\\ude00\\n"],"b":{"c":{"d":[[],{}]}},"":18446744073709551615}')
put("json_guard/twice", '{"a/b":1,"a\\/b":2}')
put("json_guard/deep", '{"a":' + "[" * 40 + "]" * 40 + "}")
put("json_guard/spaces", ' \n\t{ "a" : 1 , "b" : [ ] } ')
put("json_guard/surrogate", '{"\\ud800":1}')

put("maps/every_rule", """name  one
what  every kind of rule
type  bert
has   a.weight [16,*,3,3]
has   b.weight
lacks c.**
fact  n = count layer1.*.weight
fact  classes = size linear.weight 0
recipe x n=3
set   data.normalize=[0.1307,0.3081]
a.* -> b.*
a.** -> c.** : permute 3 2 0 1
a -> b : transpose
a -> b, c, d : split 0
a, b -> c : cat 0
a -> b : blocks 0 0 2 1 3
a -> b : reshape 24 -1
a -> b : add 1
tie b = a
drop *.x : a reason
""")
put("maps/no_rule", "name one\nwhat nonsense\na ->\n")
put("maps/stars", "name one\na.* -> b.*.*\n")


def legacy(numbers, rest, tokens, tensors):
    out = b"lmgg" + struct.pack(f"<{len(numbers)}i", *numbers) + rest + struct.pack("<i", len(tokens))
    for t in tokens:
        out += struct.pack("<i", len(t)) + t
    for name, sizes, kind, data in tensors:
        out += struct.pack(f"<{3 + len(sizes)}i", len(sizes), len(name), kind, *sizes) + name + data
    return out


mel = struct.pack("<2i6f", 2, 3, 0, 0.5, 1, 1, 0.5, 0)
put("legacy_ggml/whisper", legacy([3, 1500, 384, 6, 4, 448, 384, 6, 4, 2, 1], mel, [b"a", b"bc", b"\xff\0"], [(b"encoder.w", (3, 2), 0, bytes(24)), (b"half", (2,), 1, b"\0\x3c\0\xc0")]))
put("legacy_ggml/gpt2", legacy([2, 1024, 4, 1, 1, 1], b"", [b"x", b"y"], [(b"model/wte", (2, 3), 0, bytes(24))]))
put("legacy_ggml/quantised", legacy([2, 1024, 4, 1, 1, 1], b"", [b"x", b"y"], [(b"w", (32,), 2, bytes(18))]))

put("llm_c/short", struct.pack("<3i", 20240326, 3, 1024))


def archive(members, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in members:
            z.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


put("zip/deflated", archive([("a", b"x" * 300), ("b/c", bytes(range(64)))], zipfile.ZIP_DEFLATED))
put("zip/leaves", archive([("../a", b"x")]))


def npy(header, data):
    text = header.encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


# Arrays of objects, as Python 2 pickled them: {"w": an array of two f32, "n": 3}; one with a call among them; one whose header has another shape.
reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R"
end = b"K\0K\1\x87R(K\3U\1%cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK%ctb"
f4 = b"cnumpy\ndtype\nU\2f4" + end % (b"<", b"\0")
o8 = b"cnumpy\ndtype\nU\2O8" + end % (b"|", b"\x3f")
two = reconstruct + b"(K\1K\2\x85" + f4 + b"\x89U\x08" + struct.pack("<2f", 1, 2) + b"tb"


def objects(value, shape="()"):
    return npy("{'descr': '|O', 'fortran_order': False, 'shape': %s, }" % shape, b"\x80\2" + reconstruct + b"(K\1)" + o8 + b"\x89]" + value + b"atb.")


put("npy/objects", objects(b"}(U\1w" + two + b"U\1nK\3u"))
put("npy/objects_call", objects(b"}(U\1w" + two + b"U\1xcposix\nsystem\nU\2id\x85Ru"))
put("npy/objects_shape", objects(two, "(2,)"))
put("npz/objects_stored", archive([("a.npy", objects(b"}U\1w" + two + b"s")), ("b.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", bytes(4)))]))
put("npz/objects_packed", archive([("a.npy", objects(b"}U\1w" + two + b"s"))], zipfile.ZIP_DEFLATED))
put("npz/objects", archive([("a.npy", b"\x93NUMPY\1\0\x46\0" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(69) + b"\n" + b"x" * 8)]))

try:
    import h5py
except ImportError:
    print("h5py is not here: keras_archive and its bad file are as they were")
else:
    inner = io.BytesIO()
    with h5py.File(inner, "w") as f:
        f.create_dataset("layers/dense/vars/0", data=[[1.0, 2.0], [3.0, 4.0]], dtype="<f4")
    config = json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": []}})
    about = json.dumps({"keras_version": "3.4.1"})
    put("keras_archive/good", archive([("metadata.json", about), ("config.json", config), ("model.weights.h5", inner.getvalue())]))
    put("keras_archive/deflated", archive([("metadata.json", about), ("config.json", config), ("model.weights.h5", inner.getvalue())], zipfile.ZIP_DEFLATED))
    put("keras_archive/lambda", archive([("config.json", config.replace('"layers": []', '"layers": [{"class_name": "Lambda", "config": {"name": "l"}}]')), ("model.weights.h5", inner.getvalue())]))

put("any_file/pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 390660192\n")
put("any_file/page", "<!DOCTYPE html>\n<html><body>Not found</body></html>\n")
put("any_file/link", "../../blobs/0123456789abcdef0123456789abcdef")


def field(number, value):
    """A field of a protocol buffer: a small number, or bytes of fewer than 128."""
    return bytes([number << 3, value]) if isinstance(value, int) else bytes([number << 3 | 2, len(value)]) + value


def onnx(nodes, opsets):
    graph = b"".join(field(1, n) for n in nodes) + field(2, b"g") + field(12, field(1, b"y"))
    return field(1, 8) + field(2, b"by hand") + field(7, graph) + b"".join(field(8, o) for o in opsets)


# Found by fuzzing: the names of operators and their domains went into messages as they stood.
put("onnx_graph/found_newline_in_operator", onnx([field(2, b"y") + field(4, b"a\nb")], [field(2, 13)]))
put("onnx_graph/found_newline_in_domain", onnx([field(2, b"y") + field(4, b"a") + field(7, b"c\nd")], [field(2, 13)]))
# And the numbers of a type of 16 bytes in the field that has 4: more was read than there is.
put("onnx/found_complex_in_int32_data", bytes.fromhex("2a022d03100f35499d83bf"))
put("onnx/found_complex_as_initialiser", field(1, 8) + field(7, field(5, field(1, 1) + field(2, 15) + field(5, b"\x07") + field(8, b"w")) + field(2, b"g")) + field(8, field(2, 13)))
# A type that only ONNX has: it is listed, and not loaded.
put("onnx/found_int4", bytes.fromhex("08083a0f2a0a080110162a0107420177120167420210") + b"\x0d")
# One number of 4 bits: ONNX fills the byte up.
put("onnx/found_one_float4", bytes.fromhex("08083a0f2a0a080110172a0107420177120167420210") + b"\x0d")

put("labels/two", '{"model_type":"bert","id2label":{"0":"no","1":"yes"},"label2id":{"no":0,"yes":1},"num_labels":2}')
put("labels/placeholders", '{"id2label":{"0":"LABEL_0","1":"LABEL_1"}}')
put("labels/deep", '{"id2label":' * 300 + "1" + "}" * 300)
put("name_pattern/layers", "(.*\\.)?(layer[0-9]+\\.(q|v)_proj)$\nmodel.layer12.q_proj")
put("name_pattern/stars", "^a+?[^b-d\\d](x|y*)*$\naaaezzz")
put("name_pattern/ahead", "fc(?=1)\nfc1")
