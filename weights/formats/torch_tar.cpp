#include "weights/formats/torch_tar.h"

#include <charconv>
#include <cstring>
#include <map>

#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

using K = PickleKind;

constexpr std::uint64_t kBlock = 512;
constexpr const char* kAgain = "the file is damaged, get it again";

struct TarMember {
  std::uint64_t at = 0, size = 0;
};

[[noreturn]] void refuse(const std::string& path, const std::string& what, std::uint64_t at, const std::string& who,
                         const std::string& advice) {
  throw Error(Code::input, path + ": " + what + " at byte " + std::to_string(at) + (who.empty() ? "" : " (" + who + ")") + "; " + advice);
}

// A number in octal digits, ended by a space, a zero or the field.
bool octal(std::string_view field, std::uint64_t& v) {
  v = 0;
  std::size_t i = 0;
  while (i < field.size() && field[i] == ' ') ++i;
  const std::size_t first = i;
  for (; i < field.size() && field[i] >= '0' && field[i] <= '7'; ++i) {
    if (v >> 60) return false;
    v = v << 3 | static_cast<std::uint64_t>(field[i] - '0');
  }
  return i > first && (i == field.size() || field[i] == ' ' || field[i] == '\0');
}

std::map<std::string, TarMember> members_of(std::span<const std::byte> file, const std::string& path) {
  std::map<std::string, TarMember> all;
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  for (std::uint64_t at = 0;;) {
    if (file.size() - at < kBlock) refuse(path, "a tar without its end", at, "", "the download was cut off, get it again");
    const std::string_view h = text.substr(at, kBlock);
    if (h.find_first_not_of('\0') == std::string_view::npos) return all;
    std::uint64_t sum = 0, said = 0, size = 0;
    for (std::size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(h[i]);
    if (!octal(h.substr(148, 8), said) || said != sum) refuse(path, "a tar header whose checksum is wrong", at, "", kAgain);
    const std::string name(h.substr(0, std::min<std::size_t>(h.find('\0'), 100)));
    if (!octal(h.substr(124, 12), size)) refuse(path, "a tar member without a size", at, in_quotes(name), kAgain);
    const std::uint64_t data = at + kBlock;
    if (size > file.size() - data)
      refuse(path, "a tar member of " + std::to_string(size) + " bytes, of which the file has " + std::to_string(file.size() - data), data,
             in_quotes(name), "the download was cut off, get it again");
    const char type = h[156];
    if (type == '0' || type == '\0') {
      std::string plain = name;
      if (plain.starts_with("./")) plain.erase(0, 2);
      if (!all.emplace(plain, TarMember{data, size}).second)
        refuse(path, "the tar's member is there twice", at, in_quotes(name), "readers would differ on which one counts");
    } else if (type != '5' && type != 'x' && type != 'g') {  // folders and records of times are passed over
      refuse(path, "a tar member that is no file", at, in_quotes(name), "no checkpoint has such members, do not trust this file");
    }
    const std::uint64_t padded = (size + kBlock - 1) / kBlock * kBlock;
    if (padded > file.size() - data) refuse(path, "a tar without its end", file.size(), "", "the download was cut off, get it again");
    at = data + padded;
  }
}

// One member, read from its beginning: pickles and raw numbers in turn.
class TarStream {
 public:
  TarStream(std::span<const std::byte> file, const TarMember& m, const std::string& path, const char* name)
      : file_(file), m_(m), path_(path), name_(name) {}
  PickleTree pickle() {
    PickleTree t = parse_pickle(file_.subspan(m_.at + at_, m_.size - at_), path_, name_, m_.at + at_);
    at_ += t.size;
    return t;
  }
  std::span<const std::byte> take(std::uint64_t n) {
    if (n > m_.size - at_)
      refuse(path_, std::to_string(n) + " bytes are wanted, and " + std::to_string(m_.size - at_) + " are there", m_.at + at_, name_,
             kAgain);
    const auto v = file_.subspan(m_.at + at_, n);
    at_ += n;
    return v;
  }
  std::int64_t i64() {
    std::int64_t v = 0;
    std::memcpy(&v, take(8).data(), 8);
    return v;
  }
  std::int32_t i32() {
    std::int32_t v = 0;
    std::memcpy(&v, take(4).data(), 4);
    return v;
  }
  void end() const {
    if (at_ != m_.size) refuse(path_, std::to_string(m_.size - at_) + " bytes too many", m_.at + at_, name_, kAgain);
  }
  std::int64_t count() {
    const PickleTree t = pickle();
    if (!t.is(t.root, K::integer) || t[t.root].number < 0) t.refuse(t.root, "a number of entries that is none", "", kAgain);
    return t[t.root].number;
  }

 private:
  std::span<const std::byte> file_;
  TarMember m_;
  const std::string& path_;
  const char* name_;
  std::uint64_t at_ = 0;
};

struct TarStorage {
  std::string dtype;
  std::span<const std::byte> data;
};

std::int64_t key_of(const PickleTree& t, PickleId id) {
  if (t.is(id, K::integer)) return t[id].number;
  std::int64_t v = 0;
  const std::string_view text = t.is_text(id) ? t[id].text : "";
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) t.refuse(id, "a key that is no number", "", kAgain);
  return v;
}

}  // namespace

bool looks_like_tar(std::span<const std::byte> file) { return file.size() >= kBlock && std::memcmp(file.data() + 257, "ustar", 5) == 0; }

