// Is there AMX here: tiles of 16 rows x 64 bytes and products of tiles of bf16 with sums in f32 (Intel, Architecture Instruction Set
// Extensions, "Intel AMX")? The processor must have it, with AVX-512 and its bf16 conversions, and Linux lends the state of tiles (8 KiB a
// thread) only to a process that asks for it. nvcc compiles no code that asks.
#pragma once
#include <string_view>

#if defined(__x86_64__) && defined(__linux__) && defined(__has_include) && !defined(__CUDACC__)
#if __has_include(<amxbf16intrin.h>)
#define GRAFT_HAVE_AMX 1
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace graft {

#ifdef GRAFT_HAVE_AMX
// Asks once, for the process; empty where AMX may be used.
inline std::string_view why_no_amx() {
  static const std::string_view why = []() -> std::string_view {
    constexpr std::string_view none = "this processor has no AMX tiles for bf16";
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 24 & 1) || !(d >> 22 & 1)) return none;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return none;
    if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c >> 27 & 1)) return none;
    unsigned low = 0, high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    constexpr unsigned states = 3u << 17 | 7u << 5 | 3u << 1;  // tiles, AVX-512, AVX
    constexpr long ask = 0x1023, tile_data = 18;               // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    if ((low & states) != states || ::syscall(SYS_arch_prctl, ask, tile_data) != 0) return "the system does not lend AMX to this process";
    return {};
  }();
  return why;
}
#elif !defined(__CUDACC__)
inline std::string_view why_no_amx() { return "AMX needs Linux on x86-64 and a compiler that knows it"; }
#endif

}  // namespace graft
