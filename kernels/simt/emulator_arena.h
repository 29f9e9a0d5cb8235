// Shared memory of the block that an OS thread of the emulator runs: first the dynamic part, then the arrays in the order in which lanes
// come to their declarations. It has exactly the declared size: every part lies between guards, which AddressSanitizer is told not to let
// anybody touch and which are compared with what they held where it is not there. New for every block, filled with bytes that are NaN.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "kernels/simt/emulator.h"

namespace graft::simt {

// As messages write them: "(1,0,0)", "64x1x1", "kernels/x.cu:30".
std::string text(const uint3& v);
std::string text(const dim3& v);
std::string text(const Where& w);

class Arena {
 public:
  Arena();
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void begin(std::size_t dynamic_bytes);
  std::byte* dynamic() const { return bytes_ + kDynamic; }
  std::size_t dynamic_bytes() const { return dynamic_; }
  // The array that is declared there (emulator.h's shared_site).
  std::byte* site(const void* key, std::size_t bytes, const Where& at);
  // Throws Error(bug) when a guard was written to: "<when><at>: wrote outside of ...".
  void check_guards(const uint3& block, const char* when, const Where& at) const;
  // Refuses, as a fault of the running lane, bytes that are not in one part or not aligned.
  void check(const void* p, std::size_t bytes, std::size_t align, const char* what, const Where& at) const;
  std::byte* base() const { return bytes_; }
  template <class F>
  void each(F&& f) const {  // f(first byte, bytes) of every part
    if (dynamic_) f(dynamic(), dynamic_);
    for (const Site& s : sites_) f(bytes_ + s.begin, s.bytes);
  }

 private:
  static constexpr std::size_t kDynamic = 1024;  // where the dynamic part begins
  struct Site {
    const void* key;
    std::size_t begin, bytes;
    Where at;
  };
  void check_guard(const uint3& block, std::size_t begin, std::size_t edge, const std::string& of, const char* when, const Where& at) const;
  void poison(std::size_t begin, std::size_t bytes, bool yes);

  std::vector<std::byte> memory_;
  std::byte* bytes_;  // in memory_, aligned to 1024
  std::size_t dynamic_ = 0, end_ = 0, declared_ = 0;
  std::vector<Site> sites_;
};

}  // namespace graft::simt
