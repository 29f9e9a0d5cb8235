// One decoder per format, for decode.cpp alone. Each throws Damage with what is wrong; the file's name is put before it in one place.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "engine/data/image.h"

namespace graft {

struct Damage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

Image decode_png(std::span<const std::byte> file);
Image decode_jpeg(std::span<const std::byte> file);  // only where why_not(PictureFormat::jpeg) is empty; so below
Image decode_tiff(std::span<const std::byte> file);
std::string why_not_jpeg();
std::string why_not_tiff();

// Throws Damage for a picture above kPictureLimit or with a side of 0.
void check_picture_size(std::uint64_t height, std::uint64_t width, std::uint64_t bands);

}  // namespace graft
