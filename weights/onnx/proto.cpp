#include "weights/onnx/proto.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <protozero/pbf_reader.hpp>

#include "engine/base/text.h"
#include "weights/formats/json_guard.h"
#include "weights/onnx/external.h"
#include "weights/onnx/sha1.h"
#include "weights/onnx/types.h"

namespace graft {
namespace {

using Wire = protozero::pbf_wire_type;
using Reader = protozero::pbf_reader;

constexpr int kMaxDepth = 24;  // subgraphs in subgraphs
constexpr std::size_t kMaxRecords =
    4u << 20;  // nodes, attributes, names, tensors: each takes some hundred bytes, and an empty one two in the file
constexpr std::size_t kMaxName = 64u << 10;
constexpr std::size_t kMaxTensorAxes = 64;

struct Limits {
  std::size_t records = 0;
};

class Parser {
 public:
  Parser(std::string path, std::span<const std::byte> all, std::shared_ptr<const void> keeper)
      : path_(std::move(path)), base_(reinterpret_cast<const char*>(all.data())), keeper_(std::move(keeper)) {}

  [[noreturn]] void refuse(const std::string& what, std::uint64_t at, const std::string& name = {},
                           const std::string& advice = "the file is damaged, get it again") const {
    throw Error(Code::input, path_ + ": " + what + " at byte " + std::to_string(at) + (name.empty() ? "" : " (" + in_quotes(name) + ")") +
                                 "; " + advice);
  }
  std::uint64_t place(const char* p) const { return static_cast<std::uint64_t>(p - base_); }

  // f is called for each field of a message and must take its value or skip it.
  template <class F>
  void each(std::string_view message, const char* what, F f) {
    Reader r(message.data(), message.size());
    try {
      while (r.next()) f(r);
    } catch (const protozero::end_of_buffer_exception&) {
      refuse(std::string(what) + " ends in the middle of a field", place(message.data()), {}, "the file was cut or damaged, get it again");
    } catch (const protozero::exception& e) {
      refuse(std::string(what) + " is not Protocol Buffers (" + e.what() + ")", place(message.data()));
    }
  }
  void want(const Reader& r, Wire wire) {
    if (r.wire_type() != wire) throw protozero::unknown_pbf_wire_type_exception{};
  }
  std::string_view view(Reader& r) {
    want(r, Wire::length_delimited);
    const auto v = r.get_view();
    return {v.data(), v.size()};
  }
  std::string text(Reader& r, const char* what) {
    const std::string_view v = view(r);
    if (v.size() > kMaxName)
      refuse(std::string(what) + " of " + std::to_string(v.size()) + " bytes, more than " + std::to_string(kMaxName), place(v.data()));
    count(place(v.data()));
    return std::string(v);
  }
  std::int64_t integer(Reader& r) {
    want(r, Wire::varint);
    return r.get_int64();
  }
  template <class F>
  void integers(Reader& r, F f) {  // packed or not
    if (r.wire_type() == Wire::length_delimited) {
      const std::string_view v = view(r);
      const char* p = v.data();
      while (p != v.data() + v.size()) f(static_cast<std::int64_t>(protozero::decode_varint(&p, v.data() + v.size())));
    } else {
      f(integer(r));
    }
  }
  template <class T, class F>
  void fixed(Reader& r, F f) {  // packed or not: f(pointer, count)
    if (r.wire_type() == Wire::length_delimited) {
      const std::string_view v = view(r);
      if (v.size() % sizeof(T))
        refuse("packed numbers take " + std::to_string(v.size()) + " bytes, not a multiple of " + std::to_string(sizeof(T)),
               place(v.data()));
      f(v.data(), v.size() / sizeof(T));
    } else if constexpr (sizeof(T) == 4) {
      want(r, Wire::fixed32);
      const float v = r.get_float();
      f(reinterpret_cast<const char*>(&v), 1);
    } else {
      want(r, Wire::fixed64);
      const double v = r.get_double();
      f(reinterpret_cast<const char*>(&v), 1);
    }
  }
  void count(std::uint64_t at) {
    if (++limits_.records > kMaxRecords)
      refuse("more than " + std::to_string(kMaxRecords) + " names, nodes and tensors", at, {}, "graft reads no such model");
  }

