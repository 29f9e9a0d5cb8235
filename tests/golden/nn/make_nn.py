"""Golden values of losses and layers, and the facts about torch's initial values, all from PyTorch in f64.

usage: python make_nn.py FOLDER      (writes losses.json, layers.json and inits.json; made with PyTorch 2.15)

A case has inputs, parameters (named as graft asks for them, which is as PyTorch names them), buffers, options, the output, a cotangent
and the gradients of sum(output * cotangent) by every input and parameter that is a float. Inputs are multiples of 1/64 (cotangents of
1/16, none of them 0), so that they are the same numbers in f32, and what is compared there is graft's own rounding. null stands for NaN.
torch has no focal loss of several classes; its values are computed here by torch's functions from the formula of Lin et al. 2017.
"""
import json
import math
import random
import sys

import torch
import torch.nn.functional as F
from torch import nn

torch.set_default_dtype(torch.float64)
rng = random.Random(20)


def rand(*shape, scale=2.0, step=64):
    n = math.prod(shape)
    return torch.tensor([rng.randint(-int(scale * step), int(scale * step)) / step for _ in range(n)]).reshape(shape)


def between(low, high, *shape, step=64):
    return torch.tensor([rng.randint(int(low * step), int(high * step)) / step for _ in range(math.prod(shape))]).reshape(shape)


def stored(t):
    if t.dtype == torch.int64:
        return {"shape": list(t.shape), "ids": t.flatten().tolist()}
    return {"shape": list(t.shape), "values": [None if math.isnan(v) else float(f"{v:.14g}") for v in t.detach().flatten().tolist()]}


def case(kind, name, f, inputs, parameters=None, buffers=None, train=False, without=(), **options):
    """f(inputs, parameters) with both as dictionaries; `without`: names whose gradient is not asked for."""
    parameters = dict(parameters or {})
    before = {k: stored(v) for k, v in (buffers or {}).items()}
    leaves = {}
    for group in (inputs, parameters):
        for k, v in group.items():
            if v.dtype == torch.float64 and k not in without:
                leaves[k] = v.requires_grad_()
    y = f(inputs, parameters)
    cotangent = torch.tensor([rng.choice((-1, 1)) * rng.randint(1, 16) / 16 for _ in range(y.numel())]).reshape(y.shape)
    g = torch.autograd.grad((y * cotangent).sum() if y.numel() else y.sum(), list(leaves.values()), allow_unused=False)
    c = {"kind": kind, "name": name, "options": options, "inputs": {k: stored(v) for k, v in inputs.items()},
         "parameters": {k: stored(v) for k, v in parameters.items()}, "output": stored(y), "cotangent": stored(cotangent),
         "gradients": {k: stored(v) for k, v in zip(leaves, g)}}
    if train:
        c["train"] = True
    if before:
        c["buffers"] = before
        c["buffers_after"] = {k: stored(v) for k, v in buffers.items()}
    return c


def layer(kind, name, module, x, train=False, wrap=None, **options):
    """A torch module with all its parameters drawn anew. wrap(module, x): what stands in for module(x)."""
    module.train(train)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(rand(*p.shape, scale=1.0))
        for k, b in module.named_buffers():
            if k.endswith("running_mean"):
                b.copy_(rand(*b.shape, scale=1.0))
            if k.endswith("running_var"):
                b.copy_(between(0.5, 2, *b.shape))
    buffers = {k: b for k, b in module.named_buffers() if not k.endswith("num_batches_tracked")}
    run = wrap or (lambda m, x: m(x))
    # leaves stay the module's own parameters
    return case(kind, name, lambda i, p: run(module, i["x"]), {"x": x}, dict(module.named_parameters()), buffers, train, **options)


# ---------------------------------------------------------------- losses
REDUCTIONS = ("none", "mean", "sum")


