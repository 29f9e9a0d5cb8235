#!/usr/bin/env bash
# fuzz.sh BUILD/fuzz TARGET SECONDS [options]: runs one target over its seeds. What it learns stays in BUILD/fuzz/learnt/TARGET, what it finds in BUILD/fuzz/found/; a finding is
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
echo "== $name, $seconds s"
exec "$programs/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=16384 -print_final_stats=1 -verbosity=0 \
  -artifact_prefix="$programs/found/$name-" "$@" "${folders[@]}"
