#include "kernels/loss/rows.h"

namespace graft {
namespace {

bool f32_or_half(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }
bool dense_last(const View& v) { return v.shape[1] <= 1 || v.stride[1] == 1; }

constexpr Limit<CrossEntropyArgs> vectors{"f32, bf16, f16; rows dense and not empty", [](const CrossEntropyArgs& a) {
                                            if (!f32_or_half(a.logits.dtype))
                                              return no("logits are " + std::string(name_of(a.logits.dtype)));
                                            if (a.logits.shape[1] == 0) return no("no classes");
                                            return dense_last(a.logits) ? yes() : no("rows are not dense");
                                          }};
constexpr Limit<CrossEntropyGradArgs> grad_vectors{"f32, bf16, f16; rows dense; no class weights", [](const CrossEntropyGradArgs& a) {
                                                     if (!f32_or_half(a.logits.dtype))
                                                       return no("logits are " + std::string(name_of(a.logits.dtype)));
                                                     if (a.class_weight.data) return no("class weights");
                                                     return dense_last(a.logits) && dense_last(a.dlogits) ? yes()
                                                                                                          : no("rows are not dense");
                                                   }};

constexpr Limit<CrossEntropyFusedArgs> fused_vectors{
    "f32, bf16, f16; rows dense and not empty; no class weights", [](const CrossEntropyFusedArgs& a) {
      if (!f32_or_half(a.logits.dtype)) return no("logits are " + std::string(name_of(a.logits.dtype)));
      if (a.logits.shape[1] == 0) return no("no classes");
      if (a.class_weight.data) return no("class weights");
      return dense_last(a.logits) && dense_last(a.dlogits) ? yes() : no("rows are not dense");
    }};

// ---- device rows ----
// A warp has enough to do with shorter rows.
Verdict is_long(const View& x) { return x.shape[1] >= 1024 ? yes() : no("rows of " + std::to_string(x.shape[1]) + ": a warp does"); }
constexpr const char* kLong = "at least 1024 classes";
constexpr Limit<CrossEntropyArgs> long_row{kLong, [](const CrossEntropyArgs& a) { return is_long(a.logits); }};
constexpr Limit<CrossEntropyGradArgs> grad_long_row{kLong, [](const CrossEntropyGradArgs& a) { return is_long(a.logits); }};

Verdict long_pieces(const View& x) {
  const std::int64_t piece = 16 / static_cast<std::int64_t>(size_of(x.dtype));
  if (const Verdict v = is_long(x); !v) return v;
  if (!dense_last(x)) return no("rows are not dense");
  if (x.shape[1] % piece != 0) return no("rows of " + std::to_string(x.shape[1]) + " are not whole 16-byte pieces");
  return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && (x.shape[0] <= 1 || x.stride[0] % piece == 0)
             ? yes()
             : no("a row does not begin on a 16-byte boundary");
}
constexpr const char* kPieces = "at least 1024 classes; rows dense, in whole 16-byte pieces";
constexpr Limit<CrossEntropyArgs> pieces{kPieces, [](const CrossEntropyArgs& a) { return long_pieces(a.logits); }};
constexpr Limit<CrossEntropyGradArgs> grad_pieces{kPieces, [](const CrossEntropyGradArgs& a) {
                                                    const Verdict v = long_pieces(a.logits);
                                                    return v ? long_pieces(a.dlogits) : v;
                                                  }};

constexpr Limit<CrossEntropyFusedArgs> fused_long_row{kLong, [](const CrossEntropyFusedArgs& a) { return is_long(a.logits); }};
Verdict fused_lines(const CrossEntropyFusedArgs& a) {
  if (const Verdict v = is_long(a.logits); !v) return v;
  if (!dense_last(a.logits) || !dense_last(a.dlogits)) return no("rows are not dense");
  const auto size = static_cast<std::int64_t>(size_of(a.logits.dtype));
  const auto past = [&](const View& v) { return reinterpret_cast<std::uintptr_t>(v.data) % 16; };
  const bool same =
      past(a.logits) == past(a.dlogits) && (a.logits.shape[0] <= 1 || (a.logits.stride[0] - a.dlogits.stride[0]) * size % 16 == 0);
  return same ? yes() : no("a row of logits and its gradient differ in their distance from a 16-byte boundary");
}
constexpr Limit<CrossEntropyFusedArgs> fused_pieces{"at least 1024 classes; rows dense, logits and gradient alike on 16-byte boundaries",
                                                    fused_lines};
constexpr Limit<CrossEntropyFusedArgs> fused_held{
    "as 3_pieces; a row of at most 98 KB", [](const CrossEntropyFusedArgs& a) {
      const Verdict v = fused_lines(a);
      if (!v) return v;
      const std::int64_t bytes = a.logits.shape[1] * static_cast<std::int64_t>(size_of(a.logits.dtype));
      return bytes <= kHeldBytes ? yes() : no("a row of " + std::to_string(bytes) + " bytes does not fit in shared memory");
    }};

}  // namespace

const Family<CrossEntropyArgs>& cross_entropy_family() {
  static const Family<CrossEntropyArgs> family(
      "cross_entropy",
      {
          host("ref", cross_entropy_ref, any<CrossEntropyArgs>, 0, "plain loops, double sums"),
          host("naive", cross_entropy_naive, any<CrossEntropyArgs>, 1, "plain loops"),
          host("cpu.1_simd", cross_entropy_simd, vectors, 10, "whole vectors along a row"),
      },
      {
          {"0_thread_row", GRAFT_BODIES(cross_entropy_thread_row), any<CrossEntropyArgs>, 1, "one thread per row, two visits"},
          {"1_warp_row", GRAFT_BODIES(cross_entropy_warp_row), any<CrossEntropyArgs>, 10,
           "one warp per row, one visit for maximum and sum"},
          {"2_block_row", GRAFT_BODIES(cross_entropy_block_row), long_row, 20, "one block per row, warps meet in shared memory"},
          {"3_pieces", GRAFT_BODIES(cross_entropy_pieces), pieces, 30, "one block per row, 16-byte loads, one rescale per load"},
      });
  return family;
}

const Family<CrossEntropyGradArgs>& cross_entropy_grad_family() {
  static const Family<CrossEntropyGradArgs> family(
      "cross_entropy_grad",
      {
          host("ref", cross_entropy_grad_ref, any<CrossEntropyGradArgs>, 0, "plain loops, in double"),
          host("naive", cross_entropy_grad_naive, any<CrossEntropyGradArgs>, 1, "plain loops"),
          host("cpu.1_simd", cross_entropy_grad_simd, grad_vectors, 10, "whole vectors along a row"),
      },
      {
          {"0_thread_row", GRAFT_BODIES(cross_entropy_grad_thread_row), any<CrossEntropyGradArgs>, 1, "one thread per row"},
          {"1_warp_row", GRAFT_BODIES(cross_entropy_grad_warp_row), any<CrossEntropyGradArgs>, 10, "one warp per row, one visit"},
          {"2_block_row", GRAFT_BODIES(cross_entropy_grad_block_row), grad_long_row, 20, "one block per row, one visit"},
          {"3_pieces", GRAFT_BODIES(cross_entropy_grad_pieces), grad_pieces, 30, "one block per row, 16-byte loads and stores"},
      });
  return family;
}

const Family<CrossEntropyFusedArgs>& cross_entropy_fused_family() {
  static const Family<CrossEntropyFusedArgs> family(
      "cross_entropy_fused",
      {
          host("ref", cross_entropy_fused_ref, any<CrossEntropyFusedArgs>, 0, "plain loops, in double"),
          host("naive", cross_entropy_fused_naive, any<CrossEntropyFusedArgs>, 1, "plain loops"),
          host("cpu.1_simd", cross_entropy_fused_simd, fused_vectors, 10,
               "whole vectors along a row, its exponentials kept in the gradient"),
      },
      {
          {"0_thread_row", GRAFT_BODIES(cross_entropy_fused_thread_row), any<CrossEntropyFusedArgs>, 1, "one thread per row, three visits"},
          {"1_warp_row", GRAFT_BODIES(cross_entropy_fused_warp_row), any<CrossEntropyFusedArgs>, 10,
           "one warp per row, the second visit in the cache"},
          {"2_block_row", GRAFT_BODIES(cross_entropy_fused_block_row), fused_long_row, 20,
           "one block per row, the second visit in the cache"},
          {"3_pieces", GRAFT_BODIES(cross_entropy_fused_pieces), fused_pieces, 30, "one block per row, 16-byte loads and stores"},
          {"4_held",
           GRAFT_BODIES(cross_entropy_fused_held),
           fused_held,
           40,
           "one block per row, which it keeps in shared memory",
           nullptr,
           false,
           {80}},
      });
  return family;
}

}  // namespace graft