def cross_entropies():
    out = []
    for r in REDUCTIONS:
        for smoothing in (0, 0.15):
            for weighted in (False, True):
                for ignored in ("no", "some", "all"):
                    target = torch.tensor({"no": [2, 0, 3, 2], "some": [-100, 1, -100, 3], "all": [-100] * 4}[ignored])
                    inputs = {"logits": rand(4, 5, scale=3), "target": target}
                    options = {"reduction": r, "smoothing": smoothing}
                    if weighted:
                        inputs["class_weight"] = between(0.25, 2, 5)
                    f = lambda i, p: F.cross_entropy(i["logits"], i["target"], i.get("class_weight"), ignore_index=-100, reduction=r,
                                                     label_smoothing=smoothing)
                    out.append(case("cross_entropy", f"{ignored} rows ignored", f, inputs, without=("class_weight",), **options))
    for r in REDUCTIONS:  # a class may be the ignored one; logits far from zero
        inputs = {"logits": rand(3, 4, scale=4) + 700, "target": torch.tensor([1, 3, 2])}
        f = lambda i, p: F.cross_entropy(i["logits"], i["target"], ignore_index=3, reduction=r, label_smoothing=0.25)
        out.append(case("cross_entropy", "a class is ignored", f, inputs, reduction=r, smoothing=0.25, ignore_index=3))
    return out


def focal(i, gamma, r):
    """(1 - p)^gamma * -log p. With d = log of the others' share over the target's: 1 - p = sigmoid(d), -log p = log(1 + e^d), exact in both tails."""
    x, t = i["logits"], i["target"][:, None]
    d = x.masked_fill(torch.zeros_like(x, dtype=torch.bool).scatter(1, t, True), -math.inf).logsumexp(1) - x.gather(1, t)[:, 0]
    y = torch.sigmoid(d) ** gamma * torch.logaddexp(torch.zeros_like(d), d)
    return y if r == "none" else y.mean() if r == "mean" else y.sum()


def losses():
    out = cross_entropies()
    for r in REDUCTIONS:
        x, y = rand(3, 5, scale=4), rand(3, 5, scale=4)
        with torch.no_grad():  # ties, and a difference of beta, where the slope has a corner
            y[0, 0], y[1, 2] = x[0, 0], x[1, 2]
            y[0, 1], y[2, 0] = x[0, 1] + 0.75, x[2, 0] - 0.75
        pair = lambda: {"x": x.detach().clone(), "target": y.detach().clone()}
        out.append(case("mse_loss", "", lambda i, p: F.mse_loss(i["x"], i["target"], reduction=r), pair(), reduction=r))
        out.append(case("l1_loss", "with ties", lambda i, p: F.l1_loss(i["x"], i["target"], reduction=r), pair(), reduction=r))
        for beta in (0.75, 1, 3):
            f = lambda i, p: F.smooth_l1_loss(i["x"], i["target"], reduction=r, beta=beta)
            out.append(case("smooth_l1_loss", "with corners", f, pair(), reduction=r, beta=beta))
        f = lambda i, p: F.binary_cross_entropy_with_logits(i["x"], i["target"], reduction=r)
        for name, scale in (("", 3), ("confident", 60)):
            target = between(0, 1, 2, 7)
            with torch.no_grad():
                target[0, :2], target[1, :2] = 0, 1
            out.append(case("bce_with_logits", name, f, {"x": rand(2, 7, scale=scale), "target": target}, reduction=r))
        f = lambda i, p: F.kl_div(i["x"], i["target"], reduction=r)
        out.append(case("kl_div", "", f, {"x": -between(0.1, 5, 2, 2, 4), "target": between(0.1, 1, 2, 2, 4)}, reduction=r))
        target = between(0.1, 1, 3, 4)
        with torch.no_grad():
            target[0, 1] = target[2, 3] = target[2, 0] = 0
        # torch's own gradient by a target of 0 is NaN
        out.append(case("kl_div", "with zeros", f, {"x": -between(0.1, 5, 3, 4), "target": target}, without=("target",), reduction=r))
        for gamma in (0, 0.5, 2, 3.5):
            inputs = {"logits": rand(4, 3, scale=3), "target": torch.tensor([2, 0, 1, 2])}
            out.append(case("focal_loss", "", lambda i, p: focal(i, gamma, r), inputs, reduction=r, gamma=gamma))
            # p rounds to 1 in the first row, and to 0 in the second
            inputs = {"logits": rand(3, 3) + torch.tensor([[60, 0, 0], [0, -60, 0], [0, 0, 0]]), "target": torch.tensor([0, 1, 2])}
            out.append(case("focal_loss", "confident", lambda i, p: focal(i, gamma, r), inputs, reduction=r, gamma=gamma))
    return out


