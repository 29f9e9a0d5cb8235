// sum_squares_multi: up to 192 tensors per launch (their addresses fit the 4 KB of parameters), a block of 256 per 8192 elements, in loads
// of up to 16 bytes; the blocks' sums meet in a last launch of one block, in a fixed order. Bytes: one read per element. Sums are double;
// elements of f32 and 16 bits are squared in double without rounding. Rung 0: one block and one launch per tensor.
#include "kernels/optim/rows.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {
namespace {

inline constexpr int kTensors = 192;

template <class T>
__device__ __forceinline__ double squared(T x) {
  const auto v = static_cast<double>(static_cast<Accum<T>>(x));
  return v * v;
}

// x: [n]; out: [1], what earlier launches left is added to
template <class T>
__global__ void tensor_squares(const T* x, std::int64_t n, double* out, bool first) {
  GRAFT_SHARED(double, lines, [32]);
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += squared(x[i]);
  sum = block_sum(sum, lines);
  if (threadIdx.x == 0) *out = first ? sum : *out + sum;
}

template <class T>
struct Batch {
  const T* x[kTensors];
  std::int64_t n[kTensors];
  std::uint32_t first[kTensors];  // block that begins tensor t
  int count;
};

// partial: [blocks]
template <class T>
__global__ void __launch_bounds__(256) chunk_squares(Batch<T> b, double* partial) {
  static_assert(sizeof(Batch<T>) + sizeof(double*) <= 4096);
  constexpr int V = 16 / sizeof(T);
  GRAFT_SHARED(double, lines, [32]);
  int t = 0;
  for (int step = 128; step > 0; step /= 2)
    if (t + step < b.count && b.first[t + step] <= blockIdx.x) t += step;
  const T* x = b.x[t];
  const std::int64_t begin = std::int64_t{blockIdx.x - b.first[t]} * kSquaresChunk, end = std::min(b.n[t], begin + kSquaresChunk);
  double sum = 0;
  if (reinterpret_cast<std::uintptr_t>(x) % 16 == 0) {
    for (std::int64_t i = begin + threadIdx.x * V; i < end; i += 256 * V) {
      if (i + V <= end) {
        const auto piece = *reinterpret_cast<const Piece<T, V>*>(x + i);
        for (int e = 0; e < V; ++e) sum += squared(piece.v[e]);
      } else {
        for (std::int64_t k = i; k < end; ++k) sum += squared(x[k]);
      }
    }
  } else {
    for (std::int64_t i = begin + threadIdx.x; i < end; i += 256) sum += squared(x[i]);
  }
  sum = block_sum(sum, lines);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(256) sum_partials(const double* partial, std::int64_t n, double* out) {
  GRAFT_SHARED(double, lines, [32]);
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += 256) sum += partial[i];
  sum = block_sum(sum, lines);
  if (threadIdx.x == 0) *out = sum;
}

template <class T>
void squares(Queue& q, const SumSquaresMultiArgs& a) {
  auto* partial = reinterpret_cast<double*>(q.scratch(0));
  Batch<T> b{};
  std::int64_t done = 0;
  unsigned blocks = 0;
  const auto flush = [&] {
    if (b.count) launch(q, chunk_squares<T>, blocks, 256, 0, b, partial + done);
    done += blocks;
    b.count = 0;
    blocks = 0;
  };
  for (const View& x : a.x) {
    const std::int64_t n = x.shape[0];
    if (n == 0) continue;
    b.x[b.count] = x.as<const T>();
    b.n[b.count] = n;
    b.first[b.count] = blocks;
    blocks += static_cast<unsigned>((n + kSquaresChunk - 1) / kSquaresChunk);
    if (++b.count == kTensors) flush();
  }
  flush();
  launch(q, sum_partials, 1, 256, 0, partial, done, a.out.as<double>());
}

}  // namespace

void sum_squares_multi_tensors(Queue& q, const SumSquaresMultiArgs& a) {
  if (a.x.empty()) launch(q, tensor_squares<float>, 1, 256, 0, nullptr, 0, a.out.as<double>(), true);
  bool first = true;
  for (const View& x : a.x) {
    visit_float(x.dtype,
                [&]<class T>() { launch(q, tensor_squares<T>, 1, 256, 0, x.as<const T>(), x.shape[0], a.out.as<double>(), first); });
    first = false;
  }
}
void sum_squares_multi_chunks(Queue& q, const SumSquaresMultiArgs& a) {
  if (a.x.empty()) squares<float>(q, a);
  else visit_float(a.x.front().dtype, [&]<class T>() { squares<T>(q, a); });
}

}  // namespace graft::GRAFT_SIMT
