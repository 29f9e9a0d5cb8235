// copy: out[i] = in[i], any strides on either side (an in-stride of 0 broadcasts), any pair of dtypes. Float to integer truncates toward
// zero and saturates, NaN becomes 0; anything to bool is `!= 0`; f64/f32 to bf16/f16 rounds to nearest even.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct CopyArgs {
  View in, out;  // same shape
};

const Family<CopyArgs>& copy_family();

}  // namespace graft
