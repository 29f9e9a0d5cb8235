// Zip archives as a view: which members there are and where their bytes lie in the file. PyTorch's files and npz are zips whose tensors are
// stored, not packed, so that a mapping of the archive is a mapping of the tensors; libraries for zip hand out copies and tell no offsets,
// which is why this is read here. Everything is checked when the archive is opened, from the central directory: what two readers could
// understand differently is refused.
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/file.h"
#include "weights/source.h"

namespace graft {

struct ZipMember {
  std::string name;          // never absolute, no "..", no control characters; folders are left out
  int method = 0;            // 0 stored, 8 deflated
  std::uint64_t offset = 0;  // of its bytes (packed ones where method is 8) in the file
  std::uint64_t packed = 0;  // bytes in the file
  std::uint64_t size = 0;    // bytes of the member
  std::uint32_t crc = 0;     // CRC-32 of the member
};

bool looks_like_zip(std::span<const std::byte> file);  // by its first four bytes

class ZipView {
 public:
  // `file` is the whole file, kept alive by `keeper` (or by the caller, where that is empty); `path` is for messages. Throws Error(input):
  // no end record (truncated), more than one disk, encrypted, other methods than 0 and 8, names that leave the folder or are there twice,
  // members that lie over one another or outside of the file, a local header that says otherwise than the central directory, sizes that
  // deflate cannot reach.
  static ZipView parse(std::span<const std::byte> file, const std::string& path, std::shared_ptr<const void> keeper = nullptr);
  static ZipView open(const std::shared_ptr<const MappedFile>& file) { return parse(file->bytes(), file->path().string(), file); }

  const std::vector<ZipMember>& members() const { return members_; }  // in the order of the central directory
  const ZipMember* find(std::string_view name) const;                 // nullptr when it is not there
  const std::string& path() const { return path_; }

  // The member's bytes: a span of the file where it is stored, else inflated. Its CRC is checked the first time. Throws Error(input) when
  // that is wrong, when the packed bytes are no deflate stream of exactly its size, or the size is above `most` (and above 16 GiB where it
  // is inflated: that takes memory). May be called by several threads at once.
  KeptBytes bytes(const ZipMember& member, std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) const;

  // False where every member's CRC is written as 0, as PyTorch does when it is told to compute none
  // (torch.serialization.set_crc32_options): then none is checked.
  bool has_sums() const { return has_sums_; }

 private:
  std::span<const std::byte> file_;
  std::string path_;
  std::shared_ptr<const void> keeper_;
  std::vector<ZipMember> members_;
  std::unordered_map<std::string_view, std::size_t> by_name_;  // views of an array that is never touched again
  bool has_sums_ = false;
  struct Checked {
    std::mutex lock;
    std::set<std::uint64_t> offsets;  // of members whose CRC was right
  };
  std::shared_ptr<Checked> checked_;
};

// Writes an archive of stored members into the sink of write_atomically. The bytes of each begin at a multiple of `align` of the file (the
// extra field "FB" fills the gap, as PyTorch does), so that readers can map them. The same members give the same bytes: there are no times
// in it.
class ZipWriter {
 public:
  enum class Zip64 { needed, always };  // always: the long records even where the short ones would do, for tests of readers
  explicit ZipWriter(FileSink& sink, std::uint64_t align = 64, Zip64 zip64 = Zip64::needed);
  // Throws Error(usage) for a name that ZipView would refuse; and as FileSink does.
  void add(std::string_view name, std::span<const std::byte> bytes);
  void add(std::string_view name, std::string_view text) { add(name, std::as_bytes(std::span(text.data(), text.size()))); }
  void finish();  // the central directory; nothing may be added after it

 private:
  FileSink& sink_;
  std::uint64_t align_;
  bool always_;
  std::string central_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace graft
