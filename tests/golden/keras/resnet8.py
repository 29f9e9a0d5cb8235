#!/usr/bin/env python3
"""Makes resnet8.json: what resnet8-cifar10-keras.h5 (MLPerf Tiny's ResNet-8, in the folder of real checkpoints) answers to eight images, by a forward pass in NumPy that follows the
file's own model_config layer by layer, in f64 on the f32 weights. Run it in this folder: python3 resnet8.py PATH/resnet8-cifar10-keras.h5

The images come from the formula of pixel(), which the test repeats: bytes from 0 to 255, which go into the network as they are (the model was trained on raw bytes).
"""
import json
import sys
import h5py
import numpy as np

IMAGES, SIZE = 8, 32


def pixel(n, row, column, channel):
    if n % 2:
        return (row * (3 + n) + column * (5 + 2 * n) + channel * 40 * n) // 2 % 256
    i = ((n * SIZE + row) * SIZE + column) * 3 + channel
    return (i * 104729 + 12345) % 1000003 * 48271 % 1000003 % 256


def pads(size, kernel, stride, padding):
    if padding == "valid":
        return 0, 0
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def windows(x, kernel, strides, padding):
    """[n,h,w,c] -> [n,p,q,r,s,c]; TensorFlow's SAME puts the odd pixel behind."""
    ph, pw = pads(x.shape[1], kernel[0], strides[0], padding), pads(x.shape[2], kernel[1], strides[1], padding)
    x = np.pad(x, ((0, 0), ph, pw, (0, 0)))
    w = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))[:, :: strides[0], :: strides[1]]
    return w.transpose(0, 1, 2, 4, 5, 3)


def act(name, x):
    if name == "relu":
        return np.maximum(x, 0)
    if name == "softmax":
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    assert name == "linear", name
    return x


def run(path, x, dtype):
    f = h5py.File(path)
    weights = f["model_weights"]
    values, logits = {}, None
    for layer in json.loads(f.attrs["model_config"])["config"]["layers"]:
        c, name, kind = layer["config"], layer["name"], layer["class_name"]
        inputs = [values[i[0]] for i in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else []
        w = {k.split(":")[0]: v[()].astype(dtype) for k, v in weights[name][name].items()} if name in weights[name] else {}
        if kind == "InputLayer":
            y = x.astype(dtype)
        elif kind == "Conv2D":
            assert c["data_format"] == "channels_last" and c["dilation_rate"] == [1, 1] and c.get("groups", 1) == 1
            y = act(c["activation"], np.tensordot(windows(inputs[0], tuple(c["kernel_size"]), c["strides"], c["padding"]), w["kernel"], 3) + w["bias"])
        elif kind == "BatchNormalization":
            y = (inputs[0] - w["moving_mean"]) / np.sqrt(w["moving_variance"] + dtype(c["epsilon"])) * w["gamma"] + w["beta"]
        elif kind == "Activation":
            y = act(c["activation"], inputs[0])
        elif kind == "Add":
            y = inputs[0] + inputs[1]
        elif kind == "AveragePooling2D":
            y = windows(inputs[0], tuple(c["pool_size"]), c["strides"], c["padding"]).mean((3, 4))
        elif kind == "Flatten":
            y = inputs[0].reshape(len(inputs[0]), -1)
        elif kind == "Dense":
            logits = inputs[0] @ w["kernel"] + w["bias"]
            y = act(c["activation"], logits)
        else:
            raise SystemExit(f"{name}: a layer of class {kind}")
        values[name] = y
    return logits, y


if __name__ == "__main__":
    images = np.array([[[[pixel(n, r, c, k) for k in range(3)] for c in range(SIZE)] for r in range(SIZE)] for n in range(IMAGES)])
    logits, probabilities = run(sys.argv[1], images, np.float64)
    single, _ = run(sys.argv[1], images, np.float32)
    doc = {"numpy": np.__version__, "images": IMAGES, "size": SIZE, "logits": logits.tolist(), "probabilities": probabilities.tolist(), "f32_error": float(np.abs(single - logits).max())}
    with open("resnet8.json", "w") as f:
        json.dump(doc, f, separators=(",", ":"))
