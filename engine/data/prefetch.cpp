#include "engine/data/prefetch.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace graft {

struct Prefetch::Impl {
  Impl(const Loader& loader, int workers, std::int64_t end) : loader(loader), ahead(workers + 1), end(end) {
    try {
      for (int i = 0; i < workers; ++i) threads.emplace_back([this] { work(); });
    } catch (...) {  // a thread that the system has not: those that run are let go
      stop();
      throw;
    }
  }
  ~Impl() { stop(); }
  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopped = true;
    }
    changed.notify_all();
    for (std::thread& t : threads) t.join();
    threads.clear();
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] {
        return stopped || (started && next < wanted + ahead && next < std::max(end, wanted + 1));
      });  // it is not known before where to begin
      if (stopped) return;
      const std::int64_t place = next++, of = run;
      lock.unlock();
      Made made;
      try {
        made.batch = loader.get(place / loader.batches(), place % loader.batches(), nullptr);
      } catch (...) { made.error = std::current_exception(); }
      lock.lock();
      if (of == run) ready.emplace(place, std::move(made));  // else somebody has gone elsewhere meanwhile
      changed.notify_all();
    }
  }
  Batch take(std::int64_t place) {
    std::unique_lock lock(mutex);
    if (place != wanted) {
      ++run;
      ready.clear();
      next = place;
    }
    wanted = place;
    started = true;
    changed.notify_all();
    changed.wait(lock, [&] { return ready.count(place) > 0; });
    Made made = std::move(ready.extract(place).mapped());
    wanted = place + 1;
    changed.notify_all();
    if (made.error) {
      ++run;  // what comes after it is made anew, should anybody ask
      ready.clear();
      next = wanted;
      std::rethrow_exception(made.error);
    }
    return std::move(made.batch);
  }

  struct Made {
    Batch batch;
    std::exception_ptr error;
  };
  const Loader& loader;
  const std::int64_t ahead, end;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::int64_t, Made> ready;  // by place: epoch * batches + batch
  std::int64_t wanted = 0, next = 0;   // the place that is taken next, and the one that is made next
  std::int64_t run = 0;                // of places in a row
  bool started = false, stopped = false;
  std::vector<std::thread> threads;
};

Prefetch::Prefetch(const Loader& loader, int workers, std::int64_t end) : impl_(std::make_unique<Impl>(loader, workers, end)) {}
Prefetch::~Prefetch() = default;
Batch Prefetch::take(std::int64_t epoch, std::int64_t i) {
  impl_->loader.images_in(i);  // there is such a batch
  return impl_->take(epoch * impl_->loader.batches() + i);
}

}  // namespace graft
