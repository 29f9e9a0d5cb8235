"""Small models of PyTorch's, exported by torch.onnx (the TorchScript exporter), with inputs and PyTorch's own outputs, laid as ONNX's tests are.

    python tests/golden/onnx/make.py

Written with torch 2.x and onnx; the files are committed.
"""
import os

import onnx
import torch
from onnx import numpy_helper
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.b, self.n2 = nn.Conv2d(4, 8, 3, stride=2, groups=2), nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.out = nn.Linear(4, 5)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.n1(self.a(x))), 2)
        x = nn.functional.silu(self.n2(self.b(x)))
        x = nn.functional.interpolate(self.up(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.out(torch.dropout(x.mean((2, 3)), 0.5, self.training))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8), nn.Parameter(torch.randn(1, 6, 8) * 0.1)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, ids):
        x = self.words(ids) + self.places[:, : ids.shape[1]]
        q = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        mask = torch.triu(torch.full((ids.shape[1], ids.shape[1]), float("-inf")), 1)
        return torch.log_softmax(self.head(self.layer(q, src_mask=mask)[:, -1]), -1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(8, 5, batch_first=True)
        self.rnn = nn.RNN(5, 4)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        z, g = self.gru(y)
        return self.rnn(z.transpose(0, 1))[0], h, c, g


def write(name, model, inputs, **dynamic):
    folder = os.path.join(HERE, name)
    data = os.path.join(folder, "test_data_set_0")
    os.makedirs(data, exist_ok=True)
    model.eval()
    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(model, inputs, path, opset_version=17, dynamo=False, **dynamic)
    found = model(*inputs)
    found = found if isinstance(found, tuple) else (found,)
    for kind, values in (("input", inputs), ("output", found)):
        for i, v in enumerate(values):
            with open(os.path.join(data, f"{kind}_{i}.pb"), "wb") as f:
                f.write(numpy_helper.from_array(v.detach().numpy(), f"{kind}_{i}").SerializeToString())
    print(name, os.path.getsize(path), sorted({n.op_type for n in onnx.load(path).graph.node}))


torch.manual_seed(7)
cnn = Cnn()
for _ in range(3):  # statistics that are not 0 and 1
    cnn(torch.randn(4, 1, 10, 10) * 2 + 1)
write("cnn", cnn, (torch.randn(2, 1, 10, 10),), input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
write("encoder", Encoder(), (torch.randint(0, 20, (2, 6)),), input_names=["ids"], dynamic_axes={"ids": {0: "n", 1: "length"}})
write("recurrent", Recurrent(), (torch.randn(2, 5, 3),), input_names=["x"], dynamic_axes={"x": {0: "n", 1: "length"}})
