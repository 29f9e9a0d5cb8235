// The part of safetensors that needs no tensors: header to entries, and descriptions to header.
#include "weights/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <optional>
#include <set>

#include "engine/base/json.h"
#include "weights/formats/json_guard.h"

namespace graft {

static_assert(std::endian::native == std::endian::little, "safetensors is little endian and is read in place");

namespace {

constexpr std::uint64_t kMostHeader = 100'000'000;
constexpr std::uint64_t kMostNumber = std::uint64_t{1} << 53;  // what every JSON reader keeps exactly

struct DTypeRow {
  std::string_view name;
  int bits;
};
// In the format's own order, which is also the order that the reference writer sorts by (from the last to the first).
constexpr std::array<DTypeRow, 22> kDTypes = {
    {{"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8},
     {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16}, {"F16", 16}, {"BF16", 16},   {"I32", 32},
     {"U32", 32},    {"F32", 32},        {"C64", 64},        {"F64", 64},    {"I64", 64}, {"U64", 64}}};

int place_of(std::string_view dtype) {
  for (std::size_t i = 0; i < kDTypes.size(); ++i)
    if (kDTypes[i].name == dtype) return static_cast<int>(i);
  return -1;
}

std::string str(std::uint64_t v) { return std::to_string(v); }
std::string shape_text(std::span<const std::int64_t> shape) {
  std::string s = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}

// For messages: a damaged header may claim a million axes.
std::string brief(std::span<const std::int64_t> shape) {
  return shape.size() <= 16 ? shape_text(shape) : "[" + std::to_string(shape.size()) + " axes]";
}

// Bits of a tensor; nothing when the product does not fit in 64 bits. Sizes of 0 count as 1 until the end, so that the strides of what
// is accepted can be computed as well.
std::optional<std::uint64_t> bits_of(std::span<const std::int64_t> shape, int bits) {
  std::uint64_t n = static_cast<std::uint64_t>(bits);
  bool none = false;
  for (auto d : shape) {
    if (d == 0) none = true;
    else if (d < 0 || __builtin_mul_overflow(n, static_cast<std::uint64_t>(d), &n)) return std::nullopt;
  }
  return none ? 0 : n;
}

struct Raw {  // a tensor as the header describes it
  std::string name;
  std::uint64_t byte = 0;  // of its key in the file
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::array<std::uint64_t, 2> offsets{};
};

// Turns the events of the header into Raws and metadata.
class HeaderReader : public JsonEvents {
 public:
  HeaderReader(SafetensorsFile& out, std::vector<Raw>& raws) : out_(out), raws_(raws) {}

  void key(const std::string& name, std::uint64_t byte) override {
    if (level_ == 1) {
      now_ = Raw{name, byte, {}, {}, {}};
      in_metadata_ = name == "__metadata__";
    } else {
      field_ = name;
    }
  }
  bool begin(Kind kind, std::uint64_t byte) override {
    if (level_ == 0) return take();  // the header itself, known to be an object
    if (level_ == 1) {
      if (kind != Kind::object) wrong_entry(byte);
      if (in_metadata_) out_.has_metadata = true;
      seen_.clear();
      return take();
    }
    if (level_ == 2 && !in_metadata_) {
      if (!known(field_)) return false;
      if (kind != Kind::array || field_ == "dtype") wrong_field(byte);
      count_ = 0;
      return take();
    }
    wrong_field(byte);
  }
  void end(std::uint64_t byte) override {
    --level_;
    if (level_ == 2) {
      if (field_ == "data_offsets" && count_ != 2) wrong_field(byte);
      seen_.insert(field_);
    } else if (level_ == 1 && !in_metadata_) {
      for (const char* f : {"dtype", "shape", "data_offsets"})
        if (!seen_.count(f))
          refuse(std::string("has no ") + f, now_.byte, "every tensor needs dtype, shape and data_offsets; have the file written anew");
      raws_.push_back(std::move(now_));
    }
  }
  void natural(std::uint64_t v, std::uint64_t byte) override {
    if (level_ == 1) wrong_entry(byte);
    if (level_ == 2) {
      if (in_metadata_ || known(field_)) wrong_field(byte);
      return;
    }
    if (v > kMostNumber)
      refuse(field_ + " holds a number above 2^53", byte,
             "not every reader keeps such a number exactly, so the file is damaged; get it again");
    if (field_ == "shape") now_.shape.push_back(static_cast<std::int64_t>(v));
    else if (count_ < 2) now_.offsets[count_] = v;
    ++count_;
  }
  void text(const std::string& v, std::uint64_t byte) override {
    if (level_ == 1) wrong_entry(byte);
    if (level_ == 2 && in_metadata_) {
      out_.metadata[field_] = v;
      out_.metadata_order.push_back(field_);
    } else if (level_ == 2 && field_ == "dtype") {
      if (safetensors_bits(v) == 0)
        refuse("has the unknown dtype " + in_quotes(v), byte,
               "graft knows the 22 of the format (F32, BF16, F8_E4M3, ...); convert the tensor where it was made");
      now_.dtype = v;
      seen_.insert(field_);
    } else if (level_ > 2 || known(field_)) {
      wrong_field(byte);
    }
  }
  void other(Kind, std::uint64_t byte) override {
    if (level_ == 1) wrong_entry(byte);
    if (level_ > 2 || in_metadata_ || known(field_)) wrong_field(byte);
  }

 private:
  bool take() {
    ++level_;
    return true;
  }
  bool known(const std::string& field) {
    if (field == "dtype" || field == "shape" || field == "data_offsets") return true;
    if (out_.notes.size() < 20)
      out_.notes.push_back("tensor " + in_quotes(now_.name) + " has the field " + in_quotes(field) +
                           ", which the format does not know; it is ignored");
    return false;
  }
  [[noreturn]] void refuse(const std::string& what, std::uint64_t byte, const std::string& todo) const {
    throw Error(Code::input, out_.path + ": tensor " + in_quotes(now_.name) + " " + what + " at byte " + str(byte) + "; " + todo);
  }
  [[noreturn]] void wrong_entry(std::uint64_t byte) const {
    if (in_metadata_)
      throw Error(Code::input, out_.path + ": __metadata__ is not an object at byte " + str(byte) +
                                   "; it maps strings to strings, have the file written anew");
    refuse("is not described by an object", byte,
           "it must be {\"dtype\":..., \"shape\":..., \"data_offsets\":...}; have the file written anew");
  }
  [[noreturn]] void wrong_field(std::uint64_t byte) const {
    if (in_metadata_)
      throw Error(Code::input, out_.path + ": __metadata__ entry " + in_quotes(field_) + " is not a string at byte " + str(byte) +
                                   "; it maps strings to strings, have the file written anew");
    if (field_ == "dtype") refuse("has a dtype that is not a string", byte, "such as \"F32\"; have the file written anew");
    if (field_ == "shape")
      refuse("has a shape that is not a list of whole numbers from 0 up", byte, "such as [2,3]; have the file written anew");
    refuse("has data_offsets that are not two whole numbers from 0 up", byte, "such as [0,24]; have the file written anew");
  }

  SafetensorsFile& out_;
  std::vector<Raw>& raws_;
  int level_ = 0;  // 1: in the header, 2: in a tensor or in __metadata__, 3: in shape or data_offsets
  bool in_metadata_ = false;
  Raw now_;
  std::string field_;
  std::size_t count_ = 0;
  std::set<std::string> seen_;
};

// What a file that is text really is; empty when it does not look like text. `head` is its beginning.
std::string text_in_place_of_weights(std::string_view head, std::uint64_t size) {
  const auto begins = [&](std::string_view s) { return head.substr(0, s.size()) == s; };
  if (begins("version https://git-lfs")) {
    std::string elsewhere;
    if (const auto at = head.find("\nsize "); at != std::string_view::npos)
      for (auto i = at + 6; i < head.size() && head[i] >= '0' && head[i] <= '9'; ++i) elsewhere += head[i];
    return "is a Git LFS pointer (" + (elsewhere.empty() ? "the" : elsewhere) + " bytes are elsewhere); run git lfs pull";
  }
  const auto first = head.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "";
  for (char c : head)
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r' && c != '\n') return "";  // binary
  const std::string_view body = head.substr(first);
  if (body[0] == '<') return "is an HTML or XML page, not weights; the download was answered with a page, get the file itself";
  if (body[0] == '{' || body[0] == '[') return "is JSON text, not weights; name the weights, or an index ending in .index.json";
  if (size < 1024 && (begins("../") || begins("/") || begins("blobs/")))
    return "is the text of a link into a download cache, not weights; copy the file that it names, following links";
  return "";
}

[[noreturn]] void refuse_file(const std::string& path, const std::string& what) { throw Error(Code::input, path + ": " + what); }

}  // namespace

int safetensors_bits(std::string_view dtype) {
  const int i = place_of(dtype);
  return i < 0 ? 0 : kDTypes[static_cast<std::size_t>(i)].bits;
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> bytes, const std::string& path, std::shared_ptr<const MappedFile> file) {
  const std::uint64_t size = bytes.size();
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (size < 8)
    refuse_file(path, "is too short: " + str(size) + " bytes at byte 0, where the length of the header takes 8; get the file again");
  std::uint64_t n = 0;
  std::memcpy(&n, bytes.data(), 8);
  if (n > kMostHeader || n > size - 8) {
    const std::string text = text_in_place_of_weights(all.substr(0, 512), size);
    if (!text.empty()) refuse_file(path, text);
  }
  if (n > kMostHeader)
    refuse_file(path, "says at byte 0 that its header has " + str(n) + " bytes; the limit is " + str(kMostHeader) +
                          ", so this is not a safetensors file");
  if (n > size - 8)
    refuse_file(path, "says at byte 0 that its header has " + str(n) + " bytes, but only " + str(size - 8) +
                          " follow; the file is cut short or not safetensors, get it again");

  SafetensorsFile out;
  out.path = path;
  std::vector<Raw> raws;
  const std::string_view json = all.substr(8, n);
  HeaderReader reader(out, raws);
  parse_json(json, path, "the header", 8, reader);
  if (json[0] != '{')
    out.notes.push_back("the header begins with " + str(json.find('{')) + " bytes of whitespace; the format's own text wants '{' first");

  const auto refuse = [&](const Raw& t, const std::string& what, const std::string& todo) {
    refuse_file(path, "tensor " + in_quotes(t.name) + " " + what + " at byte " + str(t.byte) + "; " + todo);
  };
  const std::string damaged = "the header is damaged or was made wrongly, have the file written anew";
  for (const Raw& t : raws) {
    const int width = safetensors_bits(t.dtype);
    const auto bits = bits_of(t.shape, width);
    if (!bits) refuse(t, "of shape " + brief(t.shape) + " overflows: it has more bits than 64 bits can count", damaged);
    if (*bits % 8 != 0) refuse(t, "is " + str(*bits) + " bits of " + t.dtype + ", which is not a whole number of bytes", damaged);
    if (t.offsets[1] < t.offsets[0]) refuse(t, "ends (" + str(t.offsets[1]) + ") before it begins (" + str(t.offsets[0]) + ")", damaged);
    if (t.offsets[1] - t.offsets[0] != *bits / 8)
      refuse(t,
             "has a size mismatch: " + t.dtype + brief(t.shape) + " takes " + str(*bits / 8) + " bytes, its data_offsets span " +
                 str(t.offsets[1] - t.offsets[0]),
             damaged);
  }

  // The tensors tile the data: nothing hides between them, and no byte belongs to two.
  std::stable_sort(raws.begin(), raws.end(), [](const Raw& a, const Raw& b) { return a.offsets < b.offsets; });
  std::uint64_t end = 0;
  const Raw* before = nullptr;
  for (const Raw& t : raws) {
    const std::string after = before ? " where " + in_quotes(before->name) + " ends" : "";
    if (t.offsets[0] > end)
      refuse(t,
             "leaves a hole of " + str(t.offsets[0] - end) + " bytes: it begins at " + str(t.offsets[0]) + " of the data, not at " +
                 str(end) + after,
             "tensors lie without holes; " + damaged);
    if (t.offsets[0] < end)
      refuse(t, "overlaps: it begins at " + str(t.offsets[0]) + " of the data, not at " + str(end) + after,
             "one tensor owns one range; " + damaged);
    end = t.offsets[1];
    before = &t;
  }
  const std::uint64_t wanted = 8 + n + end;  // at most 8 + 10^8 + 2^53
  if (size < wanted)
    refuse_file(path, "is truncated at byte " + str(size) + ": the header describes " + str(wanted) + " bytes, " + str(size) +
                          " are there (" +
                          str(static_cast<std::uint64_t>(100.0 * static_cast<double>(size) / static_cast<double>(wanted))) +
                          "%); get the file again");
  if (size > wanted)
    refuse_file(path, "has " + str(size - wanted) + " trailing bytes at byte " + str(wanted) +
                          ", which no tensor owns; a file that is two things at once is refused, have it written anew");

  out.entries.reserve(raws.size());
  for (Raw& t : raws) {
    const std::uint64_t at = 8 + n + t.offsets[0];
    out.entries.push_back(
        {std::move(t.name), std::move(t.dtype), std::move(t.shape), bytes.subspan(at, t.offsets[1] - t.offsets[0]), at, file});
  }
  return out;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  return parse(file->bytes(), path.string(), file);
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  for (const auto& e : entries)
    if (e.name == name) return &e;
  return nullptr;
}

// ---- writing ----

std::vector<std::size_t> safetensors_order(const std::vector<SafetensorsItem>& items) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const int pa = place_of(items[a].dtype), pb = place_of(items[b].dtype);
    return pa != pb ? pa > pb : items[a].name < items[b].name;
  });
  return order;
}

