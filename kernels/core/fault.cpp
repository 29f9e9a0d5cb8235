#include "kernels/core/fault.h"

namespace graft {

std::string fault_sentence(FaultKind kind, std::string_view op, std::int64_t position, std::int64_t index, std::int64_t limit) {
  const std::string who = std::string(op) + ": ", at = std::to_string(position), n = std::to_string(limit);
  switch (kind) {
    case FaultKind::id:
      return who + "id " + std::to_string(index) + " at position " + at + " is outside the table of " + n +
             " rows; does the tokenizer belong to this model?";
    case FaultKind::wrapped_index:
      if (index < 0) index -= limit;
      [[fallthrough]];
    case FaultKind::index: return who + "index " + std::to_string(index) + " at position " + at + " is out of range for an axis of " + n;
    case FaultKind::target:
      return who + "target[" + at + "] is " + std::to_string(index) + " but there are " + n +
             " classes; check the labels or the model's number of classes";
  }
  return who + "bad index";
}

}  // namespace graft
