#include "engine/autograd/watch.h"

namespace graft {
namespace {
thread_local CallWatch* watch = nullptr;
}  // namespace

CallWatch::CallWatch() : before_(watch) { watch = this; }
CallWatch::~CallWatch() { watch = before_; }
CallWatch* call_watch() { return watch; }

NoWatch::NoWatch() : before_(watch) { watch = nullptr; }
NoWatch::~NoWatch() { watch = before_; }

}  // namespace graft
