// The one exception type of graft. A message names op, argument, shapes, the rule broken and the next step, in one line;
// the code is what the command line exits with (docs/cli.md). Everything below `cli` throws; only `cli` turns it into an exit.
#pragma once
#include <stdexcept>
#include <string>

namespace graft {

enum class Code {
  no = 1,        // ran, and the answer is "no"
  usage = 2,     // wrong usage, argument or configuration
  input = 3,     // input unreadable, damaged or not matching
  memory = 4,    // does not fit in memory
  diverged = 5,  // NaN or infinity beyond the policy
  device = 6,    // device, driver or communication failure
  bug = 70,      // a bug in graft
  stopped = 75,  // stopped early with a good checkpoint
};

class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& what) : std::runtime_error(what), code_(code) {}
  Code code() const { return code_; }

 private:
  Code code_;
};

}  // namespace graft
