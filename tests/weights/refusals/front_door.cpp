#include "tests/weights/refusals/front_door.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <set>

extern char** environ;

namespace graft::front_door {
namespace fs = std::filesystem;
using test::read_file;
using test::TempFolder;
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMeasured = false;  // a sanitizer's own time and memory would be measured
#else
constexpr bool kMeasured = true;
#endif

double slowest = 0;
long largest = 0;
int refusals = 0;
std::string slowest_file;

}  // namespace

Seen seen(const std::vector<std::string>& arguments) {
  const TempFolder scratch;
  const std::string out = (scratch / "out").string(), err = (scratch / "err").string();
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::vector<const char*> words{GRAFT_BINARY};
  for (const std::string& a : arguments) words.push_back(a.c_str());
  words.push_back(nullptr);
  Seen s;
  const auto begin = std::chrono::steady_clock::now();
  pid_t child = 0;
  int status = 0;
  rusage usage{};
  if (::posix_spawn(&child, GRAFT_BINARY, &actions, nullptr, const_cast<char* const*>(words.data()), environ) == 0 &&
      ::wait4(child, &status, 0, &usage) == child && WIFEXITED(status))
    s.code = WEXITSTATUS(status);
  s.ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  ::posix_spawn_file_actions_destroy(&actions);
  s.rss_kb = usage.ru_maxrss;
  const auto ms_of = [](const timeval& t) { return 1e3 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_usec); };
  s.processor_ms = ms_of(usage.ru_utime) + ms_of(usage.ru_stime);
  s.out = read_file(out), s.err = read_file(err);
  return s;
}

void refused(const fs::path& folder, const std::vector<std::string>& arguments, const Expected& expected) {
  const auto listing = [&] {
    std::set<std::string> all;
    for (const auto& f : fs::recursive_directory_iterator(folder)) all.insert(f.path().string());
    return all;
  };
  const auto before = listing();
  Seen s = seen(arguments);
  // The least of three; of more where a busy machine made all three long.
  for (int i = 0; i < 2 || (i < 12 && s.ms >= 50); ++i) {
    const Seen again = seen(arguments);
    s.ms = std::min(s.ms, again.ms);
    s.processor_ms = std::min(s.processor_ms, again.processor_ms);
  }
  const std::string file = fs::path(expected.subject.substr(0, expected.subject.find_last_not_of(": /") + 1)).filename().string(),
                    who = arguments[0] + " of " + file + ": " + s.out + s.err;
  EXPECT_EQ(s.code, 3) << who;
  EXPECT_EQ(s.out, "") << who;
  EXPECT_EQ(s.err.rfind("graft: " + expected.subject, 0), 0u) << who;
  EXPECT_EQ(std::count(s.err.begin(), s.err.end(), '\n'), 1) << who;
  EXPECT_TRUE(s.err.ends_with('\n')) << who;
  EXPECT_NE(s.err.find(';'), std::string::npos) << "no next step: " << who;
  EXPECT_LT(s.err.size(), expected.longest) << who;
  // Behind the file's name, which may be of the very words that are wanted.
  const std::string sentence = s.err.substr(std::min(s.err.size(), std::string("graft: ").size() + expected.subject.size()));
  for (const std::string& part : expected.parts) EXPECT_NE(sentence.find(part), std::string::npos) << "wanted '" << part << "' in " << who;
  EXPECT_EQ(listing(), before) << who;
  if (kMeasured) {
    EXPECT_LT(s.processor_ms, 50)
        << who;  // the time on the wall, printed below, is the other programs' too: with a compiler on each core it was 84 ms
    EXPECT_LE(s.rss_kb, static_cast<long>((64u << 10) + expected.header / 1024)) << who;
  }
  if (s.ms > slowest) slowest = s.ms, slowest_file = file;
  largest = std::max(largest, s.rss_kb);
  ++refusals;
}

std::string le(std::uint64_t v, int width) { return std::string(reinterpret_cast<const char*>(&v), static_cast<std::size_t>(width)); }
void patch(std::string& s, std::size_t at, std::uint64_t v, int width) { s.replace(at, static_cast<std::size_t>(width), le(v, width)); }

std::string file_of(const std::string& json, const std::string& data) { return le(json.size(), 8) + json + data; }
std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}
std::string safetensors_of(const std::vector<Plain>& tensors) {
  std::string json = "{", data;
  for (const Plain& t : tensors) {
    std::size_t n = 1;
    std::string shape;
    for (const std::int64_t d : t.shape) n *= static_cast<std::size_t>(d), shape += (shape.empty() ? "" : ",") + std::to_string(d);
    const std::size_t begin = data.size(), width = t.dtype == "F32" || t.dtype == "I32" ? 4 : t.dtype == "F16" ? 2 : 1;
    for (std::size_t i = 0; i < n && t.dtype == "F32"; ++i) data.append(reinterpret_cast<const char*>(&t.fill), 4);
    if (t.dtype != "F32") data.append(n * width, '\1');
    json += (json.size() > 1 ? "," : "") +
            tensor(t.name, t.dtype, "[" + shape + "]", "[" + std::to_string(begin) + "," + std::to_string(data.size()) + "]");
  }
  return file_of(json + "}", data);
}

void FrontDoor::TearDownTestSuite() {
  std::printf(
      "%d refusals; the slowest took %.1f ms (%s), least of at least three runs of the whole program; largest resident set: %.1f MB\n",
      refusals, slowest, slowest_file.c_str(), static_cast<double>(largest) / 1024);
}
void FrontDoor::is(const std::string& name, const std::string& bytes, const std::vector<std::string>& parts) const {
  std::ofstream(dir / name, std::ios::binary) << bytes;
  refused(dir.path, {"inspect", (dir / name).string()}, {(dir / name).string() + ": ", parts, bytes.size()});
}
void FrontDoor::golden(const std::string& of, const std::vector<std::string>& parts) const {
  is(fs::path(of).filename().string(), golden_bytes(of), parts);
}
void FrontDoor::not_imported(const std::string& name, const std::vector<std::string>& parts, const std::vector<std::string>& more) const {
  std::vector<std::string> arguments{"import", (dir / name).string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  arguments.insert(arguments.end(), {"--out", (dir / "imported").string()});
  std::error_code ec;
  const bool file = fs::is_regular_file(dir / name, ec);  // in a folder one of its files is refused
  refused(dir.path, arguments, {(dir / name).string() + (file ? ": " : "/"), parts, file ? fs::file_size(dir / name, ec) : 0, 4000});
}
void FrontDoor::not_imported_bytes(const std::string& name, const std::string& bytes, const std::vector<std::string>& parts,
                                   const std::vector<std::string>& more) const {
  std::ofstream(dir / name, std::ios::binary) << bytes;
  not_imported(name, parts, more);
}
std::string FrontDoor::golden_bytes(const std::string& of) {
  const std::string bytes = read_file(fs::path(GRAFT_SOURCE_DIR) / "tests/golden" / of);
  EXPECT_NE(bytes, "") << of;
  return bytes;
}

}  // namespace graft::front_door
