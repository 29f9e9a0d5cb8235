// f32 matrix products of other libraries as rows of the matmul table, found at run time: opened with dlopen and private to this program,
// because OpenBLAS and BLIS export the same names and neither may shadow the other. The rows are named peer.openblas, peer.blis and
// peer.onednn and are never chosen unless named.
#pragma once
#include <string>
#include <vector>

namespace graft::lab {

struct Peers {
  std::vector<std::string> found;    // "openblas 0.3.21 ..." as the library says
  std::vector<std::string> missing;  // "blis": could not be opened
};
// Opens them with that many threads and adds their rows; once per process, before specs are made.
Peers add_peers(int threads);
// All names that add_peers knows, "openblas" first.
const std::vector<std::string>& peer_names();

}  // namespace graft::lab
