#include "weights/formats/torch_legacy.h"

#include <cstring>
#include <map>
#include <optional>

#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/pickle_globals.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

using K = PickleKind;

constexpr std::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr const char* kAgain = "the file is damaged, get it again";

// The pickles before the storages, and where these begin.
struct LegacyHead {
  std::shared_ptr<PickleTree> object;
  std::vector<std::string> keys;
  std::uint64_t data = 0;
};

LegacyHead read_head(std::span<const std::byte> file, const std::string& path, const std::string& part) {
  std::uint64_t at = 0;
  const auto next = [&] {
    PickleTree t = parse_pickle(file.subspan(at), path, part, at);
    at += t.size;
    return t;
  };
  LegacyHead head;
  const PickleTree magic = next();
  if (!magic.is(magic.root, K::big) || magic[magic.root].text != kMagic)
    magic.refuse(magic.root, "a file without PyTorch's magic number", "", kAgain);
  const PickleTree version = next();
  if (!version.is(version.root, K::integer) || version[version.root].number != 1001)
    version.refuse(version.root, "PyTorch's old container in another version than 1001", "",
                   "the file is damaged, or save it by a newer PyTorch");
  next();  // the sizes of types where it was written; the file's are fixed
  head.object = std::make_shared<PickleTree>(next());
  const PickleTree keys = next();
  if (!keys.is(keys.root, K::list)) keys.refuse(keys.root, "the storages' keys are no list", "", kAgain);
  for (const PickleId k : keys.items(keys.root)) {
    if (!keys.is_text(k)) keys.refuse(k, "a storage's key is no string", "", kAgain);
    head.keys.push_back(keys.text(k));
  }
  head.data = at;
  return head;
}

// What a persistent id ('storage', type, key, place, elements, ...) says of its storage; nothing for other values.
std::optional<PickledStorage> named_storage(const PickleTree& t, PickleId id) {
  const auto p = t.is(id, K::persistent) && t.is(t[id].args, K::tuple) ? t.items(t[id].args) : std::span<const PickleId>();
  if (p.size() < 5 || !t.is_text(p[0]) || t[p[0]].text != "storage" || !t.is_text(p[2]) || !t.is(p[4], K::integer)) return {};
  PickledStorage s;
  s.at = id;
  s.key = t.text(p[2]);
  s.dtype = storage_dtype(t, p[1], "");
  const auto width = static_cast<std::uint64_t>(stored_type(s.dtype)->bits) / 8;
  const std::int64_t n = t[p[4]].number;
  if (n < 0 || static_cast<std::uint64_t>(n) > (std::uint64_t{1} << 62) / width)
    t.refuse(p[4], "a storage of " + std::to_string(n) + " elements", "", kAgain);
  s.bytes = static_cast<std::uint64_t>(n) * width;
  return s;
}

[[noreturn]] void refuse(const std::string& path, const std::string& what, std::uint64_t at, const std::string& who,
                         const std::string& advice) {
  throw Error(Code::input, path + ": " + what + " at byte " + std::to_string(at) + " (" + who + "); " + advice);
}

// The storage at `at`, which must have `bytes` bytes; `at` moves behind it.
std::span<const std::byte> take_storage(std::span<const std::byte> file, std::uint64_t& at, std::uint64_t bytes, std::uint64_t width,
                                        const std::string& path, const std::string& who) {
  const auto short_of = [&](std::uint64_t wanted) {
    const std::uint64_t whole = at + wanted;
    refuse(path,
           "the file ends after " + std::to_string(file.size()) + " bytes, and this storage goes on to " + std::to_string(whole) + " (" +
               std::to_string(file.size() * 100 / whole) + " % are there)",
           at, who, "the download was cut off, get it again");
  };
  if (file.size() - at < 8) short_of(8);
  std::int64_t n = 0;
  std::memcpy(&n, file.data() + at, 8);
  if (n < 0 || static_cast<std::uint64_t>(n) != bytes / width)
    refuse(path,
           std::string("a storage ") + (n > static_cast<std::int64_t>(bytes / width) ? "longer" : "shorter") +
               " than declared: " + std::to_string(n) + " elements in place of " + std::to_string(bytes / width),
           at, who, kAgain);
  if (file.size() - at - 8 < bytes) short_of(8 + bytes);
  const auto data = file.subspan(at + 8, bytes);
  at += 8 + bytes;
  return data;
}

}  // namespace

