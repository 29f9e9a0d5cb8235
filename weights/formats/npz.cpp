// .npy and .npz as Sources, and the writer of .npz. An array's name is its member's without ".npy", as np.load has it; a lone .npy has its file's.
#include <zlib.h>

#include <set>

#include "engine/base/text.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/npy.h"
#include "weights/formats/readers.h"
#include "weights/formats/zip.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

constexpr std::string_view kEnding = ".npy";

std::size_t width_of(const std::string& dtype) {
  const std::size_t width = static_cast<std::size_t>(stored_type(dtype)->bits) / 8;
  return dtype == "C64" || dtype == "C128" ? width / 2 : width;  // of what has a byte order
}

KeptBytes in_order(const NpyArray& a, KeptBytes data) {
  if (!a.swapped) return data;
  const auto copy = other_byte_order(data.data, width_of(a.dtype));
  return {*copy, copy};
}

class NpySource : public Source {
 public:
  explicit NpySource(const FilePtr& file) : file_(file) {
    path = file->path().string();
    format = "npy";
    files.push_back(path);
    array_ = read_npy(ByteWindow(file->bytes(), path), file->bytes().size(), "");
    std::string name = one_line(file->path().filename().string());
    if (name.size() > kEnding.size() && name.ends_with(kEnding)) name.resize(name.size() - kEnding.size());
    if (!array_.note.empty()) notes.push_back(array_.note);
    tensors.push_back({name, array_.dtype, array_.shape, array_.strides, array_.at, array_.bytes, 0, -1});
  }
  KeptBytes bytes(std::size_t) const override { return in_order(array_, {file_->bytes().subspan(array_.at, array_.bytes), file_}); }

 private:
  FilePtr file_;
  NpyArray array_;
};

// The first `most` bytes of a deflated member.
std::vector<std::byte> beginning(std::span<const std::byte> packed, std::size_t most, const std::string& path, const ZipMember& m) {
  std::vector<std::byte> out(most);
  z_stream z{};
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) throw Error(Code::bug, path + ": zlib does not start");
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  z.avail_in = static_cast<uInt>(std::min<std::size_t>(packed.size(), std::size_t{1} << 20));  // a header's worth and more, even where it was not packed at all
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const int status = inflate(&z, Z_SYNC_FLUSH);
  const std::size_t n = out.size() - z.avail_out;
  inflateEnd(&z);
  if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
    throw Error(Code::input, path + ": the packed bytes of " + in_quotes(m.name) + " at byte " + std::to_string(m.offset) + " are no deflate stream; the file is damaged, get it again");
  out.resize(n);
  return out;
}

class NpzSource : public Source {
 public:
  NpzSource(const FilePtr& file, ZipView zip) : zip_(std::move(zip)) {
    path = file->path().string();
    format = "npz";
    files.push_back(path);
    for (const ZipMember& m : zip_.members()) {
      if (!m.name.ends_with(kEnding) || m.name.size() == kEnding.size()) {
        warnings.push_back("the member " + in_quotes(m.name) + " is no array and is left");
        continue;
      }
      const std::string name = m.name.substr(0, m.name.size() - kEnding.size());
      auto head = file->bytes().subspan(m.offset, m.packed);
      std::vector<std::byte> unpacked;
      if (m.method != 0) {
        unpacked = beginning(head, static_cast<std::size_t>(std::min(m.size, kNpyHeaderMost)), path, m);
        head = unpacked;
      }
      NpyArray a = read_npy(ByteWindow(head, path, m.method == 0 ? m.offset : 0), m.size, in_quotes(name));
      if (!a.note.empty()) notes.push_back(a.note);
      tensors.push_back({name, a.dtype, a.shape, a.strides, m.method == 0 ? m.offset + a.at : 0, a.bytes, 0, -1});
      arrays_.push_back(std::move(a));
      members_.push_back(&m);
    }
  }
  KeptBytes bytes(std::size_t i) const override {
    const KeptBytes whole = zip_.bytes(*members_[i]);
    if (arrays_[i].bytes != whole.data.size() - arrays_[i].at) throw Error(Code::bug, path + ": the member " + in_quotes(members_[i]->name) + " changed its size");
    return in_order(arrays_[i], {whole.data.subspan(arrays_[i].at), whole.keeper});
  }

 private:
  ZipView zip_;
  std::vector<NpyArray> arrays_;
  std::vector<const ZipMember*> members_;  // of zip_, which is never touched again
};

}  // namespace

SourcePtr open_npy(const FilePtr& file) { return std::make_unique<NpySource>(file); }

bool is_npz(const ZipView& zip) {
  for (const ZipMember& m : zip.members())
    if (m.name.ends_with(kEnding)) return true;
  return false;
}
SourcePtr open_npz(const FilePtr& file, ZipView zip) { return std::make_unique<NpzSource>(file, std::move(zip)); }

void write_npz(const std::filesystem::path& path, const std::vector<NpzItem>& items, const std::function<std::span<const std::byte>(std::size_t)>& bytes) {
  std::set<std::string_view> names;
  for (const NpzItem& item : items)
    if (!names.insert(item.name).second) throw Error(Code::usage, path.string() + ": two arrays of the name " + in_quotes(item.name));
  write_atomically(path, [&](FileSink& sink) {
    ZipWriter zip(sink, 64);
    std::string whole;
    for (std::size_t i = 0; i < items.size(); ++i) {
      whole = npy_header(items[i].dtype, items[i].shape);
      const auto data = bytes(i);
      const auto want = stored_bytes(*stored_type(items[i].dtype), items[i].shape);
      if (!want || *want != data.size())
        throw Error(Code::usage, path.string() + ": " + std::to_string(data.size()) + " bytes for " + in_quotes(items[i].name) + ", whose shape takes " + (want ? std::to_string(*want) : "an impossible size"));
      whole.append(reinterpret_cast<const char*>(data.data()), data.size());
      zip.add(items[i].name + std::string(kEnding), whole);
    }
    zip.finish();
  });
}

}  // namespace graft
