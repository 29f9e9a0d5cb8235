#!/usr/bin/env bash
# Reads what ptxas reported for every kernel (cmake -DGRAFT_CUDA_REPORT=ON) and prints one line per file and architecture. A kernel above rung 0 that has a
# stack frame or spills fails: its arrays lie in local memory, which is DRAM, and the ladder would measure that instead of its idea.
# One file is let through with a frame but no spills: CUDA's own sine and cosine keep 28 bytes of 2/pi for arguments beyond 105615.
# usage: tests/cuda/resources.sh BUILD_FOLDER
set -euo pipefail
build=${1:?usage: tests/cuda/resources.sh BUILD_FOLDER}
sources=$(cd "$(dirname "$0")/../.." && ls kernels/*/cuda_*.cu | wc -l)
mapfile -t reports < <(find "$build" -name '*.cu.o.ptxas' | sort)
if [ "${#reports[@]}" -ne "$sources" ]; then
  echo "resources: ${#reports[@]} reports for $sources .cu files in $build: build it with -DGRAFT_CUDA_REPORT=ON" >&2
  exit 1
fi
awk '
  function flush() { for (a in kernels) printf "%-52s %-7s %4d kernels, at most %3d registers, %4d bytes of stack, %d spilled\n", file, a, kernels[a], regs[a], stack[a], spills[a]
                     delete kernels; delete regs; delete stack; delete spills }
  BEGIN { frame["kernels/elementwise/cuda_1_runs.cu"] = 32 }
  FNR == 1 { flush(); file = FILENAME; sub(/.*\/kernels\//, "kernels/", file); sub(/\.o\.ptxas$/, "", file); rung = file; sub(/.*cuda_/, "", rung); rung += 0 }
  /Compiling entry function/ { arch = $NF; gsub(/[^a-z0-9_]/, "", arch); name = $(NF - 2); kernels[arch]++; seen++ }
  /bytes stack frame/ {
    if ($1 + 0 > stack[arch]) stack[arch] = $1 + 0
    spills[arch] += $5
    if (rung > 0 && ($1 > frame[file] + 0 || $5 > 0)) { bad++; print "resources: " file " " arch ": " $1 " bytes of stack, " $5 " spilled in " name > "/dev/stderr" }
  }
  /Used [0-9]+ registers/ { for (i = 1; i < NF; ++i) if ($i == "Used" && $(i + 1) > regs[arch]) regs[arch] = $(i + 1) + 0 }
  END { flush(); printf "%d kernels, %d with a stack frame or spills above rung 0\n", seen, bad; exit bad > 0 || seen == 0 }
' "${reports[@]}"
