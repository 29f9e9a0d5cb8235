// libFuzzer's entry for one target, GRAFT_FUZZ_TARGET. An exception that leaves it ends the process, which libFuzzer reports with the input
// that did it.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const graft::fuzz::FuzzTarget& target = *graft::fuzz::find_target(GRAFT_FUZZ_TARGET);
  graft::fuzz::parse(target, {reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