namespace {

std::uint64_t bytes_of_item(const SafetensorsItem& item) {
  const int width = safetensors_bits(item.dtype);
  const std::string who = "write_safetensors: tensor " + in_quotes(item.name);
  if (width == 0)
    throw Error(Code::usage, who + " has the dtype " + in_quotes(item.dtype) + ", which the format does not know; convert it first");
  for (auto d : item.shape)
    if (d < 0) throw Error(Code::usage, who + " has the shape " + brief(item.shape) + "; sizes are never negative");
  const auto bits = bits_of(item.shape, width);
  if (!bits || *bits % 8 != 0 || *bits / 8 > kMostNumber)
    throw Error(Code::usage,
                who + " of " + item.dtype + brief(item.shape) + " is not a whole number of bytes up to 2^53; reshape it first");
  return *bits / 8;
}

std::string utf8_string(const std::string& s, const char* what) {
  if (first_not_utf8(s) != std::string_view::npos)
    throw Error(Code::usage, std::string("write_safetensors: ") + what + " " + in_quotes(s) + " is not UTF-8; rename it first");
  return json_string(s);
}

}  // namespace

std::string safetensors_header(const std::vector<SafetensorsItem>& items, const std::map<std::string, std::string>& metadata,
                               const MetadataOrder& order) {
  std::string json = "{";
  if (!metadata.empty() || order) {
    json += "\"__metadata__\":{";
    std::set<std::string_view> written;
    const auto add = [&](const std::string& key, const std::string& value) {
      if (!written.insert(key).second) return;
      json += (written.size() == 1 ? "" : ",") + utf8_string(key, "metadata key") + ":" + utf8_string(value, "metadata value");
    };
    if (order)
      for (const std::string& key : *order)
        if (const auto at = metadata.find(key); at != metadata.end()) add(at->first, at->second);
    for (const auto& [key, value] : metadata) add(key, value);
    json += "}";
  }
  std::set<std::string_view> names;
  std::uint64_t at = 0;
  for (std::size_t i : safetensors_order(items)) {
    const SafetensorsItem& item = items[i];
    if (item.name == "__metadata__")
      throw Error(Code::usage,
                  "write_safetensors: a tensor is named \"__metadata__\"; the format keeps that key for text, rename the tensor");
    if (!names.insert(item.name).second)
      throw Error(Code::usage, "write_safetensors: two tensors are named " + in_quotes(item.name) + "; names must be unique, rename one");
    const std::uint64_t n = bytes_of_item(item);
    if (n > kMostNumber - at)
      throw Error(Code::usage, "write_safetensors: the tensors have more than 2^53 bytes together; write several files");
    if (json.size() > 1) json += ",";
    json += utf8_string(item.name, "tensor name") + ":{\"dtype\":\"" + item.dtype + "\",\"shape\":" + shape_text(item.shape) +
            ",\"data_offsets\":[" + str(at) + "," + str(at + n) + "]}";
    at += n;
  }
  json += "}";
  json.append((8 - json.size() % 8) % 8, ' ');  // the data begins at a multiple of 8
  if (json.size() > kMostHeader)
    throw Error(Code::usage, "write_safetensors: the header would have " + str(json.size()) + " bytes, readers accept " + str(kMostHeader) +
                                 "; write several files");
  const std::uint64_t n = json.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &n, 8);
  return out + json;
}

void write_safetensors(const std::filesystem::path& path, const std::vector<SafetensorsItem>& items,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<std::span<const std::byte>(std::size_t)>& bytes_of, const MetadataOrder& order) {
  const std::string header = safetensors_header(items, metadata, order);  // refuses before anything is on the disk
  write_atomically(path, [&](FileSink& sink) {
    sink.write(header);
    for (std::size_t i : safetensors_order(items)) {
      const auto bytes = bytes_of(i);
      if (bytes.size() != bytes_of_item(items[i]))
        throw Error(Code::usage, "write_safetensors: tensor " + in_quotes(items[i].name) + " of " + items[i].dtype +
                                     shape_text(items[i].shape) + " takes " + str(bytes_of_item(items[i])) + " bytes, got " +
                                     str(bytes.size()));
      sink.write(bytes);
    }
  });
}

}  // namespace graft
