#include "weights/formats/tf_bundle.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <protozero/pbf_reader.hpp>

#include "weights/formats/crc32c.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/leveldb_table.h"
#include "weights/stored_type.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kIndex = ".index", kObjectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH";
constexpr int kMostShards = 99999;

// tensorflow/core/framework/types.proto.
struct TensorFlowType {
  int number;
  std::string_view stored;  // empty: no numbers of graft's
  std::string_view name;
};
constexpr TensorFlowType kTypes[] = {
    {1, "F32", "DT_FLOAT"},
    {2, "F64", "DT_DOUBLE"},
    {3, "I32", "DT_INT32"},
    {4, "U8", "DT_UINT8"},
    {5, "I16", "DT_INT16"},
    {6, "I8", "DT_INT8"},
    {7, "", "DT_STRING"},
    {8, "C64", "DT_COMPLEX64"},
    {9, "I64", "DT_INT64"},
    {10, "BOOL", "DT_BOOL"},
    {11, "I8", "DT_QINT8"},
    {12, "U8", "DT_QUINT8"},
    {13, "I32", "DT_QINT32"},
    {14, "BF16", "DT_BFLOAT16"},
    {15, "I16", "DT_QINT16"},
    {16, "U16", "DT_QUINT16"},
    {17, "U16", "DT_UINT16"},
    {18, "C128", "DT_COMPLEX128"},
    {19, "F16", "DT_HALF"},
    {20, "", "DT_RESOURCE"},
    {21, "", "DT_VARIANT"},
    {22, "U32", "DT_UINT32"},
    {23, "U64", "DT_UINT64"},
    {24, "F8_E5M2", "DT_FLOAT8_E5M2"},
    {25, "F8_E4M3", "DT_FLOAT8_E4M3FN"},
};

struct Span {                           // of one axis of a slice
  std::int64_t start = 0, length = -1;  // -1: the whole axis
};
using Slice = std::vector<Span>;

struct BundleEntry {
  int dtype = 0;
  std::vector<std::int64_t> shape;
  bool unknown_rank = false;
  std::int64_t shard = 0, offset = 0, size = 0;
  std::uint32_t crc = 0;
  std::vector<Slice> slices;
};

Slice parse_slice(protozero::pbf_reader m) {
  Slice slice;
  while (m.next()) {
    if (m.tag() != 1 || m.wire_type() != protozero::pbf_wire_type::length_delimited) {
      m.skip();
      continue;
    }
    Span s;
    protozero::pbf_reader e = m.get_message();
    while (e.next()) {
      if (e.wire_type() != protozero::pbf_wire_type::varint) e.skip();
      else if (e.tag() == 1) s.start = e.get_int64();
      else if (e.tag() == 2) s.length = e.get_int64();
      else e.skip();
    }
    slice.push_back(s);
  }
  return slice;
}

void parse_shape(protozero::pbf_reader m, BundleEntry& out) {
  while (m.next()) {
    if (m.tag() == 2 && m.wire_type() == protozero::pbf_wire_type::length_delimited) {
      std::int64_t n = 0;
      protozero::pbf_reader d = m.get_message();
      while (d.next()) {
        if (d.tag() == 1 && d.wire_type() == protozero::pbf_wire_type::varint) n = d.get_int64();
        else d.skip();
      }
      out.shape.push_back(n);
    } else if (m.tag() == 3 && m.wire_type() == protozero::pbf_wire_type::varint) {
      out.unknown_rank = m.get_bool();
    } else {
      m.skip();
    }
  }
}

BundleEntry parse_entry(std::string_view text) {
  BundleEntry out;
  protozero::pbf_reader m(text.data(), text.size());
  using enum protozero::pbf_wire_type;
  while (m.next()) {
    const auto tag = m.tag();
    const auto wire = m.wire_type();
    if (tag == 1 && wire == varint) out.dtype = m.get_int32();
    else if (tag == 2 && wire == length_delimited) parse_shape(m.get_message(), out);
    else if (tag == 3 && wire == varint) out.shard = m.get_int32();
    else if (tag == 4 && wire == varint) out.offset = m.get_int64();
    else if (tag == 5 && wire == varint) out.size = m.get_int64();
    else if (tag == 6 && wire == fixed32) out.crc = m.get_fixed32();
    else if (tag == 7 && wire == length_delimited) out.slices.push_back(parse_slice(m.get_message()));
    else m.skip();
  }
  return out;
}

