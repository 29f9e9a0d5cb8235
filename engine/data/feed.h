// The batches of a loader on the device of a queue. Two pairs of buffers take turns: while the queue works on one batch, the next is put
// into pinned host memory and copied on a stream of its own. On the CPU a batch is what the loader makes. Threads of their own may make
// batches ahead (prefetch.h).
#pragma once
#include <cstdint>
#include <memory>

#include "engine/data/prefetch.h"

namespace graft {

class Feed {
 public:
  // Both outlive the feed. `workers`: threads that make batches ahead; 0: the queue's own threads make each one when it is wanted. `end`:
  // as Prefetch's.
  Feed(const Loader& loader, Queue& q, int workers = 0, std::int64_t end = 0);
  ~Feed();
  // Batch i of an epoch. Its tensors hold until the next get(): after that their memory takes another batch.
  Batch get(std::int64_t epoch, std::int64_t i);
  // Begins with batch i of an epoch, which get() is asked for next. Call it when the work on the present batch has been given to the queue.
  // One batch ahead.
  void prefetch(std::int64_t epoch, std::int64_t i);

 private:
  struct Slot;
  void begin(std::int64_t epoch, std::int64_t i);
  Batch made(std::int64_t epoch, std::int64_t i) { return workers_ ? workers_->take(epoch, i) : loader_.get(epoch, i); }
  const Loader& loader_;
  Queue& q_;
  std::unique_ptr<Prefetch> workers_;
  struct Lanes;
  std::unique_ptr<Lanes> lanes_;  // empty on the CPU
};

}  // namespace graft
