#include "kernels/lab/peers.h"

#include <dlfcn.h>

#include <cstdlib>

#include "kernels/matmul/matmul.h"

namespace graft::lab {
namespace {

// The CBLAS interface and oneDNN's dnnl_sgemm (oneDNN developer guide, "BLAS functions"), both row-major.
enum : int { kRowMajor = 101, kPlain = 111, kTransposed = 112 };
using Sgemm = void (*)(int order, int ta, int tb, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb,
                       float beta, float* c, int ldc);
using DnnlSgemm = int (*)(char ta, char tb, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
                          const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);
Sgemm openblas_sgemm, blis_sgemm;
DnnlSgemm dnnl_sgemm;

struct Side {  // one operand as BLAS wants it
  bool transposed;
  std::int64_t leading;
};
Side side(const View& v) {
  if (v.stride[2] == 1) return {false, v.stride[1]};
  return {true, v.stride[2]};
}

void cblas(Sgemm f, const MatmulArgs& x) {
  const Side a = side(x.a), b = side(x.b);
  f(kRowMajor, a.transposed ? kTransposed : kPlain, b.transposed ? kTransposed : kPlain, static_cast<int>(x.c.shape[1]),
    static_cast<int>(x.c.shape[2]), static_cast<int>(x.a.shape[2]), static_cast<float>(x.alpha), x.a.as<const float>(),
    static_cast<int>(a.leading), x.b.as<const float>(), static_cast<int>(b.leading), x.accumulate ? 1 : 0, x.c.as<float>(),
    static_cast<int>(x.c.stride[1]));
}
void openblas(Queue&, const MatmulArgs& x) { cblas(openblas_sgemm, x); }
void blis(Queue&, const MatmulArgs& x) { cblas(blis_sgemm, x); }
void onednn(Queue&, const MatmulArgs& x) {
  const Side a = side(x.a), b = side(x.b);
  const int status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', x.c.shape[1], x.c.shape[2], x.a.shape[2], static_cast<float>(x.alpha),
                 x.a.as<const float>(), a.leading, x.b.as<const float>(), b.leading, x.accumulate ? 1 : 0, x.c.as<float>(), x.c.stride[1]);
  if (status != 0) throw Error(Code::bug, "oneDNN's sgemm refuses this product (status " + std::to_string(status) + ")");
}

Verdict one_product(const MatmulArgs& x) {
  if (x.c.dtype != DType::f32) return no("C is " + std::string(name_of(x.c.dtype)) + ", the peers are asked for f32");
  if (x.c.shape[0] != 1) return no("a batch of " + std::to_string(x.c.shape[0]));
  if (x.bias.data || x.epilogue != Epilogue::none) return no("bias and epilogue are not the peers'");
  if (x.c.shape[1] < 1 || x.c.shape[2] < 1 || x.a.shape[2] < 1) return no("nothing to multiply");
  for (const View* v : {&x.a, &x.b})
    if ((v->stride[2] != 1 && v->stride[1] != 1) || v->stride[2] < 1 || v->stride[1] < 1)
      return no("an operand is dense along neither axis");
  return x.c.stride[2] == 1 ? yes() : no("C is not dense along n");
}
constexpr Limit<MatmulArgs> limit{"f32, one product, no bias or epilogue, operands dense along one axis", one_product};

void* open_first(const std::vector<const char*>& names) {
  for (const char* n : names)
    if (void* library = dlopen(n, RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}
// A function without arguments that returns text: openblas_get_config, bli_info_get_version_str.
std::string text_of(void* library, const char* function) {
  const auto f = reinterpret_cast<const char* (*)()>(dlsym(library, function));
  const char* text = f ? f() : nullptr;
  return text ? std::string(" ") + text : "";
}
void add(const char* name, void (*run)(Queue&, const MatmulArgs&)) {
  Row<MatmulArgs> row = host<MatmulArgs>(std::string("peer.") + name, run, limit, 0, "another library's sgemm, opened at run time");
  row.order_dependent = true;  // whatever it promises; it is never chosen unless named
  const FamilyBase& family = matmul_family();
  family.add(&row, sizeof row, sizeof(MatmulArgs));
}

}  // namespace

const std::vector<std::string>& peer_names() {
  static const std::vector<std::string> names = {"openblas", "blis", "onednn"};
  return names;
}

Peers add_peers(int threads) {
  setenv("OMP_NUM_THREADS", std::to_string(threads).c_str(), 1);  // read by the OpenMP runtime when it is loaded, below
  Peers peers;
  const auto blas = [&](const char* name, const std::vector<const char*>& files, const char* set_threads, auto of_type, const char* version,
                        Sgemm& to, auto run) {
    void* library = open_first(files);
    to = library ? reinterpret_cast<Sgemm>(dlsym(library, "cblas_sgemm")) : nullptr;
    const auto set = library ? reinterpret_cast<decltype(of_type)>(dlsym(library, set_threads)) : nullptr;
    if (!to || !set) {
      peers.missing.emplace_back(name);
      return;
    }
    set(threads);
    add(name, run);
    peers.found.push_back(name + text_of(library, version));
  };
  blas("openblas", {"openblas-pthread/libopenblas.so.0", "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0", "libopenblas.so.0"},
       "openblas_set_num_threads", static_cast<void (*)(int)>(nullptr), "openblas_get_config", openblas_sgemm, openblas);
  blas("blis", {"libblis.so.4", "libblis.so.3", "libblis.so"}, "bli_thread_set_num_threads", static_cast<void (*)(std::int64_t)>(nullptr),
       "bli_info_get_version_str", blis_sgemm, blis);
  void* library = open_first({"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"});
  dnnl_sgemm = library ? reinterpret_cast<DnnlSgemm>(dlsym(library, "dnnl_sgemm")) : nullptr;
  if (dnnl_sgemm) {
    struct Version {
      int major, minor, patch;
    };
    const auto f = reinterpret_cast<const Version* (*)()>(dlsym(library, "dnnl_version"));
    const Version* v = f ? f() : nullptr;
    add("onednn", onednn);
    peers.found.push_back(
        "onednn" + (v ? " " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch) : std::string{}));
  } else {
    peers.missing.emplace_back("onednn");
  }
  return peers;
}

}  // namespace graft::lab
