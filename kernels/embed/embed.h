// embed: out[i, :] = table[ids[i], :]. The gradient adds rows in the order of i, whatever the threads: deterministic without atomics.
// A kernel reads nothing for an id outside of the table: NaN (0 for integers), and no gradient. On the host the engine checks before; a
// device row reports it to the queue's fault word.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct EmbedArgs {
  View ids;    // [n] i64
  View table;  // [vocab, dim]
  View out;    // [n, dim]
};
const Family<EmbedArgs>& embed_family();

struct EmbedGradArgs {
  View ids;                         // [n] i64
  View dout;                        // [n, dim]
  View dtable;                      // [vocab, dim], overwritten (zeros where no id points)
  std::int64_t padding_index = -1;  // that row gets zero
};
const Family<EmbedGradArgs>& embed_grad_family();

}  // namespace graft