struct BundleHeader {
  std::int64_t shards = 0, endianness = 0, needs = 0;
  bool first_version = false;  // a SavedTensorSlices of the checkpoints before bundles
};

BundleHeader parse_header(std::string_view text) {
  BundleHeader out;
  protozero::pbf_reader m(text.data(), text.size());
  using enum protozero::pbf_wire_type;
  while (m.next()) {
    const auto wire = m.wire_type();
    if (m.tag() == 1 && wire == varint) {
      out.shards = m.get_int32();
    } else if (m.tag() == 1 && wire == length_delimited) {
      out.first_version = true;
      return out;
    } else if (m.tag() == 2 && wire == varint) {
      out.endianness = m.get_int32();
    } else if (m.tag() == 3 && wire == length_delimited) {
      protozero::pbf_reader v = m.get_message();
      while (v.next()) {
        if (v.tag() == 2 && v.wire_type() == varint) out.needs = v.get_int32();
        else v.skip();
      }
    } else {
      m.skip();
    }
  }
  return out;
}

// The key of a slice: TensorFlow's ordered code (lib/strings/ordered_code) of 0, the name, the rank, and start and length of every axis.
void put_signed(std::string& out, std::int64_t v) {
  const std::uint64_t magnitude = static_cast<std::uint64_t>(v < 0 ? ~v : v);
  int bits = 0;
  while (bits < 64 && magnitude >> bits) ++bits;
  const int n = bits / 7 + 1;  // bytes: a sign and 7 bits less the header's n in n bytes
  std::array<std::uint8_t, 10> b{};
  b.fill(v < 0 ? 0xff : 0);
  for (int i = 0; i < 8; ++i) b[static_cast<std::size_t>(9 - i)] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(v) >> (8 * i));
  std::uint8_t* first = b.data() + 10 - n;
  first[0] ^= static_cast<std::uint8_t>(n >= 8 ? 0xffu : 0xffu << (8 - n));  // n ones, the header
  if (n > 8) first[1] ^= static_cast<std::uint8_t>(n == 9 ? 0x80u : 0xc0u);
  out.append(reinterpret_cast<const char*>(first), static_cast<std::size_t>(n));
}
void put_natural(std::string& out, std::uint64_t v) {
  std::string digits;
  for (; v; v >>= 8) digits.insert(digits.begin(), static_cast<char>(v & 255u));
  out += static_cast<char>(digits.size());
  out += digits;
}
std::string slice_key(const std::string& name, const Slice& slice) {
  std::string out;
  put_natural(out, 0);
  for (const char c : name) {
    out += c;
    if (c == '\0') out += '\xff';
    if (c == '\xff') out += '\0';
  }
  out += std::string("\0\1", 2);
  put_natural(out, slice.size());
  for (const Span& s : slice) put_signed(out, s.start), put_signed(out, s.length);
  return out;
}

