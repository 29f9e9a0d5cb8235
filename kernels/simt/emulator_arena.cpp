#include "kernels/simt/emulator_arena.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "kernels/core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace graft::simt {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAsan = true;
#else
constexpr bool kAsan = false;
#endif
constexpr std::size_t kGuardBytes = 256;
constexpr std::size_t kArenaBytes = kSharedLimit + 65536;  // with guards
constexpr std::array<unsigned char, kGuardBytes> kUntouched = [] {
  std::array<unsigned char, kGuardBytes> a{};
  a.fill(0xff);
  return a;
}();

}  // namespace

std::string text(const uint3& v) { return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")"; }
std::string text(const dim3& v) { return std::to_string(v.x) + "x" + std::to_string(v.y) + "x" + std::to_string(v.z); }
std::string text(const Where& w) {
  std::string file = w.file_name();
  for (const char* top : {"kernels/", "tests/"})
    if (const auto at = file.rfind(top); at != std::string::npos) {
      file = file.substr(at);
      break;
    }
  return file + ":" + std::to_string(w.line());
}

Arena::Arena() : memory_(kArenaBytes + 1024) { bytes_ = memory_.data() + (1024 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 1024); }
Arena::~Arena() { poison(0, end_, false); }

void Arena::begin(std::size_t dynamic_bytes) {
  sites_.clear();
  declared_ = dynamic_ = dynamic_bytes;
  poison(0, end_, false);
  end_ = kDynamic + dynamic_bytes + kGuardBytes;
  poison(0, end_, false);
  std::memset(bytes_, 0xff, end_);
  poison(0, kDynamic, true);
  poison(kDynamic + dynamic_bytes, kGuardBytes, true);
}

std::byte* Arena::site(const void* key, std::size_t bytes, const Where& at) {
  for (const Site& s : sites_)
    if (s.key == key) return bytes_ + s.begin;
  std::size_t fixed = bytes;
  for (const Site& s : sites_) fixed += s.bytes;
  if (fixed > kStaticLimit)
    fault(at, "shared arrays of " + std::to_string(fixed) + " bytes: a block may declare " + std::to_string(kStaticLimit) +
                  "; use dynamic shared memory");
  if (declared_ + bytes > kSharedLimit)
    fault(at, "shared memory of " + std::to_string(declared_ + bytes) + " bytes: a block may have " + std::to_string(kSharedLimit));
  declared_ += bytes;
  const std::size_t begin = (end_ + 127) / 128 * 128;
  if (begin + bytes + kGuardBytes > kArenaBytes) fault(at, "more shared arrays than the emulator has room for");
  poison(end_, begin - end_ + bytes + kGuardBytes, false);
  std::memset(bytes_ + end_, 0xff, begin - end_ + bytes + kGuardBytes);
  poison(end_, begin - end_, true);
  poison(begin + bytes, kGuardBytes, true);
  sites_.push_back({key, begin, bytes, at});
  end_ = begin + bytes + kGuardBytes;
  return bytes_ + begin;
}

// Guard bytes: the last before dynamic memory, and those after it and after each array. AddressSanitizer sees the access itself.
void Arena::check_guards(const uint3& block, const char* when, const Where& at) const {
  if (kAsan) return;
  check_guard(block, kDynamic - kGuardBytes, kDynamic, "dynamic shared memory", when, at);
  check_guard(block, kDynamic + dynamic_, kDynamic + dynamic_, "dynamic shared memory", when, at);
  for (const Site& s : sites_)
    if (std::memcmp(bytes_ + s.begin + s.bytes, kUntouched.data(), kGuardBytes) != 0)
      check_guard(block, s.begin + s.bytes, s.begin + s.bytes, "the shared array declared at " + text(s.at), when, at);
}
void Arena::check_guard(const uint3& block, std::size_t begin, std::size_t edge, const std::string& of, const char* when,
                        const Where& at) const {
  if (std::memcmp(bytes_ + begin, kUntouched.data(), kGuardBytes) == 0) return;
  std::size_t i = begin;
  while (bytes_[i] == std::byte{0xff}) ++i;
  const std::string where = i < edge ? std::to_string(edge - i) + " bytes before" : std::to_string(i - edge) + " bytes past the end";
  throw Error(Code::bug, "emu: block " + text(block) + ", " + when + text(at) + ": wrote outside of " + of + ", " + where);
}

void Arena::check(const void* p, std::size_t bytes, std::size_t align, const char* what, const Where& at) const {
  const auto* q = static_cast<const std::byte*>(p);
  if (q < bytes_ || q >= bytes_ + end_) fault(at, std::string(what) + ": the address is not in shared memory");
  const auto begin = static_cast<std::size_t>(q - bytes_);
  bool inside = begin >= kDynamic && begin + bytes <= kDynamic + dynamic_;
  for (const Site& s : sites_) inside |= begin >= s.begin && begin + bytes <= s.begin + s.bytes;
  if (!inside) fault(at, std::string(what) + ": " + std::to_string(bytes) + " bytes reach outside of the shared array");
  if (begin % align) fault(at, std::string(what) + ": the shared address is not a multiple of " + std::to_string(align));
}

#if defined(__SANITIZE_ADDRESS__)
void Arena::poison(std::size_t begin, std::size_t bytes, bool yes) {
  if (yes) ASAN_POISON_MEMORY_REGION(bytes_ + begin, bytes);
  else ASAN_UNPOISON_MEMORY_REGION(bytes_ + begin, bytes);
}
#else
void Arena::poison(std::size_t, std::size_t, bool) {}
#endif

}  // namespace graft::simt
