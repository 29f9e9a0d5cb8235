"""PyTorch's kernels on the GPU at the shapes of `graft kernels bench --device cuda`, for the ladders of bench/gpu.sh.

usage: python bench/peers/pytorch_kernels.py [--samples 30] [--json FILE]
CUDA events around each call, the L2 flushed before it by a write of 256 MiB, inputs random normal, medians with quartiles. Eager PyTorch; TF32 off.
Rows carry the family, shape and dtype of graft's rows so that they can be joined.
"""
import argparse
import json
import statistics

import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--samples", type=int, default=30)
parser.add_argument("--json")
args = parser.parse_args()
if not torch.cuda.is_available():
    raise SystemExit("pytorch_kernels: no GPU for PyTorch here")
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
torch.manual_seed(1)
flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
names = {torch.float32: "f32", torch.bfloat16: "bf16"}
rows = []


def measure(family, shape, dtype, call, flops, bytes_):
    for _ in range(3):
        call()
    times = []
    for _ in range(args.samples):
        flush.zero_()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3)
    median, quarters = statistics.median(times), statistics.quantiles(times, n=4)
    rows.append({"family": family, "variant": "pytorch", "shape": shape, "dtype": names[dtype], "median_s": median, "spread": (quarters[2] - quarters[0]) / median,
                 "gflops": flops / median * 1e-9, "gbps": bytes_ / median * 1e-9, "samples": len(times)})


def randn(*shape, dtype=torch.float32):
    return torch.randn(*shape, device="cuda").to(dtype)


for n in (4096, 8192):
    a, b = randn(n, n, dtype=torch.bfloat16), randn(n, n, dtype=torch.bfloat16)
    out = torch.empty_like(a)
    measure("matmul", f"{n}x{n}x{n}", torch.bfloat16, lambda: torch.matmul(a, b, out=out), 2 * n**3, 6 * n**2)
for dtype in (torch.float32, torch.bfloat16):
    size, suffix = dtype.itemsize, "_16bit" if dtype == torch.bfloat16 else ""  # as graft names cases whose statistics are f32
    for rows_, cols in ((8192, 1024), (8192, 8192)):
        x, n = randn(rows_, cols, dtype=dtype), rows_ * cols
        weight, bias = randn(cols, dtype=dtype), randn(cols, dtype=dtype)
        measure("softmax", f"{rows_}x{cols}", dtype, lambda: torch.softmax(x, 1), 5 * n, 2 * n * size)
        measure("row_norm", f"{rows_}x{cols}{suffix}", dtype, lambda: F.layer_norm(x, (cols,), weight, bias), 8 * n, 2 * n * size)
    logits = randn(4096, 50304, dtype=dtype)
    target = torch.randint(0, 50304, (4096,), device="cuda")
    measure("cross_entropy", "4096x50304" + suffix, dtype, lambda: F.cross_entropy(logits, target, reduction="none"), 5 * logits.numel(), logits.numel() * size)
    del logits
parameter = torch.nn.Parameter(randn(1 << 26))
parameter.grad = randn(1 << 26)
optimizer = torch.optim.AdamW([parameter], fused=True)
measure("optim", "adamw_67108864", torch.float32, optimizer.step, 16 * parameter.numel(), 28 * parameter.numel())

document = {"peer": f"pytorch {torch.__version__}", "device": torch.cuda.get_device_name(), "rows": rows}
for r in rows:
    print(f"{r['family']:14} {r['shape']:22} {r['dtype']:5} {r['median_s'] * 1e3:9.4f} ms +-{r['spread'] * 100:4.1f} %  {r['gflops']:10.0f} GFLOP/s {r['gbps']:8.0f} GB/s")
if args.json:
    with open(args.json, "w") as f:
        json.dump(document, f, indent=2)