class BundleSource : public Source {
 public:
  explicit BundleSource(const fs::path& index) {
    path = index.string();
    format = "TensorFlow bundle";
    const FilePtr file = MappedFile::open(index);
    const ByteWindow w(file->bytes(), path);
    const std::vector<TableEntry> table = read_leveldb_table(w);
    if (table.empty() || !table.front().key.empty()) w.refuse(0, "a table that is no bundle's: it has no header");
    const auto parsed = [&](const TableEntry& e, auto parse) {
      try {
        return parse(std::string_view(e.value));
      } catch (const protozero::exception&) { w.refuse(e.at, "the entry of " + in_quotes(e.key) + " is no protocol buffer"); }
    };
    const BundleHeader header = parsed(table.front(), parse_header);
    const std::uint64_t header_at = table.front().at;
    if (header.first_version)
      w.refuse(header_at, "a TensorFlow checkpoint of version 1 (before TensorFlow 0.12)",
               "restore it in TensorFlow and save it with write_version=SaverDef.V2 or tf.train.Checkpoint");
    if (header.endianness != 0) w.refuse(header_at, "a bundle written in big-endian order", "save it on a machine in little-endian order");
    if (header.needs > 1) w.refuse(header_at, "a bundle for readers of version " + std::to_string(header.needs), "graft reads version 1");
    if (header.shards < 1 || header.shards > kMostShards) w.refuse(header_at, "a bundle of " + std::to_string(header.shards) + " shards");
    open_shards(index, header.shards);

    std::map<std::string_view, const TableEntry*> by_key;
    for (const TableEntry& e : table) by_key.emplace(e.key, &e);
    std::size_t used = 0, slices = 0;
    for (const TableEntry& t : table) {
      if (t.key.empty()) continue;
      if (t.key.front() == '\0') {  // the key of a slice
        ++slices;
        continue;
      }
      const std::string of = " (tensor " + in_quotes(t.key) + ")";
      if (first_not_utf8(t.key) != std::string::npos) w.refuse(t.at, "a name that is not UTF-8" + of);
      const BundleEntry e = parsed(t, parse_entry);
      if (t.key == kObjectGraph) {
        piece(w, t, e, static_cast<std::uint64_t>(std::max<std::int64_t>(0, e.size)), of);  // passed over, but there
        continue;
      }
      const StoredType& type = type_of(w, t, e, of);
      const std::uint64_t bytes = size_of_shape(w, t, e, type, of);
      StoredTensor tensor{t.key, std::string(type.name), e.shape, {}, 0, bytes, 0, -1};
      std::vector<Piece> pieces;
      if (e.slices.empty()) {
        pieces.push_back(piece(w, t, e, bytes, of));
        tensor.offset = pieces[0].offset;
        tensor.file = pieces[0].shard + 1;
      } else {
        std::uint64_t elements = 0, all = 1;
        for (const std::int64_t s : e.shape) all *= static_cast<std::uint64_t>(s);
        for (const Slice& s : e.slices) {
          const auto it = by_key.find(slice_key(t.key, s));
          if (it == by_key.end())
            w.refuse(t.at, "a partitioned tensor of whose " + std::to_string(e.slices.size()) + " slices one is not there" + of);
          const BundleEntry part = parsed(*it->second, parse_entry);
          if (part.dtype != e.dtype || part.shape.size() != e.shape.size() || s.size() != e.shape.size())
            w.refuse(it->second->at, "a slice of another type or rank than its tensor" + of);
          std::uint64_t n = 1;
          for (std::size_t d = 0; d < s.size(); ++d) {
            const std::int64_t length = s[d].length < 0 ? e.shape[d] : s[d].length;
            if (s[d].start < 0 || s[d].start > e.shape[d] || length > e.shape[d] - s[d].start || part.shape[d] != length)
              w.refuse(it->second->at, "a slice that leaves its tensor" + of);
            n *= static_cast<std::uint64_t>(length);
          }
          Piece p = piece(w, *it->second, part, n * static_cast<std::uint64_t>(type.bits) / 8, of);
          for (const Span& axis : s) p.start.push_back(axis.start);
          p.shape = part.shape;
          // Slices that lie over each other would leave a part unwritten although their sizes add up.
          for (const Piece& q : pieces) {
            bool apart = false;
            for (std::size_t d = 0; d < s.size(); ++d)
              apart = apart || p.start[d] >= q.start[d] + q.shape[d] || q.start[d] >= p.start[d] + p.shape[d];
            if (!apart && n > 0) w.refuse(it->second->at, "slices of a tensor that lie over each other" + of);
          }
          pieces.push_back(std::move(p));
          elements += n;
          ++used;
        }
        if (elements != all)
          w.refuse(t.at, "slices with " + std::to_string(elements) + " of their tensor's " + std::to_string(all) + " elements" + of);
        tensor.file = pieces[0].shard + 1;
        notes.push_back("the tensor " + in_quotes(t.key) + " is joined from " + std::to_string(pieces.size()) + " slices");
      }
      tensors.push_back(std::move(tensor));
      pieces_.push_back(std::move(pieces));
    }
    if (used != slices)
      w.refuse(header_at, std::to_string(slices) + " slices of tensors, of which " + std::to_string(used) + " belong to one");
  }

