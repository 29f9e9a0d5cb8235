#include "kernels/core/variant.h"

#include <cstdlib>

#include "kernels/core/amx.h"
#include "kernels/core/device.h"

namespace graft {
namespace {

struct Choice {
  std::string family, variant;
};

std::vector<Choice> parse(std::string_view spec) {
  std::vector<Choice> out;
  while (!spec.empty()) {
    const auto comma = spec.find(',');
    const auto item = spec.substr(0, comma);
    const auto eq = item.find('=');
    if (eq == std::string_view::npos || eq == 0 || eq + 1 == item.size())
      throw Error(Code::usage, "kernel choice '" + std::string(item) + "' is not FAMILY=VARIANT; see graft kernels list");
    out.push_back({std::string(item.substr(0, eq)), std::string(item.substr(eq + 1))});
    spec = comma == std::string_view::npos ? std::string_view{} : spec.substr(comma + 1);
  }
  return out;
}

std::vector<Choice>& stack() {
  thread_local std::vector<Choice> choices = [] {
    const char* env = std::getenv("GRAFT_KERNELS");
    return env ? parse(env) : std::vector<Choice>{};
  }();
  return choices;
}

}  // namespace

ForceVariants::ForceVariants(std::string_view spec) : before_(stack().size()) {
  for (auto& c : parse(spec)) stack().push_back(std::move(c));
}
ForceVariants::~ForceVariants() { stack().resize(before_); }

std::string_view forced_variant(std::string_view family) {
  const auto& s = stack();
  for (auto it = s.rbegin(); it != s.rend(); ++it)
    if (it->family == family) return it->variant;
  return {};
}

Verdict has_capability(Backend b, Capability wanted) {
  if (wanted.amx && !why_no_amx().empty()) return no(std::string(why_no_amx()));
  if (b != Backend::cuda || !wanted.least) return yes();
  const auto text = [](int c) { return std::to_string(c / 10) + "." + std::to_string(c % 10); };
  const int here = gpu_capability();
  if (wanted.only ? here == wanted.least : here >= wanted.least) return yes();
  return no((wanted.only ? "its instructions are those of compute capability " : "it needs compute capability ") + text(wanted.least) +
            (here ? ", the GPU has " + text(here) : ", and there is no GPU"));
}

bool serves(Backend b, DeviceKind d) {
  switch (b) {
    case Backend::ref: return false;
    case Backend::cpu: return d == DeviceKind::cpu;
    case Backend::emu: return d == DeviceKind::emu;
    case Backend::cuda: return d == DeviceKind::cuda;
  }
  return false;
}

RunListener*& run_listener() {
  thread_local RunListener* listener = nullptr;
  return listener;
}

}  // namespace graft
