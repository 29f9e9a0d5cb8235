"""10,000 random expressions with NumPy's answers, in ten files of a thousand.

usage: python make_expressions.py FOLDER      (made with NumPy 2.4 and, for the promotion rule alone, PyTorch 2.15)

A line:   inputs | expression | dtype[shape] tolerance | values
  inputs       name=dtype[shape]:seed; the elements are a hash of (seed, position), the same in value() here and in expressions_test.cpp
  tolerance    absolute; 0 for integers and bool. Derived, not chosen: NumPy evaluates every expression twice, in its own dtypes and with wider
               floats (f16, f32 -> f64; f64 -> x87 long double). The wide answer is the wanted one, the tolerance is twice NumPy's own error
               plus 8 units in the last place of the largest intermediate value plus half a unit of the printed decimals.
Values are NumPy's; which dtype two operands meet in is PyTorch's rule (torch.result_type), as the engine promises.
Functions that jump (floor, comparisons, sort, casts to integers) are only applied where both evaluations agree bit for bit.
"""
import math
import random
import re
import sys
from collections import Counter

import numpy as np
import torch

NP = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32, "u8": np.uint8, "bool": np.bool_}
NAME = {np.dtype(v): k for k, v in NP.items()}
TORCH = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "i64": torch.int64, "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}
FROM_TORCH = {v: k for k, v in TORCH.items()}
FLOATS = ("f64", "f32", "f16")
WIDE = {"f64": np.longdouble, "f32": np.float64, "f16": np.float64}
MAX_SIZE = 30
rng = random.Random(20261)


def value(dtype, seed, count):
    """Small dyadic numbers from a 32-bit mixer, the same in C++."""
    x = (np.arange(count, dtype=np.uint64) + np.uint64(seed * 1000003)) & np.uint64(0xFFFFFFFF)
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D)) & np.uint64(0xFFFFFFFF)
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B)) & np.uint64(0xFFFFFFFF)
    x = x ^ (x >> np.uint64(16))
    h = (x >> np.uint64(8)).astype(np.int64)
    if dtype in FLOATS:
        return ((h % 129 - 64) / 16.0).astype(NP[dtype])
    if dtype == "bool":
        return (h % 2).astype(np.bool_)
    return (h % 7 if dtype == "u8" else h % 13 - 6).astype(NP[dtype])


class Node:
    """An expression with its value in its own dtype and in a wide one, the largest magnitude met on the way, and whether it is exact."""

    def __init__(self, text, dtype, own, wide, children=(), exact=True):
        self.text, self.dtype = text, dtype
        self.own = np.asarray(own)
        assert self.own.dtype == NP[dtype], (text, self.own.dtype, dtype)
        self.wide = np.asarray(wide)
        self.shape = self.own.shape
        self.size = self.own.size
        if self.own.size and not np.all(np.isfinite(self.wide.astype(np.float64))):
            raise Reject
        peak = float(np.max(np.abs(self.wide.astype(np.float64)))) if self.own.size else 0.0
        if peak > 1e5:
            raise Reject
        self.magnitude = max([peak] + [c.magnitude for c in children])
        self.coarse = max([np.finfo(NP[dtype]).eps if dtype in FLOATS else 0.0] + [c.coarse for c in children])
        self.exact = exact and all(c.exact for c in children) and bool(np.all(self.own == self.wide))
        self.inputs = {}
        for c in children:
            self.inputs.update(c.inputs)


class Reject(Exception):
    pass


used = Counter()


def result_dtype(*nodes):
    """torch.result_type over dummies of the same rank kinds."""
    t = [torch.empty([1] * n.own.ndim, dtype=TORCH[n.dtype]) for n in nodes]
    return FROM_TORCH[torch.result_type(*t)]


def wide_type(dtype):
    return WIDE.get(dtype, NP[dtype])


def to(node, dtype):
    """(own, wide) of a node converted to dtype."""
    return node.own.astype(NP[dtype]), node.wide.astype(wide_type(dtype))


def make(text, dtype, f, children, exact=True, parts=None):
    """Applies f to the children's own and wide values (already converted when parts is given) and casts to dtype."""
    own = [c.own for c in children] if parts is None else [p[0] for p in parts]
    wide = [c.wide for c in children] if parts is None else [p[1] for p in parts]
    with np.errstate(all="ignore"):
        a = np.asarray(f(*own)).astype(NP[dtype])
        b = np.asarray(f(*wide)).astype(wide_type(dtype))
    used[text.split("(")[0]] += 1
    return Node(text, dtype, a, b, children, exact)