  KeptBytes bytes(std::size_t i) const override {
    const StoredTensor& t = tensors[i];
    const std::vector<Piece>& pieces = pieces_[i];
    if (pieces.size() == 1 && pieces[0].shape.empty()) return {checked(pieces[0], t), shards_[pieces[0].shard]};
    const std::size_t width = static_cast<std::size_t>(stored_type(t.dtype)->bits) / 8, rank = t.shape.size();
    const auto out = std::make_shared<std::vector<std::byte>>(t.bytes);
    for (const Piece& p : pieces) {
      const auto from = checked(p, t);
      if (from.empty()) continue;
      // Row by row of the slice.
      const std::size_t row = static_cast<std::size_t>(rank ? p.shape[rank - 1] : 1) * width;
      std::vector<std::int64_t> at(rank, 0);
      for (std::size_t done = 0; done < from.size(); done += row) {
        std::uint64_t to = 0;
        for (std::size_t d = 0; d < rank; ++d)
          to = to * static_cast<std::uint64_t>(t.shape[d]) + static_cast<std::uint64_t>(p.start[d] + at[d]);
        std::memcpy(out->data() + to * width, from.data() + done, row);
        for (std::size_t d = rank - 1; d-- > 0 && ++at[d] == p.shape[d];) at[d] = 0;
      }
    }
    return {*out, out};
  }

 private:
  struct Piece {
    std::size_t shard;
    std::uint64_t offset, size;
    std::uint32_t crc;
    std::vector<std::int64_t> start, shape;  // of a slice; empty: the whole tensor
  };

