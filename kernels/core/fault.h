// A bad index that only a kernel can see. The kernel reads nothing for it, goes on, and leaves a report in its queue's fault word, memory
// that host and device share; the host looks there whenever it has waited for the device anyway (Queue::look) and throws the sentence that
// the host's own check would have said. Of several the first one is kept: the earliest launch, in it the smallest position, whatever the
// order in which threads arrive.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace graft {

enum class FaultKind : std::uint32_t {
  id,             // of a row of a table
  index,          // along an axis
  wrapped_index,  // the same, where the axis' size was added to negative indices before the kernel
  target,         // a class
};
// "embedding: id 512 at position 3 is outside the table of 100 rows; ..."
std::string fault_sentence(FaultKind kind, std::string_view op, std::int64_t position, std::int64_t index, std::int64_t limit);

inline constexpr unsigned long long kNoFault = ~0ull;
inline constexpr int kFaultPositionBits = 44;
struct FaultWord {
  unsigned long long first = kNoFault;  // launch << 44 | position, the smallest that was reported
  unsigned long long held = kNoFault;   // the report that the rest belongs to; equal to `first` once the kernel has ended
  unsigned lock = 0;
  std::uint32_t site = 0;
  std::int64_t index = 0, limit = 0;
};
// Where a launch reports: handed to its kernel by value.
struct FaultSink {
  FaultWord* word = nullptr;
  std::uint32_t launch = 0;  // since the last look; below 2^20
  std::uint32_t site = 0;    // operation and kind, as the queue has noted them
};

}  // namespace graft
