// Where and in what order kernels run: a device, its stream, the host pool, and scratch memory that grows and is reused.
// Work on one queue is in order. On the CPU a call returns when the work is done.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "kernels/core/thread_pool.h"

namespace graft {

enum class DeviceKind { cpu, emu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  friend bool operator==(const Device&, const Device&) = default;
};
std::string name_of(Device d);  // "cpu", "emu", "cuda:0"

// In which order the emulator runs the threads of a block. A kernel whose result depends on it has a race or lacks a barrier.
enum class LaneOrder { up, down, seeded };

class Queue {
 public:
  explicit Queue(int threads, Device device = {});
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  Device device() const { return device_; }
  ThreadPool& pool() { return pool_; }
  int threads() const { return pool_.threads(); }
  LaneOrder lane_order() const { return order_; }
  void set_lane_order(LaneOrder order) { order_ = order; }
  void* stream() const { return stream_; }  // a cudaStream_t; nullptr is the default stream and what the host has

  // At least `bytes` of 64-byte aligned scratch on the device, valid until the next call: what a variant asked for in its table row.
  std::byte* scratch(std::size_t bytes);
  std::size_t scratch_bytes() const { return capacity_; }

 private:
  Device device_;
  ThreadPool pool_;
  LaneOrder order_ = LaneOrder::up;
  void* stream_ = nullptr;
  std::byte* scratch_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace graft
