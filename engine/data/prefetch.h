// Threads that make a loader's batches before they are asked for. Each batch is made by one thread alone and is a function of its place, so
// that the stream is the same for any number of threads and can be entered anywhere.
#pragma once
#include <cstdint>
#include <memory>

#include "engine/data/dataset.h"

namespace graft {

class Prefetch {
 public:
  // `workers` threads (at least 1) hold up to workers + 1 batches ready. `end`: batches, counted over all epochs, after which none is made
  // ahead. The loader outlives the object.
  Prefetch(const Loader& loader, int workers, std::int64_t end);
  ~Prefetch();
  // Batch i of an epoch; waits until it is made. The next ones follow it. What its making threw is thrown here.
  Batch take(std::int64_t epoch, std::int64_t i);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace graft
