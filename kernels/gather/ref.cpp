// gather and scatter as their definitions. One thread.
#include "kernels/gather/plain.h"
#include "kernels/gather/rows.h"

namespace graft {

void gather_ref(Queue&, const GatherArgs& a) {
  visit(a.out.dtype, [&]<class T>() { gather_walk<T>(a, 0, a.out.shape[0] * a.out.shape[2]); });
}
void scatter_ref(Queue&, const ScatterArgs& a) {
  visit(a.out.dtype, [&]<class T>() { scatter_walk<T>(a, 0, a.src.shape[0] * a.src.shape[2]); });
}

}  // namespace graft
