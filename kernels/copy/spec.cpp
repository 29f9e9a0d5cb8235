#include "kernels/copy/copy.h"
#include "kernels/specs.h"

namespace graft {
namespace {

const std::vector<Layout> kAll = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};

std::string name(const std::vector<std::int64_t>& shape) {
  std::string s;
  for (auto n : shape) s += (s.empty() ? "" : "x") + std::to_string(n);
  return s.empty() ? "scalar" : s;
}

Case<CopyArgs> base(std::string label, const std::vector<std::int64_t>& shape, std::optional<DType> from, std::optional<DType> to,
                    Fill fill) {
  Case<CopyArgs> c;
  c.shape = name(shape) + std::move(label);
  c.operands = {{.name = "in", .shape = shape, .fill = fill, .dtype = from, .limit = 200},
                {.name = "out", .role = Role::out, .shape = shape, .dtype = to}};
  c.bind = [](const std::vector<View>& v) { return CopyArgs{v[0], v[1]}; };
  double n = 1;
  for (auto k : shape) n *= static_cast<double>(k);
  c.bytes_per_item = 2 * n;
  c.exact = true;
  c.layouts = kAll;
  return c;
}

}  // namespace

std::vector<Spec> copy_specs() {
  std::vector<Case<CopyArgs>> cases;
  for (const auto& shape :
       std::vector<std::vector<std::int64_t>>{{}, {1}, {0}, {3, 0, 2}, {17}, {1000}, {33, 40}, {2, 3, 5, 7}, {64, 129}, {40000}}) {
    auto c = base("", shape, {}, {}, Fill::normal);
    c.dtypes = {kAllDTypes, kAllDTypes + 8};
    cases.push_back(c);
  }
  // every pair of dtypes: negative and fractional values, magnitudes beyond the target's range, subnormals, NaN and infinities
  for (DType from : kAllDTypes)
    for (DType to : kAllDTypes) {
      if (from == to) continue;
      const std::string label = "_" + std::string(name_of(from)) + "_" + std::string(name_of(to));
      for (Fill fill : {is_float(from) ? Fill::normal : Fill::index, Fill::extreme, Fill::denormal, Fill::some_nan}) {
        if (fill != Fill::index && fill != Fill::normal && !is_float(from)) continue;
        const char* what = fill == Fill::extreme ? "_extreme" : fill == Fill::denormal ? "_denormal" : fill == Fill::some_nan ? "_nan" : "";
        auto c = base(label + what, {9, 67}, from, to, fill);
        c.dtypes = {to};
        if (fill != Fill::normal) c.layouts = {Layout::dense};
        cases.push_back(c);
      }
    }
  auto inf = base("_inf_f32_bf16", {9, 33}, DType::f32, DType::bf16, Fill::inf_rows);
  inf.dtypes = {DType::bf16};
  cases.push_back(inf);
  auto nan = base("_nan", {33, 40}, {}, {}, Fill::some_nan);
  cases.push_back(nan);
  // an output whose axes are swapped in memory; a stretched input
  auto swapped = base("_swapped", {50, 70}, {}, {}, Fill::normal);
  swapped.operands[1].shape = {70, 50};
  swapped.bind = [](const std::vector<View>& v) {
    View out = v[1];
    std::swap(out.shape[0], out.shape[1]);
    std::swap(out.stride[0], out.stride[1]);
    return CopyArgs{v[0], out};
  };
  cases.push_back(swapped);
  auto stretched = base("_stretched", {30, 70}, {}, {}, Fill::normal);
  stretched.operands[0].shape = {70};
  stretched.bind = [](const std::vector<View>& v) {
    View in = v[1];
    in.data = v[0].data;
    in.stride[0] = 0;
    in.stride[1] = v[0].stride[0];
    return CopyArgs{in, v[1]};
  };
  stretched.layouts = {Layout::dense, Layout::sliced, Layout::stepped};
  cases.push_back(stretched);
  // rows of a wider matrix, whole packs; several blocks of converted packs and a tail; planes of transpositions
  auto rows = base("_rows", {12, 112}, {}, {}, Fill::normal);
  rows.operands[0].shape = {12, 240};
  rows.bind = [](const std::vector<View>& v) {
    View in = v[0];
    in.shape[1] = v[1].shape[1];
    return CopyArgs{in, v[1]};
  };
  rows.dtypes = {kAllDTypes, kAllDTypes + 8};
  rows.layouts = {Layout::dense};
  cases.push_back(rows);
  for (DType half : {DType::bf16, DType::f16})
    for (bool narrows : {true, false}) {
      auto c = base(narrows ? "_narrows" : "_widens", {5003}, narrows ? DType::f32 : half, narrows ? half : DType::f32, Fill::normal);
      c.shape += "_" + std::string(name_of(half));
      c.dtypes = {half};
      c.layouts = {Layout::dense};
      cases.push_back(c);
    }
  auto planes = base("_planes", {2, 3, 37, 45}, {}, {}, Fill::normal);
  planes.operands[0].shape = {3, 2, 45, 37};
  planes.bind = [](const std::vector<View>& v) {
    View in = v[0];
    std::swap(in.shape[0], in.shape[1]);
    std::swap(in.stride[0], in.stride[1]);
    std::swap(in.shape[2], in.shape[3]);
    std::swap(in.stride[2], in.stride[3]);
    return CopyArgs{in, v[1]};
  };
  planes.dtypes = {DType::f32, DType::f64, DType::bf16, DType::u8};
  planes.layouts = {Layout::dense, Layout::sliced};
  cases.push_back(planes);
  auto big = base("", {1 << 22}, {}, {}, Fill::normal);
  big.bench = true;
  big.layouts = {Layout::dense};
  big.dtypes = {DType::f32};
  cases.push_back(big);
  auto halves = base("_to_bf16", {1 << 22}, DType::f32, DType::bf16, Fill::normal);
  halves.bench = true;
  halves.layouts = {Layout::dense};
  halves.dtypes = {DType::bf16};
  halves.bytes_per_item = 1 << 22;
  halves.other_bytes = 4.0 * (1 << 22);
  cases.push_back(halves);
  return {make_spec(copy_family(), std::move(cases))};
}

}  // namespace graft
