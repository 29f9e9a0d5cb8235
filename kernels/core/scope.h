// What this thread runs now, for errors: the operation with its shapes and the kernel variant. Entering costs a few pointers; text is made
// when something fails.
#pragma once
#include <string>
#include <string_view>

namespace graft {

class OpScope {
 public:
  using Describe = std::string (*)(const void* what);  // "softmax(axis=1) of f32[8,1024]"
  explicit OpScope(std::string_view name, Describe describe = nullptr, const void* what = nullptr);
  ~OpScope();
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;
  std::string_view name() const { return name_; }
  std::string text() const { return describe_ ? describe_(what_) : std::string(name_); }

 private:
  std::string_view name_;
  Describe describe_;
  const void* what_;
  const OpScope* outer_;
};

class KernelScope {
 public:
  KernelScope(std::string_view family, std::string_view variant);
  ~KernelScope();
  KernelScope(const KernelScope&) = delete;
  KernelScope& operator=(const KernelScope&) = delete;
  std::string_view family() const { return family_; }

 private:
  friend std::string running();
  std::string_view family_, variant_;
  const KernelScope* outer_;
};

// "softmax(axis=1) of f32[8,1024], kernel softmax=emu.1_warp_row"; what of the two there is, or empty.
std::string running();
// The innermost operation's name, else the kernel family's, else empty.
std::string_view running_name();

}  // namespace graft
