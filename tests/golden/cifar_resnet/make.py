#!/usr/bin/env python3
"""Makes cifar_resnet.json with torch: logits, gradients and running statistics of a small option-A CIFAR ResNet (depth 8, width 4, input 3x8x8).

Weights and images come from a formula that the test repeats, rounded to f32, so only results are kept: in f64, with the largest error of torch's own f32 beside
each (the test's tolerance is derived from it). Run it in this folder: python3 make.py
"""
import json
import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH, BLOCKS, CLASSES, IMAGES = 4, 1, 5, 4


def value(k, i):
    x = (k * 7919 + i * 104729 + 12345) % 1000003
    return x * 48271 % 1000003 / 1000003 - 0.5


def filled(k, shape, scale=1.0, offset=0.0):
    n = 1
    for s in shape:
        n *= s
    return torch.tensor([offset + scale * value(k, i) for i in range(n)], dtype=torch.float64).reshape(shape).float().double()


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.grow = (o - i) // 2
        self.stride = stride

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride != 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow, self.grow))
        return F.relu(y + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        i = WIDTH
        for s in range(3):
            blocks = []
            for b in range(BLOCKS):
                o = WIDTH << s
                blocks.append(Block(i, o, 2 if s and b == 0 else 1))
                i = o
            setattr(self, f"layer{s + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(i, CLASSES)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.layer3(self.layer2(self.layer1(y)))
        return self.linear(y.mean((2, 3)))


def results(dtype):
    net = Net()
    names = [n for n in net.state_dict() if not n.endswith("num_batches_tracked")]
    state = net.state_dict()
    for k, n in enumerate(names):
        one = n.endswith("running_var") or (len(state[n].shape) == 1 and n.endswith("weight"))
        state[n] = filled(k, state[n].shape, 1.0, 1.0 if one else 0.0)
    net.load_state_dict(state)
    net = net.to(dtype)
    x = filled(1000, (IMAGES, 3, 8, 8), 2.0).to(dtype)
    labels = torch.arange(IMAGES) % CLASSES
    out = {}
    net.eval()
    out["logits.eval"] = net(x).detach()
    net.train()
    logits = net(x)
    out["logits.train"] = logits.detach()
    loss = F.cross_entropy(logits, labels)
    out["loss"] = loss.detach().reshape(1)
    loss.backward()
    for n in ["conv1.weight", "bn1.weight", "layer1.0.conv2.weight", "layer2.0.conv1.weight", "layer3.0.bn2.bias", "linear.weight", "linear.bias"]:
        out["grad." + n] = dict(net.named_parameters())[n].grad
    for n in ["bn1.running_mean", "bn1.running_var", "layer2.0.bn1.running_mean", "layer3.0.bn2.running_mean", "layer3.0.bn2.running_var"]:
        out["after." + n] = net.state_dict()[n]
    return names, out


names, exact = results(torch.float64)
_, single = results(torch.float32)
doc = {"torch": torch.__version__, "width": WIDTH, "depth": 6 * BLOCKS + 2, "classes": CLASSES, "images": IMAGES, "names": names, "results": {}}
for k, v in exact.items():
    doc["results"][k] = {"values": v.flatten().tolist(), "f32_error": (single[k].double() - v).abs().max().item()}
with open("cifar_resnet.json", "w") as f:
    json.dump(doc, f, indent=None, separators=(",", ":"))
