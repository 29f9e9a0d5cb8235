// Reading; after PKWARE's APPNOTE.TXT 6.3. Writing is zip_writer.cpp.
#include "weights/formats/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "weights/formats/json_guard.h"
#include "weights/formats/zip_names.h"

namespace graft {
namespace {

constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::uint64_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocator64Size = 20, kLongestComment = 65535;
constexpr std::uint32_t kFull32 = 0xffffffffu;
constexpr std::uint64_t kDeflateMost = 1032;  // bytes that one packed byte can stand for

// All reading of numbers passes through here, and all of it was checked for room before.
class Bytes {
 public:
  Bytes(std::span<const std::byte> all, const std::string& path) : all_(all), path_(path) {}
  std::uint64_t size() const { return all_.size(); }
  std::uint64_t number(std::uint64_t at, int width) const {
    std::uint64_t v = 0;
    for (int i = width; i-- > 0;) v = v << 8 | std::to_integer<std::uint64_t>(all_[at + static_cast<std::uint64_t>(i)]);
    return v;
  }
  std::uint16_t u16(std::uint64_t at) const { return static_cast<std::uint16_t>(number(at, 2)); }
  std::uint32_t u32(std::uint64_t at) const { return static_cast<std::uint32_t>(number(at, 4)); }
  std::uint64_t u64(std::uint64_t at) const { return number(at, 8); }
  std::string_view text(std::uint64_t at, std::uint64_t n) const { return {reinterpret_cast<const char*>(all_.data()) + at, n}; }
  bool has(std::uint64_t at, std::uint64_t n) const { return at <= all_.size() && n <= all_.size() - at; }
  [[noreturn]] void refuse(const std::string& what, std::uint64_t at, const std::string& who, const std::string& advice) const {
    throw Error(Code::input,
                path_ + ": " + what + " at byte " + std::to_string(at) + (who.empty() ? "" : " (" + who + ")") + "; " + advice);
  }

