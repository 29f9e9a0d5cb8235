#include "kernels/core/graph.h"

#include <atomic>

#include "kernels/core/device.h"
#include "kernels/core/error.h"

namespace graft {

namespace {
std::atomic<std::uint64_t> graphs{0};
}

Graph::Graph(Queue& q) : q_(q), id_(++graphs) {
  if (q.device().kind == DeviceKind::cpu)
    throw Error(Code::usage, "a graph captures the work of a device; the CPU's is done when a call returns");
}
Graph::~Graph() { drop(); }

void Graph::drop() {
  if (exec_) device_memory(q_.device()).end_graph(exec_);
  exec_ = nullptr;
  kept_.clear();
}
void Graph::keep(std::shared_ptr<const void> what) {
  if (kept_.empty() || kept_.back() != what) kept_.push_back(std::move(what));
}

void Graph::capture(const std::function<void()>& work) {
  if (q_.capturing_) throw Error(Code::usage, "a graph is being captured on this queue already");
  drop();
  DeviceMemory& memory = device_memory(q_.device());
  memory.begin_capture(q_.stream());
  q_.capturing_ = this;
  try {
    work();
  } catch (...) {
    q_.capturing_ = nullptr;
    memory.abort_capture(q_.stream());
    drop();
    throw;
  }
  q_.capturing_ = nullptr;
  exec_ = memory.end_capture(q_.stream());
}
void Graph::replay() {
  if (!exec_) throw Error(Code::usage, "a graph was replayed that nothing was captured into");
  device_memory(q_.device()).replay(exec_, q_.stream());
}

}  // namespace graft
