#include "kernels/matmul/matmul.h"
#include "kernels/specs.h"

namespace graft {
namespace {

struct Shape {
  std::int64_t batch, m, n, k;
  bool ta = false, tb = false;  // stored transposed
  bool bias = false, accumulate = false;
  Epilogue epilogue = Epilogue::none;
  double alpha = 1;
  bool shared_b = false;  // one B for the whole batch
  Fill fill = Fill::normal;
  bool of_a = true, of_b = true;  // what is filled so; else normal
  std::vector<Layout> layouts = {Layout::dense};
  std::vector<DType> dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16};
  bool bench = false;
  std::int64_t wider = 0;  // A and B lie in matrices whose rows have this many elements more: aligned rows that end anywhere

  std::string name() const {
    std::string s = (batch > 1 ? std::to_string(batch) + "x" : "") + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
    if (ta || tb) s += std::string("_") + (ta ? "t" : "n") + (tb ? "t" : "n");
    if (bias) s += "_bias";
    if (accumulate) s += "_acc";
    if (epilogue == Epilogue::relu) s += "_relu";
    if (epilogue == Epilogue::gelu) s += "_gelu";
    if (alpha != 1) s += "_alpha";
    if (shared_b) s += "_shared";
    if (wider) s += "_wider";
    if (fill == Fill::denormal) s += "_denormal";
    if (fill == Fill::large_offset) s += "_offset";
    if (fill == Fill::rare_nan) s += "_nan";
    if (fill == Fill::rare_inf) s += "_inf";
    if (fill == Fill::small) s += of_a ? "_small" : "_small_b";
    return s;
  }
};

View swapped(View v) {
  std::swap(v.shape[1], v.shape[2]);
  std::swap(v.stride[1], v.stride[2]);
  return v;
}

Case<MatmulArgs> make(const Shape& s) {
  Case<MatmulArgs> c;
  c.shape = s.name();
  using Dims = std::vector<std::int64_t>;
  const std::int64_t w = s.wider;
  c.operands = {{.name = "a",
                 .shape = s.ta ? Dims{s.batch, s.k, s.m + w} : Dims{s.batch, s.m, s.k + w},
                 .fill = s.of_a ? s.fill : Fill::normal,
                 .limit = 4 * s.k},
                {.name = "b",
                 .shape = s.tb ? Dims{s.shared_b ? 1 : s.batch, s.n, s.k + w} : Dims{s.shared_b ? 1 : s.batch, s.k, s.n + w},
                 .fill = s.of_b ? s.fill : Fill::normal,
                 .limit = 4 * s.k},
                {.name = "c", .role = s.accumulate ? Role::inout : Role::out, .shape = {s.batch, s.m, s.n}},
                {.name = "bias", .shape = {s.n}}};
  c.bind = [s](const std::vector<View>& v) {
    MatmulArgs a;
    a.a = s.ta ? swapped(v[0]) : v[0];
    a.b = s.tb ? swapped(v[1]) : v[1];
    a.a.shape[1] = s.m, a.a.shape[2] = s.k, a.b.shape[1] = s.k, a.b.shape[2] = s.n;
    if (s.shared_b) {
      a.b.shape[0] = s.batch;
      a.b.stride[0] = 0;
    }
    a.c = v[2];
    if (s.bias) a.bias = v[3];
    a.alpha = s.alpha;
    a.accumulate = s.accumulate;
    a.epilogue = s.epilogue;
    return a;
  };
  const double bmn = static_cast<double>(s.batch * s.m * s.n);
  c.flops = 2 * bmn * static_cast<double>(s.k);
  c.bytes_per_item = bmn + static_cast<double>(s.batch * s.m * s.k) + static_cast<double>((s.shared_b ? 1 : s.batch) * s.k * s.n);
  c.roundings = 2 * (2.0 * static_cast<double>(s.k) + 4) + (s.epilogue == Epilogue::gelu ? 12 : 0);
  c.dtypes = s.dtypes;
  c.layouts = s.layouts;
  c.bench = s.bench;
  return c;
}

}  // namespace

