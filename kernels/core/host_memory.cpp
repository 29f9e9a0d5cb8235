#include "kernels/core/host_memory.h"

#include <cstring>
#include <new>
#include <utility>

#include "kernels/core/error.h"
#include "kernels/core/host_stream.h"
#include "kernels/core/scope.h"

namespace graft {

void HostStream::defer(Work w) {
  pending_.push_back(std::move(w));
  ++issued_;
}
void HostStream::finish(std::uint64_t upto) {
  while (done_ < upto && !pending_.empty()) {
    const Work w = std::move(pending_.front());
    pending_.pop_front();
    ++done_;
    w();
  }
}

void refuse_in_capture(const char* what) {
  const std::string op = running();
  throw Error(Code::usage, (op.empty() ? "" : op + ": ") + what +
                               " while a graph is captured; take that out of the captured work or run without a graph");
}

namespace {

constexpr const char* kRead = "the host reads device memory";
constexpr const char* kWrite = "the host writes device memory";
constexpr const char* kWait = "the host waits for the device";

std::uint64_t digest(const void* p, std::size_t bytes) {  // FNV-1a
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (std::size_t i = 0; i < bytes; ++i) h = (h ^ static_cast<const unsigned char*>(p)[i]) * 0x100000001b3ull;
  return h;
}

class HostMemory : public DeviceMemory {
 public:
  explicit HostMemory(bool emu) : emu_(emu) {}
  void* allocate(std::size_t bytes) override { return ::operator new(bytes, std::align_val_t(64), std::nothrow); }
  void release(void* p) override { ::operator delete(p, std::align_val_t(64)); }
  void upload(void* to, const void* from, std::size_t bytes, void* stream) override {
    if (recording(stream)) refuse_in_capture(kWrite);
    copy(to, from, bytes, stream);
  }
  void download(void* to, const void* from, std::size_t bytes, void* stream) override {
    if (recording(stream)) refuse_in_capture(kRead);
    copy(to, from, bytes, stream);
  }
  void fill(void* p, int byte, std::size_t bytes, void* stream) override {
    if (bytes) both(stream, [=] { std::memset(p, byte, bytes); });
  }
  void copy(void* to, const void* from, std::size_t bytes, void* stream) override {
    if (bytes) both(stream, [=] { std::memmove(to, from, bytes); });
  }
  void* allocate_pinned(std::size_t bytes) override { return allocate(bytes); }
  void release_pinned(void* p) override { release(p); }
  void upload_async(void* to, const void* from, std::size_t bytes, void* stream) override {
    if (!bytes) return;
    if (!stream || recording(stream)) return copy(to, from, bytes, stream);
    (*static_cast<Handle*>(stream))->defer([=, was = digest(from, bytes)] {
      if (digest(from, bytes) != was) throw Error(Code::bug, "emu: a pinned buffer was written while its copy was under way");
      std::memcpy(to, from, bytes);
    });
  }

  void* make_stream() override { return emu_ ? new Handle(std::make_shared<HostStream>()) : nullptr; }
  void end_stream(void* s) override { delete static_cast<Handle*>(s); }
  void synchronize(void* s) override {
    if (!s) return;
    if (recording(s)) refuse_in_capture(kWait);
    (*static_cast<Handle*>(s))->finish();
  }
  void* make_event() override { return new HostEvent; }
  void end_event(void* e) override { delete static_cast<HostEvent*>(e); }
  void record_event(void* e, void* s) override {
    if (s) *static_cast<HostEvent*>(e) = {*static_cast<Handle*>(s), (*static_cast<Handle*>(s))->issued()};
  }
  void wait_event(void*, void* e) override { finish_event(e); }  // kernels run when called: what they wait for must be done by then
  void finish_event(void* e) override {
    const auto& event = *static_cast<HostEvent*>(e);
    if (const auto s = event.stream.lock()) s->finish(event.upto);
  }

  void begin_capture(void* s) override {
    (*static_cast<Handle*>(s))->finish();
    (*static_cast<Handle*>(s))->recording = new std::vector<Work>;
  }
  void abort_capture(void* s) noexcept override { delete std::exchange((*static_cast<Handle*>(s))->recording, nullptr); }
  void* end_capture(void* s) override { return std::exchange((*static_cast<Handle*>(s))->recording, nullptr); }
  void replay(void* graph, void* s) override {
    if (recording(s)) refuse_in_capture("a graph is replayed");
    (*static_cast<Handle*>(s))->finish();
    for (const Work& w : *static_cast<std::vector<Work>*>(graph)) w();
  }
  void end_graph(void* graph) noexcept override { delete static_cast<std::vector<Work>*>(graph); }

 private:
  using Handle = std::shared_ptr<HostStream>;
  static bool recording(void* s) { return s && (*static_cast<Handle*>(s))->recording; }
  template <class F>
  static void both(void* stream, const F& f) {
    enqueue(stream, f, [&] { return Work(f); });
  }
  bool emu_;
};

}  // namespace

DeviceMemory& host_memory(bool emu) {
  static auto *cpu = new HostMemory(false),
              *emulated = new HostMemory(true);  // never destroyed: tensors held by static objects may outlive main
  return emu ? *emulated : *cpu;
}

}  // namespace graft
