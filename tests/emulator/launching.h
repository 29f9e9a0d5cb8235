// What the emulator's tests share: a queue, the three orders, and what a kernel that is broken on purpose must throw.
#pragma once
#include <gtest/gtest.h>
#include <regex.h>

#include <string>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/simt/simt.h"

namespace graft::emu {

inline Queue& queue() {
  static Queue q(2, {DeviceKind::emu, 0});
  return q;
}
struct Ordered {  // runs in an order, then goes back
  explicit Ordered(LaneOrder o) { queue().set_lane_order(o); }
  ~Ordered() { queue().set_lane_order(LaneOrder::up); }
};
inline constexpr LaneOrder kOrders[] = {LaneOrder::up, LaneOrder::down, LaneOrder::seeded};

__global__ inline void reverse_block(int* out) {
  GRAFT_SHARED(int, s, [64]);
  s[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x] + __shfl_xor_sync(~0u, 1, 1);
}
inline void expect_usable() {
  std::vector<int> out(4 * 64);
  launch(queue(), reverse_block, 4, 64, 0, out.data());
  for (int i = 0; i < 256; ++i) ASSERT_EQ(out[static_cast<std::size_t>(i)], 64 - i % 64) << "the emulator is broken after a failure";
}

inline bool contains(const char* text, const std::string& expression) {
  regex_t r;
  if (regcomp(&r, expression.c_str(), REG_EXTENDED | REG_NOSUB) != 0) return false;
  const bool yes = regexec(&r, text, 0, nullptr, 0) == 0;
  regfree(&r);
  return yes;
}
// What a launch throws: code and words (a regular expression). Afterwards the emulator works as before.
template <class F>
void expect_error(Code code, const std::string& words, F&& f) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    try {
      f();
      ADD_FAILURE() << "nothing was thrown, wanted: " << words;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      EXPECT_TRUE(contains(e.what(), words)) << e.what() << "\nwanted: " << words;
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
    expect_usable();
  }
}

}  // namespace graft::emu
