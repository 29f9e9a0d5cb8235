#include "kernels/core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "kernels/core/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace graft {
namespace {
inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}
// How long a worker looks for work before it sleeps. A sleeping one takes up to 100 us to wake (measured in a virtual machine: an eighth of
// a product at 512^3), so this is long enough that a training step's next kernel finds its workers awake, also where the host does
// something else between two kernels, and short enough that an idle process does not hold a core.
constexpr std::chrono::microseconds kAwake{500};
// Turns of a caller that waits for its workers before it yields.
constexpr int kSpins = 4000;
thread_local const void* current_pool = nullptr;  // set while a thread runs a task of that pool:
thread_local int current_worker = 0;              // a nested call runs inline under the same number
}  // namespace

struct ThreadPool::Impl {
  struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  int count;
  std::vector<Share> shares;
  std::vector<std::thread> workers;

  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> generation{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> quit{false};
  std::atomic<int> busy{0};
  Body body = nullptr;
  void* self = nullptr;

  std::mutex error_mutex;
  std::exception_ptr error;
  std::int64_t error_task = 0;

  explicit Impl(int n) : count(n), shares(n) {}

  void stop() {
    {
      std::lock_guard lock(mutex);
      quit.store(true);
    }
    wake.notify_all();
    for (auto& t : workers) t.join();
  }

  void work(int worker) {
    current_pool = this;
    current_worker = worker;
    for (int k = 0; k < count; ++k) {
      Share& s = shares[(worker + k) % count];
      for (;;) {
        const std::int64_t t = s.next.fetch_add(1, std::memory_order_relaxed);
        if (t >= s.end) break;
        try {
          body(self, t, worker);
        } catch (...) {
          std::lock_guard lock(error_mutex);
          if (!error || t < error_task) {
            error = std::current_exception();
            error_task = t;
          }
        }
      }
    }
    current_pool = nullptr;
  }

  void loop(int worker) {
    std::uint64_t seen = 0;
    for (;;) {
      const auto since = std::chrono::steady_clock::now();
      for (int spins = 1; generation.load(std::memory_order_acquire) == seen && !quit.load(std::memory_order_relaxed); ++spins) {
        if (spins % 64 != 0 || std::chrono::steady_clock::now() - since < kAwake) {
          relax();
          continue;
        }
        std::unique_lock lock(mutex);
        sleepers.fetch_add(1);
        wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen || quit.load(); });
        sleepers.fetch_sub(1);
      }
      if (quit.load(std::memory_order_relaxed)) return;
      seen = generation.load(std::memory_order_acquire);
      work(worker);
      busy.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>(std::max(1, threads))) {
  try {
    for (int w = 1; w < impl_->count; ++w) impl_->workers.emplace_back([this, w] { impl_->loop(w); });
  } catch (const std::system_error&) {  // those that run are let go: a condition that they wait on cannot be destroyed
    const std::string most = std::to_string(impl_->workers.size() + 1);
    impl_->stop();
    throw Error(Code::usage, std::to_string(threads) + " threads: the system allows no more than " + most + "; use --threads " + most);
  }
}

ThreadPool::~ThreadPool() { impl_->stop(); }

int ThreadPool::threads() const { return impl_->count; }

void ThreadPool::run_erased(std::int64_t tasks, Body body, void* self) {
  if (tasks <= 0) return;
  Impl& p = *impl_;
  const bool nested = current_pool == &p;
  if (tasks == 1 || p.count == 1 || nested) {
    const int worker = nested ? current_worker : 0;
    for (std::int64_t t = 0; t < tasks; ++t) body(self, t, worker);
    return;
  }
  p.body = body;
  p.self = self;
  p.error = nullptr;
  for (int w = 0; w < p.count; ++w) {
    p.shares[w].next.store(tasks * w / p.count, std::memory_order_relaxed);
    p.shares[w].end = tasks * (w + 1) / p.count;
  }
  p.busy.store(p.count - 1, std::memory_order_relaxed);
  {
    // The lock orders this store against a worker that is about to sleep: it either sees the new generation or is woken.
    std::lock_guard lock(p.mutex);
    p.generation.fetch_add(1, std::memory_order_release);
  }
  if (p.sleepers.load() > 0) p.wake.notify_all();
  p.work(0);
  // The others are at most one task away from done.
  for (int spins = 0; p.busy.load(std::memory_order_acquire) != 0;)
    if (++spins < kSpins) relax();
    else std::this_thread::yield();
  if (p.error) std::rethrow_exception(p.error);
}

}  // namespace graft
