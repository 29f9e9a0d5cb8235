// The block types of ggml (weights/stored_type.h has their sizes): 32 to 256 weights in a few bytes each, with one or two scales.
// Dequantised bit for bit as ggml's reference does it, and quantised for writing. Who they are for: the readers and writers of GGUF.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace graft {

// `blocks` blocks of the type `name` at `from`, to blocks * elements floats. Throws Error(bug) for a name that stored_type does not know as
// a block.
void dequantise_blocks(std::string_view name, const std::byte* from, std::size_t blocks, float* to);

// Whether graft writes the type: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q1_0, Q2_0, TQ1_0, TQ2_0, MXFP4, and Q2_K to Q6_K.
bool quantises(std::string_view name);

// blocks * elements floats to `blocks` blocks; the same bytes for any number of threads. The first-named types as ggml's reference makes
// them, bit for bit; the K types by a search of graft's own for the least squared error (ggml_k_search.cpp). Throws Error(input) for values
// that no block can hold, naming the element: NaN, infinities, and what makes a scale that is above f16's largest number.
void quantise_blocks(std::string_view name, const float* from, std::size_t blocks, std::byte* to);

// ---- for the files that hold the types ----
struct BlockCodec {
  std::string_view name;
  int elements, bytes;
  void (*dequantise)(const std::uint8_t* from, std::size_t blocks, float* to);
  void (*quantise)(const float* from, std::size_t blocks, std::uint8_t* to);  // nullptr: only read
  float largest;  // |x| up to this gives scales that f16 holds; checked before quantise is called
};

}  // namespace graft
