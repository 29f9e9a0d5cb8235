// Archives by libarchive. The formats and filters are named one by one: libarchive's "all" would start other programs for some.
#include "engine/data/archive_read.h"

#include "engine/data/archive.h"

#if defined(GRAFT_HAVE_ARCHIVE)
#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <map>

#include "engine/base/text.h"
#include "engine/data/classes.h"
#include "engine/data/decode.h"

namespace graft {

std::string why_no_archives() { return ""; }

namespace {
namespace fs = std::filesystem;

// "./train//cat/1.jpg" as "train/cat/1.jpg". Empty where a part is hidden (begins with a dot).
std::string tidy(std::string_view path) {
  std::string tidied;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part.front() == '.') return "";
    if (!tidied.empty()) tidied += '/';
    tidied += part;
  }
  return tidied;
}
// libarchive turns names that are marked as UTF-8 into the language of the thread, and gives none where that has no letters for them ("C",
// which graft runs in).
class Utf8 {
 public:
  Utf8() : mine_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(mine_ ? uselocale(mine_) : nullptr) {}
  ~Utf8() {
    if (!mine_) return;
    uselocale(before_);
    freelocale(mine_);
  }
  Utf8(const Utf8&) = delete;
  Utf8& operator=(const Utf8&) = delete;

 private:
  locale_t mine_, before_;
};
bool is_cls(std::string_view path) { return path.ends_with(".cls"); }

class Reader {
 public:
  Reader(const fs::path& path, std::string inside, std::uint64_t limit)
      : shown_(one_line(path.native())), inside_(std::move(inside)), limit_(limit), a_(archive_read_new(), archive_read_free) {
    if (!a_) throw std::bad_alloc();
    for (const auto add : {archive_read_support_filter_gzip, archive_read_support_filter_bzip2, archive_read_support_filter_xz,
                           archive_read_support_filter_lzma, archive_read_support_filter_zstd, archive_read_support_format_tar,
                           archive_read_support_format_zip, archive_read_support_format_7zip})
      add(a_.get());
    std::error_code ec;
    if (!fs::is_regular_file(path, ec))
      throw Error(Code::input, shown_ + (fs::exists(path, ec) ? ": is no file; name an archive" : ": no such file; name an archive"));
    if (archive_read_open_filename(a_.get(), path.c_str(), 1 << 18) != ARCHIVE_OK) throw damage();
  }
  ArchiveContents read() {
    const Utf8 names;
    for (archive_entry* e = nullptr; next(&e);) {
      const char* name = archive_entry_pathname(e);
      if (!name) name = archive_entry_pathname_utf8(e);
      if (!name)
        throw Error(Code::input,
                    shown_ + ": the name of entry " + std::to_string(entries_) + " cannot be read; pack it anew with names in UTF-8");
      std::string p = tidy(name);
      if (!inside_.empty()) {
        if (!p.starts_with(inside_ + '/')) p.clear();
        else p.erase(0, inside_.size() + 1);
      }
      if (!p.empty()) add(e, std::move(p));
    }
    follow_hard_links();
    for (auto& [path, bytes] : files_) contents_.files.push_back({path, std::move(bytes)});
    return std::move(contents_);
  }

