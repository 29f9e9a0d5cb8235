"""A training step of mnist-cnn in graft beside the same step in PyTorch: network, batch, AdamW, cross-entropy, dropout.

usage: python bench/peers/pytorch_mnist_cnn.py [--graft build/graft] [--device cpu] [--rounds 5] [--steps 100] [--threads 2] [--batch 64] [graft overrides, such as data.path=...]
On a GPU (--device cuda) PyTorch's step is also timed as one CUDA graph, as graft's is.
Rounds alternate PyTorch, PyTorch channels-last, graft, graft channels-last, so that a slow minute of the machine meets all of them; the medians of the rounds are printed
with the ratios graft / PyTorch. PyTorch's step is timed alone (its input stays in memory); graft's rate is that of `graft train`, loader and progress included.
"""
import argparse
import json
import statistics
import subprocess
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--graft", default="build/graft")
parser.add_argument("--device", default="cpu")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("overrides", nargs="*")
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.drop1, self.drop2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.drop1(F.max_pool2d(x, 2)).flatten(1)
        return self.fc2(self.drop2(F.relu(self.fc1(x))))


def synchronize():
    if args.device != "cpu":
        torch.cuda.synchronize()


def pytorch(channels_last, graph=False):
    net = Net().to(args.device)
    x, y = torch.randn(args.batch, 1, 28, 28, device=args.device), torch.randint(0, 10, (args.batch,), device=args.device)
    if channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-4, **({"fused": True, "capturable": True} if args.device != "cpu" else {}))

    def step():
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    if graph:
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        captured = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(captured):
            step()
    times = []
    for _ in range(args.steps):
        synchronize()
        begin = time.perf_counter()
        captured.replay() if graph else step()
        synchronize()
        times.append(time.perf_counter() - begin)
    return args.batch / statistics.median(times[5:])


def graft(channels_last):
    with tempfile.TemporaryDirectory() as folder:
        command = [args.graft, "train", "mnist-cnn", f"train.steps={args.steps}", f"train.batch={args.batch}", f"model.channels_last={str(channels_last).lower()}",
                   "--threads", str(args.threads), "--device", args.device, "--out", folder + "/run", "--json", *args.overrides]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
        return json.loads(done.stdout)["samples_per_second"]


sides = {"pytorch": lambda: pytorch(False), "pytorch channels-last": lambda: pytorch(True), "graft": lambda: graft(False), "graft channels-last": lambda: graft(True)}
if args.device != "cpu":
    sides["pytorch graph"], sides["pytorch channels-last graph"] = lambda: pytorch(False, True), lambda: pytorch(True, True)
rates = {name: [] for name in sides}
for _ in range(args.rounds):
    for name, side in sides.items():
        rates[name].append(side())
print(f"pytorch {torch.__version__}, {args.threads} threads, batch {args.batch}, {args.rounds} rounds of {args.steps} steps; images/s: median (min to max)")
for name, r in rates.items():
    print(f"  {name:22} {statistics.median(r):7.0f} ({min(r):.0f} to {max(r):.0f})")
best = max(statistics.median(r) for name, r in rates.items() if name.startswith("pytorch"))
for name in ("graft", "graft channels-last"):
    print(f"  {name} / pytorch's best: {statistics.median(rates[name]) / best:.2f}")
