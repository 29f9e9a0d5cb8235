#include "kernels/core/scope.h"

namespace graft {
namespace {
thread_local const OpScope* op = nullptr;
thread_local const KernelScope* kernel = nullptr;
}  // namespace

OpScope::OpScope(std::string_view name, Describe describe, const void* what) : name_(name), describe_(describe), what_(what), outer_(op) {
  op = this;
}
OpScope::~OpScope() { op = outer_; }
KernelScope::KernelScope(std::string_view family, std::string_view variant) : family_(family), variant_(variant), outer_(kernel) {
  kernel = this;
}
KernelScope::~KernelScope() { kernel = outer_; }

std::string running() {
  std::string s = op ? op->text() : "";
  if (kernel) s += (s.empty() ? "kernel " : ", kernel ") + std::string(kernel->family_) + "=" + std::string(kernel->variant_);
  return s;
}
std::string_view running_name() { return op ? op->name() : kernel ? kernel->family() : std::string_view{}; }

}  // namespace graft
