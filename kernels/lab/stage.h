// One case's operands on a queue's device, as a timed call finds them: inputs stirred, outputs and scratch full of NaN bytes, caches
// flushed where asked.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/device.h"
#include "kernels/core/spec.h"

namespace graft::lab {

struct Piece {
  std::size_t operand, at, size;
};  // bytes of an operand's buffer
// Some elements of the float inputs are written over others; which ones is a function of the seed, so that the oracle's operands get the
// same.
std::vector<Piece> stir(Operands& ops, std::uint64_t seed);

class Stage {
 public:
  // `host` stays the place where values are drawn, stirred and judged.
  Stage(Operands& host, Queue& q);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  const std::vector<View>& views() const { return views_; }
  std::size_t bytes() const;  // of all operands
  void upload();              // everything, guards and all
  void upload(const std::vector<Piece>& pieces);
  void spoil();  // outputs: NaN bytes; operands that are read and written: as drawn; the queue's scratch: NaN bytes
  // Before a turn: spoils and gives back the queue's scratch. What a larger row has left, spoiled at each call, would take this one's
  // inputs out of the caches.
  void forget_scratch();
  double run(int row);                        // s; on the device by marks in its stream
  std::string untouched(std::uint64_t seed);  // empty, or the output of which one of 64 elements drawn from `seed` still has its NaN bytes
  std::vector<std::byte> outputs();           // every buffer that may be written, as it is now
  void download();                            // everything, to where `host` looks for damage

 private:
  void spoil_scratch();

  struct Block {
    std::byte* memory = nullptr;
    std::byte* first = nullptr;
    bool written = false, only_written = false;
  };
  Operands& host_;
  Queue& q_;
  DeviceMemory& memory_;
  std::vector<Block> blocks_;
  std::vector<View> views_;
  void *begin_, *end_;
};

// A buffer larger than the last cache level; writing it leaves nothing of the operands there.
class Flusher {
 public:
  explicit Flusher(Queue& q);
  ~Flusher();
  Flusher(const Flusher&) = delete;
  Flusher& operator=(const Flusher&) = delete;
  void flush();

 private:
  Queue& q_;
  DeviceMemory& memory_;
  std::size_t bytes_ = 0;
  void* p_ = nullptr;
  int next_ = 0;
};

}  // namespace graft::lab
