// `graft kernels try`: a user's file compiled, loaded into this process, and its row added to the family's table.
#pragma once
#include <string>
#include <vector>

#include "kernels/core/queue.h"

namespace graft::lab {

struct TryFile {
  std::string path;  // .cpp, or .cu for emu and cuda
  Device device;
  std::vector<std::string> flags;  // more of the compiler's
};
// "" or a device: where a file of this kind runs unless told. Throws Error(usage) when it cannot run on the one asked for, Error(input)
// when it cannot be read.
Device device_for(const std::string& path, const std::string& asked);

// A shared object in a folder of its own that goes away with it.
class Compiled {
 public:
  // Runs the host's compiler (or nvcc for cuda); its messages go to stderr as they are. Throws Error(usage) when there are errors, when
  // there is no compiler, and when graft's headers are neither where this program was built nor in the include folder beside it.
  explicit Compiled(const TryFile& file);
  ~Compiled();
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  struct Row {
    std::string family, variant;
  };
  // For the life of the process; before specs are made. Throws Error(usage) when the file has no GRAFT_TRY row, or one that was compiled
  // against other headers or by another compiler.
  Row add_row();

 private:
  TryFile file_;
  std::string folder_, object_;
};

// A file to start from: softmax, honest and not fast. `cu`: in CUDA's words.
std::string example(bool cu);

}  // namespace graft::lab
