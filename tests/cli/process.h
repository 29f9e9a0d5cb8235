// Runs the graft binary as a user would: arguments in, exit code and both streams out.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/temp_folder.h"

namespace graft::test {

struct Outcome {
  int code = -1;
  std::string out, err;
};

// `arguments` go through the shell; the working folder is `folder`.
//
// Tests that stop a run call it by `timeout`, always with --foreground. Without it coreutils' timeout puts itself into a group of its own
// and signals, when the time is over, the command and then the whole group: graft would get the signal twice, and the second one ends it at
// once, where one means a checkpoint and a line.
inline Outcome run(const std::filesystem::path& folder, const std::string& arguments, const std::string& program = GRAFT_BINARY) {
  const auto out = folder / ".stdout", err = folder / ".stderr";
  const std::string command =
      "cd '" + folder.string() + "' && '" + program + "' " + arguments + " >'" + out.string() + "' 2>'" + err.string() + "'";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
}

// What `arguments` come to when `signal` meets them after a while in which they have begun: longer where it came before the program's first
// line.
inline Outcome interrupted(const std::filesystem::path& folder, const std::string& signal, const std::string& arguments) {
  Outcome o;
  for (const char* seconds : {"1", "4", "16"}) {
    o = run(folder, "--foreground --preserve-status -s " + signal + " " + seconds + " '" GRAFT_BINARY "' " + arguments, "timeout");
    if (!o.err.empty()) break;
  }
  return o;
}

}  // namespace graft::test
