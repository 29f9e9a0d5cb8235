// The batches of a loader on the device of a queue. Two pairs of buffers take turns: while the queue works on one batch, the next is made into pinned host
// memory and copied on a stream of its own. On the CPU a batch is what the loader makes.
#pragma once
#include <cstdint>
#include <memory>

#include "engine/data/dataset.h"

namespace graft {

class Feed {
 public:
  Feed(const Loader& loader, Queue& q);  // both outlive the feed
  ~Feed();
  // Batch i of an epoch. Its tensors hold until the next get(): after that their memory takes another batch.
  Batch get(std::int64_t epoch, std::int64_t i);
  // Begins with batch i of an epoch, which get() is asked for next. Call it when the work on the present batch has been given to the queue. One batch ahead.
  void prefetch(std::int64_t epoch, std::int64_t i);

 private:
  struct Slot;
  void begin(std::int64_t epoch, std::int64_t i);
  const Loader& loader_;
  Queue& q_;
  struct Lanes;
  std::unique_ptr<Lanes> lanes_;  // empty on the CPU
};

}  // namespace graft
