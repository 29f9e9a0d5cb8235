#include "kernels/lab/load.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernels/catalog.h"
#include "kernels/core/device.h"
#include "kernels/lab/try.h"

extern char** environ;

namespace graft::lab {
namespace {
namespace fs = std::filesystem;

bool is_cu(const std::string& path) { return fs::path(path).extension() == ".cu"; }

fs::path program_folder() {
  std::error_code ec;
  return fs::read_symlink("/proc/self/exe", ec).parent_path();
}
// The tree this program was built from, while it stands; else what `cmake --install` put beside the program.
std::string headers() {
  const fs::path places[] = {GRAFT_HEADERS, program_folder().parent_path() / "include/graft"};
  std::string looked;
  for (const auto& p : places) {
    std::error_code ec;
    if (fs::exists(p / "kernels/lab/try.h", ec)) return p.string();
    looked += (looked.empty() ? "" : " and ") + p.string();
  }
  throw Error(Code::usage, "graft's headers are not there: " + looked +
                               " were looked at; build graft from its source tree or install it with cmake --install");
}
bool can_run(const std::string& program) {
  if (program.find('/') != std::string::npos) return access(program.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");
  for (std::string_view rest = path ? path : ""; !rest.empty();) {
    const auto colon = rest.find(':');
    if (access((std::string(rest.substr(0, colon)) + "/" + program).c_str(), X_OK) == 0) return true;
    rest = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
  }
  return false;
}
// The compiler that built this program: the row and the program must agree on classes.
std::string compiler(bool cuda) {
  if (cuda) {
    for (const char* c : {GRAFT_NVCC, "nvcc", "/usr/local/cuda/bin/nvcc"})
      if (*c && can_run(c)) return c;
    throw Error(Code::usage, "no nvcc on PATH; install the CUDA toolkit, or use --device emu");
  }
  for (const char* c : {GRAFT_CXX, "c++", "g++"})
    if (can_run(c)) return c;
  throw Error(Code::usage, "no C++ compiler: " GRAFT_CXX ", c++ and g++ were looked for; install g++");
}
int run(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const auto& w : words) argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);  // results alone go to stdout
  pid_t child = 0;
  const int failed = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) throw Error(Code::usage, words[0] + " cannot be started: " + std::strerror(failed));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Device device_for(const std::string& path, const std::string& asked) {
  const std::string end = fs::path(path).extension().string();
  if (end != ".cpp" && end != ".cc" && end != ".cxx" && end != ".cu")
    throw Error(Code::usage, path + ": name a .cpp (runs on the CPU) or a .cu (emu and cuda)");
  std::error_code ec;
  if (!fs::is_regular_file(path, ec) || access(path.c_str(), R_OK) != 0)
    throw Error(Code::input, path + ": cannot be read; graft kernels try " + path + " --new writes a file to start from");
  const std::string otherwise = !is_cu(path) ? "cpu" : why_not({DeviceKind::cuda, 0}).empty() ? "cuda" : "emu";
  const Device d = parse_device(asked.empty() ? otherwise : asked);
  if (is_cu(path) == (d.kind == DeviceKind::cpu))
    throw Error(Code::usage,
                path + " does not run on " + name_of(d) + ": " +
                    (is_cu(path) ? "a .cu runs on emu and cuda" : "a .cpp runs on the CPU; name it .cu and include kernels/simt/simt.h"));
  return d;
}

Compiled::Compiled(const TryFile& file) : file_(file) {
  const bool cuda = file.device.kind == DeviceKind::cuda;
  const std::string include = headers();
  std::vector<std::string> words = {compiler(cuda)};
  std::string name = (fs::temp_directory_path() / "graft-try-XXXXXX").string();
  if (!mkdtemp(name.data()))
    throw Error(Code::input, name + ": no temporary folder can be made; set TMPDIR to a folder that can be written");
  folder_ = name;
  object_ = folder_ + "/row.so";
  const auto more = [&](std::initializer_list<const char*> list) { words.insert(words.end(), list.begin(), list.end()); };
  // nvcc links its runtime into the object: the one in this program is hidden. Both work in the device's primary context, and a stream is
  // the driver's.
  if (cuda) more({"-std=c++20", "-O3", "--expt-relaxed-constexpr", "--extended-lambda", "-shared", "-Xcompiler=-fPIC", "-arch=native"});
  else more({"-std=c++20", "-O3", "-fPIC", "-shared", "-Wall", "-fno-math-errno", "-ffp-contract=off"});
  for (const char* flag : {GRAFT_SANITIZER})
    if (!cuda && *flag) words.emplace_back(flag);
  words.push_back("-I" + include);
  words.insert(words.end(), file.flags.begin(), file.flags.end());
  if (!cuda) more({"-x", "c++"});
  words.push_back(file.path);
  words.insert(words.end(), {"-o", object_});
  if (const int code = run(words); code != 0) {
    std::error_code ec;
    fs::remove_all(folder_, ec);
    throw Error(Code::usage,
                file.path + " does not compile (exit code " + std::to_string(code) + " of " + words[0] + "); its messages stand above");
  }
}
Compiled::~Compiled() {
  std::error_code ec;
  fs::remove_all(folder_, ec);
}

Compiled::Row Compiled::add_row() {
  void* library = dlopen(object_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Error(Code::usage, file_.path + " cannot be loaded: " + dlerror());
  const auto tried = reinterpret_cast<const TriedRow* (*)()>(dlsym(library, kTrySymbol));
  if (!tried)
    throw Error(Code::usage,
                file_.path + " has no row; end it with GRAFT_TRY(family, host(...)) or, in a .cu, GRAFT_TRY(family, simt_row(...))");
  const TriedRow& t = *tried();
  if (t.interface != kTryInterface || t.view_bytes != sizeof(View) || t.queue_bytes != sizeof(Queue))
    throw Error(Code::usage, file_.path + " was compiled against headers of another graft than this program; build graft again");
  if (file_.device.kind != DeviceKind::cuda && std::strcmp(t.compiler, __VERSION__) != 0)
    throw Error(Code::usage,
                file_.path + " was compiled by " + t.compiler + ", this program by " __VERSION__ "; build graft again with the former");
  const FamilyBase* family = nullptr;
  for (const auto* f : families())
    if (f->name() == t.family) family = f;
  if (!family) throw Error(Code::usage, file_.path + ": no kernel family '" + t.family + "'; see graft kernels list");
  const std::size_t before = family->variants().size();
  family->add(t.row, t.row_bytes, t.args_bytes);
  const auto rows = family->variants();
  const VariantInfo& row = rows[before];
  const std::string backend = file_.device.kind == DeviceKind::cpu ? "cpu." : file_.device.kind == DeviceKind::emu ? "emu." : "cuda.";
  if (!row.name.starts_with(backend) || !serves(row.backend, file_.device.kind))
    throw Error(Code::usage, file_.path + ": the row is named '" + std::string(row.name) + "'; a row for " + name_of(file_.device) +
                                 " is named " + backend + "NAME");
  return {std::string(family->name()), std::string(row.name)};
}

}  // namespace graft::lab
