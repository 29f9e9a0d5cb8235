"""The same training step in PyTorch: network, batch 64, AdamW, cross-entropy, dropout. Prints the median milliseconds of a step.

usage: python bench/peers/pytorch_mnist_cnn.py [--threads 2] [--channels-last] [--steps 60]
Compare with `graft train mnist-cnn data.path=... train.steps=300` (images per second) on the same machine, one after the other, several times.
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--channels-last", action="store_true")
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--batch", type=int, default=64)
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


net = Net()
x, y = torch.randn(args.batch, 1, 28, 28), torch.randint(0, 10, (args.batch,))
if args.channels_last:
    net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-4)
times = []
for step in range(args.steps):
    begin = time.perf_counter()
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    optimizer.step()
    times.append(time.perf_counter() - begin)
median = statistics.median(times[5:])
print(f"pytorch {torch.__version__}, {args.threads} threads, channels_last={args.channels_last}: "
      f"{median * 1e3:.2f} ms a step, {args.batch / median:.0f} images/s")