# ---------------------------------------------------------------- layers
def conv2d(name, n, c, h, w, out, kernel, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1, bias=True):
    """pads: top, left, bottom, right."""
    m = nn.Conv2d(c, out, kernel, stride, 0, dilation, groups, bias)
    wrap = lambda m, x: m(F.pad(x, (pads[1], pads[3], pads[0], pads[2])))
    return layer("Conv2d", name, m, rand(n, c, h, w), wrap=wrap, out=out, kernel=list(kernel), stride=list(stride), pads=list(pads),
                 dilation=list(dilation), groups=groups, bias=bias)


def conv1d(name, n, c, w, out, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True):
    options = dict(out=out, kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias)
    m = nn.Conv1d(c, out, kernel, stride, padding, dilation, groups, bias)
    yield layer("Conv1d", name, m, rand(n, c, w), **options)
    inputs = {"x": rand(n, c, w), "weight": rand(out, c // groups, kernel, scale=1)}
    if bias:
        inputs["bias"] = rand(out, scale=1)
    f = lambda i, p: F.conv1d(i["x"], i["weight"], i.get("bias"), stride, padding, dilation, groups)
    yield case("conv1d", name, f, inputs, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose2d(name, n, c, h, w, out, kernel, stride=(1, 1), pads=(0, 0), output_padding=0, dilation=(1, 1), groups=1, bias=True):
    m = nn.ConvTranspose2d(c, out, kernel, stride, pads, output_padding, groups, bias, dilation)
    return layer("ConvTranspose2d", name, m, rand(n, c, h, w), out=out, kernel=kernel, stride=list(stride), pads=[pads[0], pads[1]] * 2,
                 output_padding=output_padding, dilation=list(dilation), groups=groups, bias=bias)


def max_pool2d(name, x, kernel, stride, pads=(0, 0), dilation=(1, 1)):
    return layer("MaxPool2d", name, nn.MaxPool2d(kernel, stride, pads, dilation), x, kernel=list(kernel), stride=list(stride),
                 pads=[pads[0], pads[1]] * 2, dilation=list(dilation))


def avg_pool2d(name, x, kernel, stride, pads=(0, 0), count_padding=True):
    return layer("AvgPool2d", name, nn.AvgPool2d(kernel, stride, pads, count_include_pad=count_padding), x, kernel=list(kernel),
                 stride=list(stride), pads=[pads[0], pads[1]] * 2, count_padding=count_padding)


class ResidualBlock(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + (self.shortcut(x) if self.shortcut else x)


class Table(nn.Module):
    def __init__(self, vocab, dim, padding_index):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab, dim))
        self.padding_index = padding_index

    def forward(self, ids):
        return F.embedding(ids, self.weight, None if self.padding_index < 0 else self.padding_index)


# The corner at 0 and both tails; softplus of torch is the identity above 20 and so only right to 1e-10: none there but 40. Not 3 and -3, where
# hardswish has no derivative.
POINTS = torch.tensor([0, 2.984375, -3.015625, 1, -1, 0.015625, -0.015625, 3.015625, -2.984375, 6, -6, 9.5, -9.5, 15, -15, 40, -40, 0.5, -0.75, 1.25, -1.75])
ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "tanh": torch.tanh,
               "sigmoid": torch.sigmoid, "softplus": F.softplus, "elu": F.elu, "leaky_relu": F.leaky_relu, "hardswish": F.hardswish,
               "mish": F.mish}


def layers():
    out = [
        layer("Linear", "", nn.Linear(5, 3), rand(4, 5), out=3, bias=True),
        layer("Linear", "three axes", nn.Linear(7, 2), rand(2, 3, 7), out=2, bias=True),
        layer("Linear", "no bias", nn.Linear(3, 9, bias=False), rand(5, 3), out=9, bias=False),
        layer("Linear", "one by one", nn.Linear(1, 1), rand(3, 1), out=1, bias=True),
        conv2d("plain", 2, 3, 5, 7, 4, (3, 3)),
        conv2d("1x1, no bias", 2, 5, 3, 3, 3, (1, 1), bias=False),
        conv2d("strided and padded", 1, 2, 7, 6, 3, (3, 3), (2, 2), (1, 1, 1, 1)),
        conv2d("every number its own", 2, 4, 9, 8, 6, (3, 2), (2, 3), (2, 0, 1, 3), (2, 3), 2),
        conv2d("depthwise", 2, 3, 5, 5, 3, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 3),
        conv2d("depthwise, doubled", 1, 3, 5, 4, 6, (2, 3), (1, 2), (0, 1, 1, 1), (1, 1), 3, False),
        conv2d("dilated", 1, 2, 9, 9, 2, (3, 3), (1, 1), (2, 2, 2, 2), (2, 2)),
        conv_transpose2d("plain", 2, 3, 3, 4, 2, 3),
        conv_transpose2d("strided", 1, 2, 3, 3, 3, 2, (2, 2), bias=False),
        conv_transpose2d("every number its own", 2, 4, 3, 4, 6, 3, (2, 3), (1, 2), 1, (2, 1), 2),
        conv_transpose2d("output padding", 1, 3, 4, 3, 2, 3, (3, 2), (1, 1), 1),
        max_pool2d("2x2", rand(2, 3, 4, 6), (2, 2), (2, 2)),
        max_pool2d("overlapping, padded", rand(1, 2, 7, 5), (3, 2), (2, 1), (1, 1)),
        max_pool2d("dilated", rand(2, 2, 7, 8), (3, 2), (1, 2), (1, 0), (2, 3)),
        max_pool2d("ties", between(-2, 2, 2, 2, 6, 6, step=1), (3, 3), (2, 2), (1, 1)),
        avg_pool2d("2x2", rand(2, 3, 4, 6), (2, 2), (2, 2)),
        avg_pool2d("padding counts", rand(1, 2, 7, 5), (3, 2), (2, 1), (1, 1)),
        avg_pool2d("inside only", rand(2, 2, 6, 7), (3, 4), (2, 3), (1, 2), False),
        layer("GlobalAvgPool", "", nn.Identity(), rand(2, 3, 5, 7), wrap=lambda m, x: x.mean((2, 3))),
        layer("GlobalAvgPool", "one axis", nn.Identity(), rand(3, 2, 5), wrap=lambda m, x: x.mean(2)),
        layer("Flatten", "", nn.Flatten(), rand(2, 3, 2, 1)),
    ]
    for train in (True, False):
        what = "training" if train else "evaluating"
        out += [layer("BatchNorm", what + ", two axes", nn.BatchNorm1d(3), rand(5, 3), train, eps=1e-5, momentum=0.1),
                layer("BatchNorm", what + ", three axes", nn.BatchNorm1d(4, 1e-2, 0.3), rand(2, 4, 3), train, eps=1e-2, momentum=0.3),
                layer("BatchNorm", what + ", four axes", nn.BatchNorm2d(3, 1e-3, 0.75), rand(2, 3, 3, 5), train, eps=1e-3, momentum=0.75)]
    out += [
        layer("BatchNorm", "training, two values", nn.BatchNorm1d(3, 0.25), rand(2, 3), True, eps=0.25, momentum=0.1),
        layer("LayerNorm", "", nn.LayerNorm(7), rand(4, 7), eps=1e-5),
        layer("LayerNorm", "three axes", nn.LayerNorm(5, 0.125), rand(2, 3, 5), eps=0.125),
        layer("GroupNorm", "", nn.GroupNorm(2, 6), rand(2, 6, 3, 5), groups=2, eps=1e-5),
        layer("GroupNorm", "one group", nn.GroupNorm(1, 3, 0.125), rand(2, 3, 5), groups=1, eps=0.125),
        layer("GroupNorm", "a group per channel", nn.GroupNorm(3, 3), rand(2, 3, 3, 3), groups=3, eps=1e-5),
        layer("RmsNorm", "", nn.RMSNorm(7, eps=1e-6), rand(4, 7), eps=1e-6),
        layer("RmsNorm", "three axes", nn.RMSNorm(5, eps=0.125), rand(2, 3, 5), eps=0.125),
        layer("Dropout", "evaluating", nn.Dropout(0.4), rand(3, 5), p=0.4),
        layer("Dropout", "training, nothing dropped", nn.Dropout(0), rand(3, 5), True, p=0),
        layer("Embedding", "", Table(6, 3, -1), torch.tensor([[5, 0, 0], [2, 5, 0]]), vocab=6, dim=3, padding_index=-1),
        layer("Embedding", "a row that pads", Table(5, 4, 2), torch.tensor([2, 0, 2, 4, 4, 1, 2]), vocab=5, dim=4, padding_index=2),
        layer("Embedding", "row 0 pads", Table(3, 2, 0), torch.tensor([[0], [2]]), vocab=3, dim=2, padding_index=0),
        layer("Sequential", "", nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)), rand(3, 5), parts="mlp"),
        layer("Sequential", "", nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 3)),
              rand(3, 2, 4, 6), True, parts="cnn"),
        layer("Sequential", "empty", nn.Sequential(), rand(2, 3), parts="none"),
        layer("Residual", "", ResidualBlock(nn.Linear(4, 4)), rand(3, 4), shortcut=False),
        layer("Residual", "with a shortcut", ResidualBlock(nn.Linear(4, 3), nn.Linear(4, 3, bias=False)), rand(2, 4), shortcut=True),
    ]
    out += conv1d("plain", 2, 3, 7, 4, 3)
    out += conv1d("every number its own", 2, 4, 11, 6, 3, 2, 3, 2, 2)
    out += conv1d("depthwise, no bias", 1, 3, 6, 3, 2, 1, 1, 1, 3, False)
    for name, shape, k, s, pad in (("", (2, 3, 7), 3, 0, 0), ("overlapping, padded", (1, 2, 8), 3, 2, 1), ("steps", (2, 2, 9), 2, 3, 0)):
        f = lambda i, p: F.max_pool1d(i["x"], k, s or None, pad)
        out.append(case("max_pool1d", name, f, {"x": rand(*shape)}, kernel=k, stride=s, padding=pad))
        f = lambda i, p: F.avg_pool1d(i["x"], k, s or None, pad)
        out.append(case("avg_pool1d", name, f, {"x": rand(*shape)}, kernel=k, stride=s, padding=pad))
    for name, f in ACTIVATIONS.items():
        out.append(case("Activation", name, lambda i, p: f(i["x"]), {"x": POINTS.clone().reshape(3, 7)}, act=name))
    for name in ("none", "relu", "gelu", "silu"):
        f = ACTIVATIONS.get(name, lambda x: x)
        out.append(layer("LinearAct", name, nn.Linear(4, 3), rand(2, 4), wrap=lambda m, x: f(m(x)), act=name, out=3, p=0.5))
    return out


