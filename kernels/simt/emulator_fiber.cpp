#include "kernels/simt/emulator_fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <boost/context/detail/fcontext.hpp>

#include "kernels/core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace graft::simt {

namespace ctx = boost::context::detail;

namespace {
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStackBytes = 512 * 1024;  // instrumented frames are larger
#else
constexpr std::size_t kStackBytes = 128 * 1024;
#endif
// A guarded stack is two mappings, of which Linux gives a process 65530 (vm.max_map_count); pools of many threads with blocks of 1024 would
// want more, so beyond a number stacks have no guard.
constexpr int kGuarded = 16384;
std::atomic<int> stacks{0};
}  // namespace

Stack::Stack(std::size_t bytes) : size_(bytes), page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
  base_ = mmap(nullptr, size_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base_ == MAP_FAILED) throw Error(Code::memory, "emu: no memory for the stack of a CUDA thread; use smaller blocks");
  if (stacks.fetch_add(1) < kGuarded) mprotect(base_, page_, PROT_NONE);
}
Stack::~Stack() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(low(), size_);  // its fiber never returned: the marks of its frames would meet who gets this memory next
#endif
  munmap(base_, size_ + page_);
  --stacks;
}

Fiber::Fiber() : stack(kStackBytes) {
  low = stack.low();
  size = stack.size();
}

struct Fibers::Entry {
  static void start(ctx::transfer_t t) {
    Fibers& f = *static_cast<Fibers*>(t.data);
    f.last_->at = t.fctx;
#if defined(__SANITIZE_ADDRESS__)
    // tells the bounds of the thread's own stack, where we come from first
    __sanitizer_finish_switch_fiber(nullptr, &f.last_->low, &f.last_->size);
#endif
    f.loop_(f.owner_, static_cast<Fiber&>(*f.running_));
  }
};

Fibers::Fibers(Loop loop, void* owner) : loop_(loop), owner_(owner) {
#if defined(__SANITIZE_THREAD__)
  thread_.tsan = __tsan_get_current_fiber();
#endif
}
Fibers::~Fibers() {
#if defined(__SANITIZE_THREAD__)
  for (const auto& f : all_) __tsan_destroy_fiber(f->tsan);
#endif
}

Fiber* Fibers::take(Lane* lane) {
  if (idle_.empty()) {
    all_.push_back(std::make_unique<Fiber>());
    Fiber& f = *all_.back();
    // Stacks lie a multiple of 4 KiB apart; without the shift their hot ends would share a few sets of the cache.
    const std::size_t shift = all_.size() % 32 * 128;
    f.at = ctx::make_fcontext(f.stack.low() + f.stack.size() - shift, f.stack.size() - shift, &Entry::start);
#if defined(__SANITIZE_THREAD__)
    f.tsan = __tsan_create_fiber(0);
#endif
    idle_.push_back(&f);
  }
  Fiber* f = idle_.back();
  idle_.pop_back();
  f->lane = lane;
  return f;
}
void Fibers::put_back(Fiber& f) {
  f.lane = nullptr;
  idle_.push_back(&f);
}

}  // namespace graft::simt