  OnnxTensor tensor(std::string_view m, const std::string& fallback);
  OnnxValueInfo value_info(std::string_view m);
  OnnxAttribute attribute(std::string_view m, int depth);
  OnnxNode node(std::string_view m, int depth);
  OnnxGraphDef graph(std::string_view m, int depth);
  OnnxFunction function(std::string_view m);
  void opset(std::string_view m, std::map<std::string, std::int64_t>& into);
  void pair(std::string_view m, std::string& key, std::string& value);

  onnx::ExternalFiles* externals = nullptr;
  std::vector<std::string> external_names;

 private:
  void gather(OnnxTensor& t, const onnx::TypeInfo& info, std::uint64_t at, std::vector<std::byte>&& typed, std::string_view raw,
              bool has_raw, const std::map<std::string, std::string>& ext);

  std::string path_;
  const char* base_;
  std::shared_ptr<const void> keeper_;
  Limits limits_;
};

void Parser::pair(std::string_view m, std::string& key, std::string& value) {
  each(m, "a key with its value", [&](Reader& r) {
    switch (r.tag()) {
      case 1: key = text(r, "a key"); break;
      case 2: value = std::string(view(r)); break;
      default: r.skip();
    }
  });
}

void Parser::opset(std::string_view m, std::map<std::string, std::int64_t>& into) {
  std::string domain;
  std::int64_t version = 0;
  each(m, "an opset", [&](Reader& r) {
    switch (r.tag()) {
      case 1: domain = text(r, "a domain"); break;
      case 2: version = integer(r); break;
      default: r.skip();
    }
  });
  if (domain == "ai.onnx") domain.clear();
  if (!into.emplace(domain, version).second && into[domain] != version)
    refuse("domain " + in_quotes(domain) + " is imported in two versions", place(m.data()));
}

OnnxValueInfo Parser::value_info(std::string_view m) {
  OnnxValueInfo v;
  v.at = place(m.data());
  count(v.at);
  each(m, "an input or output", [&](Reader& r) {
    if (r.tag() == 1) v.name = text(r, "a name");
    else if (r.tag() == 2)
      each(view(r), "a type", [&](Reader& t) {
        const char* const kinds[] = {"", "tensor", "", "", "sequence", "map", "", "opaque", "sparse tensor", "optional"};
        if (t.tag() < 10 && *kinds[t.tag()]) v.kind = kinds[t.tag()];
        if (t.tag() != 1) return t.skip();
        each(view(t), "a tensor's type", [&](Reader& k) {
          if (k.tag() == 1) v.type = static_cast<int>(std::clamp<std::int64_t>(integer(k), 0, 1 << 20));
          else if (k.tag() == 2) {
            v.has_shape = true;
            each(view(k), "a shape", [&](Reader& s) {
              if (s.tag() != 1) return s.skip();
              if (v.dims.size() == kMaxTensorAxes)
                refuse("a shape has more than " + std::to_string(kMaxTensorAxes) + " axes", place(m.data()), v.name);
              v.dims.push_back(-1);
              each(view(s), "an axis", [&](Reader& d) {
                if (d.tag() == 1) v.dims.back() = integer(d);
                else d.skip();
              });
              if (v.dims.back() < -1) refuse("a negative size", place(m.data()), v.name);
            });
          } else k.skip();
        });
      });
    else r.skip();
  });
  return v;
}

OnnxTensor Parser::tensor(std::string_view m, const std::string& fallback) {
  OnnxTensor t;
  const std::uint64_t at = place(m.data());
  count(at);
  // The type first: typed fields are gathered in its width, and it may stand behind them.
  each(m, "a tensor", [&](Reader& r) {
    switch (r.tag()) {
      case 1:
        integers(r, [&](std::int64_t d) {
          if (t.dims.size() == kMaxTensorAxes) refuse("a tensor has more than " + std::to_string(kMaxTensorAxes) + " axes", at, t.name);
          t.dims.push_back(d);
        });
        break;
      case 2: t.type = static_cast<int>(std::clamp<std::int64_t>(integer(r), 0, 1 << 20)); break;
      case 8: t.name = text(r, "a name"); break;
      default: r.skip();
    }
  });
  if (t.name.empty()) t.name = fallback;
  const onnx::TypeInfo* info = onnx::type_info(t.type);
  if (!info)
    refuse("a tensor has the element type " + std::to_string(t.type) + ", which nobody knows", at, t.name,
           "it is damaged, or newer than this graft");

  std::vector<std::byte> typed;
  std::string_view raw;
  bool has_raw = false, segmented = false;
  std::int64_t location = 0;
  std::map<std::string, std::string> ext;
  const auto put = [&](const void* p, std::size_t n) {
    const auto* b = static_cast<const std::byte*>(p);
    typed.insert(typed.end(), b, b + n);
  };
  const auto width = static_cast<std::size_t>(info->bits) / 8;
  // Each type has its field; in another one its numbers would be other numbers.
  const auto field = [&]() -> std::uint32_t {
    switch (t.type) {
      case onnx::kFloat:
      case onnx::kComplex64: return 4;
      case onnx::kDouble:
      case onnx::kComplex128: return 10;
      case onnx::kInt64: return 7;
      case onnx::kUint32:
      case onnx::kUint64: return 11;
      case onnx::kString: return 6;
      default: return 5;
    }
  }();
  each(m, "a tensor", [&](Reader& r) {
    if (const std::uint32_t tag = r.tag(); (tag == 4 || tag == 5 || tag == 7 || tag == 10 || tag == 11) && tag != field)
      refuse("a tensor of " + std::string(info->name) + " with its numbers in field " + std::to_string(tag) + ", which is another type's",
             at, t.name, "it is damaged, export it again");
    switch (r.tag()) {
      case 3:
        segmented = true;
        r.skip();
        break;
      case 4: fixed<float>(r, [&](const char* p, std::size_t n) { put(p, n * 4); }); break;
      case 5:
        integers(r, [&](std::int64_t v) {
          // int32, and whatever is narrower, the bits of 16-bit and 8-bit floats included
          if (width > 4)
            refuse("a tensor of " + std::string(info->stored) + " with its numbers in int32_data, which has no room for them", at, t.name);
          if (width == 0) return put(&v, 1);  // 4-bit numbers, two of them; of text gather() takes nothing
          const std::int32_t low = static_cast<std::int32_t>(v);
          put(&low, width);
        });
        break;
      case 7: integers(r, [&](std::int64_t v) { put(&v, 8); }); break;
      case 9: raw = view(r), has_raw = true; break;
      case 10: fixed<double>(r, [&](const char* p, std::size_t n) { put(p, n * 8); }); break;
      case 11: integers(r, [&](std::int64_t v) { put(&v, width == 4 ? 4 : 8); }); break;
      case 13: {
        std::string key, value;
        pair(view(r), key, value);
        if (!ext.emplace(key, value).second) refuse("external data name " + in_quotes(key) + " twice", at, t.name);
        break;
      }
      case 14: location = integer(r); break;
      default: r.skip();
    }
  });
  if (segmented) refuse("a tensor in segments", at, t.name, "no writer makes them, and graft does not read them");
  if (location == 1 && ext.empty()) refuse("external data without a location", at, t.name);
  if (location != 1) ext.clear();
  gather(t, *info, at, std::move(typed), raw, has_raw, ext);
  return t;
}

void Parser::gather(OnnxTensor& t, const onnx::TypeInfo& info, std::uint64_t at, std::vector<std::byte>&& typed, std::string_view raw,
                    bool has_raw, const std::map<std::string, std::string>& ext) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::uint64_t n = 1;
  for (const std::int64_t d : t.dims) {
    if (d < 0) refuse("a tensor with the negative size " + std::to_string(d), at, t.name);
    if (d && n > most / 128 / static_cast<std::uint64_t>(d)) refuse("a tensor whose size overflows", at, t.name);
    n *= static_cast<std::uint64_t>(d);
  }
  if (info.bits == 0) {  // strings stay unread
    t.at = at;
    return;
  }
  const std::uint64_t wanted = (n * static_cast<std::uint64_t>(info.bits) + 7) / 8;
  const auto number = [&](const char* key) -> std::optional<std::uint64_t> {
    const auto it = ext.find(key);
    if (it == ext.end()) return {};
    std::uint64_t v = 0;
    const auto [end, ec] = std::from_chars(it->second.data(), it->second.data() + it->second.size(), v);
    if (ec != std::errc{} || end != it->second.data() + it->second.size())
      refuse("the external " + std::string(key) + " " + in_quotes(it->second) + " is no number", at, t.name);
    return v;
  };
  if (!ext.empty()) {
    const auto where = ext.find("location");
    if (where == ext.end()) refuse("external data without a location", at, t.name);
    if (!externals) refuse("external data in a tensor that stands alone", at, t.name, "only models have files beside them");
    if (has_raw || !typed.empty()) refuse("a tensor with data both inside and outside", at, t.name);
    const auto file = externals->open(where->second, t.name, at);
    const std::uint64_t size = file->bytes().size(), offset = number("offset").value_or(0), length = number("length").value_or(wanted);
    if (length != wanted)
      refuse("external data of " + std::to_string(length) + " bytes for a tensor of " + std::to_string(wanted), at, t.name);
    if (offset > size || length > size - offset)
      refuse("the external file " + in_quotes(where->second) + " has " + std::to_string(size) + " bytes, and the tensor wants " +
                 std::to_string(length) + " from byte " + std::to_string(offset),
             at, t.name, "the file was cut, get it again");
    t.external = where->second;
    if (const auto sum = ext.find("checksum"); sum != ext.end()) t.checksum = sum->second;
    t.data = file->bytes().subspan(offset, length);
    t.keeper = file;
    t.at = offset;
    if (std::find(external_names.begin(), external_names.end(), t.external) == external_names.end()) external_names.push_back(t.external);
    return;
  }
  if (has_raw && !typed.empty()) refuse("a tensor with raw and typed data", at, t.name);
  if (has_raw || typed.empty()) {
    if (raw.size() != wanted)
      refuse("a tensor of " + std::to_string(wanted) + " bytes has data of " + std::to_string(raw.size()), at, t.name,
             "the file was cut or damaged, get it again");
    t.data = {reinterpret_cast<const std::byte*>(raw.data()), raw.size()};
    t.keeper = keeper_;
    t.at = raw.empty() ? at : place(raw.data());
    return;
  }
  if (typed.size() != wanted)
    refuse("a tensor of " + std::to_string(wanted) + " bytes has typed data of " + std::to_string(typed.size()), at, t.name,
           "the file was cut or damaged, get it again");
  auto owned = std::make_shared<std::vector<std::byte>>(std::move(typed));
  t.data = *owned;
  t.keeper = owned;
}

OnnxAttribute Parser::attribute(std::string_view m, int depth) {
  OnnxAttribute a;
  using Kind = OnnxAttribute::Kind;
  const std::uint64_t at = place(m.data());
  count(at);
  Kind seen = Kind::undefined;
  each(m, "an attribute", [&](Reader& r) {
    switch (r.tag()) {
      case 1: a.name = text(r, "a name"); break;
      case 2: want(r, Wire::fixed32), a.real = r.get_float(), seen = Kind::real; break;
      case 3: a.integer = integer(r), seen = Kind::integer; break;
      case 4: a.text = std::string(view(r)), seen = Kind::text; break;
      case 5: a.tensors.push_back(std::make_shared<OnnxTensor>(tensor(view(r), ""))), seen = Kind::tensor; break;
      case 6: a.graphs.push_back(std::make_shared<OnnxGraphDef>(graph(view(r), depth + 1))), seen = Kind::graph; break;
      case 7:
        fixed<float>(r, [&](const char* p, std::size_t n) {
          const std::size_t old = a.reals.size();
          a.reals.resize(old + n);
          if (n) std::memcpy(a.reals.data() + old, p, n * 4);
        });
        seen = Kind::reals;
        break;
      case 8: integers(r, [&](std::int64_t v) { a.integers.push_back(v); }), seen = Kind::integers; break;
      case 9: count(at), a.texts.emplace_back(view(r)), seen = Kind::texts; break;
      case 10: a.tensors.push_back(std::make_shared<OnnxTensor>(tensor(view(r), ""))), seen = Kind::tensors; break;
      case 11: a.graphs.push_back(std::make_shared<OnnxGraphDef>(graph(view(r), depth + 1))), seen = Kind::graphs; break;
      case 14: r.skip(), seen = Kind::type; break;
      case 15: r.skip(), seen = Kind::types; break;
      case 20: {
        const std::int64_t k = integer(r);
        if (k < 0 || k > 14) refuse("an attribute of the unknown kind " + std::to_string(k), at, a.name);
        a.kind = static_cast<Kind>(k);
        break;
      }
      case 21: a.reference = text(r, "a name"); break;
      case 22: r.skip(), seen = Kind::sparse; break;
      case 23: r.skip(), seen = Kind::sparses; break;
      default: r.skip();
    }
  });
  if (a.kind == Kind::undefined) a.kind = seen;
  if (a.name.empty()) refuse("an attribute without a name", at);
  if (a.reference.empty()) {
    if (a.kind == Kind::tensor && a.tensors.size() != 1)
      refuse("an attribute of one tensor has " + std::to_string(a.tensors.size()), at, a.name);
    if (a.kind == Kind::graph && a.graphs.size() != 1)
      refuse("an attribute of one graph has " + std::to_string(a.graphs.size()), at, a.name);
  }
  return a;
}

OnnxNode Parser::node(std::string_view m, int depth) {
  OnnxNode n;
  n.at = place(m.data());
  count(n.at);
  each(m, "a node", [&](Reader& r) {
    switch (r.tag()) {
      case 1: n.inputs.push_back(text(r, "a name")); break;
      case 2: n.outputs.push_back(text(r, "a name")); break;
      case 3: n.name = text(r, "a name"); break;
      case 4: n.op = text(r, "an operator's name"); break;
      case 5: n.attributes.push_back(attribute(view(r), depth)); break;
      case 7: n.domain = text(r, "a domain"); break;
      case 8: n.overload = text(r, "an overload"); break;
      default: r.skip();
    }
  });
  if (n.domain == "ai.onnx") n.domain.clear();
  if (n.op.empty()) refuse("a node without an operator", n.at, n.name);
  for (std::size_t i = 0; i < n.attributes.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (n.attributes[i].name == n.attributes[j].name)
        refuse("attribute " + in_quotes(n.attributes[i].name) + " stands twice in a node", n.at, n.name);
  return n;
}

OnnxGraphDef Parser::graph(std::string_view m, int depth) {
  if (depth > kMaxDepth) refuse("graphs in graphs, deeper than " + std::to_string(kMaxDepth), place(m.data()));
  OnnxGraphDef g;
  each(m, "a graph", [&](Reader& r) {
    switch (r.tag()) {
      case 1: g.nodes.push_back(node(view(r), depth)); break;
      case 2: g.name = text(r, "a name"); break;
      case 5: g.initialisers.push_back(tensor(view(r), "")); break;
      case 11: g.inputs.push_back(value_info(view(r))); break;
      case 12: g.outputs.push_back(value_info(view(r))); break;
      case 15: ++g.sparse_initialisers, r.skip(); break;
      default: r.skip();
    }
  });
  for (const OnnxTensor& t : g.initialisers)
    if (t.name.empty()) refuse("an initialiser without a name", place(m.data()), g.name);
  return g;
}

OnnxFunction Parser::function(std::string_view m) {
  OnnxFunction f;
  count(place(m.data()));
  each(m, "a function", [&](Reader& r) {
    switch (r.tag()) {
      case 1: f.name = text(r, "a name"); break;
      case 4: f.inputs.push_back(text(r, "a name")); break;
      case 5: f.outputs.push_back(text(r, "a name")); break;
      case 6: f.attributes.push_back(text(r, "a name")); break;
      case 7: f.nodes.push_back(node(view(r), 1)); break;
      case 9: opset(view(r), f.opsets); break;
      case 10: f.domain = text(r, "a domain"); break;
      case 11: f.defaults.push_back(attribute(view(r), 1)); break;
      case 13: f.overload = text(r, "a name"); break;
      default: r.skip();
    }
  });
  return f;
}

std::mutex verified_lock;

}  // namespace

const OnnxAttribute* OnnxNode::find(std::string_view attribute) const {
  for (const OnnxAttribute& a : attributes)
    if (a.name == attribute) return &a;
  return nullptr;
}
std::string OnnxNode::str() const {
  std::string id = name;
  for (const std::string& o : outputs)
    if (id.empty()) id = o;
  std::string kind = (domain.empty() ? "" : domain + ".") + op;  // anything, in a damaged file
  if (kind.size() > 120) kind = kind.substr(0, 120) + "...";
  return in_quotes(id) + " (" + one_line(kind) + ")";
}

bool looks_like_onnx(std::span<const std::byte> head, std::uint64_t size) {
  // ir_version comes first in every writer's files: tag 0x08, a small number. What follows is a field of ModelProto whose length fits.
  if (head.size() < 4 || std::to_integer<int>(head[0]) != 0x08) return false;
  const int version = std::to_integer<int>(head[1]);
  if (version < 1 || version > 100) return false;
  const int tag = std::to_integer<int>(head[2]);
  if (tag != 0x12 && tag != 0x1a && tag != 0x22 && tag != 0x28 && tag != 0x32 && tag != 0x3a && tag != 0x42) return false;
  if (tag == 0x28) return true;
  const char* p = reinterpret_cast<const char*>(head.data()) + 3;
  const char* const end = reinterpret_cast<const char*>(head.data()) + head.size();
  try {
    return protozero::decode_varint(&p, end) <= size;
  } catch (const protozero::exception&) { return false; }
}

std::shared_ptr<const OnnxModel> read_onnx(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const std::span<const std::byte> all = file->bytes();
  auto model = std::make_shared<OnnxModel>();
  model->path = path.string();
  Parser p(model->path, all, file);
  onnx::ExternalFiles externals(path);
  p.externals = &externals;
  int graphs = 0;
  p.each({reinterpret_cast<const char*>(all.data()), all.size()}, "the model", [&](Reader& r) {
    switch (r.tag()) {
      case 1: model->ir_version = p.integer(r); break;
      case 2: model->producer = p.text(r, "the producer"); break;
      case 3: model->producer_version = p.text(r, "the producer's version"); break;
      case 4: model->domain = p.text(r, "the domain"); break;
      case 7: {
        const std::string_view m = p.view(r);
        if (++graphs > 1) p.refuse("a second graph", p.place(m.data()));
        model->graph = p.graph(m, 0);
        break;
      }
      case 8: p.opset(p.view(r), model->opsets); break;
      case 14: {
        std::string key, value;
        p.pair(p.view(r), key, value);
        model->metadata[key] = value;
        break;
      }
      case 25: model->functions.push_back(p.function(p.view(r))); break;
      default: r.skip();
    }
  });
  if (!graphs) p.refuse("an ONNX model without a graph", all.size(), {}, "the file was cut, or is no ONNX model");
  if (model->opsets.empty()) {
    if (model->ir_version >= 3) p.refuse("an ONNX model that imports no opset", all.size(), {}, "the file was cut, get it again");
    model->opsets[""] = 1;
  }
  model->external_files = p.external_names;
  return model;
}

OnnxTensor read_onnx_tensor(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const std::span<const std::byte> all = file->bytes();
  Parser p(path.string(), all, file);
  return p.tensor({reinterpret_cast<const char*>(all.data()), all.size()}, path.stem().string());
}

void verify_external(const OnnxTensor& t, const std::string& model_path) {
  if (t.checksum.empty()) return;
  static std::map<const void*, std::weak_ptr<const void>> verified;
  const std::lock_guard guard(verified_lock);
  if (const auto it = verified.find(t.keeper.get()); it != verified.end() && it->second.lock() == t.keeper) return;
  const auto& file = *static_cast<const MappedFile*>(t.keeper.get());
  const std::string found = sha1_hex(file.bytes());
  std::string wanted = t.checksum;
  for (char& c : wanted)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c + 32);
  if (found != wanted)
    throw Error(Code::input, model_path + ": the external file " + in_quotes(t.external) + " has the SHA-1 " + found +
                                 ", and the model says " + wanted + ", at byte " + std::to_string(t.at) + " (" + in_quotes(t.name) +
                                 "); get it again");
  verified[t.keeper.get()] = t.keeper;
}

}  // namespace graft
