// Mapped reading and atomic writing on the POSIX calls; every failure is an Error that names the file.
#include "engine/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

namespace graft {

namespace fs = std::filesystem;

Error file_error(const fs::path& path, const std::string& action, int number) {
  const std::string what = path.string() + ": cannot " + action + ": " + std::generic_category().message(number);
  if (number == ENOSPC || number == EDQUOT)
    return Error(Code::stopped, what + "; what was there before is unchanged; free some space and run it again");
  if (number == EFBIG)
    return Error(Code::input, what + "; what was there before is unchanged; raise the limit on files (ulimit -f) and run it again");
  if (number == ENOENT || number == ENOTDIR) return Error(Code::input, what + "; check the path");
  if (number == EACCES || number == EPERM || number == EROFS) return Error(Code::input, what + "; check the permissions");
  return Error(Code::input, what + "; check the path and the disk");
}

namespace {

// Closes on every way out.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Opens a regular file and tells its size. Never waits: a named pipe is refused like any other thing that is not a file.
int open_regular(const fs::path& path, std::uint64_t& size) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) throw file_error(path, "open", errno);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) throw file_error(path, "open", errno);
  if (S_ISDIR(st.st_mode)) throw Error(Code::input, path.string() + ": is a folder where a file is wanted; name a file in it");
  if (!S_ISREG(st.st_mode)) throw Error(Code::input, path.string() + ": is not a regular file; copy its contents to one first");
  size = static_cast<std::uint64_t>(st.st_size);
  return fd.release();
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  std::uint64_t size = 0;
  const Descriptor fd(open_regular(path, size));
  void* data = nullptr;
  if (size > 0) {  // an empty mapping is an error of mmap's own
    data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd.get(), 0);
    if (data == MAP_FAILED) throw file_error(path, "map into memory", errno);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, data, size));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

namespace {
thread_local DiskFault* fault = nullptr;

// A call that a DiskFault may make fail: -1 and errno, as the call itself would.
template <class F>
auto guarded(F&& call) -> decltype(call()) {
  if (const int number = disk_fault()) {
    errno = number;
    return -1;
  }
  return call();
}
}  // namespace

DiskFault::DiskFault(int at, int number) : at_(at), number_(number) { fault = this; }
DiskFault::~DiskFault() { fault = nullptr; }
int disk_fault() {
  if (!fault) return 0;
  const int call = fault->calls_++;
  return fault->at_ >= 0 && call >= fault->at_ ? fault->number_ : 0;
}

void FileSink::write(std::span<const std::byte> bytes) {
  constexpr std::size_t kMost = std::size_t{1} << 30;  // Linux writes at most 2 GiB at once
  if (const int number = disk_fault()) {
    (void)!::write(fd_, bytes.data(), bytes.size() / 2);
    throw file_error(path_, "write", number);
  }
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), std::min(bytes.size(), kMost));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw file_error(path_, "write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    written_ += static_cast<std::uint64_t>(n);
  }
}

void write_atomically(const fs::path& path, const std::function<void(FileSink&)>& fill) {
  if (path.filename().empty()) throw Error(Code::input, path.string() + ": cannot write: names a folder; give a file name");
  static std::atomic<unsigned> count{0};
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");

  // The name is new even when threads or processes write the same path at once; leftovers of a killed process are stepped over.
  fs::path temp;
  int raw = -1;
  for (int tries = 0; raw < 0; ++tries) {
    temp = folder / (path.filename().string().substr(0, 200) + ".tmp" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    raw = guarded([&] { return ::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
    if (raw < 0 && (errno != EEXIST || tries == 1000)) throw file_error(path, "write", errno);
  }

  Descriptor fd(raw);
  try {
    FileSink sink(fd.get(), path);
    fill(sink);
    if (guarded([&] { return ::fsync(fd.get()); }) != 0) throw file_error(path, "write", errno);
    if (guarded([&] { return ::close(fd.release()); }) != 0) throw file_error(path, "write", errno);
    if (guarded([&] { return ::rename(temp.c_str(), path.c_str()); }) != 0) throw file_error(path, "write", errno);
  } catch (...) {
    ::unlink(temp.c_str());
    throw;
  }

  if (const int number = disk_fault()) throw file_error(folder, "write", number);
  sync_folder(folder);
}

void sync_folder(const fs::path& folder) {
  const Descriptor dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() >= 0 && ::fsync(dir.get()) != 0 && errno != EINVAL) throw file_error(folder, "write", errno);
}

void write_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  write_atomically(path, [&](FileSink& sink) { sink.write(bytes); });
}
void write_atomically(const fs::path& path, std::string_view text) {
  write_atomically(path, [&](FileSink& sink) { sink.write(text); });
}

std::string read_text(const fs::path& path, std::uint64_t limit) {
  std::uint64_t size = 0;
  const Descriptor fd(open_regular(path, size));
  const auto too_long = [&] {
    return Error(Code::input, path.string() + ": is longer than " + std::to_string(limit) +
                                  " bytes, the most that is read as text; name the right file");
  };
  if (size > limit) throw too_long();
  std::string text;
  text.reserve(size);
  char block[1 << 16];
  for (;;) {  // to the end and not to `size`: files in /proc say 0
    const ssize_t n = ::read(fd.get(), block, sizeof block);
    if (n < 0) {
      if (errno == EINTR) continue;
      throw file_error(path, "read", errno);
    }
    if (n == 0) return text;
    if (text.size() + static_cast<std::uint64_t>(n) > limit) throw too_long();
    text.append(block, static_cast<std::size_t>(n));
  }
}

}  // namespace graft