bool looks_like_torch_legacy(std::span<const std::byte> file) {
  return file.size() > 14 && std::memcmp(file.data(), "\x80\x02\x8a\x0a", 4) == 0 &&
         std::memcmp(file.data() + 4, kMagic.data(), kMagic.size()) == 0;
}

TorchLegacy parse_torch_legacy(std::span<const std::byte> file, const std::string& path) {
  const LegacyHead head = read_head(file, path, "");
  TorchLegacy legacy;
  legacy.tree = head.object;
  legacy.contents = collect_tensors(*head.object, file.size());
  auto& storages = legacy.contents.storages;
  std::map<std::string, std::size_t> by_key;
  for (std::size_t i = 0; i < storages.size(); ++i)
    if (!storages[i].inside) by_key.emplace(storages[i].key, i);
  // Storages of what is left out (buffers that are not kept, attributes of modules) lie among the others and must be stepped over.
  for (PickleId id = 0; id < head.object->count(); ++id)
    if (auto s = named_storage(*head.object, id); s && !by_key.count(s->key)) {
      by_key.emplace(s->key, storages.size());
      storages.push_back(std::move(*s));
    }
  legacy.places.resize(storages.size());
  std::uint64_t at = head.data;
  std::size_t found = 0;
  for (const std::string& key : head.keys) {
    const auto s = by_key.find(key);
    // Its length in bytes depends on who names it: without a name the file cannot be read on.
    if (s == by_key.end()) refuse(path, "a storage that nothing names, or the second of one key,", at, "storage " + in_quotes(key), kAgain);
    PickledStorage& storage = storages[s->second];
    legacy.places[s->second] = take_storage(file, at, storage.bytes, static_cast<std::uint64_t>(stored_type(storage.dtype)->bits) / 8, path,
                                            "storage " + in_quotes(key));
    by_key.erase(s);
    ++found;
  }
  if (!by_key.empty())
    head.object->refuse(
        storages[by_key.begin()->second].at,
        "the storage " + in_quotes(by_key.begin()->first) + " is missing: the file has " + std::to_string(found) + " others", "", kAgain);
  if (at != file.size())
    refuse(path, std::to_string(file.size() - at) + " bytes after the last storage", at, "end",
           "something was put behind the file, get it again");
  for (std::size_t i = 0; i < storages.size(); ++i)
    if (storages[i].inside) legacy.places[i] = storages[i].data;
  return legacy;
}

PickledStorage read_legacy_storage(std::span<const std::byte> file, const std::string& path, const std::string& part) {
  if (!looks_like_torch_legacy(file)) refuse(path, "a pickled storage that is no file of PyTorch's old kind", 0, part, kAgain);
  const LegacyHead head = read_head(file, path, part);
  const PickleTree& t = *head.object;
  auto named = named_storage(t, t.root);
  if (!named) t.refuse(t.root, "a pickled storage that is none", "", kAgain);
  PickledStorage s = std::move(*named);
  if (head.keys.size() != 1 || head.keys[0] != s.key) t.refuse(t.root, "a pickled storage with other keys than its own", "", kAgain);
  if (const auto p = t.items(t[t.root].args); p.size() > 5 && !t.is(p[5], K::none))
    t.refuse(p[5], "a pickled storage that is a view of another", "", "save the state_dict() by torch.save");
  const auto width = static_cast<std::uint64_t>(stored_type(s.dtype)->bits) / 8;
  std::uint64_t at = head.data;
  s.data = take_storage(file, at, s.bytes, width, path, part);
  if (at != file.size()) refuse(path, std::to_string(file.size() - at) + " bytes after the storage", at, part, kAgain);
  s.inside = true;
  return s;
}

}  // namespace graft
