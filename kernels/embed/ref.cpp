// embed and its gradient as their definitions, sums in double. One thread.
#include "kernels/embed/plain.h"
#include "kernels/embed/rows.h"

namespace graft {

void embed_ref(Queue&, const EmbedArgs& a) {
  visit(a.out.dtype, [&]<class T>() { embed_walk<T>(a, 0, a.out.shape[0]); });
}
void embed_grad_ref(Queue&, const EmbedGradArgs& a) {
  visit_float(a.dtable.dtype, [&]<class T>() { embed_grad_walk<T, double>(a, 0, a.dtable.shape[0]); });
}

}  // namespace graft