std::vector<Spec> matmul_specs() {
  const std::vector<Layout> all = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};
  std::vector<Case<MatmulArgs>> cases;
  for (const Shape& s : std::vector<Shape>{
           {.batch = 1, .m = 17, .n = 19, .k = 23, .layouts = all},
           {.batch = 2, .m = 13, .n = 40, .k = 9, .bias = true, .epilogue = Epilogue::relu, .layouts = all},
           {.batch = 3, .m = 7, .n = 33, .k = 65, .ta = true, .accumulate = true, .layouts = {Layout::dense, Layout::sliced}},
           {.batch = 1, .m = 66, .n = 48, .k = 100, .tb = true, .bias = true, .layouts = {Layout::dense, Layout::sliced}},
           {.batch = 1, .m = 50, .n = 70, .k = 31, .ta = true, .tb = true, .alpha = 0.5},
           {.batch = 1, .m = 30, .n = 20, .k = 900, .bias = true, .epilogue = Epilogue::gelu},  // several blocks of k
           {.batch = 2, .m = 75, .n = 300, .k = 500, .accumulate = true, .epilogue = Epilogue::relu, .dtypes = {DType::f32, DType::bf16}},
           {.batch = 1, .m = 205, .n = 70, .k = 520, .bias = true, .dtypes = {DType::f32}},  // several blocks of rows as well, A read in
                                                                                             // place
           {.batch = 1, .m = 205, .n = 70, .k = 520, .ta = true, .accumulate = true, .dtypes = {DType::f32}, .wider = 3},  // and packed on
                                                                                                                           // the way
           {.batch = 5, .m = 8, .n = 9, .k = 70, .shared_b = true},
           {.batch = 1, .m = 1, .n = 1, .k = 1},
           {.batch = 1, .m = 1, .n = 64, .k = 64},
           {.batch = 1, .m = 64, .n = 1, .k = 64},
           {.batch = 1, .m = 3, .n = 5, .k = 0},  // an empty sum is 0
           {.batch = 1, .m = 3, .n = 5, .k = 0, .bias = true, .accumulate = true},
           {.batch = 1, .m = 0, .n = 5, .k = 3},
           {.batch = 0, .m = 4, .n = 5, .k = 3},
           {.batch = 1, .m = 12, .n = 16, .k = 8, .fill = Fill::denormal, .dtypes = {DType::f32, DType::f64}},
           {.batch = 1, .m = 12, .n = 16, .k = 40, .fill = Fill::large_offset, .dtypes = {DType::f32, DType::f64}},
           {.batch = 1, .m = 20, .n = 4200, .k = 10, .dtypes = {DType::f32}},  // more than one panel of columns
           // a NaN makes its row, or its column, NaN and no other; relu keeps it
           {.batch = 1, .m = 37, .n = 41, .k = 23, .bias = true, .epilogue = Epilogue::relu, .fill = Fill::rare_nan, .layouts = all},
           {.batch = 2, .m = 66, .n = 72, .k = 40, .tb = true, .bias = true, .epilogue = Epilogue::relu, .fill = Fill::rare_nan},
           {.batch = 1, .m = 69, .n = 133, .k = 45, .ta = true, .epilogue = Epilogue::gelu, .fill = Fill::rare_nan, .wider = 3},
           {.batch = 48, .m = 72, .n = 136, .k = 24, .fill = Fill::rare_nan, .dtypes = {DType::f32, DType::bf16}},
           {.batch = 1, .m = 40, .n = 24, .k = 1096, .tb = true, .bias = true, .epilogue = Epilogue::relu, .fill = Fill::rare_nan},
           // aligned rows in all four orders, several tiles each way, tails of every length in the last pieces
           {.batch = 2, .m = 70, .n = 69, .k = 61, .alpha = 0.5, .wider = 3},
           {.batch = 1, .m = 69, .n = 133, .k = 45, .ta = true, .bias = true, .accumulate = true, .epilogue = Epilogue::gelu, .wider = 3},
           {.batch = 1, .m = 65, .n = 37, .k = 90, .tb = true, .bias = true, .epilogue = Epilogue::relu, .wider = 6},
           {.batch = 2, .m = 61, .n = 67, .k = 53, .ta = true, .tb = true, .accumulate = true, .wider = 3},
           {.batch = 1, .m = 40, .n = 72, .k = 64, .layouts = all},
           // enough tiles for the large ones
           {.batch = 96, .m = 68, .n = 72, .k = 24, .bias = true},
           {.batch = 48,
           .m = 72,
           .n = 136,
           .k = 24,
           .ta = true,
           .tb = true,
           .epilogue = Epilogue::relu,
           .dtypes = {DType::f32, DType::bf16}},
           // 64 tiles of 128 x 128 and of 128 x 256, two panels of k with a tail, in all four orders
           {.batch = 11, .m = 129, .n = 257, .k = 73, .bias = true, .epilogue = Epilogue::gelu, .dtypes = {DType::bf16}, .wider = 7},
           {.batch = 32,
           .m = 130,
           .n = 66,
           .k = 66,
           .ta = true,
           .tb = true,
           .accumulate = true,
           .alpha = 0.5,
           .dtypes = {DType::f16},
           .wider = 6},
           {.batch = 32,
           .m = 129,
           .n = 129,
           .k = 64,
           .tb = true,
           .bias = true,
           .epilogue = Epilogue::relu,
           .shared_b = true,
           .dtypes = {DType::f16}},
           {.batch = 64, .m = 65, .n = 129, .k = 65, .ta = true, .accumulate = true, .dtypes = {DType::bf16}, .wider = 7},
           // large enough for AMX in f32: all orders, several blocks of k, of rows and of columns, what bf16 cannot say
           {.batch = 1, .m = 150, .n = 130, .k = 400, .bias = true, .epilogue = Epilogue::relu, .layouts = all, .dtypes = {DType::f32}},
           {.batch = 1, .m = 129, .n = 147, .k = 390, .ta = true, .accumulate = true, .dtypes = {DType::f32}, .wider = 3},
           {.batch = 1, .m = 140, .n = 150, .k = 360, .tb = true, .bias = true, .epilogue = Epilogue::gelu, .dtypes = {DType::f32}},
           {.batch = 1, .m = 145, .n = 133, .k = 385, .ta = true, .tb = true, .alpha = 0.5, .dtypes = {DType::f32}, .wider = 3},
           {.batch = 1, .m = 335, .n = 68, .k = 1100, .accumulate = true, .dtypes = {DType::f32}},
           {.batch = 1, .m = 335, .n = 68, .k = 100, .bias = true, .dtypes = {DType::bf16}},
           {.batch = 1, .m = 24, .n = 40, .k = 1600, .tb = true, .bias = true, .dtypes = {DType::bf16, DType::f16}},
           {.batch = 1, .m = 64, .n = 1060, .k = 110, .dtypes = {DType::f32}},
           {.batch = 1, .m = 129, .n = 130, .k = 440, .fill = Fill::rare_nan, .dtypes = {DType::f32}},
           {.batch = 1, .m = 129, .n = 130, .k = 440, .ta = true, .fill = Fill::rare_inf, .dtypes = {DType::f32}},
           {.batch = 1, .m = 129, .n = 130, .k = 440, .fill = Fill::small, .of_b = false, .dtypes = {DType::f32}},
           {.batch = 1, .m = 129, .n = 130, .k = 440, .tb = true, .fill = Fill::small, .of_a = false, .dtypes = {DType::f32}},
           // few tiles, long k
           {.batch = 1, .m = 40, .n = 24, .k = 1096, .tb = true, .bias = true, .epilogue = Epilogue::gelu},
           {.batch = 2, .m = 16, .n = 72, .k = 800, .ta = true, .accumulate = true, .alpha = 2},
           {.batch = 1, .m = 24, .n = 16, .k = 523, .tb = true, .dtypes = {DType::f32, DType::f16}, .wider = 5},
       })
    cases.push_back(make(s));
  for (const auto& [m, n, k] : std::vector<std::array<std::int64_t, 3>>{
           {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {512, 2304, 768}, {512, 768, 3072}})
    for (int t = 0; t < 4; ++t) {
      cases.push_back(
          make({.batch = 1, .m = m, .n = n, .k = k, .ta = t / 2 == 1, .tb = t % 2 == 1, .dtypes = {DType::f32}, .bench = true}));
    }
  for (const std::int64_t n : {4096, 8192}) {
    cases.push_back(make({.batch = 1, .m = n, .n = n, .k = n, .dtypes = {DType::bf16}}));
    cases.back().large = true;
    cases.push_back(make({.batch = 1, .m = n, .n = n, .k = n, .tb = true, .dtypes = {DType::bf16}}));
    cases.back().large = true;
  }
  return {make_spec(matmul_family(), std::move(cases))};
}

}  // namespace graft
