"""Holds an ONNX file that graft wrote against onnx.checker and ONNX Runtime: python judge.py FILE.onnx GRAFT. ONNX Runtime's inputs and outputs are laid out as ONNX's own
tests lay them, and graft compares its run of the same file with them (1e-5). Exit 0 when both agree."""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper

path, graft = sys.argv[1:3]
model = onnx.load(path)
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
shape = [d if isinstance(d, int) else 7 for d in session.get_inputs()[0].shape]
x = numpy.random.default_rng(5).standard_normal(shape).astype(numpy.float32)
(y,) = session.run(None, {session.get_inputs()[0].name: x})
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "input_0.pb").write_bytes(numpy_helper.from_array(x, "input").SerializeToString())
    (folder / "output_0.pb").write_bytes(numpy_helper.from_array(y, "logits").SerializeToString())
    done = subprocess.run([graft, "import", path, "--check", str(folder), "--json"], capture_output=True, text=True)
    print(done.stdout, done.stderr)
    worst = json.loads(done.stdout)["max_difference"]
    print("max |difference|", worst, "of outputs up to", float(abs(y).max()))
    sys.exit(0 if worst <= 1e-5 * max(1.0, float(abs(y).max())) else 1)
