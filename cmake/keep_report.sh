#!/bin/sh
# Compiler launcher: runs nvcc (through ccache where it is there) and keeps what ptxas reports beside the object, for tests/cuda/resources.sh.
report=
previous=
for word in "$@"; do
  [ "$previous" = -o ] && report=$word.ptxas
  previous=$word
done
launcher=$(command -v ccache || true)
$launcher "$@" 2>"$report"
code=$?
grep -v '^ptxas info\|^    [0-9]* bytes stack frame\|^$' "$report" >&2  # warnings and errors, as ever
exit $code
