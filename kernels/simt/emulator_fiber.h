// Fibers of the emulator: places where execution can stop and go on, each with a stack of its own, and the jumps between them (the assembly
// of Boost.Context), told to the sanitizers, which would take another stack for a broken one. One OS thread's fibers are a `Fibers`; they
// never leave that thread, and they live as long as it does.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

namespace graft::simt {

struct Lane;

// A stack with a page below it that may not be touched: an overflow stops there instead of in somebody else's data.
class Stack {
 public:
  explicit Stack(std::size_t bytes);  // throws Error(memory)
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  std::byte* low() const { return static_cast<std::byte*>(base_) + page_; }
  std::size_t size() const { return size_; }

 private:
  void* base_;
  std::size_t size_, page_;
};

// Where execution stands while it is suspended, and what the sanitizers want to know about its stack.
struct Context {
  void* at = nullptr;
  const void* low = nullptr;
  std::size_t size = 0;
  void* fake_stack = nullptr;
  void* tsan = nullptr;
};
// Runs one lane after the other; while a lane waits, the fiber is bound to it.
struct Fiber : Context {
  Fiber();
  Stack stack;
  Lane* lane = nullptr;
};

class Fibers {
 public:
  // What a fiber does from its first jump on: loop(owner, itself), which never returns.
  using Loop = void (*)(void* owner, Fiber& self);
  Fibers(Loop loop, void* owner);
  ~Fibers();
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  Context& thread() { return thread_; }  // the OS thread's own stack
  Context& running() { return *running_; }
  // Suspends what runs and continues `to`, which comes back here by another jump.
  void jump(Context& to);
  // A fiber for this lane: the one that was idle last, or a new one.
  Fiber* take(Lane* lane);
  void put_back(Fiber& f);

 private:
  struct Entry;
  Loop loop_;
  void* owner_;
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> idle_;
  Context thread_;
  Context* running_ = &thread_;
  Context* last_ = nullptr;  // the one that jumped to `running_`
};

}  // namespace graft::simt
