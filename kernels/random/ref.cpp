// random and dropout as their definitions, one counter per element. One thread.
#include "kernels/random/plain.h"
#include "kernels/random/rows.h"

namespace graft {

void random_ref(Queue&, const RandomArgs& a) {
  visit(a.out.dtype, [&]<class T>() { random_walk<T>(a, 0, a.out.numel()); });
}
void dropout_ref(Queue&, const DropoutArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { dropout_walk<T, double>(a, 0, a.x.numel()); });
}

}  // namespace graft