 private:
  struct Before {
    bool operator()(const std::string& a, const std::string& b) const { return path_before(a, b); }
  };
  Error damage() const {
    const char* why = archive_error_string(a_.get());
    const std::string at = entries_ ? " after entry " + std::to_string(entries_) : "";
    return Error(Code::input, shown_ + ": cannot be read as an archive (tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip, 7z)" + at + ": " +
                                  one_line(why ? why : "libarchive does not say why") + "; get it again or pack it anew");
  }
  bool next(archive_entry** e) {
    const int r = archive_read_next_header(a_.get(), e);  // skips what is left of the last entry
    if (r == ARCHIVE_EOF) {
      // libarchive takes the end of the file for the end of the archive; a tar that was cut between two entries shows by the blocks of
      // zeros that are not there.
      const bool tar = (archive_format(a_.get()) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
      if (tar && archive_filter_bytes(a_.get(), 0) - archive_read_header_position(a_.get()) < 512)
        throw Error(Code::input, shown_ + ": is cut off after entry " + std::to_string(entries_) +
                                     ": the blocks of zeros that end a tar are missing; get it again or pack it anew");
      return false;
    }
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN) throw damage();  // WARN: a name that this language has no letters for; its bytes are there
    ++entries_;
    return true;
  }
  void add(archive_entry* e, std::string path) {
    const bool wanted = named_like_picture(path) || is_cls(path);
    if (archive_entry_filetype(e) == AE_IFDIR) {
      contents_.folders.push_back(std::move(path));
    } else if (const char* target = archive_entry_hardlink(e); target && wanted) {
      std::string to = tidy(target);
      if (!inside_.empty()) to = to.starts_with(inside_ + '/') ? to.substr(inside_.size() + 1) : "";
      hard_links_.push_back({std::move(path), std::move(to)});
    } else if (wanted && archive_entry_filetype(e) != AE_IFREG) {
      if (contents_.links++ == 0) contents_.first_link = std::move(path);
    } else if (!wanted) {
      if (contents_.others++ == 0 || path_before(path, contents_.first_other)) contents_.first_other = std::move(path);
    } else {
      keep(std::move(path), std::make_shared<const std::vector<std::byte>>(bytes_of(e, path)));
    }
  }
  void keep(std::string path, std::shared_ptr<const std::vector<std::byte>> bytes) {
    constexpr std::uint64_t kEntry = 200;  // what a name and its place take: a million empty files count too
    count(kEntry + path.size());
    const auto [at, is_new] = files_.try_emplace(std::move(path));
    if (!is_new && contents_.twice++ == 0) contents_.first_twice = at->first;
    at->second = std::move(bytes);
  }
  void count(std::uint64_t bytes) {
    if (bytes > limit_ - used_)
      throw Error(Code::input, shown_ + ": its pictures are more than " + std::to_string(limit_) +
                                   " bytes, the most that is kept in memory; unpack it and name the folder");
    used_ += bytes;
  }
  std::vector<std::byte> bytes_of(archive_entry* e, const std::string& path) {
    std::vector<std::byte> bytes;
    // The size that is written there is believed up to 16 MiB; what comes is what counts.
    const la_int64_t promised = archive_entry_size_is_set(e) ? archive_entry_size(e) : 0;
    bytes.reserve(static_cast<std::size_t>(std::clamp<la_int64_t>(promised, 0, 16 << 20)));
    for (;;) {
      const void* piece = nullptr;
      std::size_t n = 0;
      la_int64_t at = 0;
      const int r = archive_read_data_block(a_.get(), &piece, &n, &at);
      if (r == ARCHIVE_EOF) break;
      if (r != ARCHIVE_OK) throw damage();
      // A sparse entry leaves holes, which are zeros.
      if (at < static_cast<la_int64_t>(bytes.size()))
        throw Error(Code::input, shown_ + ":" + one_line(path) + ": its pieces overlap; the archive is damaged");
      count(static_cast<std::uint64_t>(at) - bytes.size() + n);
      bytes.resize(static_cast<std::size_t>(at));
      const auto* from = static_cast<const std::byte*>(piece);
      bytes.insert(bytes.end(), from, from + n);
    }
    bytes.shrink_to_fit();
    return bytes;
  }
  void follow_hard_links() {
    for (auto& [path, target] : hard_links_) {
      const auto at = files_.find(target);
      if (at == files_.end())
        throw Error(Code::input, shown_ + ":" + one_line(path) + ": links to " + one_line(target) +
                                     ", which is not among the pictures of the archive; pack it anew");
      keep(std::move(path), at->second);
    }
  }

  std::string shown_, inside_;
  std::uint64_t limit_, used_ = 0;
  std::unique_ptr<archive, int (*)(archive*)> a_;
  std::int64_t entries_ = 0;
  ArchiveContents contents_;
  std::map<std::string, std::shared_ptr<const std::vector<std::byte>>, Before> files_;
  struct HardLink {
    std::string path, target;
  };
  std::vector<HardLink> hard_links_;
};

}  // namespace

ArchiveContents read_archive(const fs::path& path, const std::string& inside, std::uint64_t limit) {
  try {
    return Reader(path, tidy(inside), limit).read();
  } catch (const std::bad_alloc&) {
    throw Error(Code::memory,
                one_line(path.native()) + ": its pictures do not fit in memory, where they are kept packed; unpack it and name the folder");
  }
}

}  // namespace graft

#else
#include "engine/base/text.h"

namespace graft {
std::string why_no_archives() {
  return "this graft was built without archives; install libarchive-dev and build it again with -DGRAFT_ARCHIVE=ON, or unpack it and name "
         "the folder";
}
ArchiveContents read_archive(const std::filesystem::path& path, const std::string&, std::uint64_t) {
  throw Error(Code::input, one_line(path.native()) + ": " + why_no_archives());
}
}  // namespace graft
#endif
