// f32 matrix products of other libraries, found at run time: opened with dlopen and private to this program, because OpenBLAS and BLIS export the
// same names and neither may shadow the other. A library that is not installed is simply not in the list.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "kernels/matmul/matmul.h"

namespace graft::bench {

struct Peer {
  std::string name;  // "openblas", "blis", "onednn"
  // C = op(A) op(B) of unbatched f32 operands, each dense along one of its two axes, C dense along n
  std::function<void(const MatmulArgs&)> matmul;
};
// Opens them with that many threads. `missing` gets the names of those that could not be opened.
std::vector<Peer> open_peers(int threads, std::vector<std::string>& missing);

}  // namespace graft::bench
