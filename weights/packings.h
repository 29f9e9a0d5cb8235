// Weights that a quantiser packed into tensors of its own. A container holds them like any others, so nothing but their names and shapes
// says that a layer's numbers are four or eight bits that belong to scales beside them. graft unpacks none of these: `inspect` names the
// method, and what would read them as weights is refused.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "weights/source.h"

namespace graft {

struct Packing {
  std::string method;      // "GPTQ", "AWQ", "bitsandbytes (4 bits, nf4)", ...
  std::size_t tensor = 0;  // the first that says so: index into Source::tensors
  std::size_t layers = 0;  // that are packed so
};
// Nothing where the weights are plain, or of a container that has types for its blocks (GGUF).
std::optional<Packing> packing_of(const Source& source);
// Error(input) naming the method, where there is one.
void refuse_packed(const Source& source);

}  // namespace graft
