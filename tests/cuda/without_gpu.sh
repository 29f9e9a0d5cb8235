#!/usr/bin/env bash
# A CUDA build where there is no GPU: everything works on the CPU, and asking for the GPU is one line and exit 6. Skips, and says so, where there is one.
# usage: tests/cuda/without_gpu.sh GRAFT_BINARY
set -euo pipefail
graft=${1:?usage: tests/cuda/without_gpu.sh GRAFT_BINARY}
[ -e /dev/nvidiactl ] && { echo "without_gpu: skipped, there is a GPU"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "without_gpu: $*" >&2; exit 1; }

"$graft" doctor >"$work/doctor" || fail "doctor ended with $?"
grep -q '^cuda .*libcuda.so.1 was looked for' "$work/doctor" || fail "doctor does not say what it looked for: $(grep '^cuda' "$work/doctor")"
small=(data.train_count=80 data.test_count=40 train.steps=2)
"$graft" train digits-cnn "${small[@]}" --device auto --out "$work/run" >/dev/null 2>"$work/err" || fail "training on the CPU ended with $?: $(cat "$work/err")"
for device in cuda cuda:1; do
  code=0
  "$graft" train digits-cnn "${small[@]}" --device "$device" --out "$work/none" >"$work/out" 2>"$work/err" || code=$?
  [ "$code" -eq 6 ] || fail "--device $device ended with $code, wants 6"
  [ "$(wc -l <"$work/err")" -eq 1 ] || fail "--device $device wants one line: $(cat "$work/err")"
  [ ! -e "$work/none" ] || fail "--device $device left a run folder"
done
"$graft" kernels list matmul | grep -q '^matmul *cuda\.' || fail "the CUDA rows are not listed"
"$graft" kernels list matmul | grep -q 'cublaslt' && fail "a vendor row is listed without its library"
echo "without_gpu: the CUDA build works on the CPU and refuses the GPU in one line"
