// A pool whose results do not depend on how many threads it has: work is cut into tasks by size, each task is a function of its
// index alone, and a reduction combines its partial results in index order. Which thread runs a task is the pool's own affair:
// every worker starts on its own contiguous share (so that data stays in its cache from call to call) and steals when done.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

namespace graft {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // the calling thread counts as one; threads >= 1
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // f(task, worker) for every task in [0, tasks), worker in [0, threads()). Returns when all are done. An exception of the lowest
  // failing task is rethrown. A call from inside a task runs inline, as that worker. One caller at a time.
  template <class F>
  void run(std::int64_t tasks, F&& f) {
    run_erased(
        tasks, [](void* self, std::int64_t t, int w) { (*static_cast<std::remove_reference_t<F>*>(self))(t, w); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  using Body = void (*)(void*, std::int64_t, int);
  void run_erased(std::int64_t tasks, Body body, void* self);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// f(begin, end) over [0, n) in pieces of `grain` (the last one shorter). The cut depends on n and grain only.
template <class F>
void parallel_ranges(ThreadPool& pool, std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  const std::int64_t tasks = (n + grain - 1) / grain;
  if (tasks == 1) {
    f(std::int64_t{0}, n);
    return;
  }
  pool.run(tasks, [&](std::int64_t t, int) {
    const std::int64_t b = t * grain;
    f(b, b + grain < n ? b + grain : n);
  });
}

}  // namespace graft
