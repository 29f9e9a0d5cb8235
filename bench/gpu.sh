#!/usr/bin/env bash
# What only a GPU can show, in under nine minutes once built: the tests on `cuda`, compute-sanitizer over the small cases, the ladders against cuBLASLt, cuDNN and
# (where it is installed) PyTorch, and training steps. Writes DIR/gpu.json and DIR/gpu.md; commit them under bench/results/ with machine, driver and date.
# usage: bench/gpu.sh [--build FOLDER] [--out DIR] [--minutes N]
#   --build FOLDER   programs that are built already (a GRAFT_STATIC build carried to a bare machine); default: build-gpu, built here for the GPU found
#   --minutes N      stop starting stages after N minutes (default 9); a stage that was left out is named in the results
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build= out=$root/bench/results/$(date +%Y-%m-%d) minutes=9
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --minutes) minutes=$2; shift 2 ;;
    *) sed -n '4,6s/^# //p' "$0" >&2; exit 2 ;;
  esac
done
command -v nvidia-smi >/dev/null || { echo "gpu.sh: no nvidia-smi here, so no GPU to measure on" >&2; exit 6; }
if [ -z "$build" ]; then
  build=$root/build-gpu
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRAFT_CUDA=ON -DGRAFT_CUDA_ARCHITECTURES=native || exit 2
  cmake --build "$build" || exit 2
fi
build=$(cd "$build" && pwd)
graft=$build/graft
"$graft" doctor | grep -q '^cuda *ok .*compute capability' || { echo "gpu.sh: $("$graft" doctor | grep '^cuda')" >&2; exit 6; }
mkdir -p "$out" || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
begin=$SECONDS failed=0

# stage NAME SECONDS COMMAND...: its output to $work/NAME.log, its result and time to the list. At most SECONDS long, and none begins after the last minute.
stages=()
stage() {
  local name=$1 limit=$2 at=$SECONDS code=0 result
  shift 2
  if [ $((SECONDS - begin)) -ge $((minutes * 60)) ]; then
    result="left out: $minutes minutes are over"
  else
    timeout "$limit" "$@" >"$work/$name.log" 2>&1 || code=$?
    case $code in
      0) result=ok ;;
      124) result="stopped after $limit s" ; failed=1 ;;
      77) result="skipped: $(tail -1 "$work/$name.log")" ;;
      *) result="failed with $code: $(grep -v '^$' "$work/$name.log" | tail -1 | tr -d '"\\' | cut -c1-200)"; failed=1 ;;
    esac
  fi
  printf '%-28s %4d s  %s\n' "$name" $((SECONDS - at)) "$result" >&2
  stages+=("$(printf '{"stage": "%s", "seconds": %d, "result": "%s"}' "$name" $((SECONDS - at)) "$result")")
}

tests() {
  local code=0
  for t in "$build"/test_kernel_*; do "$t" --gtest_filter='*OnTheGpu' --gtest_brief=1 || code=1; done
  for t in test_engine test_core; do "$build/$t" --gtest_filter='*cuda*:*Cuda*:*Gpu*' --gtest_brief=1 || code=1; done
  return $code
}
sanitize() {  # tool, families
  command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer on PATH"; return 77; }
  local tool=$1
  shift
  for family in "$@"; do
    compute-sanitizer --tool "$tool" --error-exitcode 9 "$graft" kernels check "$family" --device cuda || return 9
  done
}
ladder() {  # name, family, then more options
  local name=$1 family=$2
  shift 2
  "$graft" kernels bench "$family" --device cuda --cold --seconds 0.05 -o "$work/$name.json" --csv "$work/$name.csv" "$@"
}
train() {  # name, then overrides
  local name=$1
  shift
  "$graft" train mnist-cnn data.path="$GRAFT_MNIST" --device cuda --json --out "$work/run-$name" "$@" >"$work/$name.document" || return $?
  mv "$work/$name.document" "$work/$name.json"
}
pytorch() {
  python3 -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)' 2>/dev/null || { echo "no PyTorch with CUDA here"; return 77; }
  python3 "$root/bench/peers/$1" "${@:2}"
}
export -f tests sanitize ladder train pytorch
export root build graft work

stage tests 200 bash -c tests
stage matmul_bf16 60 bash -c 'ladder matmul_bf16 matmul --dtype bf16 --against cublaslt'
stage matmul_f32 40 bash -c 'ladder matmul_f32 matmul --dtype f32 --shape 2048 --against cublaslt'
stage softmax 30 bash -c 'ladder softmax softmax --against cudnn'
stage row_norm 30 bash -c 'ladder row_norm row_norm --against cudnn'
stage cross_entropy 30 bash -c 'ladder cross_entropy cross_entropy'
stage optim 30 bash -c 'ladder optim optim'
stage conv 60 bash -c 'ladder conv conv --against cudnn'
stage copy 20 bash -c 'ladder copy copy'
stage pytorch_kernels 60 bash -c 'pytorch pytorch_kernels.py --json "$work/pytorch.json"'
if [ -n "${GRAFT_MNIST:-}" ]; then
  stage train_64 40 bash -c 'train train_64 train.steps=500 train.batch=64'
  stage train_1024 40 bash -c 'train train_1024 train.steps=200 train.batch=1024'
  stage pytorch_train 60 bash -o pipefail -c 'pytorch pytorch_mnist_cnn.py --device cuda --graft "$graft" --rounds 3 data.path="$GRAFT_MNIST" | tee "$work/pytorch_train.txt"'
fi
stage memcheck 120 bash -c 'sanitize memcheck softmax row_norm cross_entropy matmul embed gather'
stage racecheck 120 bash -c 'sanitize racecheck softmax row_norm matmul reduce'

# one document: who, when, what; then every stage's own document
list() { local IFS=,; echo "[${stages[*]}]"; }
{
  printf '{"machine": "%s", "driver": "%s", "commit": "%s", "date": "%s",\n "stages": %s,\n "results": {' \
    "$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)" "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -1)" \
    "${GRAFT_COMMIT:-$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)}" "$(date -u +%Y-%m-%dT%H:%MZ)" "$(list)"
  comma=
  for f in "$work"/*.json; do
    [ -s "$f" ] || continue
    printf '%s\n"%s": ' "$comma" "$(basename "$f" .json)"
    cat "$f"
    comma=,
  done
  printf '}}\n'
} >"$out/gpu.json"
{
  echo "# $(nvidia-smi --query-gpu=name --format=csv,noheader | head -1), $(date -u +%Y-%m-%d)"
  echo
  echo "Driver $(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -1), commit ${GRAFT_COMMIT:-$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)}; \`bench/gpu.sh\`."
  echo
  echo "| stage | result |"
  echo "|---|---|"
  for s in "${stages[@]}"; do sed -E 's/.*"stage": "([^"]*)".*"result": "(.*)"\}/| \1 | \2 |/' <<<"$s"; done
  for f in "$work"/*.csv; do
    [ -s "$f" ] || continue
    echo
    echo "## $(basename "$f" .csv)"
    echo
    awk -F, 'NR == 1 { n = NF; line = "|"; for (i = 1; i <= n; ++i) line = line "---|" } { row = "|"; for (i = 1; i <= n; ++i) row = row " " $i " |"; print row } NR == 1 { print line }' "$f"
  done
  if [ -s "$work/pytorch_train.txt" ]; then printf '\n## training against PyTorch\n\n```\n%s\n```\n' "$(cat "$work/pytorch_train.txt")"; fi
} >"$out/gpu.md"
echo "gpu.sh: $out/gpu.json, $out/gpu.md" >&2
exit $failed
