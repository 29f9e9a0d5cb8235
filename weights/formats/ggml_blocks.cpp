// Which codec a name is, and the cut into pieces that threads may take.
#include "weights/formats/ggml_blocks.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/base/context.h"
#include "weights/formats/ggml_codecs.h"

namespace graft {
namespace {

constexpr std::size_t kPiece = 65536;  // elements: a piece's floats fit a second-level cache

const BlockCodec& codec_of(std::string_view name) {
  for (const auto table : {simple_codecs(), k_codecs(), iq_codecs(), low_codecs()})
    for (const BlockCodec& c : table)
      if (c.name == name) return c;
  throw Error(Code::bug, "ggml blocks: " + std::string(name) + " is not a block type");
}

// f(first block, number) over all blocks; a short tensor does not wake the pool.
template <class F>
void in_pieces(const BlockCodec& codec, std::size_t blocks, F&& f) {
  const std::size_t grain = kPiece / static_cast<std::size_t>(codec.elements);
  if (blocks <= grain) return f(std::size_t{0}, blocks);
  parallel_ranges(host_queue().pool(), static_cast<std::int64_t>(blocks), static_cast<std::int64_t>(grain),
                  [&](std::int64_t b, std::int64_t e) { f(static_cast<std::size_t>(b), static_cast<std::size_t>(e - b)); });
}

// The largest |x|, NaN and infinity above all: their bits, without the sign, order as numbers do.
std::uint32_t largest_bits(const float* x, std::size_t n) {
  std::int32_t most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::int32_t bits;
    std::memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    most = bits > most ? bits : most;
  }
  return static_cast<std::uint32_t>(most);
}

}  // namespace

void dequantise_blocks(std::string_view name, const std::byte* from, std::size_t blocks, float* to) {
  const BlockCodec& codec = codec_of(name);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(from);
  in_pieces(codec, blocks, [&](std::size_t first, std::size_t n) {
    codec.dequantise(bytes + first * static_cast<std::size_t>(codec.bytes), n, to + first * static_cast<std::size_t>(codec.elements));
  });
}

bool quantises(std::string_view name) {
  for (const auto table : {simple_codecs(), k_codecs(), iq_codecs(), low_codecs()})
    for (const BlockCodec& c : table)
      if (c.name == name) return c.quantise != nullptr;
  return false;
}

void quantise_blocks(std::string_view name, const float* from, std::size_t blocks, std::byte* to) {
  const BlockCodec& codec = codec_of(name);
  if (!codec.quantise) throw Error(Code::bug, "quantise_blocks: " + std::string(name) + " is only read");
  auto* bytes = reinterpret_cast<std::uint8_t*>(to);
  in_pieces(codec, blocks, [&](std::size_t first, std::size_t n) {
    const float* x = from + first * static_cast<std::size_t>(codec.elements);
    const std::size_t count = n * static_cast<std::size_t>(codec.elements);
    const float most = std::bit_cast<float>(largest_bits(x, count));
    if (!(most <= codec.largest))
      for (std::size_t i = 0; i < count; ++i)
        if (!(std::abs(x[i]) <= codec.largest))
          throw Error(Code::input, "element " + std::to_string(static_cast<std::size_t>(x - from) + i) + " is " + std::to_string(x[i]) +
                                       ", which " + std::string(name) + " cannot hold; write the tensor as F32");
    codec.quantise(x, n, bytes + first * static_cast<std::size_t>(codec.bytes));
  });
}

}  // namespace graft
