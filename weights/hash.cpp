#include "weights/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstdio>

#include "engine/ops/ops.h"

namespace graft {
namespace {
std::string digits_of(XXH128_hash_t h) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(h.high64), static_cast<unsigned long long>(h.low64));
  return text;
}
}  // namespace

std::string bytes_hash(std::span<const std::byte> bytes) { return digits_of(XXH3_128bits(bytes.data(), bytes.size())); }

std::string weights_hash(std::vector<std::pair<std::string, Tensor>> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string head;
  UseQueue host(host_queue());
  XXH3_state_t* state = XXH3_createState();
  XXH3_128bits_reset(state);
  for (const auto& [name, t] : tensors) {
    const Tensor dense = contiguous(t.detach().to({}));
    head = name + '\0' + dense.str() + '\0';
    XXH3_128bits_update(state, head.data(), head.size());
    XXH3_128bits_update(state, dense.raw(), static_cast<std::size_t>(dense.bytes()));
  }
  const XXH128_hash_t h = XXH3_128bits_digest(state);
  XXH3_freeState(state);
  return digits_of(h);
}

}  // namespace graft
