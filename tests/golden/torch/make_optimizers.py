"""Optimisers' states after 5 steps in PyTorch, and where 7 more steps lead it.

usage: python make_optimizers.py FOLDER     (made with PyTorch 2.15)
The parameters and gradients are those of tests/golden/optim/make_optim.py. optim_NAME.pt: weights and state after step 5; optim_NAME.txt: the weights after step 12.
"""
import math
import sys
from pathlib import Path

import torch

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
SHAPES = [(3, 4), (5,)]
O = torch.optim


def value(k, i, step):
    x = (k * 7919 + i * 104729 + step * 1299709 + 12345) % 1000003
    return (x * 48271 % 1000003) / 1000003 - 0.5


def numbers(k, step, shape, dtype):
    return torch.tensor([value(k, i, step) for i in range(math.prod(shape))], dtype=torch.float64).to(dtype).reshape(shape)


def gradient(p, k, step):
    return numbers(k + 10, step, p.shape, p.dtype) + 0.1 * p.detach()


# name, dtype, optimiser, how it is put into the file, whether the old container
CASES = [
    ("sgd", torch.float64, lambda p: O.SGD(p, lr=0.05, weight_decay=0.01), lambda m, o: {"state_dict": m, "optimizer": o}, False),
    ("momentum", torch.float64, lambda p: O.SGD(p, lr=0.05, momentum=0.9, dampening=0.1), lambda m, o: {"state_dict": m, "optimizer": o}, True),
    ("nesterov", torch.float64, lambda p: O.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01), lambda m, o: {"model": m, "optimizer_state_dict": o}, False),
    ("adam", torch.float64, lambda p: O.Adam(p, lr=0.01, weight_decay=0.1, amsgrad=True, betas=(0.8, 0.95)), lambda m, o: {"model": m, "optimizer_state": o}, False),
    ("adamw", torch.float64, lambda p: O.AdamW([{"params": p[:1], "lr": 0.02, "weight_decay": 0.1}, {"params": p[1:], "weight_decay": 0.0}], lr=0.01),
     lambda m, o: {"epoch": 1, "state_dict": m, "optimizer_states": [o]}, False),
    ("rmsprop", torch.float64, lambda p: O.RMSprop(p, lr=0.01, momentum=0.9, centered=True, weight_decay=0.01, alpha=0.95), lambda m, o: {"m": m, "o": o}, True),
    ("adagrad", torch.float64, lambda p: O.Adagrad(p, lr=0.05, lr_decay=0.01, weight_decay=0.01), lambda m, o: {"m": m, "o": o}, False),
    ("adam_f32", torch.float32, lambda p: O.Adam([("a", p[0]), ("b", p[1])], lr=0.01), lambda m, o: {"m": m, "optim": o}, False),
]
for name, dtype, make, wrap, old in CASES:
    params = [numbers(k, 0, s, dtype).requires_grad_() for k, s in enumerate(SHAPES)]
    optimizer = make(params)
    if name == "nesterov":
        scheduler = O.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=100)  # leaves initial_lr in the groups
    for step in range(1, 13):
        for k, p in enumerate(params):
            p.grad = gradient(p, k, step)
        optimizer.step()
        if step == 5:
            torch.save(wrap({"a": params[0].detach(), "b": params[1].detach()}, optimizer.state_dict()), OUT / f"optim_{name}.pt", _use_new_zipfile_serialization=not old)
    kind = {torch.float64: "F64", torch.float32: "F32"}[dtype]
    (OUT / f"optim_{name}.txt").write_text("".join(f"{n} {kind} {','.join(map(str, p.shape))} : {p.detach().reshape(-1).view(torch.uint8).numpy().tobytes().hex()}\n" for n, p in zip("ab", params)))
