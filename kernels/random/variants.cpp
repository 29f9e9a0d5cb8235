#include "kernels/random/rows.h"

namespace graft {
namespace {

constexpr Limit<RandomArgs> real_vectors{"f32, no integers", [](const RandomArgs& a) {
                                           if (a.out.dtype != DType::f32) return no("out is " + std::string(name_of(a.out.dtype)));
                                           return a.kind != RandomKind::integer ? yes() : no("integers are drawn");
                                         }};
constexpr Limit<DropoutArgs> vectors{"f32, p < 1", [](const DropoutArgs& a) {
                                       if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
                                       return a.p < 1 ? yes() : no("p is 1: nothing is kept");
                                     }};

}  // namespace

const Family<RandomArgs>& random_family() {
  static const Family<RandomArgs> family(
      "random",
      {
          host("ref", random_ref, any<RandomArgs>, 0, "a counter per element, one thread"),
          host("naive", random_naive, any<RandomArgs>, 1, "a counter per element"),
          host("cpu.1_blocks", random_blocks, any<RandomArgs>, 10, "a counter for four elements"),
          host("cpu.2_simd", random_simd, real_vectors, 20, "counters side by side in vectors"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(random_thread_element), any<RandomArgs>, 1, "one thread and one counter per element"},
          {"1_counters", GRAFT_BODIES(random_counters), any<RandomArgs>, 10, "one thread and one counter per four elements"},
      });
  return family;
}

const Family<DropoutArgs>& dropout_family() {
  static const Family<DropoutArgs> family(
      "dropout",
      {
          host("ref", dropout_ref, any<DropoutArgs>, 0, "a counter per element, one thread"),
          host("naive", dropout_naive, any<DropoutArgs>, 1, "a counter per element"),
          host("cpu.2_simd", dropout_simd, vectors, 20, "counters side by side in vectors"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(dropout_thread_element), any<DropoutArgs>, 1, "one thread and one counter per element"},
          {"1_counters", GRAFT_BODIES(dropout_counters), any<DropoutArgs>, 10, "one thread and one counter per four elements"},
      });
  return family;
}

}  // namespace graft