 private:
  std::span<const std::byte> all_;
  const std::string& path_;
};

constexpr const char* kAgain = "the file is damaged, get it again";

struct Directory {
  std::uint64_t at, size, count;
};

// The end record is the last thing of the file, its comment included: where that is not so, two readers find two directories.
Directory find_directory(const Bytes& b) {
  if (b.size() < kEndSize)
    b.refuse("a zip of only " + std::to_string(b.size()) + " bytes ends", b.size(), "", "the download was cut off, get it again");
  std::uint64_t end = b.size();
  const std::uint64_t first = b.size() - std::min(b.size(), kEndSize + kLongestComment);
  for (std::uint64_t at = b.size() - kEndSize + 1; at-- > first;)
    if (b.u32(at) == kEnd && at + kEndSize + b.u16(at + 20) == b.size()) {
      end = at;
      break;
    }
  if (end == b.size())
    b.refuse("a zip without its end record: the file stops", b.size(), "central directory", "the download was cut off, get it again");
  std::uint64_t disk = b.u16(end + 4), start_disk = b.u16(end + 6), here = b.u16(end + 8), count = b.u16(end + 10), size = b.u32(end + 12),
                at = b.u32(end + 16);
  std::uint64_t stop = end;  // where the directory must end
  if (end >= kLocator64Size && b.u32(end - kLocator64Size) == kLocator64) {
    const std::uint64_t locator = end - kLocator64Size, record = b.u64(locator + 8);
    if (b.u32(locator + 4) != 0 || b.u32(locator + 16) > 1)
      b.refuse("a zip in several parts", locator, "zip64 locator", "join the parts before");
    if (!b.has(record, kEnd64Size) || record + kEnd64Size > locator || b.u32(record) != kEnd64)
      b.refuse("the zip64 end record is not where its locator says", locator, "zip64 locator", kAgain);
    const auto take = [&](std::uint64_t& v, std::uint64_t full, std::uint64_t wide) {
      if (v != full && v != wide) b.refuse("the two end records of the zip disagree", record, "zip64 end record", kAgain);
      v = wide;
    };
    take(disk, 0xffff, b.u32(record + 16));
    take(start_disk, 0xffff, b.u32(record + 20));
    take(here, 0xffff, b.u64(record + 24));
    take(count, 0xffff, b.u64(record + 32));
    take(size, kFull32, b.u64(record + 40));
    take(at, kFull32, b.u64(record + 48));
    stop = record;
  }
  if (disk != 0 || start_disk != 0 || here != count) b.refuse("a zip in several parts", end, "end record", "join the parts before");
  if (at > stop || size != stop - at)
    b.refuse(
        "the central directory of " + std::to_string(size) + " bytes does not lie from byte " + std::to_string(at) + " to the end record",
        end, "end record", "something was put before or into the archive: get it again, or pack it anew");
  if (count > size / kCentralSize)
    b.refuse(std::to_string(count) + " members cannot stand in a directory of " + std::to_string(size) + " bytes", end, "end record",
             kAgain);
  return {at, size, count};
}

// Numbers that did not fit into 32 bits stand in the extra field 1, in this order, only those that are full.
void read_zip64(const Bytes& b, std::uint64_t at, std::uint64_t n, const std::string& who, std::initializer_list<std::uint64_t*> fields) {
  const bool wanted = std::any_of(fields.begin(), fields.end(), [](const std::uint64_t* f) { return *f == kFull32; });
  for (std::uint64_t i = 0; n - i >= 4;) {
    const std::uint64_t id = b.u16(at + i), size = b.u16(at + i + 2);
    if (size > n - i - 4) {
      if (!wanted) return;
      break;
    }
    if (id == 1 && wanted) {
      std::uint64_t k = 0;
      for (std::uint64_t* f : fields)
        if (*f == kFull32) {
          if (size - k < 8) b.refuse("the zip64 field is too short", at + i, who, kAgain);
          *f = b.u64(at + i + 4 + k);
          k += 8;
        }
      return;
    }
    i += 4 + size;
  }
}

struct Span {
  std::uint64_t begin, end;
  std::string_view name;
};

}  // namespace

std::string zip_name_fault(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.front() == '/' || name.front() == '\\' || (name.size() > 2 && name[1] == ':' && (name[2] == '/' || name[2] == '\\')))
    return "is an absolute path";
  for (const char c : name)
    if (static_cast<unsigned char>(c) < 32 || c == 127) return "has a control character";
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find_first_of("/\\", at), name.size());
    if (name.substr(at, end - at) == "..") return "leaves its folder";
    at = end + 1;
  }
  return "";
}

bool looks_like_zip(std::span<const std::byte> file) {
  return file.size() >= 4 && (std::memcmp(file.data(), "PK\3\4", 4) == 0 || std::memcmp(file.data(), "PK\5\6", 4) == 0);
}