def call(name, *args):
    def show(a):
        if isinstance(a, Node):
            return a.text
        if isinstance(a, (list, tuple)):
            return "[" + ",".join(show(x) for x in a) + "]"
        if a is None:
            return "none"
        if isinstance(a, bool):
            return "true" if a else "false"
        if isinstance(a, str):
            return "'" + a + "'"
        return repr(a)

    return name + "(" + ",".join(show(a) for a in args) + ")"


# ---------------------------------------------------------------- leaves

seeds = iter(range(1, 10**9))
ARITH = ("f64", "f64", "f64", "f32", "f32", "i64", "i32", "u8")


def leaf(shape, dtype):
    seed = next(seeds)
    name = f"x{seed}"
    own = value(dtype, seed, math.prod(shape)).reshape(shape)
    n = Node(name, dtype, own, own.astype(wide_type(dtype)))
    n.inputs = {name: (dtype, tuple(shape), seed)}
    return n


def some_shape(low=0, high=4, limit=MAX_SIZE, least=1):
    while True:
        s = [rng.choice((1, 2, 3, 4, 5, 2, 3)) for _ in range(rng.randint(low, high))]
        if rng.random() < 0.02 and s and least == 0:
            s[rng.randrange(len(s))] = 0
        if math.prod(s) <= limit:
            return s


def some_dtype():
    return rng.choice(ARITH)


def partner_shape(shape):
    """A shape that broadcasts with `shape`."""
    s = list(shape)
    s = s[rng.randint(0, len(s)):] if rng.random() < 0.4 else s
    return [1 if rng.random() < 0.3 else d for d in s]


def gen(depth, dtype=None, low=0, high=4):
    """A node of any shape with rank in [low, high]."""
    for _ in range(200):
        try:
            if depth == 0:
                return leaf(some_shape(low, high, least=0), dtype or some_dtype())
            n = rng.choice(MAKERS)(depth)
            if not low <= n.own.ndim <= high or n.size > 4 * MAX_SIZE or (dtype and n.dtype != dtype):
                continue
            return n
        except Reject:
            continue
    return leaf(some_shape(low, high), dtype or some_dtype())


def beside(n, depth, dtype=None):
    """An operand that broadcasts with n: often a leaf, sometimes n reduced."""
    r = rng.random()
    if depth > 1 and r < 0.3 and n.own.ndim:
        axis = rng.randrange(n.own.ndim)
        if n.shape[axis] and n.dtype in FLOATS and (dtype is None or dtype == n.dtype):
            return reduce_node("amax", n, [axis], True)
    return leaf(partner_shape(n.shape), dtype or (n.dtype if r < 0.7 else some_dtype()))


def random_axis(n):
    a = rng.randrange(n.own.ndim)
    return a if rng.random() < 0.5 else a - n.own.ndim


# ---------------------------------------------------------------- pointwise

EXACT_BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


def binary(depth):
    a = gen(depth - 1)
    name = rng.choice(list(EXACT_BINARY))
    b = beside(a, depth)
    d = result_dtype(a, b)
    if d == "bool":
        raise Reject
    if rng.random() < 0.5:
        a, b = b, a
    return make(call(name, a, b), d, EXACT_BINARY[name], [a, b], parts=[to(a, d), to(b, d)])


def nonzero(n):
    """2n - 1 is odd for integers; |n| + 1 for floats; u8 gets n + 1."""
    if n.dtype in FLOATS:
        return make(call("add", make(call("abs", n), n.dtype, np.abs, [n]), 1), n.dtype, lambda x: np.abs(x) + x.dtype.type(1), [n])
    if n.dtype == "u8":
        return make(call("add", n, 1), "u8", lambda x: x + np.uint8(1), [n])
    return make(call("sub", make(call("mul", n, 2), n.dtype, lambda x: x * x.dtype.type(2), [n]), 1), n.dtype,
                lambda x: x * x.dtype.type(2) - x.dtype.type(1), [n])


def division(depth):
    a = gen(depth - 1)
    b = leaf(partner_shape(a.shape), some_dtype())
    b = nonzero(b)
    d = result_dtype(a, b)
    if d == "bool":
        raise Reject
    r = rng.random()
    if r < 0.5:
        d = d if d in FLOATS else "f32"
        return make(call("div", a, b), d, np.divide, [a, b], False, [to(a, d), to(b, d)])
    if not (a.exact and b.exact):
        raise Reject
    name = "floor_div" if r < 0.75 else "mod"
    f = np.floor_divide if name == "floor_div" else np.mod
    pa, pb = to(a, d), to(b, d)
    with np.errstate(all="ignore"):  # a quotient that lies at a jump in one precision and not in the other
        if not np.all(np.asarray(f(pa[0], pb[0])) == np.asarray(f(pa[1], pb[1]))):
            raise Reject
    return make(call(name, a, b), d, f, [a, b], True, [pa, pb])


