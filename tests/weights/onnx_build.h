// ONNX files for tests, written byte by byte: no library that wrote them could hide what the reader does with damaged ones.
#pragma once
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/temp_folder.h"

namespace graft::onnx_build {

inline std::string varint(std::uint64_t v) {
  std::string s;
  for (; v > 127; v >>= 7) s += static_cast<char>((v & 127) | 128);
  return s + static_cast<char>(v);
}
inline std::string number(int field, std::int64_t v) {
  return varint(static_cast<std::uint64_t>(field) << 3) + varint(static_cast<std::uint64_t>(v));
}
inline std::string bytes(int field, const std::string& v) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 2) + varint(v.size()) + v;
}
inline std::string real(int field, float v) {
  std::string s(4, '\0');
  std::memcpy(s.data(), &v, 4);
  return varint(static_cast<std::uint64_t>(field) << 3 | 5) + s;
}

template <class T>
std::string raw(const std::vector<T>& v) {
  return {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T)};
}
// Of raw data; type 1 is FLOAT, 7 INT64, 9 BOOL, 11 DOUBLE.
inline std::string tensor(const std::string& name, int type, const std::vector<std::int64_t>& dims, const std::string& data) {
  std::string s;
  for (const std::int64_t d : dims) s += number(1, d);
  return s + number(2, type) + bytes(8, name) + bytes(9, data);
}
inline std::string entry(const std::string& key, const std::string& value) { return bytes(1, key) + bytes(2, value); }
inline std::string outside(const std::string& name, const std::vector<std::int64_t>& dims,
                           const std::vector<std::pair<std::string, std::string>>& data) {
  std::string s;
  for (const std::int64_t d : dims) s += number(1, d);
  s += number(2, 1) + bytes(8, name) + number(14, 1);
  for (const auto& [k, v] : data) s += bytes(13, entry(k, v));
  return s;
}

inline std::string attribute(const std::string& name, std::int64_t v) { return bytes(1, name) + number(3, v) + number(20, 2); }
inline std::string attribute(const std::string& name, int v) { return attribute(name, std::int64_t{v}); }
inline std::string attribute(const std::string& name, float v) { return bytes(1, name) + real(2, v) + number(20, 1); }
inline std::string attribute(const std::string& name, const std::vector<std::int64_t>& v) {
  std::string s = bytes(1, name) + number(20, 7);
  for (const std::int64_t e : v) s += number(8, e);
  return s;
}
inline std::string attribute_tensor(const std::string& name, const std::string& t) { return bytes(1, name) + bytes(5, t) + number(20, 4); }
inline std::string attribute_graph(const std::string& name, const std::string& g) { return bytes(1, name) + bytes(6, g) + number(20, 5); }
inline std::string attribute_reference(const std::string& name, const std::string& of) {
  return bytes(1, name) + bytes(21, of) + number(20, 1);
}

inline std::string node(const std::string& op, const std::vector<std::string>& in, const std::vector<std::string>& out,
                        const std::vector<std::string>& attributes = {}, const std::string& name = {}, const std::string& domain = {}) {
  std::string s;
  for (const auto& i : in) s += bytes(1, i);
  for (const auto& o : out) s += bytes(2, o);
  if (!name.empty()) s += bytes(3, name);
  s += bytes(4, op);
  for (const auto& a : attributes) s += bytes(5, a);
  if (!domain.empty()) s += bytes(7, domain);
  return s;
}
inline std::string value(const std::string& name, int type = 1) { return bytes(1, name) + bytes(2, bytes(1, number(1, type))); }
struct GraphParts {
  std::vector<std::string> nodes, initialisers, inputs, outputs;
};
inline std::string graph(const GraphParts& g) {
  std::string s;
  for (const auto& n : g.nodes) s += bytes(1, n);
  s += bytes(2, "test");
  for (const auto& t : g.initialisers) s += bytes(5, t);
  for (const auto& v : g.inputs) s += bytes(11, v);
  for (const auto& v : g.outputs) s += bytes(12, v);
  return s;
}
inline std::string opset(std::int64_t version, const std::string& domain = {}) {
  return (domain.empty() ? "" : bytes(1, domain)) + number(2, version);
}
inline std::string model(const std::string& g, std::int64_t version = 17, const std::string& more = {}) {
  return number(1, 8) + bytes(2, "test") + bytes(7, g) + bytes(8, opset(version)) + more;
}

// A new folder that goes with the test.
struct OnnxFolder : test::TempFolder {
  std::filesystem::path write(const std::string& name, const std::string& content) const {
    test::write_file(path / name, content);
    return path / name;
  }
};

}  // namespace graft::onnx_build
