#include "engine/train/events.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <protozero/pbf_writer.hpp>

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";
// Numbers of the fields, by message.
namespace event {
constexpr int wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7;
}
namespace summary {
constexpr int value = 1;
}
namespace value {
constexpr int tag = 1, simple_value = 2;
}
namespace session_log {
constexpr int status = 1, start = 1;
}

double wall_time() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string host_name() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || !name[0]) return "localhost";
  std::string s = name;
  std::replace(s.begin(), s.end(), '/', '_');
  return s;
}

// The seconds in the names of the event files that are there, at most.
std::int64_t newest(const fs::path& folder) {
  std::int64_t most = 0;
  std::error_code ec;
  for (const auto& e : fs::directory_iterator(folder, ec)) {
    const std::string name = e.path().filename().string();
    std::int64_t seconds = 0;
    if (name.starts_with(kPrefix) && std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), seconds).ec == std::errc{})
      most = std::max(most, seconds);
  }
  return most;
}

template <class Int>
std::string little_endian(Int v) {
  std::string s;
  for (std::size_t i = 0; i < sizeof v; ++i) s += static_cast<char>(v >> 8 * i & 0xff);
  return s;
}

std::string begin_event(std::int64_t step) {
  std::string bytes;
  protozero::pbf_writer w(bytes);
  w.add_double(event::wall_time, wall_time());
  w.add_int64(event::step, step);
  return bytes;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
      t[i] = c;
    }
    return t;
  }();
  std::uint32_t c = 0xffffffffu;
  for (const char b : bytes) c = table[(c ^ static_cast<unsigned char>(b)) & 0xff] ^ c >> 8;
  return ~c;
}
std::uint32_t masked(std::uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

EventWriter::EventWriter(const fs::path& folder, std::int64_t step) {
  const std::int64_t seconds =
      std::max(static_cast<std::int64_t>(wall_time()), newest(folder) + 1);  // two within a second: the later one must sort behind
  path_ = folder / (std::string(kPrefix) + std::to_string(seconds) + "." + host_name() + "." + std::to_string(getpid()) + ".0");
  out_.open(path_, std::ios::binary);
  std::string version = begin_event(0);
  protozero::pbf_writer(version).add_string(event::file_version, "brain.Event:2");
  record(version);
  // TensorBoard drops what is at this step or later, so it is the first one that is to come.
  std::string start = begin_event(step + 1);
  {
    protozero::pbf_writer w(start);
    protozero::pbf_writer log(w, event::session_log);
    log.add_enum(session_log::status, session_log::start);
  }
  record(start);
}

void EventWriter::scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::string bytes = begin_event(step);
  {
    protozero::pbf_writer w(bytes);
    protozero::pbf_writer all(w, event::summary);
    for (const auto& [tag, number] : values) {
      protozero::pbf_writer one(all, summary::value);
      one.add_string(value::tag, tag);
      one.add_float(value::simple_value, static_cast<float>(number));
    }
  }
  record(bytes);
}

void EventWriter::record(const std::string& data) {
  const std::string length = little_endian(static_cast<std::uint64_t>(data.size()));
  out_ << length << little_endian(masked(crc32c(length))) << data << little_endian(masked(crc32c(data)));
}

}  // namespace graft
