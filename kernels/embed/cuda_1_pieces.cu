// embed, rows dense: a row is copied in the widest pieces (at most 16 bytes) on whose boundaries all rows begin. Neighbouring threads take
// neighbouring pieces, short rows share a block; the id is one broadcast load per row. Bytes: one read and one write per element.
#include <bit>

#include "kernels/embed/rows.h"
#include "kernels/simt/fault.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {
namespace {

// table: [vocab, pieces], out: [n, pieces] with these steps between rows, in pieces; missing: the bits of what no row answers
template <class V>
__global__ void copy_rows(View ids, const V* table, std::int64_t vocab, std::int64_t table_step, V* out, std::int64_t out_step,
                          std::int64_t pieces, unsigned missing, FaultSink faults) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (i >= ids.shape[0]) return;
  const std::int64_t id = ids.as<const std::int64_t>()[i * ids.stride[0]];
  const bool inside = index_inside(id, vocab);
  if (!inside && threadIdx.x == 0) report_fault(faults, i, id, vocab);
  for (std::int64_t p = threadIdx.x; p < pieces; p += blockDim.x)
    out[i * out_step + p] = inside ? table[id * table_step + p] : filled<V>(missing);
}

template <class V>
void copy_in(Queue& q, const EmbedArgs& a) {
  const auto size = static_cast<std::int64_t>(size_of(a.out.dtype)), width = static_cast<std::int64_t>(sizeof(V));
  const std::int64_t pieces = a.out.shape[1] * size / width;
  const unsigned x = pieces >= 256 ? 256 : std::bit_ceil(static_cast<unsigned>(pieces));
  launch(q, copy_rows<V>, blocks_for(a.out.shape[0], 256 / x, 0x7fffffff), dim3(x, 256 / x), 0, a.ids, a.table.as<const V>(),
         a.table.shape[0], a.table.stride[0] * size / width, a.out.as<V>(), a.out.stride[0] * size / width, pieces,
         is_float(a.out.dtype) ? ~0u : 0u, q.fault(FaultKind::id));
}

}  // namespace

void embed_pieces(Queue& q, const EmbedArgs& a) {
  if (a.out.numel() == 0) return;
  const auto size = static_cast<std::int64_t>(size_of(a.out.dtype));
  const std::uint64_t boundary = reinterpret_cast<std::uintptr_t>(a.table.data) | reinterpret_cast<std::uintptr_t>(a.out.data) |
                                 static_cast<std::uint64_t>(a.table.stride[0] * size) | static_cast<std::uint64_t>(a.out.stride[0] * size) |
                                 static_cast<std::uint64_t>(a.out.shape[1] * size);
  visit_piece(boundary, [&]<class V>() { copy_in<V>(q, a); });
}

}  // namespace graft::GRAFT_SIMT