def power(depth):
    a = gen(depth - 1)
    if a.dtype == "bool":
        raise Reject
    if rng.random() < 0.5 or a.dtype not in FLOATS:
        k = rng.choice((2, 3)) if a.dtype not in FLOATS else rng.choice((2, 3, 0, 1))
        return make(call("pow", a, k), a.dtype, lambda x: np.power(x, x.dtype.type(k)), [a], k in (0, 1, 2, 3))
    base = nonzero(a)
    b = leaf(partner_shape(a.shape), a.dtype)
    d = result_dtype(base, b)
    return make(call("pow", base, b), d, np.power, [base, b], False, [to(base, d), to(b, d)])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


UNARY = {
    "sqrt": (np.sqrt, "plus"), "rsqrt": (lambda x: 1 / np.sqrt(x), "plus"), "reciprocal": (lambda x: 1 / x, "plus"), "exp": (np.exp, ""),
    "expm1": (np.expm1, ""), "log": (np.log, "plus"), "log1p": (np.log1p, "plus"), "sin": (np.sin, ""), "cos": (np.cos, ""), "tanh": (np.tanh, ""),
    "sigmoid": (sigmoid, ""), "silu": (lambda x: x * sigmoid(x), ""), "softplus": (lambda x: np.logaddexp(x, x * 0), ""),
    "mish": (lambda x: x * np.tanh(np.logaddexp(x, x * 0)), ""), "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), ""),
    "leaky_relu": (lambda x: np.where(x > 0, x, x * x.dtype.type(0.125)), ""),
    "hardswish": (lambda x: x * np.clip(x + 3, 0, 6) / 6, ""),
}


def unary(depth):
    name = rng.choice(list(UNARY))
    f, kind = UNARY[name]
    x = gen(depth - 1)
    if x.dtype in ("bool", "f16"):
        raise Reject
    if kind == "plus":
        x = nonzero(make(call("abs", x), x.dtype, np.abs, [x]))
    if x.dtype not in FLOATS and name in ("silu", "mish", "elu", "leaky_relu", "hardswish", "softplus"):
        raise Reject
    if x.magnitude > 20 and name in ("exp", "expm1", "sin", "cos"):
        raise Reject
    d = x.dtype if x.dtype in FLOATS else "f32"
    text = call(name, x, 0.125) if name == "leaky_relu" else call(name, x)
    return make(text, d, lambda v: f(v).astype(v.dtype), [x], False, [to(x, d)])


EXACT_UNARY = {"neg": np.negative, "abs": np.abs, "square": np.square, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "round": np.round,
               "relu": lambda x: np.maximum(x, x.dtype.type(0)), "clone": lambda x: x, "contiguous": lambda x: x}


def exact_unary(depth):
    name = rng.choice(list(EXACT_UNARY))
    x = gen(depth - 1)
    if x.dtype == "bool" and name not in ("clone", "contiguous"):
        raise Reject
    if name in ("sign", "floor", "ceil", "round") and not x.exact:
        raise Reject
    if name in ("floor", "ceil", "round") and x.dtype not in FLOATS:
        raise Reject
    return make(call(name, x), x.dtype, EXACT_UNARY[name], [x])


def scalar(depth):
    x = gen(depth - 1)
    if x.dtype == "bool":
        raise Reject
    integer = rng.random() < 0.5
    k = rng.choice((1, 2, 3)) if integer or x.dtype == "u8" else rng.choice((-1.5, 0.5, 2.25, -0.125))
    d = x.dtype if x.dtype in FLOATS or isinstance(k, int) else "f32"
    kind = rng.choice(("add", "sub", "rsub", "mul", "div", "clamp"))
    p = [to(x, d)]
    if kind == "add":
        return make(call("add", x, k), d, lambda v: v + v.dtype.type(k), [x], True, p)
    if kind == "sub":
        return make(call("sub", x, k), d, lambda v: v - v.dtype.type(k), [x], True, p)
    if kind == "rsub":
        return make(call("sub", k, x), d, lambda v: v.dtype.type(k) - v, [x], True, p)
    if kind == "mul":
        return make(call("mul", x, k), d, lambda v: v * v.dtype.type(k), [x], True, p)
    if kind == "clamp":
        if x.dtype not in FLOATS:
            raise Reject
        return make(call("clamp", x, -1.5, 2.25), x.dtype, lambda v: np.clip(v, -1.5, 2.25), [x])
    d = d if d in FLOATS else "f32"
    return make(call("div", x, k), d, lambda v: v / v.dtype.type(k), [x], False, [to(x, d)])


COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
LOGIC = {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor}


def compare(depth):
    a = gen(depth - 1)
    b = beside(a, 1)
    if not (a.exact and b.exact):
        raise Reject
    d = result_dtype(a, b)
    name = rng.choice(list(COMPARE))
    return make(call(name, a, b), "bool", COMPARE[name], [a, b], True, [to(a, d), to(b, d)])


def mask_for(shape, depth):
    """A bool node that broadcasts to `shape`."""
    a, b = leaf(partner_shape(shape), some_dtype()), leaf(partner_shape(shape), some_dtype())
    d = result_dtype(a, b)
    name = rng.choice(list(COMPARE))
    m = make(call(name, a, b), "bool", COMPARE[name], [a, b], True, [to(a, d), to(b, d)])
    if np.broadcast_shapes(m.shape, tuple(shape)) != tuple(shape):
        raise Reject
    if rng.random() < 0.3:
        c = leaf(partner_shape(shape), rng.choice(("bool", "i32")))
        name = rng.choice(list(LOGIC))
        m = make(call(name, m, c), "bool", LOGIC[name], [m, c])
    if rng.random() < 0.2:
        m = make(call("logical_not", m), "bool", np.logical_not, [m])
    return m


def where(depth):
    a = gen(depth - 1)
    b = beside(a, 1)
    d = result_dtype(a, b)
    shape = np.broadcast_shapes(a.shape, b.shape)
    m = mask_for(shape, depth)
    return make(call("where", m, a, b), d, np.where, [m, a, b], True, [(m.own, m.wide), to(a, d), to(b, d)])


def masked_fill(depth):
    a = gen(depth - 1)
    if a.dtype == "bool":
        raise Reject
    m = mask_for(a.shape, depth)
    return make(call("masked_fill", a, m, 3), a.dtype, lambda x, k: np.where(k, x.dtype.type(3), x), [a, m])


def masked_select(depth):
    a = gen(depth - 1)
    m = mask_for(a.shape, depth)
    return make(call("masked_select", a, m), a.dtype, lambda x, k: x[np.broadcast_to(k, x.shape)], [a, m])


def cast(depth):
    a = gen(depth - 1)
    d = rng.choice(list(NP))
    if d not in FLOATS and not a.exact:
        raise Reject
    if d == "u8" and a.dtype in FLOATS and (not a.size or a.wide.min() < 0 or a.wide.max() > 255):
        raise Reject  # a float outside an integer's range has no defined value
    n = make(call("cast", a, d), d, lambda x: x, [a])
    if d in FLOATS and a.dtype in FLOATS:
        n.exact = n.exact and bool(np.all(n.own.astype(np.longdouble) == a.own))
    return n


# ---------------------------------------------------------------- views