TorchLegacy parse_torch_tar(std::span<const std::byte> file, const std::string& path) {
  const auto members = members_of(file, path);
  for (const char* name : {"storages", "tensors", "pickle"})
    if (!members.count(name))
      refuse(path, "a tar archive without the member " + in_quotes(name) + ", so none of PyTorch's,", 0, "",
             "unpack it and name the file of the weights");

  std::map<std::int64_t, TarStorage> storages;
  TarStream s(file, members.at("storages"), path, "storages");
  for (std::int64_t i = s.count(); i > 0; --i) {
    const PickleTree t = s.pickle();
    const auto parts = t.is(t.root, K::tuple) ? t.items(t.root) : std::span<const PickleId>();
    if (parts.size() != 3) t.refuse(t.root, "a storage that is not (key, place, type)", "", kAgain);
    TarStorage storage;
    storage.dtype = storage_dtype(t, parts[2], "");
    const auto width = static_cast<std::uint64_t>(stored_type(storage.dtype)->bits) / 8;
    const std::int64_t n = s.i64();
    if (n < 0 || static_cast<std::uint64_t>(n) > file.size())
      t.refuse(t.root, "a storage of " + std::to_string(n) + " elements", "", kAgain);
    storage.data = s.take(static_cast<std::uint64_t>(n) * width);
    if (!storages.emplace(key_of(t, parts[0]), storage).second) t.refuse(t.root, "two storages of one key", "", kAgain);
  }
  const PickleTree views = s.pickle();
  if (!views.is(views.root, K::list) && !views.is(views.root, K::tuple))
    views.refuse(views.root, "the storages' views are no list", "", kAgain);
  for (const PickleId v : views.items(views.root)) {
    const auto parts = views.is(v, K::tuple) ? views.items(v) : std::span<const PickleId>();
    if (parts.size() != 4 || !views.is(parts[2], K::integer) || !views.is(parts[3], K::integer))
      views.refuse(v, "a view that is not (key, root, offset, elements)", "", kAgain);
    const auto root = storages.find(key_of(views, parts[1]));
    if (root == storages.end()) views.refuse(v, "a view of a storage that is missing", "", kAgain);
    const auto width = static_cast<std::uint64_t>(stored_type(root->second.dtype)->bits) / 8;
    const std::uint64_t all = root->second.data.size() / width;
    const auto offset = static_cast<std::uint64_t>(views[parts[2]].number), n = static_cast<std::uint64_t>(views[parts[3]].number);
    if (offset > all || n > all - offset) views.refuse(v, "a view past its storage", "", kAgain);
    TarStorage view{root->second.dtype, root->second.data.subspan(offset * width, n * width)};
    if (!storages.emplace(key_of(views, parts[0]), view).second) views.refuse(v, "two storages of one key", "", kAgain);
  }
  s.end();

  struct TarTensor {
    std::int64_t storage;
    std::vector<std::int64_t> shape, strides;
    std::int64_t offset;
  };
  std::map<std::int64_t, TarTensor> tensors;
  TarStream ts(file, members.at("tensors"), path, "tensors");
  for (std::int64_t i = ts.count(); i > 0; --i) {
    const PickleTree t = ts.pickle();
    const auto parts = t.is(t.root, K::tuple) ? t.items(t.root) : std::span<const PickleId>();
    if (parts.size() != 3) t.refuse(t.root, "a tensor that is not (key, storage, type)", "", kAgain);
    TarTensor tensor;
    tensor.storage = key_of(t, parts[1]);
    if (!storages.count(tensor.storage))
      t.refuse(t.root, "a tensor whose storage " + std::to_string(tensor.storage) + " is missing", "", kAgain);
    const std::int32_t axes = ts.i32();
    ts.take(4);
    if (axes < 0 || axes > 64) t.refuse(t.root, "a tensor of " + std::to_string(axes) + " axes", "", kAgain);
    for (auto* list : {&tensor.shape, &tensor.strides})
      for (std::int32_t d = 0; d < axes; ++d) list->push_back(ts.i64());
    tensor.offset = ts.i64();
    if (!tensors.emplace(key_of(t, parts[0]), std::move(tensor)).second) t.refuse(t.root, "two tensors of one key", "", kAgain);
  }
  ts.end();

  TarStream object(file, members.at("pickle"), path, "pickle");
  const auto tree = std::make_shared<PickleTree>(object.pickle());
  object.end();
  std::map<std::int64_t, std::size_t> used;  // storages by their place in the contents
  TorchLegacy legacy;
  legacy.tree = tree;
  legacy.contents = collect_tensors(*tree, file.size(), [&](PickledContents& out, PickleId id) {
    const auto found = tensors.find(key_of(*tree, (*tree)[id].args));
    if (found == tensors.end()) tree->refuse(id, "a tensor that is missing from the member \"tensors\"", "", kAgain);
    const TarTensor& from = found->second;
    const TarStorage& storage = storages.at(from.storage);
    const auto [at, fresh] = used.emplace(from.storage, out.storages.size());
    if (fresh) {
      PickledStorage p;
      p.key = std::to_string(from.storage);
      p.dtype = storage.dtype;
      p.bytes = storage.data.size();
      p.at = id;
      p.data = storage.data;
      p.inside = true;
      out.storages.push_back(std::move(p));
    }
    PickledTensor t;
    t.name = std::to_string(found->first);
    t.dtype = storage.dtype;
    t.shape = from.shape;
    t.strides = from.strides;
    t.storage = at->second;
    place_tensor(*tree, id, t, from.offset, 0, storage.data.size());
    return t;
  });
  for (const PickledStorage& p : legacy.contents.storages) {
    if (!p.inside) tree->refuse(p.at, "the storage " + in_quotes(p.key) + " is missing", "", kAgain);
    legacy.places.push_back(p.data);
  }
  return legacy;
}

}  // namespace graft