  void open_shards(const fs::path& index, std::int64_t n) {
    std::string prefix = index.string();
    prefix.resize(prefix.size() - (prefix.ends_with(kIndex) ? kIndex.size() : 0));
    const auto five = [](std::int64_t v) {
      const std::string s = std::to_string(v);
      return std::string(5 - std::min<std::size_t>(5, s.size()), '0') + s;
    };
    files.push_back(path);
    std::string missing;
    int lost = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::string name = prefix + ".data-" + five(i) + "-of-" + five(n);
      std::error_code ec;
      files.push_back(name);
      if (!fs::exists(name, ec)) {
        if (++lost <= 5) missing += (missing.empty() ? "" : ", ") + in_quotes(fs::path(name).filename().string());
      } else if (lost == 0) {
        shards_.push_back(MappedFile::open(name));
      }
    }
    if (lost)
      throw Error(Code::input, path + ": " + std::to_string(lost) + " of " + std::to_string(n) + " shards are missing (" + missing +
                                   (lost > 5 ? ", ..." : "") + ") at byte 0; put them beside the index");
  }

  const StoredType& type_of(const ByteWindow& w, const TableEntry& t, const BundleEntry& e, const std::string& of) const {
    for (const TensorFlowType& k : kTypes) {
      if (k.number != e.dtype) continue;
      if (k.stored.empty())
        w.refuse(t.at, "a tensor of " + std::string(k.name) + ", which holds no numbers" + of,
                 "save the model's weights alone, without tables, iterators and texts");
      return *stored_type(k.stored);
    }
    w.refuse(t.at, "a tensor of the unknown dtype " + std::to_string(e.dtype) + of, "convert it where it was made");
  }
  std::uint64_t size_of_shape(const ByteWindow& w, const TableEntry& t, const BundleEntry& e, const StoredType& type,
                              const std::string& of) const {
    const auto bytes = stored_bytes(type, e.shape);
    if (e.unknown_rank || e.shape.size() > 254 || !bytes) w.refuse(t.at, "a shape of no possible size" + of);
    return *bytes;
  }
  Piece piece(const ByteWindow& w, const TableEntry& t, const BundleEntry& e, std::uint64_t bytes, const std::string& of) const {
    if (e.shard < 0 || static_cast<std::size_t>(e.shard) >= shards_.size())
      w.refuse(t.at, "the shard " + std::to_string(e.shard) + " of " + std::to_string(shards_.size()) + of);
    if (e.size < 0 || static_cast<std::uint64_t>(e.size) != bytes)
      w.refuse(t.at, std::to_string(e.size) + " bytes where type and shape take " + std::to_string(bytes) + of);
    const auto shard = static_cast<std::size_t>(e.shard);
    const std::uint64_t room = shards_[shard]->bytes().size(), end = static_cast<std::uint64_t>(e.offset) + bytes;
    if (e.offset < 0 || bytes > room || static_cast<std::uint64_t>(e.offset) > room - bytes)
      throw Error(Code::input, files[shard + 1] + ": the file is cut at byte " + std::to_string(room) + ": " + std::to_string(room) +
                                   " of at least " + std::to_string(e.offset < 0 ? 0 : end) + " bytes are there" + of + "; get it again");
    return {shard, static_cast<std::uint64_t>(e.offset), bytes, e.crc, {}, {}};
  }
  std::span<const std::byte> checked(const Piece& p, const StoredTensor& t) const {
    const auto data = shards_[p.shard]->bytes().subspan(p.offset, p.size);
    if (masked_crc(crc32c(data)) != p.crc)
      throw Error(Code::input, files[p.shard + 1] + ": the data do not agree with their checksum at byte " + std::to_string(p.offset) +
                                   " (tensor " + in_quotes(t.name) + "); the file is damaged, get it again");
    return data;
  }

  std::vector<FilePtr> shards_;
  std::vector<std::vector<Piece>> pieces_;
};

// What the text `checkpoint` of a folder names: model_checkpoint_path: "ckpt-7".
std::optional<std::string> latest(const fs::path& file) {
  constexpr std::string_view key = "model_checkpoint_path:";
  std::error_code ec;
  if (!fs::is_regular_file(file, ec) || fs::file_size(file, ec) > (1u << 20)) return {};
  const std::string text = read_text(file);
  if (!text.starts_with(key)) return {};
  const auto open = text.find('"', key.size()), close = open == std::string::npos ? open : text.find('"', open + 1);
  if (close == std::string::npos || text.find('\n') < close) return {};
  return text.substr(open + 1, close - open - 1);
}

}  // namespace

std::optional<fs::path> bundle_index(const fs::path& path) {
  std::error_code ec;
  const auto with_index = [](const fs::path& prefix) { return fs::path(prefix.string() + std::string(kIndex)); };
  if (!fs::is_directory(path, ec)) {
    if (fs::exists(path, ec)) return {};
    return fs::is_regular_file(with_index(path), ec) ? std::optional(with_index(path)) : std::nullopt;
  }
  if (const auto name = latest(path / "checkpoint")) {
    // A folder that was moved keeps the old place in its text: the file beside it is meant.
    const fs::path index = path / with_index(fs::path(*name).filename());
    if (name->empty() || !fs::is_regular_file(index, ec))
      throw Error(Code::input, (path / "checkpoint").string() + ": names " + in_quotes(*name) + " at byte 0, and there is no " +
                                   in_quotes(index.filename().string()) + " beside it; name the prefix of the checkpoint itself");
    return index;
  }
  std::optional<fs::path> only;
  for (const auto& f : fs::directory_iterator(path, ec)) {
    if (f.path().extension() != kIndex || !f.is_regular_file(ec)) continue;
    if (only) return {};
    only = f.path();
  }
  return only;
}

SourcePtr open_tf_bundle(const fs::path& index) { return std::make_unique<BundleSource>(index); }

}  // namespace graft