ZipView ZipView::parse(std::span<const std::byte> file, const std::string& path, std::shared_ptr<const void> keeper) {
  ZipView z;
  z.file_ = file;
  z.path_ = path;
  z.keeper_ = std::move(keeper);
  z.checked_ = std::make_shared<Checked>();
  const Bytes b(file, path);
  const Directory dir = find_directory(b);
  const std::uint64_t stop = dir.at + dir.size;
  std::vector<Span> taken;
  taken.reserve(dir.count);
  std::uint64_t at = dir.at;
  for (std::uint64_t i = 0; i < dir.count; ++i) {
    if (stop - at < kCentralSize || b.u32(at) != kCentral)
      b.refuse("the central directory ends after " + std::to_string(i) + " of " + std::to_string(dir.count) + " members", at,
               "central directory", kAgain);
    const std::uint16_t flags = b.u16(at + 8), method = b.u16(at + 10), name_size = b.u16(at + 28), extra = b.u16(at + 30),
                        comment = b.u16(at + 32);
    if (stop - at - kCentralSize < std::uint64_t{name_size} + extra + comment)
      b.refuse("a member's name leaves the central directory", at, "member " + std::to_string(i), kAgain);
    const std::string_view name = b.text(at + kCentralSize, name_size);
    const std::string who = in_quotes(name);
    if (const std::string fault = zip_name_fault(name); !fault.empty())
      b.refuse("the name of a member " + fault, at + kCentralSize, who, "no checkpoint has such names, do not trust this file");
    if (flags & 0x2041u) b.refuse("the member is encrypted", at + 8, who, "unpack it with its password and pack it anew");
    if (flags & 0x0020u) b.refuse("the member is a patch", at + 8, who, "pack it anew");
    if (method != 0 && method != 8)
      b.refuse("the member is packed by method " + std::to_string(method) + ", and 0 (stored) and 8 (deflated) are known", at + 10, who,
               "pack it anew");
    ZipMember m;
    m.name = name;
    m.method = method;
    m.crc = b.u32(at + 16);
    m.packed = b.u32(at + 20);
    m.size = b.u32(at + 24);
    std::uint64_t header = b.u32(at + 42);
    if (const auto disk = b.u16(at + 34); disk != 0 && disk != 0xffff)
      b.refuse("the member lies in another part of the zip", at + 34, who, "join the parts before");
    read_zip64(b, at + kCentralSize + name_size, extra, who, {&m.size, &m.packed, &header});

    if (header > dir.at || dir.at - header < kLocalSize || b.u32(header) != kLocal)
      b.refuse("the central directory sends to byte " + std::to_string(header) + ", where no member begins,", at + 42, who, kAgain);
    const std::uint64_t local_name = b.u16(header + 26), local_extra = b.u16(header + 28);
    if (dir.at - header - kLocalSize < local_name + local_extra) b.refuse("the header of the member leaves the file", header, who, kAgain);
    if (b.text(header + kLocalSize, local_name) != name)
      b.refuse("the member calls itself " + in_quotes(b.text(header + kLocalSize, local_name)) + ", not as the central directory does,",
               header + kLocalSize, who, "readers would differ on what it is, do not trust this file");
    const std::uint16_t local_flags = b.u16(header + 6);
    if (local_flags & 0x2041u) b.refuse("the member is encrypted", header + 6, who, "unpack it with its password and pack it anew");
    if (b.u16(header + 8) != method)
      b.refuse("the member's own header has another method than the central directory", header + 8, who, kAgain);
    // With a data descriptor (flag 8) sizes and CRC follow the data and are 0 here; else they say what the directory says.
    std::uint64_t size = b.u32(header + 22), packed = b.u32(header + 18);
    read_zip64(b, header + kLocalSize + local_name, local_extra, who, {&size, &packed});
    const bool later = (local_flags & 8) != 0;
    if ((size != m.size && !(later && size == 0)) || (packed != m.packed && !(later && packed == 0)) ||
        (b.u32(header + 14) != m.crc && !(later && b.u32(header + 14) == 0)))
      b.refuse("the member's own header has another size or CRC than the central directory", header + 14, who, kAgain);
    m.offset = header + kLocalSize + local_name + local_extra;
    if (m.packed > dir.at - m.offset)
      b.refuse(
          "the member takes " + std::to_string(m.packed) + " bytes, and the file has " + std::to_string(dir.at - m.offset) + " of them",
          m.offset, who, kAgain);
    if (m.method == 0 && m.packed != m.size) b.refuse("the member is stored, but its two sizes differ,", at + 20, who, kAgain);
    if (m.method == 8 && m.size / kDeflateMost > m.packed)
      b.refuse(std::to_string(m.packed) + " packed bytes cannot be the " + std::to_string(m.size) + " that the member says,", at + 24, who,
               "do not trust this file");
    taken.push_back({header, m.offset + m.packed, name});
    at += kCentralSize + name_size + extra + comment;
    if (name.ends_with('/')) {
      if (m.size != 0) b.refuse("a folder with contents", header, who, kAgain);
      continue;
    }
    z.members_.push_back(std::move(m));
  }
  if (at != stop) b.refuse("the central directory has " + std::to_string(stop - at) + " bytes too many", at, "central directory", kAgain);
  std::sort(taken.begin(), taken.end(), [](const Span& x, const Span& y) { return x.begin < y.begin; });
  for (std::size_t i = 1; i < taken.size(); ++i)
    if (taken[i].begin < taken[i - 1].end)
      b.refuse("the members " + in_quotes(taken[i - 1].name) + " and " + in_quotes(taken[i].name) + " lie over one another", taken[i].begin,
               in_quotes(taken[i].name), "do not trust this file");
  // Empty members have the CRC 0 anyway: an archive of those alone has its sums.
  z.has_sums_ = std::all_of(z.members_.begin(), z.members_.end(), [](const ZipMember& m) { return m.size == 0; }) ||
                std::any_of(z.members_.begin(), z.members_.end(), [](const ZipMember& m) { return m.crc != 0; });
  for (std::size_t i = 0; i < z.members_.size(); ++i)
    if (!z.by_name_.emplace(z.members_[i].name, i).second)
      b.refuse("the member is there twice", z.members_[i].offset, in_quotes(z.members_[i].name),
               "readers would differ on which one counts, pack it anew");
  return z;
}

