// Streams, events, pinned copies and graphs, on every device there is; what `emu` shows on top, because it does nothing before somebody
// waits.
#include "kernels/core/device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/graph.h"
#include "kernels/core/scope.h"

namespace graft {
namespace {

std::string refusal(Code code, const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << e.what();
    return e.what();
  }
  return "nothing was thrown";
}

class Devices : public testing::TestWithParam<DeviceKind> {
 protected:
  void SetUp() override {
    if (const std::string why = why_not({GetParam(), 0}); !why.empty()) GTEST_SKIP() << why;
    device = {GetParam(), 0};
    queue.emplace(1, device);
  }
  void TearDown() override {
    for (void* p : blocks) memory().release(p);
  }
  DeviceMemory& memory() { return device_memory(device); }
  int* ints(std::size_t n) {  // zeros
    blocks.push_back(memory().allocate(n * sizeof(int)));
    memory().fill(blocks.back(), 0, n * sizeof(int), queue->stream());
    return static_cast<int*>(blocks.back());
  }
  std::vector<int> read(const int* p, std::size_t n) {
    std::vector<int> v(n);
    memory().download(v.data(), p, n * sizeof(int), queue->stream());
    return v;
  }
  static int* words(PinnedBuffer& b) { return reinterpret_cast<int*>(b.bytes()); }
  Device device;
  std::optional<Queue> queue;
  std::vector<void*> blocks;
};
INSTANTIATE_TEST_SUITE_P(On, Devices, testing::Values(DeviceKind::emu, DeviceKind::cuda),
                         [](const auto& i) { return i.param == DeviceKind::cuda ? std::string("cuda") : "emu"; });

TEST_P(Devices, APinnedBufferIsTheCopysUntilItIsWaitedFor) {
  Stream stream(device);
  PinnedBuffer buffer(device, 64 * sizeof(int));
  int* there = ints(64);
  queue->synchronize();  // the zeros are there before another stream writes
  for (int round = 1; round <= 3; ++round) {
    std::iota(words(buffer), words(buffer) + 64, 100 * round);
    buffer.upload(there, 0, 64 * sizeof(int), stream);
    const std::string text = refusal(Code::bug, [&] { buffer.bytes(); });
    EXPECT_NE(text.find("under way"), std::string::npos) << text;
    buffer.wait();
    EXPECT_EQ(read(there, 64)[63], 100 * round + 63);
  }
  EXPECT_NE(refusal(Code::bug, [&] { buffer.upload(there, 8, 64 * sizeof(int), stream); }).find("of 256"), std::string::npos);
}

// Two buffers take turns, as a training loop's batches do: the queue holds for the copy, the copy for the queue's work on what the buffer
// had before.
TEST_P(Devices, AnEventOrdersTwoStreams) {
  Stream stream(device);
  PinnedBuffer buffers[2] = {{device, sizeof(int)}, {device, sizeof(int)}};
  Event copied[2] = {Event(device), Event(device)}, used[2] = {Event(device), Event(device)};
  int *slots = ints(2), *out = ints(8);
  queue->synchronize();
  for (int step = 0; step < 8; ++step) {
    const int s = step % 2;
    buffers[s].wait();
    *words(buffers[s]) = 10 + step;
    used[s].hold(stream.handle());
    buffers[s].upload(slots + s, 0, sizeof(int), stream);
    copied[s].record(stream.handle());
    copied[s].hold(queue->stream());
    memory().copy(out + step, slots + s, sizeof(int), queue->stream());
    used[s].record(queue->stream());
  }
  EXPECT_EQ(read(out, 8), (std::vector<int>{10, 11, 12, 13, 14, 15, 16, 17}));
}

TEST_P(Devices, EmuShowsAForgottenWaitAndABufferThatWasWritten) {
  if (device.kind != DeviceKind::emu) GTEST_SKIP() << "a GPU may be quick enough to hide it";
  Stream stream(device);
  PinnedBuffer buffer(device, sizeof(int));
  int* there = ints(1);
  int* raw = words(buffer);
  *raw = 7;
  buffer.upload(there, 0, sizeof(int), stream);
  EXPECT_EQ(read(there, 1)[0], 0);  // nobody held the queue for it
  stream.synchronize();
  EXPECT_EQ(read(there, 1)[0], 7);
  buffer.wait();
  buffer.upload(there, 0, sizeof(int), stream);
  *raw = 8;
  const std::string text = refusal(Code::bug, [&] { buffer.wait(); });
  EXPECT_NE(text.find("was written while its copy was under way"), std::string::npos) << text;
}

TEST_P(Devices, AGraphRunsAtItsReplaysAndOnlyThen) {
  int *a = ints(4), *b = ints(4);
  Graph graph(*queue);
  EXPECT_NE(refusal(Code::usage, [&] { graph.replay(); }).find("nothing was captured"), std::string::npos);
  graph.capture([&] {
    EXPECT_EQ(queue->capturing(), &graph);
    memory().copy(b, a, 4 * sizeof(int), queue->stream());
    memory().fill(a, 0, 2 * sizeof(int), queue->stream());
  });
  EXPECT_EQ(queue->capturing(), nullptr);
  const std::vector<int> values = {1, 2, 3, 4};
  memory().upload(a, values.data(), 4 * sizeof(int), queue->stream());
  EXPECT_EQ(read(b, 4), (std::vector<int>{0, 0, 0, 0}));
  graph.replay();
  EXPECT_EQ(read(b, 4), values);
  EXPECT_EQ(read(a, 4), (std::vector<int>{0, 0, 3, 4}));
  graph.replay();
  EXPECT_EQ(read(b, 4), (std::vector<int>{0, 0, 3, 4}));
}

TEST_P(Devices, WhatTheHostDoesInACaptureIsRefusedByTheOperationsName) {
  int* a = ints(1);
  int here = 5;
  Graph graph(*queue);
  const auto refused = [&](const std::function<void()>& f) {
    return refusal(Code::usage, [&] {
      graph.capture([&] {
        const OpScope scope("argmax", [](const void*) { return std::string("argmax(axis=1) of f32[4,10]"); });
        memory().fill(a, 0, sizeof(int), queue->stream());
        f();
      });
    });
  };
  const std::string read_text = refused([&] { memory().download(&here, a, sizeof(int), queue->stream()); });
  EXPECT_EQ(read_text.find("argmax(axis=1) of f32[4,10]: the host reads device memory while a graph is captured"), 0u) << read_text;
  EXPECT_NE(refused([&] { memory().upload(a, &here, sizeof(int), queue->stream()); }).find("the host writes device memory"),
            std::string::npos);
  EXPECT_NE(refused([&] { queue->synchronize(); }).find("the host waits"), std::string::npos);
  EXPECT_NE(refused([&] { graph.capture([] {}); }).find("being captured"), std::string::npos);
  EXPECT_FALSE(graph.captured());
  memory().upload(a, &here, sizeof(int), queue->stream());  // the queue is as before
  EXPECT_EQ(read(a, 1)[0], 5);
}

TEST_P(Devices, AGraphKeepsTheScratchItWasCapturedWith) {
  int* out = ints(1024);
  std::byte* first = queue->scratch(4096);
  Graph graph(*queue);
  graph.capture([&] {
    std::byte* s = queue->scratch(4096);
    EXPECT_EQ(s, first);
    memory().fill(s, 0, 4096, queue->stream());
    std::byte* larger = queue->scratch(1 << 16);  // grows in the middle
    EXPECT_NE(larger, s);
    memory().fill(larger, 0, 1 << 16, queue->stream());
    memory().copy(out, s, 4096, queue->stream());
  });
  queue->scratch(1 << 20);  // the queue lets go of both
  std::vector<int> ones(1024, 1);
  memory().upload(out, ones.data(), 4096, queue->stream());
  graph.replay();
  EXPECT_EQ(read(out, 1024), std::vector<int>(1024, 0));
}

TEST(Graphs, AreNotForTheCpu) {
  Queue q(1);
  EXPECT_NE(refusal(Code::usage, [&] { Graph g(q); }).find("CPU"), std::string::npos);
}

TEST(Scopes, SayWhatRuns) {
  EXPECT_EQ(running(), "");
  {
    const KernelScope kernel("softmax", "emu.1_warp_row");
    EXPECT_EQ(running(), "kernel softmax=emu.1_warp_row");
    EXPECT_EQ(running_name(), "softmax");
    const int axis = 3;
    const OpScope op(
        "softmax", [](const void* a) { return "softmax(axis=" + std::to_string(*static_cast<const int*>(a)) + ")"; }, &axis);
    EXPECT_EQ(running(), "softmax(axis=3), kernel softmax=emu.1_warp_row");
    {
      const OpScope inner("add");
      EXPECT_EQ(running_name(), "add");
    }
    EXPECT_EQ(running_name(), "softmax");
  }
  EXPECT_EQ(running(), "");
}

}  // namespace
}  // namespace graft
