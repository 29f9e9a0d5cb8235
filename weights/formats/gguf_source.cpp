// A GGUF checkpoint as a Source: one file, or all pieces of a split one found by the name of any of them.
#include <charconv>

#include "weights/formats/gguf.h"
#include "weights/formats/json_guard.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

// "model-00002-of-00003.gguf".
struct PieceName {
  std::string stem;
  std::uint32_t number, of;  // from 1
};
std::optional<PieceName> piece_name(const std::string& file) {
  constexpr std::string_view kEnd = ".gguf", kOf = "-of-";
  constexpr std::size_t kTail = 1 + 5 + 4 + 5 + 5;
  if (file.size() <= kTail || !file.ends_with(kEnd)) return {};
  const std::string_view tail = std::string_view(file).substr(file.size() - kTail);
  const auto digits = [](std::string_view s) -> std::optional<std::uint32_t> {
    std::uint32_t v = 0;
    const auto r = std::from_chars(s.data(), s.data() + s.size(), v);
    return r.ec == std::errc() && r.ptr == s.data() + s.size() ? std::optional(v) : std::nullopt;
  };
  const auto number = digits(tail.substr(1, 5)), of = digits(tail.substr(10, 5));
  if (tail[0] != '-' || tail.substr(6, 4) != kOf || !number || !of || *number == 0 || *number > *of) return {};
  return PieceName{file.substr(0, file.size() - kTail), *number, *of};
}
std::string file_of(const PieceName& p, std::uint32_t number) {
  const auto five = [](std::uint32_t v) {
    const std::string s = std::to_string(v);
    return std::string(5 - std::min<std::size_t>(5, s.size()), '0') + s;
  };
  return p.stem + "-" + five(number) + "-of-" + five(p.of) + ".gguf";
}

[[noreturn]] void refuse(const GgufFile& f, const std::string& what, const std::string& key, const std::string& todo) {
  throw Error(Code::input, f.path + ": " + what + " at byte " + std::to_string(f.keys.byte_of(key)) + " (key \"" + key + "\"); " + todo);
}
std::optional<std::int64_t> whole_key(const GgufFile& f, const std::string& key) {
  const GgufValue* v = f.keys.find(key);
  if (!v) return {};
  if (!v->is_whole() || v->number() < 0 || v->number() > 1e9)
    refuse(f, "has " + v->shown() + " where a number of pieces or tensors belongs", key, "have the file written anew");
  return v->whole();
}

struct OpenPiece {
  FilePtr map;
  GgufFile file;
};
OpenPiece open_piece(const fs::path& path) {
  OpenPiece p{MappedFile::open(path), {}};
  p.file = GgufFile::parse(p.map->bytes(), path.string());
  return p;
}

// The pieces beside `first`, in their order; it alone when it is whole.
std::vector<OpenPiece> all_pieces(const fs::path& path, OpenPiece first) {
  const std::int64_t count = whole_key(first.file, "split.count").value_or(1);
  const auto name = piece_name(path.filename().string());
  std::vector<OpenPiece> pieces;
  if (count <= 1) {
    if (name && name->of > 1)
      first.file.warnings.push_back("is called piece " + std::to_string(name->number) + " of " + std::to_string(name->of) +
                                    ", but says nothing of pieces; read alone");
    pieces.push_back(std::move(first));
    return pieces;
  }
  const std::string of = std::to_string(count);
  if (!name)
    refuse(first.file, "is one of " + of + " pieces, but is not called ...-0000N-of-" + of + ".gguf, so that the others cannot be found",
           "split.count", "give all pieces the names they had");
  if (name->of != count)
    refuse(first.file, "is one of " + of + " pieces, but is called one of " + std::to_string(name->of), "split.count",
           "give all pieces the names they had");

  std::vector<fs::path> paths;
  std::string missing;
  std::size_t missing_count = 0;
  for (std::uint32_t i = 1; i <= name->of; ++i) {
    paths.push_back(path.parent_path() / file_of(*name, i));
    std::error_code ec;
    if (fs::exists(paths.back(), ec)) continue;
    if (++missing_count <= 100) missing += (missing.empty() ? "" : ", ") + paths.back().filename().string();
  }
  if (missing_count > 100) missing += " and " + std::to_string(missing_count - 100) + " more";
  if (missing_count > 0)
    refuse(first.file, "lacks " + std::to_string(missing_count) + " of its " + of + " pieces: " + missing, "split.count",
           "put them into the same folder");

  for (std::uint32_t i = 0; i < name->of; ++i) {
    pieces.push_back(i + 1 == name->number ? std::move(first) : open_piece(paths[i]));
    const GgufFile& f = pieces.back().file;
    if (whole_key(f, "split.count") != count)
      refuse(f, "does not say that it is one of " + of + " pieces", "split.count", "it belongs to another model, get the right one");
    if (whole_key(f, "split.no") != static_cast<std::int64_t>(i)) {
      const GgufValue* no = f.keys.find("split.no");
      refuse(f,
             "says that it is piece " + (no ? no->shown() : std::string("nothing")) + " counted from 0, and its name says " +
                 std::to_string(i),
             "split.no", "give all pieces the names they had");
    }
  }
  return pieces;
}

}  // namespace

GgufSource::GgufSource(const fs::path& opened) {
  path = opened.string();
  std::vector<OpenPiece> pieces = all_pieces(opened, open_piece(opened));
  format = "GGUF version " + std::to_string(pieces[0].file.version);
  std::map<std::string, std::string> owner;
  for (OpenPiece& p : pieces) {
    files.push_back(p.file.path);
    maps_.push_back(p.map);
    for (const std::string& w : p.file.warnings) warnings.push_back(pieces.size() > 1 ? p.file.path + ": " + w : w);
    for (const std::string& n : p.file.notes) notes.push_back(pieces.size() > 1 ? p.file.path + ": " + n : n);
    for (GgufTensor& t : p.file.tensors) {
      const auto [it, fresh] = owner.emplace(t.name, p.file.path);
      if (!fresh)
        throw Error(Code::input, p.file.path + ": has a tensor that " + it->second + " has too at byte " + std::to_string(t.offset) +
                                     " (tensor " + in_quotes(t.name) + "); the pieces do not belong together, get them again");
      tensors.push_back({std::move(t.name), std::move(t.dtype), std::move(t.shape), {}, t.offset, t.bytes, files.size() - 1, -1});
    }
  }
  if (const auto all = whole_key(pieces[0].file, "split.tensors.count");
      pieces.size() > 1 && all && static_cast<std::size_t>(*all) != tensors.size())
    refuse(pieces[0].file,
           "says that the pieces hold " + std::to_string(*all) + " tensors, and they hold " + std::to_string(tensors.size()),
           "split.tensors.count", "the pieces do not belong together, get them again");
  keys = std::move(pieces[0].file.keys);
  for (const GgufKey& k : keys.all()) metadata[k.name] = k.value.shown();
}

KeptBytes GgufSource::bytes(std::size_t i) const {
  const StoredTensor& t = tensors[i];
  return {maps_[t.file]->bytes().subspan(t.offset, t.bytes), maps_[t.file]};
}

SourcePtr open_gguf(const fs::path& path) { return std::make_unique<GgufSource>(path); }

}  // namespace graft