const ZipMember* ZipView::find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &members_[at->second];
}

KeptBytes ZipView::bytes(const ZipMember& m, std::uint64_t most) const {
  const Bytes b(file_, path_);
  const std::string who = in_quotes(m.name);
  if (m.method != 0) most = std::min(most, std::uint64_t{16} << 30);
  if (m.size > most)
    b.refuse("the member is " + std::to_string(m.size) + " bytes, more than the " + std::to_string(most) + " that are taken,", m.offset,
             who, "unpack it by hand");
  const auto packed = file_.subspan(m.offset, m.packed);
  const auto right = [&](std::span<const std::byte> data) {
    if (!has_sums_) return;
    {
      const std::lock_guard hold(checked_->lock);
      if (checked_->offsets.count(m.offset)) return;
    }
    const uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size());
    if (crc != m.crc) b.refuse("the CRC of the member's bytes is not the one that was written with them", m.offset, who, kAgain);
    const std::lock_guard hold(checked_->lock);
    checked_->offsets.insert(m.offset);
  };
  if (m.method == 0) {
    right(packed);
    return {packed, keeper_};
  }
  // Memory grows with what comes out, not with what the header says.
  auto out = std::make_shared<std::vector<std::byte>>();
  z_stream s{};
  if (inflateInit2(&s, -MAX_WBITS) != Z_OK) throw Error(Code::memory, path_ + ": no memory to inflate " + who);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&s, inflateEnd);
  std::uint64_t in = 0, done = 0;
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    if (s.avail_in == 0) {
      const std::uint64_t piece = std::min<std::uint64_t>(m.packed - in, std::uint64_t{1} << 30);
      s.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + in));
      s.avail_in = static_cast<uInt>(piece);
      in += piece;
    }
    if (done == out->size() && done < m.size) out->resize(std::min<std::uint64_t>(m.size, std::max<std::uint64_t>(done * 2, 65536)));
    Bytef over = 0;  // one byte beyond the size, so that a stream that has more is seen
    const bool full = done == m.size;
    const std::uint64_t room = full ? 1 : std::min<std::uint64_t>(out->size() - done, std::uint64_t{1} << 30);
    s.next_out = full ? &over : reinterpret_cast<Bytef*>(out->data() + done);
    s.avail_out = static_cast<uInt>(room);
    status = inflate(&s, Z_NO_FLUSH);
    const std::uint64_t got = room - s.avail_out;
    if (full && got > 0)
      b.refuse("the member's bytes are more than the " + std::to_string(m.size) + " that it says", m.offset, who, "do not trust this file");
    done += full ? 0 : got;
    if (status != Z_OK && status != Z_STREAM_END)
      b.refuse("the member's packed bytes are no deflate stream, after " + std::to_string(done) + " bytes of " + std::to_string(m.size),
               m.offset, who, kAgain);
  }
  if (done != m.size || in - s.avail_in != m.packed)
    b.refuse("the member inflates to " + std::to_string(done) + " bytes in place of " + std::to_string(m.size), m.offset, who, kAgain);
  right(*out);
  return {*out, out};
}

}  // namespace graft
