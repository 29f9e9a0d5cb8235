// Memory of a device, seen from the host: what lies behind an allocator, and the copies in and out. `emu` has the host's memory; everything
// above treats it as if it had its own, so that a host access that would fault on a GPU is an error there too.
#pragma once
#include <cstddef>
#include <string>

#include "kernels/core/queue.h"

namespace graft {

// What bounds a device before anything is measured; 0 where it does not say.
struct DeviceFacts {
  int multiprocessors = 0;
  double clock_hz = 0, memory_bytes_per_s = 0;  // at most, as the device states them
  std::size_t cache_bytes = 0;                  // the last level
};

class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual void* allocate(std::size_t bytes) = 0;  // aligned to at least 64; nullptr when it does not fit
  virtual void release(void* p) = 0;
  // In order with the work of `stream`; upload and download return when the bytes have arrived. During a capture fill and copy are
  // recorded, the others are Error(usage): the host cannot read what has not run, and what it writes would be gone at the replay.
  virtual void upload(void* device, const void* host, std::size_t bytes, void* stream) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes, void* stream) = 0;
  virtual void fill(void* device, int byte, std::size_t bytes, void* stream) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes, void* stream) = 0;  // within the device
  // Memory of the host that copies go from and to without a detour and that kernels reach at the same address; nullptr when there is no
  // more.
  virtual void* allocate_pinned(std::size_t bytes) = 0;
  virtual void release_pinned(void* p) = 0;
  // Returns at once; the pinned bytes must stay as they are until the stream has come so far.
  virtual void upload_async(void* device, const void* pinned, std::size_t bytes, void* stream) = 0;

  virtual void* make_stream() { return nullptr; }
  virtual void end_stream(void*) {}
  virtual void synchronize(void*) {}  // throws Error(device) when work on the stream has failed
  virtual void* make_event() { return nullptr; }
  virtual void end_event(void*) {}
  virtual void record_event(void* event, void* stream) = 0;  // marks what the stream has been given so far
  virtual void wait_event(void* stream, void* event) = 0;    // the stream goes on when the mark is reached
  virtual void finish_event(void* event) = 0;                // the host does

  // Graph (kernels/core/graph.h) is how these are called.
  virtual void begin_capture(void* stream) = 0;
  virtual void abort_capture(void* stream) noexcept = 0;
  virtual void* end_capture(void* stream) = 0;
  virtual void replay(void* graph, void* stream) = 0;
  virtual void end_graph(void* graph) noexcept = 0;

  // Time on the device: a mark is set in the order of a stream's work. On the host, whose calls return when they are done, it is the steady
  // clock's reading.
  virtual void* make_mark();
  virtual void end_mark(void* mark);
  virtual void set_mark(void* mark, void* stream);
  // The stream waits some 50 us, so that the host is done queueing what is timed before the device begins it: else a mark sees the host's
  // launch latency.
  virtual void head_start(void*) {}
  virtual double seconds_between(void* first, void* second);  // waits for both
  virtual DeviceFacts facts() { return {}; }
};

// Work in order beside that of a queue.
class Stream {
 public:
  explicit Stream(Device d);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  Device device() const { return device_; }
  void* handle() const { return handle_; }
  void synchronize();

 private:
  Device device_;
  void* handle_;
};

// A mark in a stream's or queue's work. One that was never recorded is reached.
class Event {
 public:
  explicit Event(Device d);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(void* stream);
  void hold(void* stream);  // what the stream gets from now on begins when the mark is reached
  void wait();              // the host does

 private:
  Device device_;
  void* handle_;
  bool recorded_ = false;
};

// Host memory that is copied to a device while the host goes on. Between upload() and wait() its bytes belong to the copy: bytes() is
// Error(bug) then, on every device, whether or not the copy happens to be done.
class PinnedBuffer {
 public:
  PinnedBuffer(Device d, std::size_t size);
  ~PinnedBuffer();  // waits
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  std::size_t size() const { return size_; }
  std::byte* bytes();
  void upload(void* device, std::size_t from, std::size_t count, Stream& stream);  // bytes [from, from + count)
  void wait();

 private:
  Device device_;
  std::size_t size_;
  std::byte* data_;
  Event copied_;
  bool under_way_ = false;
};

// Throws Error(device), one line with the reason, when the device cannot be used: not built, no driver, no such index.
DeviceMemory& device_memory(Device d);
// Empty when `d` can be used, else why not.
std::string why_not(Device d);
// "cuda:0: NVIDIA H100 80GB, compute capability 9.0, 79 GiB", or what was looked for and not found. For `graft doctor`.
std::string describe(Device d);
// Where a GPU sits on the bus, "0000:65:00.0": its name for tools that number GPUs otherwise (CUDA_VISIBLE_DEVICES). Empty for other
// devices.
std::string bus_id(Device d);
// Compute capability of the GPU that this thread uses, 90 for 9.0; 0 without one.
int gpu_capability();
// "cpu", "emu", "cuda", "cuda:1", "auto" (a GPU if there is one, else the CPU). Throws Error(usage) for another spelling, Error(device) as
// device_memory.
Device parse_device(const std::string& text);

}  // namespace graft
