// TensorBoard's event files: records of TFRecord (length, its checksum, bytes, their checksum), each a protocol buffer `Event`.
// Formats: tensorflow/core/lib/io/record_writer.cc; tensorboard/compat/proto/event.proto and summary.proto.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace graft {

// CRC-32C (Castagnoli, polynomial 0x1EDC6F41, reflected) of `bytes`: RFC 3720, B.4.
std::uint32_t crc32c(std::string_view bytes);
// As TFRecord stores it, so that a checksum of bytes that hold checksums stays good: rotated right by 15, plus 0xa282ead8.
std::uint32_t masked(std::uint32_t crc);

class EventWriter {
 public:
  // A new file in `folder`: events.out.tfevents.SECONDS.HOST.PID.0, with a name behind that of every older one, because TensorBoard reads a
  // folder in the order of names. It says that a session starts after `step` updates: what older files have of later steps does not count,
  // and TensorBoard drops it.
  EventWriter(const std::filesystem::path& folder, std::int64_t step);
  // One event with a number for each tag.
  void scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void flush() { out_.flush(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  void record(const std::string& event);
  std::filesystem::path path_;
  std::ofstream out_;
};

}  // namespace graft
