// The streams of `emu`. Kernels and plain copies run when they are called; what a GPU would do beside the host waits: an asynchronous copy
// is made when somebody waits for it, so that a forgotten wait shows, and what is captured runs at the replays. The CPU has no streams:
// nullptr.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace graft {

using Work = std::function<void()>;

class HostStream {
 public:
  void defer(Work w);  // runs when waited for
  std::uint64_t issued() const { return issued_; }
  void finish(std::uint64_t upto);  // runs deferred work in order, up to this many since the beginning
  void finish() { finish(issued_); }

  std::vector<Work>* recording = nullptr;  // while a graph is captured

 private:
  std::deque<Work> pending_;
  std::uint64_t issued_ = 0, done_ = 0;
};
struct HostEvent {
  std::weak_ptr<HostStream> stream;  // a stream that ended has nothing more to wait for
  std::uint64_t upto = 0;
};

// On `stream` (nullptr: none): what came before is finished and now() runs; or, during a capture, what later() gives is recorded.
template <class Now, class Later>
void enqueue(void* stream, const Now& now, const Later& later) {
  if (auto* s = static_cast<std::shared_ptr<HostStream>*>(stream)) {
    if ((*s)->recording) {
      (*s)->recording->push_back(later());
      return;
    }
    (*s)->finish();
  }
  now();
}

}  // namespace graft
