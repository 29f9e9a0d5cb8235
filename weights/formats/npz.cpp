// .npy and .npz as Sources, and the writer of .npz. An array's name is its member's without ".npy", as np.load has it; a lone .npy has its
// file's. What lies in an array of objects is called by its path in there, in an .npz behind the member's name.
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
constexpr std::uint64_t kObjectsMost = std::uint64_t{1} << 30;  // of a pickle that is held in memory

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
  NpySource(const FilePtr& file, NpyArray array) : file_(file), array_(std::move(array)) {
    path = file->path().string();
    format = "npy";
    files.push_back(path);
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
  z.avail_in = static_cast<uInt>(
      std::min<std::size_t>(packed.size(), std::size_t{1} << 20));  // a header's worth and more, even where it was not packed at all
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const int status = inflate(&z, Z_SYNC_FLUSH);
  const std::size_t n = out.size() - z.avail_out;
  inflateEnd(&z);
  if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
    throw Error(Code::input, path + ": the packed bytes of " + in_quotes(m.name) + " at byte " + std::to_string(m.offset) +
                                 " are no deflate stream; the file is damaged, get it again");
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
      if (a.objects) {
        take_objects(a, m, name);
        continue;
      }
      add({name, a.dtype, a.shape, a.strides, m.method == 0 ? m.offset + a.at : 0, a.bytes, 0, -1}, m);
      parts_.push_back({std::move(a), &m, nullptr, 0});
    }
  }
  KeptBytes bytes(std::size_t i) const override {
    const Part& p = parts_[i];
    if (p.objects) return p.objects->bytes(p.index);
    const KeptBytes whole = zip_.bytes(*p.member);
    if (p.array.bytes != whole.data.size() - p.array.at)
      throw Error(Code::bug, path + ": the member " + in_quotes(p.member->name) + " changed its size");
    return in_order(p.array, {whole.data.subspan(p.array.at), whole.keeper});
  }

 private:
  void add(StoredTensor t, const ZipMember& m) {
    if (!names_.insert(t.name).second)
      throw Error(Code::input, path + ": a second array of one name at byte " + std::to_string(m.offset) + " (" + in_quotes(t.name) +
                                   "); readers would differ on which one counts, save it anew");
    tensors.push_back(std::move(t));
  }
  void take_objects(const NpyArray& a, const ZipMember& m, const std::string& name) {
    const KeptBytes whole = zip_.bytes(m, kObjectsMost);
    const std::shared_ptr<const Source> inside = open_npy_objects(a, whole.data.subspan(static_cast<std::size_t>(a.at)), path, m.name,
                                                                  m.method == 0 ? m.offset + a.at : 0, whole.keeper);
    for (const auto& [key, value] : inside->metadata) metadata.emplace(name + "." + key, value);
    for (const std::string& n : inside->notes) notes.push_back("in " + in_quotes(name) + ": " + n);
    std::int64_t used = 0;
    for (std::size_t i = 0; i < inside->tensors.size(); ++i) {
      StoredTensor t = inside->tensors[i];
      t.name = name + "." + t.name;
      used = std::max(used, t.storage + 1);
      if (t.storage >= 0) t.storage += storages_;
      add(std::move(t), m);
      parts_.push_back({{}, &m, inside, i});
    }
    storages_ += used;
  }

  struct Part {
    NpyArray array;
    const ZipMember* member;                // of zip_, which is never touched again
    std::shared_ptr<const Source> objects;  // the array lies in an array of objects: it is tensor `index` of this
    std::size_t index;
  };
  ZipView zip_;
  std::vector<Part> parts_;
  std::set<std::string> names_;
  std::int64_t storages_ = 0;  // of arrays of objects so far
};

}  // namespace

SourcePtr open_npy(const FilePtr& file) {
  const std::string path = file->path().string();
  NpyArray a = read_npy(ByteWindow(file->bytes(), path), file->bytes().size(), "");
  if (!a.objects) return std::make_unique<NpySource>(file, std::move(a));
  SourcePtr inside = open_npy_objects(a, file->bytes().subspan(static_cast<std::size_t>(a.at)), path, "", a.at, file);
  if (inside->tensors.empty())
    throw Error(Code::input, path +
                                 ": the array holds Python objects, which are a pickle (CVE-2019-6446, dtype \"|O\"), and the closed "
                                 "pickle reader finds no array of numbers among them at byte " +
                                 std::to_string(a.at) + "; name the file of the weights");
  return inside;
}

bool is_npz(const ZipView& zip) {
  for (const ZipMember& m : zip.members())
    if (m.name.ends_with(kEnding)) return true;
  return false;
}
SourcePtr open_npz(const FilePtr& file, ZipView zip) { return std::make_unique<NpzSource>(file, std::move(zip)); }

void write_npz(const std::filesystem::path& path, const std::vector<NpzItem>& items,
               const std::function<std::span<const std::byte>(std::size_t)>& bytes) {
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
        throw Error(Code::usage, path.string() + ": " + std::to_string(data.size()) + " bytes for " + in_quotes(items[i].name) +
                                     ", whose shape takes " + (want ? std::to_string(*want) : "an impossible size"));
      whole.append(reinterpret_cast<const char*>(data.data()), data.size());
      zip.add(items[i].name + std::string(kEnding), whole);
    }
    zip.finish();
  });
}

}  // namespace graft
