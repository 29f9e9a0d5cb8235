#include <zlib.h>

#include "weights/formats/json_guard.h"
#include "weights/formats/zip.h"
#include "weights/formats/zip_names.h"

namespace graft {
namespace {

constexpr std::uint64_t kFull = 0xffffffffu;
constexpr int kUtf8 = 0x0800, kVersion = 20, kVersion64 = 45, kDay = 0x21;  // 1 January 1980

void put(std::string& out, std::uint64_t v, int width) {
  for (int i = 0; i < width; ++i) out += i < 8 ? static_cast<char>(v >> (8 * i) & 0xff) : '\0';
}

}  // namespace

ZipWriter::ZipWriter(FileSink& sink, std::uint64_t align, Zip64 zip64) : sink_(sink), align_(align), always_(zip64 == Zip64::always) {
  if (align == 0 || align > 4096) throw Error(Code::usage, "zip: members are aligned to 1 to 4096 bytes, not " + std::to_string(align));
}

void ZipWriter::add(std::string_view name, std::span<const std::byte> bytes) {
  std::string fault = zip_name_fault(name);
  if (fault.empty() && name.size() > 0xffff) fault = "is longer than 65535 bytes";
  if (fault.empty() && name.ends_with('/')) fault = "is a folder's";
  if (fault.empty() && !names_.emplace(name).second) fault = "is there twice";
  if (!fault.empty()) throw Error(Code::usage, "zip: the name " + in_quotes(name) + " " + fault);
  const std::uint64_t header = sink_.written(), size = bytes.size();
  const bool wide = always_ || size >= kFull, far = always_ || header >= kFull;
  const auto crc = static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
  const int version = wide || far ? kVersion64 : kVersion;

  std::string extra;
  if (wide) {
    put(extra, 1, 2);
    put(extra, 16, 2);
    put(extra, size, 8);
    put(extra, size, 8);
  }
  if (const std::uint64_t start = header + 30 + name.size() + extra.size(); start % align_ != 0) {
    const std::uint64_t pad = (align_ - (start + 4) % align_) % align_;  // the field itself has four bytes
    extra += "FB";
    put(extra, pad, 2);
    extra.append(pad, 'Z');
  }
  std::string local;
  put(local, 0x04034b50, 4);
  put(local, static_cast<std::uint64_t>(version), 2);
  put(local, kUtf8, 2);
  put(local, 0, 2);  // stored
  put(local, 0, 2);
  put(local, kDay, 2);
  put(local, crc, 4);
  put(local, wide ? kFull : size, 4);
  put(local, wide ? kFull : size, 4);
  put(local, name.size(), 2);
  put(local, extra.size(), 2);
  local += name;
  local += extra;
  sink_.write(local);
  sink_.write(bytes);

  std::string far_extra;
  if (wide || far) {
    put(far_extra, 1, 2);
    put(far_extra, (wide ? 16 : 0) + (far ? 8 : 0), 2);
    if (wide) put(far_extra, size, 8), put(far_extra, size, 8);
    if (far) put(far_extra, header, 8);
  }
  put(central_, 0x02014b50, 4);
  put(central_, static_cast<std::uint64_t>(version), 2);
  put(central_, static_cast<std::uint64_t>(version), 2);
  put(central_, kUtf8, 2);
  put(central_, 0, 2);
  put(central_, 0, 2);
  put(central_, kDay, 2);
  put(central_, crc, 4);
  put(central_, wide ? kFull : size, 4);
  put(central_, wide ? kFull : size, 4);
  put(central_, name.size(), 2);
  put(central_, far_extra.size(), 2);
  put(central_, 0, 2 + 2 + 2 + 4);  // comment, disk, attributes
  put(central_, far ? kFull : header, 4);
  central_ += name;
  central_ += far_extra;
}

void ZipWriter::finish() {
  const std::uint64_t at = sink_.written(), size = central_.size(), count = names_.size();
  std::string end;
  if (always_ || at >= kFull || size >= kFull || count >= 0xffff) {
    put(end, 0x06064b50, 4);
    put(end, 44, 8);
    put(end, kVersion64, 2);
    put(end, kVersion64, 2);
    put(end, 0, 4 + 4);
    put(end, count, 8);
    put(end, count, 8);
    put(end, size, 8);
    put(end, at, 8);
    put(end, 0x07064b50, 4);
    put(end, 0, 4);
    put(end, at + size, 8);
    put(end, 1, 4);
  }
  const bool wide = !end.empty();
  put(end, 0x06054b50, 4);
  put(end, 0, 2 + 2);
  put(end, wide ? 0xffff : count, 2);
  put(end, wide ? 0xffff : count, 2);
  put(end, wide ? kFull : size, 4);
  put(end, wide ? kFull : at, 4);
  put(end, 0, 2);
  sink_.write(central_);
  sink_.write(end);
}

}  // namespace graft