def view(depth):
    x = gen(depth - 1, low=1)
    kind = rng.choice(("reshape", "permute", "transpose", "expand", "squeeze", "unsqueeze", "flatten", "slice", "slice", "slice", "select", "flip", "diagonal",
                       "pad", "split"))
    nd, shape = x.own.ndim, x.shape
    if kind == "reshape":
        if x.size == 0:
            raise Reject
        factors, rest = [], x.size
        while rest > 1 and len(factors) < 3:
            f = rng.choice([k for k in range(1, rest + 1) if rest % k == 0])
            factors.append(f)
            rest //= f
        factors.append(rest)
        rng.shuffle(factors)
        given = list(factors)
        if rng.random() < 0.4:
            given[rng.randrange(len(given))] = -1
        return make(call("reshape", x, given), x.dtype, lambda v: v.reshape(factors), [x])
    if kind == "permute":
        p = list(range(nd))
        rng.shuffle(p)
        return make(call("permute", x, p), x.dtype, lambda v: v.transpose(p), [x])
    if kind == "transpose":
        a, b = random_axis(x), random_axis(x)
        return make(call("transpose", x, a, b), x.dtype, lambda v: np.swapaxes(v, a, b), [x])
    if kind == "expand":
        target = [rng.choice((1, 2, 3)) if d == 1 else d for d in shape]
        if rng.random() < 0.4 and nd < 4:
            target = [2] + target
        if math.prod(target) > 4 * MAX_SIZE:
            raise Reject
        return make(call("expand", x, target), x.dtype, lambda v: np.broadcast_to(v, target), [x])
    if kind == "squeeze":
        ones = [i for i, d in enumerate(shape) if d == 1]
        if not ones:
            raise Reject
        a = rng.choice(ones)
        return make(call("squeeze", x, a), x.dtype, lambda v: np.squeeze(v, a), [x])
    if kind == "unsqueeze":
        if nd >= 4:
            raise Reject
        a = rng.randint(-nd - 1, nd)
        return make(call("unsqueeze", x, a), x.dtype, lambda v: np.expand_dims(v, a), [x])
    if kind == "flatten":
        a = rng.randrange(nd)
        b = rng.randrange(a, nd)
        target = list(shape[:a]) + [math.prod(shape[a:b + 1])] + list(shape[b + 1:])
        return make(call("flatten", x, a, b), x.dtype, lambda v: v.reshape(target), [x])
    if kind == "slice":
        a = random_axis(x)
        n = shape[a]
        start = rng.choice((None, rng.randint(-n - 1, n + 1)))
        stop = rng.choice((None, rng.randint(-n - 1, n + 1)))
        step = rng.choice((1, 1, 2, 3, -1, -2))
        at = [slice(None)] * nd
        at[a] = slice(start, stop, step)
        return make(call("slice", x, a, start, stop, step), x.dtype, lambda v: v[tuple(at)], [x])
    if kind == "select":
        a = random_axis(x)
        if shape[a] == 0:
            raise Reject
        i = rng.randint(-shape[a], shape[a] - 1)
        return make(call("select", x, a, i), x.dtype, lambda v: np.take(v, i, axis=a), [x])
    if kind == "flip":
        axes = rng.sample(range(nd), rng.randint(1, nd))
        return make(call("flip", x, axes), x.dtype, lambda v: np.flip(v, axes), [x])
    if kind == "diagonal":
        if nd < 2:
            raise Reject
        a, b = rng.sample(range(nd), 2)
        return make(call("diagonal", x, a, b), x.dtype, lambda v: np.diagonal(v, 0, a, b), [x])
    if kind == "pad":
        amounts = [[rng.randint(0, 1), rng.randint(0, 2)] for _ in shape]
        return make(call("pad", x, amounts, 2), x.dtype, lambda v: np.pad(v, amounts, constant_values=2), [x])
    a = random_axis(x)
    if shape[a] == 0:
        raise Reject
    size = rng.randint(1, shape[a])
    pick = rng.randrange(-(-shape[a] // size))
    return make(call("split", x, size, a, pick), x.dtype, lambda v: np.split(v, range(size, v.shape[a], size), a)[pick], [x])


def join(depth):
    x = gen(depth - 1, low=1)
    axis = random_axis(x)
    others = []
    for _ in range(rng.randint(1, 2)):
        s = list(x.shape)
        if rng.random() < 0.6:
            s[axis] = rng.randint(1, 3)
        others.append(leaf(s, x.dtype if rng.random() < 0.7 else some_dtype()))
    xs = [x] + others
    d = x.dtype
    for o in others:
        d = FROM_TORCH[torch.promote_types(TORCH[d], TORCH[o.dtype])]
    parts = [to(n, d) for n in xs]
    same = all(o.shape == x.shape for o in others)
    if same and x.own.ndim < 4 and rng.random() < 0.6:
        return make(call("stack", xs, axis), d, lambda *v: np.stack(v, axis if axis >= 0 else axis), xs, True, parts)
    return make(call("cat", xs, axis), d, lambda *v: np.concatenate(v, axis), xs, True, parts)


# ---------------------------------------------------------------- reductions

def reduce_node(name, x, axes, keep):
    at = tuple(axes) if axes else None
    d, exact = x.dtype, True
    if name == "sum":
        d = x.dtype if x.dtype in FLOATS else "i64"
        f = lambda v: np.sum(v, axis=at, keepdims=keep)
    elif name == "prod":
        d = x.dtype if x.dtype in FLOATS else "i64"
        f = lambda v: np.prod(v, axis=at, keepdims=keep)
    elif name == "mean":
        exact = False
        f = lambda v: np.mean(v, axis=at, keepdims=keep)
    elif name == "amax":
        f = lambda v: np.max(v, axis=at, keepdims=keep)
    elif name == "amin":
        f = lambda v: np.min(v, axis=at, keepdims=keep)
    elif name == "any_true":
        d, f = "bool", lambda v: np.any(v, axis=at, keepdims=keep)
    elif name == "all_true":
        d, f = "bool", lambda v: np.all(v, axis=at, keepdims=keep)
    return make(call(name, x, list(axes), keep), d, f, [x], exact, [to(x, d)] if name in ("sum", "prod") else None)


def reduction(depth):
    x = gen(depth - 1)
    name = rng.choice(("sum", "sum", "prod", "mean", "mean", "amax", "amin", "any_true", "all_true", "var", "logsumexp", "argmax", "argmin", "cumsum", "norm"))
    nd = x.own.ndim
    axes = sorted(rng.sample(range(nd), rng.randint(0, nd)))
    axes = [a if rng.random() < 0.6 else a - nd for a in axes]
    keep = rng.random() < 0.4
    over = [x.shape[a] for a in axes] or list(x.shape)
    if x.dtype == "f16" and name not in ("amax", "amin"):
        raise Reject
    if math.prod(over) == 0 and name not in ("sum", "prod", "any_true", "all_true", "cumsum"):
        raise Reject
    if name in ("any_true", "all_true") and not x.exact:
        raise Reject
    if name in ("sum", "prod", "amax", "amin", "any_true", "all_true"):
        if x.dtype == "bool" and name in ("amax", "amin"):
            raise Reject
        return reduce_node(name, x, axes, keep)
    if name in ("mean", "var", "logsumexp", "norm") and x.dtype not in FLOATS:
        raise Reject
    if name == "mean":
        return reduce_node(name, x, axes, keep)
    at = tuple(axes) if axes else None
    if name == "var":
        unbiased = math.prod(over) > 1 and rng.random() < 0.5
        return make(call("var", x, axes, unbiased, keep), x.dtype, lambda v: np.var(v, axis=at, ddof=int(unbiased), keepdims=keep), [x], False)
    if name == "logsumexp":
        def lse(v):
            m = np.max(v, axis=at, keepdims=True)
            r = np.log(np.sum(np.exp(v - m), axis=at, keepdims=True)) + m
            return r if keep else (np.squeeze(r, at) if at is not None else r.reshape(()))
        return make(call("logsumexp", x, axes, keep), x.dtype, lse, [x], False)
    if name == "norm":
        return make(call("norm", x), x.dtype, lambda v: np.sqrt(np.sum(np.square(v))), [x], False)
    if nd == 0:
        raise Reject
    a = random_axis(x)
    if name == "cumsum":
        d = x.dtype if x.dtype in FLOATS else "i64"
        return make(call("cumsum", x, a), d, lambda v: np.cumsum(v, axis=a), [x], True, [to(x, d)])
    if not x.exact or x.shape[a] == 0 or x.dtype == "bool":
        raise Reject
    f = np.argmax if name == "argmax" else np.argmin
    return make(call(name, x, a, keep), "i64", lambda v: f(v, axis=a, keepdims=keep), [x])


# ---------------------------------------------------------------- indexing

def indices(shape, bound):
    """A literal index tensor with entries in [0, bound), as an i64 node."""
    n = leaf(shape, "u8")
    if bound < 1:
        raise Reject
    text = call("mod", call_cast(n), bound)
    values = n.own.astype(np.int64) % bound
    used["mod"] += 1
    return Node(text, "i64", values, values, [n])


def call_cast(n):
    return _Text(call("cast", n, "i64"))


class _Text(Node):
    def __init__(self, text):
        self.text = text


def indexing(depth):
    x = gen(depth - 1, low=1)
    kind = rng.choice(("gather", "scatter", "scatter_add", "index_select", "embedding", "one_hot", "sort_values", "sort_indices", "topk_values", "topk_indices"))
    a = random_axis(x)
    n = x.shape[a]
    if x.size == 0:
        raise Reject
    if kind == "gather":
        s = list(x.shape)
        s[a] = rng.randint(1, 4)
        i = indices(s, n)
        return make(call("gather", x, a, i), x.dtype, lambda v, k: np.take_along_axis(v, k, a), [x, i])
    if kind in ("scatter", "scatter_add"):
        if x.dtype in ("bool", "f16"):
            raise Reject
        s = list(x.shape)
        s[a] = rng.randint(1, n)
        src = leaf(s, x.dtype)
        if kind == "scatter":  # distinct targets: a rotation
            turn = rng.randrange(n)
            line = (np.arange(s[a]) + turn) % n
            k = np.broadcast_to(line.reshape([-1 if j == a % x.own.ndim else 1 for j in range(x.own.ndim)]), s)
            one = call("mod", _Text(call("add", _Text(call("arange", int(s[a]))), turn)), int(n))
            lead = [1] * x.own.ndim
            lead[a] = int(s[a])
            text = call("expand", _Text(call("reshape", _Text(one), lead)), [int(d) for d in s])
            i = Node(text, "i64", k.astype(np.int64), k.astype(np.int64))

            def put(v, k, w):
                v = v.copy()
                np.put_along_axis(v, k, w, a)
                return v
            return make(call("scatter", x, a, i, src), x.dtype, put, [x, i, src])
        i = indices(s, n)

        def add(v, k, w):
            v = v.copy()
            at = list(np.indices(k.shape))
            at[a] = k
            np.add.at(v, tuple(at), w)
            return v
        return make(call("scatter_add", x, a, i, src), x.dtype, add, [x, i, src])
    if kind == "index_select":
        i = indices([rng.randint(1, 5)], n)
        if rng.random() < 0.4:
            i = Node(call("sub", i, int(n)), "i64", i.own - n, i.wide - n, [i])
        return make(call("index_select", x, a, i), x.dtype, lambda v, k: np.take(v, k, axis=a), [x, i])
    if kind == "embedding":
        table = leaf([rng.randint(2, 5), rng.randint(1, 4)], rng.choice(("f32", "f64")))
        i = indices(some_shape(0, 2, 8), table.shape[0])
        return make(call("embedding", table, i), table.dtype, lambda t, k: t[k], [table, i])
    if kind == "one_hot":
        c = rng.randint(1, 4)
        i = indices(some_shape(0, 2, 8), c)
        return make(call("one_hot", i, c), "f32", lambda k: np.eye(c, dtype=np.float32)[k], [i])
    if not x.exact or x.dtype == "bool":
        raise Reject
    descending = rng.random() < 0.5

    def order(v):
        if not descending:
            return np.argsort(v, axis=a, kind="stable")
        # stable and descending: ascending of the reversed axis, reversed again
        r = np.argsort(np.flip(v, a), axis=a, kind="stable")
        return np.flip(v.shape[a] - 1 - r, a)

    if kind.startswith("sort"):
        want_values = kind == "sort_values"
        f = (lambda v: np.take_along_axis(v, order(v), a)) if want_values else order
        return make(call(kind, x, a, descending), x.dtype if want_values else "i64", f, [x])
    k = rng.randint(1, n)
    cut = [slice(None)] * x.own.ndim
    cut[a] = slice(0, k)
    want_values = kind == "topk_values"
    if not want_values:  # among equals the order of topk is not promised: values must be distinct along the axis
        s = np.sort(x.own, axis=a)
        if np.any(np.diff(s.astype(np.float64), axis=a) == 0):
            raise Reject
    f = (lambda v: np.take_along_axis(v, order(v), a)[tuple(cut)]) if want_values else (lambda v: order(v)[tuple(cut)])
    return make(call(kind, x, k, a, descending), x.dtype if want_values else "i64", f, [x])


# ---------------------------------------------------------------- products

def matmul(depth):
    a = gen(depth - 1, rng.choice(("f64", "f64", "f32")), low=1, high=3)
    k = a.shape[-1]
    n = rng.randint(1, 4)
    lead = partner_shape(a.shape[:-2]) if a.own.ndim > 2 and rng.random() < 0.7 else []
    r = rng.random()
    if r < 0.2:
        b = leaf([k], a.dtype)
    else:
        b = leaf(lead + [k, n], a.dtype)
        if r < 0.45:
            b = leaf(lead + [n, k], a.dtype)
            b = make(call("transpose", b, -1, -2), b.dtype, lambda v: np.swapaxes(v, -1, -2), [b])
    if r > 0.85 and a.own.ndim >= 1:
        w = leaf([n, k], a.dtype)
        c = leaf([n], a.dtype)
        return make(call("linear", a, w, c), a.dtype, lambda v, w, c: v @ w.T + c, [a, w, c])
    return make(call("matmul", a, b), a.dtype, np.matmul, [a, b])


EQUATIONS = ["ij,jk->ik", "ij,kj", "i,i->", "i,j->ij", "bij,bjk->bik", "ii->i", "ii", "ij->ji", "ij->", "ij->j", "bij->bj", "ij,ij->", "ij,ij->ij", "bi,bi->b",
             "i,ij,j->", "bhqd,bhkd->bhqk", "...i,...i->...", "...ij->...ji", "ij,j", "abc,cd,de->abe", "i...,i...->...", "aab->b", "ijk,jk->i"]


def einsum(depth):
    eq = rng.choice(EQUATIONS)
    d = rng.choice(("f64", "f64", "f32"))
    size = {c: rng.randint(1, 4) for c in "abcdehijkq"}
    dots = some_shape(0, 2, 6)
    xs = []
    for term in eq.split("->")[0].split(","):
        s = []
        t = term.replace("...", ".")
        for c in t:
            s += dots if c == "." else [size[c]]
        xs.append(leaf(s, d))
    if sum(len(x.shape) > 0 for x in xs) and rng.random() < 0.5 and depth > 1:  # one operand is computed
        j = rng.randrange(len(xs))
        y = beside(xs[j], 1, d)
        xs[j] = make(call("mul", xs[j], y), d, np.multiply, [xs[j], y])
    return make(call("einsum", eq, xs), d, lambda *v: np.einsum(eq, *v), xs)


def softmax(depth):
    x = gen(depth - 1, low=1)
    if x.dtype not in ("f32", "f64") or x.size == 0:
        raise Reject
    a = random_axis(x)

    def log_soft(v):
        m = v - np.max(v, axis=a, keepdims=True)
        return m - np.log(np.sum(np.exp(m), axis=a, keepdims=True))
    if rng.random() < 0.5:
        return make(call("log_softmax", x, a), x.dtype, log_soft, [x], False)
    return make(call("softmax", x, a), x.dtype, lambda v: np.exp(log_soft(v)), [x], False)


MAKERS = ([binary] * 6 + [division] * 2 + [power] + [unary] * 4 + [exact_unary] * 2 + [scalar] * 3 + [compare] * 2 + [where] * 2 + [masked_fill, masked_select]
          + [cast] * 2 + [view] * 8 + [join] * 3 + [reduction] * 7 + [indexing] * 6 + [matmul] * 3 + [einsum] * 2 + [softmax])


def printed(node):
    """The values, the tolerance and nothing else."""
    flat = node.wide.reshape(-1)
    if node.dtype == "bool":
        return "0", " ".join("1" if v else "0" for v in flat)
    if node.dtype not in FLOATS:
        return "0", " ".join(str(int(v)) for v in flat)
    digits = {"f64": 15, "f32": 10, "f16": 7}[node.dtype]
    text = [f"{float(v):.{digits}g}" for v in flat]
    error = float(np.max(np.abs(node.own.astype(np.longdouble) - node.wide))) if node.size else 0.0
    tolerance = 2 * error + 8 * node.coarse * node.magnitude + 0.5 * 10.0 ** (1 - digits) * node.magnitude
    return f"{tolerance:.2g}", " ".join(text)


def main():
    folder = sys.argv[1]
    seen, lines = set(), []
    while len(lines) < 10000:
        depth = rng.choice((1, 1, 2, 2, 2, 3, 3, 4))
        try:
            n = rng.choice(MAKERS)(depth)
        except Reject:
            continue
        if n.size > MAX_SIZE or len(n.text) > 220 or not n.inputs:
            continue
        tolerance, values = printed(n)
        if tolerance != "0" and float(tolerance) > 0.05 * max(1.0, n.magnitude) and n.coarse < 1e-4:
            continue
        text, inputs = n.text, []
        for i, (name, (dtype, shape, seed)) in enumerate(sorted(n.inputs.items(), key=lambda kv: int(kv[0][1:]))):
            letter = chr(ord("a") + i)
            # input names are x123; functions never start with x and a digit
            text = re.sub(rf"\b{name}\b", letter, text)
            inputs.append(f"{letter}={dtype}[{','.join(map(str, shape))}]:{seed}")
        line = f"{' '.join(inputs)} | {text} | {n.dtype}[{','.join(map(str, n.shape))}] {tolerance} | {values}"
        if text in seen and n.own.ndim == 0:
            continue
        seen.add(text)
        lines.append(line)
    for k in range(10):
        with open(f"{folder}/expressions_{k}.txt", "w") as f:
            f.write("\n".join(lines[k * 1000:(k + 1) * 1000]) + "\n")
    final = Counter()
    for line in lines:
        for word in re.findall(r"([a-z_0-9]+)\(", line.split("|")[1]):
            final[word] += 1
    print(sorted(final.items(), key=lambda kv: kv[1]), file=sys.stderr)


main()
