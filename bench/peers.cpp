#include "bench/peers.h"

#include <dlfcn.h>

#include <cstdlib>

namespace graft::bench {
namespace {

// The CBLAS interface and oneDNN's dnnl_sgemm (oneDNN developer guide, "BLAS functions"), both row-major.
enum : int { kRowMajor = 101, kPlain = 111, kTransposed = 112 };
using Sgemm = void (*)(int order, int ta, int tb, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
using DnnlSgemm = int (*)(char ta, char tb, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
                          float beta, float* c, std::int64_t ldc);

void* open_first(const std::vector<const char*>& names) {
  for (const char* n : names)
    if (void* library = dlopen(n, RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

struct Side {  // one operand as BLAS wants it
  bool transposed;
  std::int64_t leading;
};
Side side(const View& v) {
  if (v.stride[2] == 1) return {false, v.stride[1]};
  return {true, v.stride[2]};
}

std::function<void(const MatmulArgs&)> cblas(Sgemm f) {
  return [f](const MatmulArgs& x) {
    const Side a = side(x.a), b = side(x.b);
    f(kRowMajor, a.transposed ? kTransposed : kPlain, b.transposed ? kTransposed : kPlain, static_cast<int>(x.c.shape[1]), static_cast<int>(x.c.shape[2]),
      static_cast<int>(x.a.shape[2]), 1, x.a.as<const float>(), static_cast<int>(a.leading), x.b.as<const float>(), static_cast<int>(b.leading), 0, x.c.as<float>(),
      static_cast<int>(x.c.stride[1]));
  };
}

}  // namespace

std::vector<Peer> open_peers(int threads, std::vector<std::string>& missing) {
  setenv("OMP_NUM_THREADS", std::to_string(threads).c_str(), 1);  // read by the OpenMP runtime when it is loaded, below
  std::vector<Peer> found;
  const auto blas = [&](const char* name, const std::vector<const char*>& files, const char* set_threads, auto of_type) {
    void* library = open_first(files);
    const auto f = library ? reinterpret_cast<Sgemm>(dlsym(library, "cblas_sgemm")) : nullptr;
    const auto set = library ? reinterpret_cast<decltype(of_type)>(dlsym(library, set_threads)) : nullptr;
    if (!f || !set) {
      missing.emplace_back(name);
      return;
    }
    set(threads);
    found.push_back({name, cblas(f)});
  };
  blas("openblas", {"openblas-pthread/libopenblas.so.0", "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0", "libopenblas.so.0"}, "openblas_set_num_threads",
       static_cast<void (*)(int)>(nullptr));
  blas("blis", {"libblis.so.4", "libblis.so.3", "libblis.so"}, "bli_thread_set_num_threads", static_cast<void (*)(std::int64_t)>(nullptr));
  void* dnnl = open_first({"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"});
  if (const auto f = dnnl ? reinterpret_cast<DnnlSgemm>(dlsym(dnnl, "dnnl_sgemm")) : nullptr)
    found.push_back({"onednn", [f](const MatmulArgs& x) {
                       const Side a = side(x.a), b = side(x.b);
                       f(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', x.c.shape[1], x.c.shape[2], x.a.shape[2], 1, x.a.as<const float>(), a.leading, x.b.as<const float>(),
                         b.leading, 0, x.c.as<float>(), x.c.stride[1]);
                     }});
  else
    missing.emplace_back("onednn");
  return found;
}

}  // namespace graft::bench
