# What PyTorch says of NaN and infinities, for tests/engine/nan_rules_test.cpp: python3 make.py > rules.txt (torch 2.x, on the CPU, in float64).
# A line: kind, operation, sizes, inputs, outputs. Left out, because graft says otherwise and means it:
#   sign(NaN) and the slope of abs there: 0 in PyTorch, NaN in NumPy and here; relu's gradient at NaN: dy in PyTorch, NaN here;
#   which of several NaNs max pooling names: PyTorch the last, graft the first. And where PyTorch contradicts itself: the gradients of elu and
#   hardswish at NaN are NaN in its vector loops and dy in its scalar ones.
#   The gradient of clamp at its own bounds is not asked for here.
import math

import torch
import torch.nn.functional as F

nan, inf = math.nan, math.inf
torch.set_num_threads(1)
ONE = [nan, inf, -inf, 0.0, -0.0, 0.5, -0.5, 2.0, -2.0, 100.0, -100.0]
MANY = [nan, inf, -inf, 0.5, -0.5, 2.0, -2.0]


def t(x):
    return torch.tensor(x, dtype=torch.float64)


def each(f, *columns):
    """f on one element at a time, so that no vector loop answers in its own way."""
    return [float(f(*(t(v) for v in row))) for row in zip(*columns)]


def say(kind, op, sizes, *lists):
    flat = [v for part in lists for v in part]
    print(kind, op, *sizes, *(repr(float(v)) for v in flat))


unary = dict(
    neg=torch.neg, abs=torch.abs, square=torch.square, sqrt=torch.sqrt, rsqrt=torch.rsqrt, reciprocal=torch.reciprocal, exp=torch.exp,
    expm1=torch.expm1, log=torch.log, log1p=torch.log1p, sin=torch.sin, cos=torch.cos, tanh=torch.tanh, sigmoid=torch.sigmoid, erf=torch.erf,
    floor=torch.floor, ceil=torch.ceil, round=torch.round, relu=torch.relu, gelu=F.gelu, gelu_tanh=lambda x: F.gelu(x, approximate="tanh"),
    silu=F.silu, softplus=F.softplus, elu=lambda x: F.elu(x, 1.5), leaky_relu=lambda x: F.leaky_relu(x, 0.01), hardswish=F.hardswish,
    mish=F.mish, logical_not=torch.logical_not, isnan=torch.isnan, isinf=torch.isinf, scale=lambda x: 1.5 * x + 0.75,
    clamp=lambda x: x.clamp(-0.5, 0.75), pow_scalar=lambda x: x**1.5, sign=torch.sign)
for name, f in unary.items():
    values = [v for v in ONE if name != "sign" or v == v]
    say("elementwise", name, [len(values)], values, each(f, values))


def slope(f):
    def g(dy, x):
        x = x.clone().requires_grad_()
        f(x).backward(dy)
        return x.grad
    return g


binary = dict(
    add=torch.add, sub=torch.sub, mul=torch.mul, div=torch.div, floor_div=torch.floor_divide, mod=torch.remainder, pow=torch.pow,
    max=torch.maximum, min=torch.minimum, atan2=torch.atan2, eq=torch.eq, ne=torch.ne, lt=torch.lt, le=torch.le, gt=torch.gt, ge=torch.ge,
    logical_and=torch.logical_and, logical_or=torch.logical_or, logical_xor=torch.logical_xor, axpby=lambda a, b: 1.5 * a + 0.75 * b,
    relu_grad=slope(torch.relu), tanh_grad=torch.ops.aten.tanh_backward, sigmoid_grad=torch.ops.aten.sigmoid_backward,
    gelu_grad=slope(F.gelu), gelu_tanh_grad=slope(unary["gelu_tanh"]), silu_grad=slope(F.silu), softplus_grad=slope(F.softplus),
    elu_grad=slope(unary["elu"]), leaky_relu_grad=slope(unary["leaky_relu"]), hardswish_grad=slope(F.hardswish), mish_grad=slope(F.mish),
    abs_grad=slope(torch.abs), clamp_grad=slope(unary["clamp"]))
for name, f in binary.items():
    pairs = [(a, b) for a in MANY for b in MANY]
    if name in ("relu_grad", "abs_grad", "hardswish_grad", "elu_grad"):
        pairs = [(a, b) for a, b in pairs if b == b]
    if name == "clamp_grad":
        pairs = [(a, b) for a, b in pairs if b != -0.5]
    if name.endswith("_grad"):  # one slope times any dy: products of infinities are each formula's own
        pairs = [(a, b) for a, b in pairs if a in (0.5, -2.0) or a != a]
    a, b = zip(*pairs)
    say("elementwise", name, [len(pairs)], a, b, each(f, a, b))

triples = [(c, a, b) for c in (0.0, 1.0) for a in MANY for b in MANY]
c, a, b = zip(*triples)
say("elementwise", "where", [len(c)], c, a, b, each(lambda c, a, b: torch.where(c != 0, a, b), c, a, b))
triples = [(a, b, c) for a in MANY for b in MANY for c in (nan, inf, 1.0)]
a, b, c = zip(*triples)
say("elementwise", "fma", [len(c)], a, b, c, each(lambda a, b, c: a * b + c, a, b, c))

ROWS = [[1, nan, 3, nan, 2], [nan, 1, 2, 3, 4], [1, 2, 3, 4, nan], [4, 1, nan, 2, 3], [inf, 1, -inf, 2, 3], [1, inf, 2, inf, 3], [-inf] * 5,
        [1, -inf, 2, 0.5, 3], [nan] * 5, [-inf, nan, inf, nan, -inf], [1, 2, 3, 4, 5]]
x = t(ROWS)
n, m = x.shape
for name, f in dict(sum=torch.sum, mean=torch.mean, prod=torch.prod, max=torch.amax, min=torch.amin, argmax=torch.argmax, argmin=torch.argmin,
                    sum_of_squares=lambda x, d: (x * x).sum(d)).items():
    say("reduce", name, [n, m], x.flatten(), f(x, 1))
say("cumsum", "cumsum", [n, m], x.flatten(), x.cumsum(1).flatten())
for down in (False, True):
    values, indices = x.sort(dim=1, descending=down, stable=True)
    say("sort", "down" if down else "up", [n, m], x.flatten(), values.flatten(), indices.flatten())
say("softmax", "softmax", [n, m], x.flatten(), F.softmax(x, 1).flatten())
say("softmax", "log", [n, m], x.flatten(), F.log_softmax(x, 1).flatten())
target = torch.tensor([0, 1, 1, 3, 1, 0, 2, 1, 0, 0, 4])
say("cross_entropy", "loss", [n, m], x.flatten(), target, F.cross_entropy(x, target, reduction="none"))

image = t([[1, nan, 2, 5, -inf, -inf], [0, 3, 4, inf, -inf, -inf]])  # windows of 2 x 2 with one NaN, +inf, nothing but -inf
y, where = F.max_pool2d(image[None, None], 2, 2, return_indices=True)
say("pool", "max", [2, 6], image.flatten(), y.flatten(), where.flatten())
say("pool", "average", [2, 6], image.flatten(), F.avg_pool2d(image[None, None], 2, 2).flatten())

for name, to in dict(f32=torch.float32, bf16=torch.bfloat16, f16=torch.float16, bool=torch.bool).items():
    say("copy", name, [len(ONE)], ONE, t(ONE).to(to).to(torch.float64))
