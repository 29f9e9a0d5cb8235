// Reads an event file back, by hand: framing, checksums, and of each event what a test asks for. Shares nothing with the writer but the
// checksum.
#pragma once
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/train/events.h"

namespace graft::test {

struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string version;
  bool starts = false;  // SessionLog START
  std::map<std::string, float> scalars;
};

// A protocol buffer's fields in order: f(number, value of a varint or fixed field, bytes of a length-delimited one).
template <class F>
void fields(std::string_view s, F&& f) {
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
      if (at >= s.size() || shift > 63) throw std::runtime_error("a varint does not end");
      const auto b = static_cast<unsigned char>(s[at++]);
      v |= std::uint64_t{b & 0x7fu} << shift;
      if (b < 0x80) return v;
    }
  };
  const auto take = [&](std::uint64_t n) {
    if (n > s.size() - at) throw std::runtime_error("a field is longer than its message");
    at += static_cast<std::size_t>(n);
    return s.substr(at - static_cast<std::size_t>(n), static_cast<std::size_t>(n));
  };
  while (at < s.size()) {
    const std::uint64_t key = varint();
    std::uint64_t number = 0;
    std::string_view bytes;
    switch (key & 7) {
      case 0: number = varint(); break;
      case 1: std::memcpy(&number, take(8).data(), 8); break;
      case 2: bytes = take(varint()); break;
      case 5: std::memcpy(&number, take(4).data(), 4); break;
      default: throw std::runtime_error("an unknown wire type");
    }
    f(static_cast<int>(key >> 3), number, bytes);
  }
}

template <class To>
To bits(std::uint64_t from) {
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

inline std::vector<Event> read_events(std::string_view file) {
  std::vector<Event> all;
  std::size_t at = 0;
  const auto number = [&]<class Int>(Int) {
    if (file.size() - at < sizeof(Int)) throw std::runtime_error("the file ends within a record");
    Int v;
    std::memcpy(&v, file.data() + at, sizeof v);
    at += sizeof v;
    return v;
  };
  while (at < file.size()) {
    const std::string_view length_bytes = file.substr(at, 8);
    const auto length = number(std::uint64_t{});
    if (number(std::uint32_t{}) != masked(crc32c(length_bytes))) throw std::runtime_error("the checksum of a length is wrong");
    if (length > file.size() - at) throw std::runtime_error("the file ends within a record");
    const std::string_view data = file.substr(at, static_cast<std::size_t>(length));
    at += static_cast<std::size_t>(length);
    if (number(std::uint32_t{}) != masked(crc32c(data))) throw std::runtime_error("the checksum of a record is wrong");
    Event e;
    fields(data, [&](int field, std::uint64_t v, std::string_view bytes) {
      if (field == 1) e.wall_time = bits<double>(v);
      if (field == 2) e.step = static_cast<std::int64_t>(v);
      if (field == 3) e.version = bytes;
      if (field == 7) fields(bytes, [&](int f, std::uint64_t status, std::string_view) { e.starts = e.starts || (f == 1 && status == 1); });
      if (field == 5)
        fields(bytes, [&](int f, std::uint64_t, std::string_view one) {
          if (f != 1) return;
          std::string tag;
          float scalar = 0;
          fields(one, [&](int part, std::uint64_t w, std::string_view text) {
            if (part == 1) tag = text;
            if (part == 2) scalar = bits<float>(w);
          });
          e.scalars[tag] = scalar;
        });
    });
    all.push_back(e);
  }
  return all;
}

}  // namespace graft::test
