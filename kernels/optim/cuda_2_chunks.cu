// optim_multi: one launch updates up to 64 tensors. Every block of 256 takes a chunk of 8192 elements and finds its tensor in the launch's
// parameters, which the device keeps in constant memory (4 KB at most, hence 64). Four elements per thread and visit in loads of up to 16
// bytes; tensors that do not begin on such a boundary go one by one. Bytes: as optim=cuda.1_pieces; what is saved is a launch per tensor
// (multi-tensor apply, NVIDIA Apex 2018).
#include "kernels/optim/rows.h"
#include "kernels/optim/streams.h"

namespace graft::GRAFT_SIMT {
namespace {

inline constexpr int kTensors = 64;
inline constexpr std::int64_t kChunk = 8192;

template <class P, class G, class A>
struct Batch {
  Streams<P, G, A> x[kTensors];
  std::int64_t n[kTensors];
  std::uint32_t first[kTensors];  // block that begins tensor t
  bool on_boundary[kTensors];
  int count;
};

template <OptimKind kind, class P, class G, class A>
__global__ void __launch_bounds__(256) update_chunks(Batch<P, G, A> b, OptimStep<A> s, const double* scalars) {
  static_assert(sizeof(Batch<P, G, A>) + sizeof(OptimStep<A>) + 2 * sizeof(double*) <= 4096);
  if (scalars) s.set(scalars);
  int t = 0;
  for (int step = kTensors / 2; step > 0; step /= 2)
    if (t + step < b.count && b.first[t + step] <= blockIdx.x) t += step;
  const std::int64_t begin = std::int64_t{blockIdx.x - b.first[t]} * kChunk, end = std::min(b.n[t], begin + kChunk);
  const Streams<P, G, A> x = b.x[t];
  if (b.on_boundary[t]) {
    for (std::int64_t i = begin + threadIdx.x * kPiece; i < end; i += 256 * kPiece) update_piece<kind, kPiece>(x, s, i, end);
  } else {
    for (std::int64_t i = begin + threadIdx.x; i < end; i += 256) update_piece<kind, 1>(x, s, i, end);
  }
}

template <class T>
bool on_boundary(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % alignof(Piece<std::remove_const_t<T>, kPiece>) == 0;
}

template <class P, class G, class A>
void update(Queue& q, const OptimMultiArgs& a) {
  const OptimStep<A> s(a);
  Batch<P, G, A> b{};
  unsigned blocks = 0;
  const auto flush = [&] {
    if (b.count)
      visit_optim(a.kind,
                  [&]<OptimKind kind>() { launch(q, update_chunks<kind, P, G, A>, blocks, 256, 0, b, s, a.scalars.as<const double>()); });
    b.count = 0;
    blocks = 0;
  };
  for (const OptimTensors& t : a.tensors) {
    const std::int64_t n = t.param.shape[0];
    if (n == 0) continue;
    const auto x = streams_of<P, G, A>(t);
    b.x[b.count] = x;
    b.n[b.count] = n;
    b.first[b.count] = blocks;
    b.on_boundary[b.count] =
        on_boundary(x.param) && on_boundary(x.grad) && on_boundary(x.master) && on_boundary(x.m) && on_boundary(x.v) && on_boundary(x.v2);
    blocks += static_cast<unsigned>((n + kChunk - 1) / kChunk);
    if (++b.count == kTensors) flush();
  }
  flush();
}

}  // namespace

void optim_multi_chunks(Queue& q, const OptimMultiArgs& a) {
  if (!a.tensors.empty()) visit_streams(a.tensors.front(), [&]<class P, class G, class A>() { update<P, G, A>(q, a); });
}

}  // namespace graft::GRAFT_SIMT
