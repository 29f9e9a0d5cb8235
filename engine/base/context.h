// The execution context of a thread: its default queue (device, pool, scratch) and the device memory behind tensors.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/queue.h"

namespace graft {

// The queue that operations of this thread run on. Made on first use with hardware_concurrency() threads on the CPU.
Queue& current_queue();
// Operations of this thread run on `q` until the scope ends.
class UseQueue {
 public:
  explicit UseQueue(Queue& q);
  ~UseQueue();
  UseQueue(const UseQueue&) = delete;
  UseQueue& operator=(const UseQueue&) = delete;

 private:
  Queue* before_;
};
// A queue on the CPU, whatever the device of this thread's operations: for data that is read, written and hashed on the host.
Queue& host_queue();

// Bytes handed out, kept for reuse, kept for the replays of graphs, and the most that were ever handed out at once.
struct MemoryStats {
  std::int64_t in_use = 0, cached = 0, pooled = 0, peak = 0, limit = 0;
  std::int64_t allocations = 0, reused = 0;
};

// A caching allocator, one per device: freed blocks are kept by size class and handed out again, so that a training step touches the same
// pages each time. Thread safe. Blocks are 64-byte aligned. What is handed out while a graph is captured (kernels/core/graph.h) stays the
// graph's until it dies, so that its replays find the same addresses and nobody else's data there.
class Allocator {
 public:
  ~Allocator();
  static Allocator& of(Device d);      // Error(device) when the device cannot be used
  void* allocate(std::int64_t bytes);  // throws Error(memory) with the largest live blocks by name
  void free(void* p, std::int64_t bytes);
  void label(void* p, const std::string& name);  // shown by the out-of-memory error
  void set_limit(std::int64_t bytes);            // 0: no limit but the machine's
  MemoryStats stats() const;
  void trim();  // give cached blocks back to the system

 private:
  explicit Allocator(Device d);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace graft
