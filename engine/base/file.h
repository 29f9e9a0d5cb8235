// Files: a mapping that is shared by everything read out of it, and writing that leaves either the old file or the new one,
// never half of one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/core/error.h"

namespace graft {

// The Error for a system call on `path` that failed with `number` (errno). A full disk or quota is Code::stopped, because what was on
// the disk before is still good; everything else is Code::input. `action` completes "cannot ..." ("open", "write").
Error file_error(const std::filesystem::path& path, const std::string& action, int number);

// The bytes of a regular file, mapped and not read: pages come in when they are touched. The file itself is never changed through it.
// The pages are private and writable (copied on the first write), so that a tensor which borrows them can be trained in place.
class MappedFile {
 public:
  // Throws Error(input) when `path` is not a regular file or cannot be opened. An empty file gives no bytes.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, void* data, std::size_t size) : path_(std::move(path)), data_(data), size_(size) {}

  std::filesystem::path path_;
  void* data_;
  std::size_t size_;
};

// Where write_atomically's callback puts its bytes, in order.
class FileSink {
 public:
  void write(std::span<const std::byte> bytes);  // throws as write_atomically does
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  std::uint64_t written() const { return written_; }

 private:
  friend void write_atomically(const std::filesystem::path&, const std::function<void(FileSink&)>&);
  FileSink(int fd, const std::filesystem::path& path) : fd_(fd), path_(path) {}

  int fd_;
  const std::filesystem::path& path_;
  std::uint64_t written_ = 0;
};

// Writes `path` by way of a new file beside it: write, fsync, rename over `path`, fsync of the folder. Readers that have the old file
// mapped keep it. When anything fails, the callback included, the new file is removed and `path` is as it was. A symbolic link at
// `path` is replaced, not followed.
// Throws Error(stopped) on a full disk, Error(input) when the file cannot be written for another reason.
void write_atomically(const std::filesystem::path& path, const std::function<void(FileSink&)>& fill);
void write_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_atomically(const std::filesystem::path& path, std::string_view text);

// fsync of a folder: what was renamed into it lasts. Throws as above; file systems that have no such thing are passed over.
void sync_folder(const std::filesystem::path& folder);

// For tests: while an object of this lives, the call number `at` (from 0) of those that write_atomically makes in this thread (open, write,
// fsync, close, rename, and a folder's fsync, each counted) fails with `number`, and every later one too, as on a disk that is full. A
// write leaves half of its bytes behind before it fails. With `at` < 0 nothing fails and the calls are counted.
class DiskFault {
 public:
  DiskFault(int at, int number);
  ~DiskFault();
  DiskFault(const DiskFault&) = delete;
  int calls() const { return calls_; }

 private:
  friend int disk_fault();
  int at_, number_, calls_ = 0;
};
int disk_fault();  // the errno that the next call must fail with, or 0

// The whole file as text. Throws Error(input) when it cannot be read or has more than `limit` bytes.
std::string read_text(const std::filesystem::path& path, std::uint64_t limit = std::uint64_t{64} << 20);

}  // namespace graft
