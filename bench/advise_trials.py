#!/usr/bin/env python3
"""Does `graft advise` advise well? Each task is advised on from parts of its training images, then every route is really trained on all of them and judged on the test
images, which advise never saw. An advice whose runs were shortened
to fit its time holds for runs of so many steps, so the full runs have as many. Printed per task: the advice, what came true, whether the recommended route was the better kind, and whether the 80 % intervals held.

usage: bench/advise_trials.py GRAFT MNIST_FOLDER [CIFAR_FOLDER] [--keep FOLDER]    (no package beyond Python's own)
"""
import argparse, json, pathlib, statistics, subprocess, tempfile

p = argparse.ArgumentParser()
p.add_argument("graft")
p.add_argument("mnist")
p.add_argument("cifar", nargs="?")
p.add_argument("--keep")
p.add_argument("--time", default="2m", help="for each advice")
p.add_argument("--seeds", type=int, default=2, help="full runs per route")
a = p.parse_args()
graft = str(pathlib.Path(a.graft).resolve())
work = pathlib.Path(a.keep or tempfile.mkdtemp(prefix="graft-advise-"))
work.mkdir(parents=True, exist_ok=True)


def run(*words):
    out = subprocess.run([graft, *words, "--json", "-q"], cwd=work, capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"{' '.join(words)}: {out.returncode}\n{out.stderr}")
    return json.loads(out.stdout)


def base(name, *words):
    if not (work / name).exists():
        run("train", *words, "-o", name)
    return f"{name}/checkpoints/best"


mnist = ["mnist-cnn", f"data.path={pathlib.Path(a.mnist).resolve()}", "data.validation=0", "eval.test=true", "model.classes=0"]
drawn = ["data.validation=0", "model.classes=0"]
few = ["train.batch=32", "train.steps=100", "schedule.warmup=10"]
digits = base("digits", "digits-cnn", "train.epochs=2", *drawn)
letters = base("letters", "letters-cnn", "train.epochs=2", *drawn)
low = base("low", *mnist, "data.classes=[0,1,2,3,4]", "train.epochs=1")
tasks = [
    ("letters, 520, from digits", digits, ["letters-cnn", "data.train_count=13000", "data.per_class=20", *drawn, *few]),
    ("letters, 5200, from digits", digits, ["letters-cnn", "data.train_count=5200", *drawn, *few]),
    ("digits, 300, from letters", letters, ["digits-cnn", "data.train_count=300", *drawn, *few]),
    ("digits, 4000, from letters", letters, ["digits-cnn", "data.train_count=4000", *drawn, *few]),
    ("MNIST 5-9, 400, from 0-4", low, [*mnist, "data.classes=[5,6,7,8,9]", "data.train_count=400", *few]),
    ("MNIST, 1000, from drawn digits", digits, [*mnist, "data.train_count=1000", *few]),
    ("MNIST 5-9, 10000, from 0-4", low, [*mnist, "data.classes=[5,6,7,8,9]", "data.train_count=10000", *few]),
]
if a.cifar:
    cifar = ["shapes-resnet", "data.kind=cifar", f"data.path={pathlib.Path(a.cifar).resolve()}", "data.validation=0", "data.test_count=0", "train.batch=32", "train.steps=100"]
    shapes = base("shapes", "shapes-resnet", "data.validation=0")
    tasks.append(("CIFAR 5 classes, 2000, from shapes", shapes, [*cifar, "data.classes=[0,1,2,3,4]", "data.train_count=2000"]))

right = told = inside = judged = 0
for name, start, words in tasks:
    advice = run("advise", *words, "--from", start, "--time", a.time)
    truth = {}
    for seed in range(1, a.seeds + 1):
        c = run("compare", *words, "--from", start, "--arms", "scratch,probe,full", "--fractions", "1", "--seeds", "1", "--tune", "1", "--budget", f"{advice['steps']}st", "--seed", str(seed))
        for row in c["rows"]:
            truth.setdefault(row["arm"], []).append(row["mean"])
    best = max(statistics.mean(v) for k, v in truth.items() if k != "scratch")
    scratch = statistics.mean(truth["scratch"])
    better = "scratch" if scratch > best else "checkpoint"
    chosen = advice["recommended"]
    kind = "scratch" if chosen == "scratch" else "none" if chosen.startswith("not") else "checkpoint"
    told += kind != "none"
    right += kind == better
    print(f"{name}: {chosen} ({advice['confidence']:.3f} sure, {advice['seconds']:.0f} s, {advice['steps']} steps, {advice['seeds']} seeds); truth: " + ", ".join(f"{k} {statistics.mean(v):.4f}" for k, v in truth.items()) +
          f": {'right' if kind == better else 'no answer' if kind == 'none' else 'WRONG'}", flush=True)
    for r in advice["routes"]:
        t = statistics.mean(truth[r["arm"]])
        held = r["low"] <= t <= r["high"]
        inside += held
        judged += 1
        print(f"    {r['route']:<8} predicted {r['predicted']:.4f} [{r['low']:.4f}, {r['high']:.4f}], true {t:.4f} {'' if held else 'OUTSIDE'}", flush=True)
print(f"{right} of {len(tasks)} recommendations were the better kind ({told} were made); {inside} of {judged} intervals held")
