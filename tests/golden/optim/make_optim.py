"""Golden trajectories of torch.optim in f64: 100 steps on two parameters, gradients = a fixed sequence + 0.1 * parameter.

usage: python make_optim.py > optim.json      (made with PyTorch 2.15)
torch has no Lion; its trajectory is computed here from the formula of Chen et al. 2023, algorithm 2.
"""
import json
import math

import torch

torch.set_default_dtype(torch.float64)
SHAPES = [(3, 4), (5,)]


def value(k, i, step):
    """The same numbers in C++: a fraction from a small linear congruence."""
    x = (k * 7919 + i * 104729 + step * 1299709 + 12345) % 1000003
    return (x * 48271 % 1000003) / 1000003 - 0.5


def start():
    return [torch.tensor([value(k, i, 0) for i in range(math.prod(s))]).reshape(s).requires_grad_() for k, s in enumerate(SHAPES)]


def gradient(p, k, step):
    return torch.tensor([value(k + 10, i, step) for i in range(p.numel())]).reshape(p.shape) + 0.1 * p.detach()


class Lion:
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        self.params, self.lr, self.betas, self.wd = params, lr, betas, weight_decay
        self.m = [torch.zeros_like(p) for p in params]

    def step(self):
        with torch.no_grad():
            for p, m in zip(self.params, self.m):
                p.mul_(1 - self.lr * self.wd)
                p.add_(torch.sign(self.betas[0] * m + (1 - self.betas[0]) * p.grad), alpha=-self.lr)
                m.mul_(self.betas[1]).add_(p.grad, alpha=1 - self.betas[1])


O = torch.optim
CASES = [
    ("sgd", {"lr": 0.05, "weight_decay": 0.01}, lambda p: O.SGD(p, lr=0.05, weight_decay=0.01)),
    ("sgd", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1}, lambda p: O.SGD(p, lr=0.05, momentum=0.9, dampening=0.1)),
    ("sgd", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, lambda p: O.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)),
    ("adam", {"lr": 0.01}, lambda p: O.Adam(p, lr=0.01)),
    ("adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "beta1": 0.8, "beta2": 0.95}, lambda p: O.Adam(p, lr=0.01, weight_decay=0.1, amsgrad=True, betas=(0.8, 0.95))),
    ("adamw", {"lr": 0.01, "weight_decay": 0.1}, lambda p: O.AdamW(p, lr=0.01, weight_decay=0.1)),
    ("adamw", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "maximize": True}, lambda p: O.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True, maximize=True)),
    ("rmsprop", {"lr": 0.01}, lambda p: O.RMSprop(p, lr=0.01)),
    ("rmsprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.01, "beta2": 0.95}, lambda p: O.RMSprop(p, lr=0.01, momentum=0.9, centered=True, weight_decay=0.01, alpha=0.95)),
    ("adagrad", {"lr": 0.05, "lr_decay": 0.01, "weight_decay": 0.01}, lambda p: O.Adagrad(p, lr=0.05, lr_decay=0.01, weight_decay=0.01)),
    ("adafactor", {"lr": 0.05}, lambda p: O.Adafactor(p, lr=0.05)),
    ("adafactor", {"lr": 0.05, "weight_decay": 0.1}, lambda p: O.Adafactor(p, lr=0.05, weight_decay=0.1)),
    ("lion", {"lr": 0.01, "weight_decay": 0.1}, lambda p: Lion(p, lr=0.01, weight_decay=0.1)),
]
cases = []
for name, options, make in CASES:
    params = start()
    optimizer = make(params)
    at = {}
    for step in range(1, 101):
        for k, p in enumerate(params):
            p.grad = gradient(p, k, step)
        optimizer.step()
        if step in (1, 10, 100):
            at[str(step)] = [p.detach().flatten().tolist() for p in params]
    cases.append({"name": name, "options": options, "steps": at})

S = O.lr_scheduler


def factors(make, steps=50):
    optimizer = O.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    out = []
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


schedules = {
    "step": factors(lambda o: S.StepLR(o, 7, 0.3)),
    "cosine": factors(lambda o: S.CosineAnnealingLR(o, 50, 0.1)),
    "linear": factors(lambda o: S.LinearLR(o, 1.0, 0.2, 50)),
    "polynomial": factors(lambda o: S.PolynomialLR(o, 50, 2.0)),
    "one-cycle": factors(lambda o: S.OneCycleLR(o, 1.0, 51, final_div_factor=100)),
}
print(json.dumps({"torch": torch.__version__, "cases": cases, "schedules": schedules}))