# ---------------------------------------------------------------- initial values
def bound_of(draw, bound):
    """The bound, once torch's own draws agree with it."""
    seen = max(draw().abs().max().item() for _ in range(200))
    assert 0.98 * bound < seen <= bound * (1 + 1e-12), (bound, seen)
    return bound


def std_of(draw, std):
    seen = torch.stack([draw() for _ in range(200)]).std().item()
    assert abs(seen / std - 1) < 0.02, (std, seen)
    return std


def inits():
    torch.manual_seed(1)
    functions, layers = [], []
    gains = (("linear", None), ("relu", None), ("leaky_relu", 0.3), ("tanh", None))
    for shape in ([40, 90], [24, 10, 5, 3], [50, 8, 7], [3000]):
        t = torch.empty(shape)
        for how in ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"):
            for nonlinearity, a in gains:
                if len(shape) < 2:
                    continue  # torch has no fans there
                gain = nn.init.calculate_gain(nonlinearity, a)
                fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(t)
                if how.startswith("kaiming"):
                    draw = lambda: getattr(nn.init, how + "_")(t, a or 0, "fan_in", nonlinearity).clone()
                    std = gain / math.sqrt(fan_in)
                else:
                    draw = lambda: getattr(nn.init, how + "_")(t, gain).clone()
                    std = gain * math.sqrt(2 / (fan_in + fan_out))
                e = {"init": how, "shape": shape, "gain": gain}
                e.update({"bound": bound_of(draw, math.sqrt(3) * std)} if how.endswith("uniform") else {"std": std_of(draw, std)})
                functions.append(e)
        functions.append({"init": "uniform", "shape": shape, "gain": 0.3, "bound": 0.3})
        functions.append({"init": "normal", "shape": shape, "gain": 0.02, "std": 0.02})
        functions.append({"init": "zeros", "shape": shape, "gain": 0, "value": 0})
        functions.append({"init": "constant", "shape": shape, "gain": 0.7, "value": 0.7})

    def default(kind, make, options):
        tensors = {}
        first = make()
        for name, t in first.state_dict().items():
            if name == "num_batches_tracked":
                continue
            e = {"shape": list(t.shape)}
            if t.unique().numel() == 1:
                e["value"] = t.flatten()[0].item()
            elif kind == "Embedding":
                e["std"] = std_of(lambda: make().state_dict()[name], 1.0)
            else:
                fan_in = nn.init._calculate_fan_in_and_fan_out(first.weight)[0]
                e["bound"] = bound_of(lambda: make().state_dict()[name], 1 / math.sqrt(fan_in))
            tensors[name] = e
        layers.append({"kind": kind, "options": options, "tensors": tensors})

    default("Linear", lambda: nn.Linear(60, 70), {"in": 60, "out": 70, "bias": True})
    default("Linear", lambda: nn.Linear(70, 60, False), {"in": 70, "out": 60, "bias": False})
    default("Conv1d", lambda: nn.Conv1d(24, 60, 5, groups=2), {"in": 24, "out": 60, "kernel": 5, "groups": 2})
    default("Conv2d", lambda: nn.Conv2d(16, 60, (5, 3)), {"in": 16, "out": 60, "kernel": [5, 3], "groups": 1})
    default("Conv2d", lambda: nn.Conv2d(30, 60, (3, 5), groups=3), {"in": 30, "out": 60, "kernel": [3, 5], "groups": 3})
    default("ConvTranspose2d", lambda: nn.ConvTranspose2d(60, 20, 3), {"in": 60, "out": 20, "kernel": 3, "groups": 1})
    default("ConvTranspose2d", lambda: nn.ConvTranspose2d(60, 80, 5, groups=4), {"in": 60, "out": 80, "kernel": 5, "groups": 4})
    default("BatchNorm", lambda: nn.BatchNorm1d(7), {"channels": 7})
    default("LayerNorm", lambda: nn.LayerNorm(7), {"width": 7})
    default("GroupNorm", lambda: nn.GroupNorm(2, 6), {"groups": 2, "channels": 6})
    default("RmsNorm", lambda: nn.RMSNorm(7), {"width": 7})
    default("Embedding", lambda: nn.Embedding(90, 40), {"vocab": 90, "dim": 40})
    return {"functions": functions, "layers": layers}


def lines(cases):
    return ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)


def main():
    folder = sys.argv[1]
    for name, cases in (("losses", losses()), ("layers", layers())):
        with open(f"{folder}/{name}.json", "w") as f:
            f.write(f'{{"torch":"{torch.__version__}","cases":[\n{lines(cases)}\n]}}\n')
    i = inits()
    with open(f"{folder}/inits.json", "w") as f:
        f.write(f'{{"torch":"{torch.__version__}","functions":[\n{lines(i["functions"])}\n],"layers":[\n{lines(i["layers"])}\n]}}\n')


main()
