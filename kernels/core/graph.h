// Work of a queue, captured once and replayed: launches, copies within the device and fills, with the arguments and addresses they had. On
// a GPU it is a CUDA graph. While it is captured nothing runs, so the host cannot read a result: that is Error(usage), naming the
// operation.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/core/queue.h"

namespace graft {

class Graph {
 public:
  explicit Graph(Queue& q);  // empty; Error(usage) for a queue of the CPU, whose work is done when a call returns
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // Calls work(), whose launches on the queue become this graph. When it throws, the graph is empty and the queue as before.
  void capture(const std::function<void()>& work);
  bool captured() const { return exec_ != nullptr; }
  void replay();  // in the queue's order; Error(usage) when empty

  // What the recorded work uses lives as long as the graph.
  void keep(std::shared_ptr<const void> what);
  std::uint64_t id() const { return id_; }  // no other graph of this process has it

 private:
  void drop();
  Queue& q_;
  std::uint64_t id_;
  void* exec_ = nullptr;
  std::vector<std::shared_ptr<const void>> kept_;
};

}  // namespace graft
