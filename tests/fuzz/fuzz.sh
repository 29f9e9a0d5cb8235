#!/usr/bin/env bash
# fuzz.sh BUILD/fuzz TARGET SECONDS [options]: runs one target over its seeds for so many seconds of the processor, which on a busy machine take longer. What it learns stays in BUILD/fuzz/learnt/TARGET, what it finds in BUILD/fuzz/found/; a finding is
# mended and its input, made small (-minimize_crash=1), goes to tests/fuzz/corpus/TARGET.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
programs=$1 name=$2 seconds=$3
shift 3
[ -x "$programs/fuzz_$name" ] || { echo "graft: no fuzz target '$name'; there are: $(cd "$programs" && ls fuzz_* | sed 's/^fuzz_//' | tr '\n' ' ')" >&2; exit 2; }
mkdir -p "$programs/learnt/$name" "$programs/found"
# The folders of the target's line in targets.cpp.
folders=("$programs/learnt/$name")
while read -r folder; do folders+=("$here/$folder"); done < <(sed -n "s/^ *{\"$name\", [^{]*{\(.*\)}},\$/\1/p" "$here/tests/fuzz/targets.cpp" | tr ',' '\n' | tr -d ' "' | grep . || true)
[ -d "$here/tests/fuzz/corpus/$name" ] && folders+=("$here/tests/fuzz/corpus/$name")
[ -d /dev/shm ] && export TMPDIR=/dev/shm  # a target that needs a folder writes a file for each input
echo "== $name, $seconds s of the processor"
"$programs/fuzz_$name" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=16384 -print_final_stats=1 -verbosity=0 \
  -artifact_prefix="$programs/found/$name-" "$@" "${folders[@]}" &
fuzzer=$!
trap 'kill -INT $fuzzer 2>/dev/null || true' INT TERM
ticks=$(getconf CLK_TCK)
# Fields 14 and 15 of /proc/PID/stat, after the name in brackets; USR1 asks libFuzzer to end in order.
while read -r -a stat < <(sed 's/.*) //' "/proc/$fuzzer/stat" 2>/dev/null) && [ "${stat[0]}" != Z ]; do
  (((stat[11] + stat[12]) / ticks < seconds)) || { kill -USR1 $fuzzer 2>/dev/null || true; break; }
  sleep 1
done
wait $fuzzer
