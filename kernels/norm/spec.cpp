#include "kernels/norm/norm.h"
#include "kernels/specs.h"

namespace graft {
namespace {

const std::vector<Layout> kAll = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};

struct Shape {
  std::int64_t n, c, s;  // rows: n rows of c columns, s == 1
  std::int64_t groups = 1;
  bool affine = true, rms = false, training = true;
  Fill fill = Fill::normal;
  std::vector<Layout> layouts = {Layout::dense};
  bool bench = false, large = false;
  std::string name() const {
    std::string t = std::to_string(n) + "x" + std::to_string(c) + (s > 1 ? "x" + std::to_string(s) : "");
    if (groups != 1) t += "_g" + std::to_string(groups);
    if (!affine) t += "_plain";
    if (rms) t += "_rms";
    if (!training) t += "_eval";
    if (fill != Fill::normal) t += "_fill" + std::to_string(static_cast<int>(fill));
    return t;
  }
  double elements() const { return static_cast<double>(n * c * s); }
};

// Statistics are f32 for 16-bit x and follow x otherwise: one list of cases for each.
template <class Args>
void add(std::vector<Case<Args>>& cases, Case<Args> c, const std::vector<std::size_t>& stats, const Shape& s, double roundings,
         double streams) {
  c.shape = s.name();
  c.flops = 8 * s.elements();
  c.bytes_per_item = streams * s.elements();
  c.roundings = roundings;
  c.layouts = s.layouts;
  c.bench = s.bench;
  c.large = s.large;
  c.dtypes = s.bench || s.large ? std::vector{DType::f32} : std::vector{DType::f32, DType::f64};
  cases.push_back(c);
  if (s.bench || s.fill == Fill::large_offset) return;  // 16-bit floats cannot hold 1000 and a spread
  for (std::size_t k : stats) c.operands[k].dtype = DType::f32;
  c.shape += "_16bit";
  c.dtypes = {DType::bf16};
  if (!s.large) c.dtypes.push_back(DType::f16);
  cases.push_back(c);
}
// Two sums over n elements and the handful of operations that make a result of them; three sums in the gradients.
double budget(double n) { return 8 * n + 32; }

}  // namespace

std::vector<Spec> norm_specs() {
  std::vector<Case<RowNormArgs>> row;
  std::vector<Case<RowNormGradArgs>> row_grad;
  for (const Shape& s : std::vector<Shape>{
           {.n = 7, .c = 37, .s = 1, .layouts = kAll},
           {.n = 5, .c = 64, .s = 1, .rms = true, .layouts = kAll},
           {.n = 70, .c = 9, .s = 1},
           {.n = 3, .c = 1000, .s = 1, .affine = false},
           {.n = 4, .c = 1, .s = 1},
           {.n = 0, .c = 5, .s = 1},
           {.n = 6, .c = 300, .s = 1, .affine = false, .rms = true},
           {.n = 4, .c = 33, .s = 1, .fill = Fill::equal},
           {.n = 4, .c = 33, .s = 1, .fill = Fill::large_offset},
           {.n = 4, .c = 33, .s = 1, .fill = Fill::denormal},
           // rows of the device rungs: by a warp and by a block in registers, with a tail of pieces and without, several blocks of rows
           {.n = 150, .c = 40, .s = 1},
           {.n = 12, .c = 264, .s = 1},
           {.n = 6, .c = 1040, .s = 1},
           {.n = 1, .c = 4104, .s = 1, .rms = true},
           {.n = 2, .c = 2500, .s = 1},
           {.n = 2, .c = 1300, .s = 1, .fill = Fill::large_offset},
           {.n = 2, .c = 64, .s = 1, .fill = Fill::large_offset},
           // a NaN makes its group NaN, and no other
           {.n = 40, .c = 37, .s = 1, .fill = Fill::rare_nan},
           {.n = 40, .c = 40, .s = 1, .rms = true, .fill = Fill::rare_nan},
           {.n = 4, .c = 1040, .s = 1, .fill = Fill::rare_nan},
           {.n = 3, .c = 2500, .s = 1, .fill = Fill::rare_nan},
           {.n = 4096, .c = 1024, .s = 1, .bench = true},
           {.n = 8192, .c = 1024, .s = 1, .large = true},
           {.n = 8192, .c = 8192, .s = 1, .large = true}}) {
    Case<RowNormArgs> f;
    f.operands = {{.name = "x", .shape = {s.n, s.c}, .fill = s.fill, .limit = s.c},
                  {.name = "weight", .shape = {s.c}},
                  {.name = "bias", .shape = {s.c}},
                  {.name = "y", .role = Role::out, .shape = {s.n, s.c}},
                  {.name = "mean", .role = s.rms ? Role::in : Role::out, .shape = {s.n}},
                  {.name = "rstd", .role = Role::out, .shape = {s.n}}};
    f.bind = [s](const std::vector<View>& v) {
      return RowNormArgs{v[0], s.affine ? v[1] : View{}, s.affine && !s.rms ? v[2] : View{}, v[3], s.rms ? View{} : v[4], v[5], 1e-5,
                         s.rms};
    };
    add(row, f, {4, 5}, s, budget(static_cast<double>(s.c)), 2);
    if (s.fill != Fill::normal && s.fill != Fill::rare_nan) continue;
    Case<RowNormGradArgs> b;
    b.operands = {{.name = "dy", .shape = {s.n, s.c}},
                  {.name = "x", .shape = {s.n, s.c}, .fill = s.fill, .limit = s.c},
                  {.name = "weight", .shape = {s.c}},
                  {.name = "mean", .shape = {s.n}},
                  {.name = "rstd", .shape = {s.n}, .fill = Fill::positive},
                  {.name = "dx", .role = Role::out, .shape = {s.n, s.c}},
                  {.name = "dweight", .role = s.affine ? Role::out : Role::in, .shape = {s.c}},
                  {.name = "dbias", .role = s.affine && !s.rms ? Role::out : Role::in, .shape = {s.c}}};
    b.bind = [s](const std::vector<View>& v) {
      return RowNormGradArgs{
          v[0], v[1], s.affine ? v[2] : View{}, v[3], v[4], v[5], s.affine ? v[6] : View{}, s.affine && !s.rms ? v[7] : View{}, s.rms};
    };
    add(row_grad, b, {3, 4}, s, budget(static_cast<double>(std::max(s.c, s.n))), 3);
  }

  std::vector<Case<GroupNormArgs>> group;
  std::vector<Case<GroupNormGradArgs>> group_grad;
  for (const Shape& s : std::vector<Shape>{{.n = 2, .c = 6, .s = 15, .groups = 3, .layouts = kAll},
                                           {.n = 3, .c = 4, .s = 9, .groups = 4},
                                           {.n = 2, .c = 5, .s = 7},
                                           {.n = 2, .c = 8, .s = 33, .groups = 2, .affine = false},
                                           {.n = 1, .c = 1, .s = 1},
                                           {.n = 0, .c = 4, .s = 3, .groups = 2},
                                           {.n = 2, .c = 4, .s = 20, .groups = 2, .fill = Fill::large_offset},
                                           {.n = 2, .c = 4, .s = 20, .groups = 2, .fill = Fill::equal},
                                           {.n = 1, .c = 6, .s = 1400, .groups = 2},
                                           {.n = 1, .c = 1, .s = 4200, .fill = Fill::large_offset},
                                           {.n = 5, .c = 6, .s = 15, .groups = 3, .fill = Fill::rare_nan},
                                           {.n = 2, .c = 4, .s = 700, .groups = 2, .fill = Fill::rare_nan},
                                           {.n = 8, .c = 64, .s = 784, .groups = 8, .bench = true}}) {
    const double n = static_cast<double>(s.c / s.groups * s.s);
    Case<GroupNormArgs> f;
    f.operands = {{.name = "x", .shape = {s.n, s.c, s.s}, .fill = s.fill, .limit = static_cast<std::int64_t>(n)},
                  {.name = "weight", .shape = {s.c}},
                  {.name = "bias", .shape = {s.c}},
                  {.name = "y", .role = Role::out, .shape = {s.n, s.c, s.s}},
                  {.name = "mean", .role = Role::out, .shape = {s.n, s.groups}},
                  {.name = "rstd", .role = Role::out, .shape = {s.n, s.groups}}};
    f.bind = [s](const std::vector<View>& v) {
      return GroupNormArgs{v[0], s.affine ? v[1] : View{}, s.affine ? v[2] : View{}, v[3], v[4], v[5], s.groups, 1e-5};
    };
    add(group, f, {4, 5}, s, budget(n), 2);
    if (s.fill != Fill::normal && s.fill != Fill::rare_nan) continue;
    Case<GroupNormGradArgs> b;
    b.operands = {{.name = "dy", .shape = {s.n, s.c, s.s}},
                  {.name = "x", .shape = {s.n, s.c, s.s}, .fill = s.fill, .limit = static_cast<std::int64_t>(n)},
                  {.name = "weight", .shape = {s.c}},
                  {.name = "mean", .shape = {s.n, s.groups}},
                  {.name = "rstd", .shape = {s.n, s.groups}, .fill = Fill::positive},
                  {.name = "dx", .role = Role::out, .shape = {s.n, s.c, s.s}},
                  {.name = "dweight", .role = s.affine ? Role::out : Role::in, .shape = {s.c}},
                  {.name = "dbias", .role = s.affine ? Role::out : Role::in, .shape = {s.c}}};
    b.bind = [s](const std::vector<View>& v) {
      return GroupNormGradArgs{
          v[0], v[1], s.affine ? v[2] : View{}, v[3], v[4], v[5], s.affine ? v[6] : View{}, s.affine ? v[7] : View{}, s.groups};
    };
    add(group_grad, b, {3, 4}, s, budget(std::max(n, static_cast<double>(s.n * s.s))), 3);
  }

  std::vector<Case<BatchNormArgs>> batch;
  std::vector<Case<BatchNormGradArgs>> batch_grad;
  for (const Shape& s : std::vector<Shape>{{.n = 4, .c = 3, .s = 35, .layouts = kAll},
                                           {.n = 4, .c = 3, .s = 35, .training = false, .layouts = kAll},
                                           {.n = 9, .c = 5, .s = 1},
                                           {.n = 5, .c = 4, .s = 100, .affine = false},
                                           {.n = 2, .c = 2, .s = 20, .fill = Fill::large_offset},
                                           {.n = 2, .c = 2, .s = 20, .fill = Fill::equal},
                                           {.n = 3, .c = 2, .s = 1400},
                                           {.n = 3, .c = 1, .s = 1400, .training = false},
                                           {.n = 2, .c = 1, .s = 2100, .fill = Fill::large_offset},
                                           {.n = 70, .c = 37, .s = 1},
                                           {.n = 4, .c = 13, .s = 35, .fill = Fill::rare_nan},
                                           {.n = 4, .c = 3, .s = 35, .training = false, .fill = Fill::rare_nan},
                                           {.n = 70, .c = 37, .s = 1, .fill = Fill::rare_nan},
                                           {.n = 3, .c = 2, .s = 1400, .fill = Fill::rare_nan},
                                           {.n = 32, .c = 64, .s = 784, .bench = true}}) {
    const double n = static_cast<double>(s.n * s.s);
    const Role stat = s.training ? Role::out : Role::in;
    Case<BatchNormArgs> f;
    f.operands = {{.name = "x", .shape = {s.n, s.c, s.s}, .fill = s.fill, .limit = static_cast<std::int64_t>(n)},
                  {.name = "weight", .shape = {s.c}},
                  {.name = "bias", .shape = {s.c}},
                  {.name = "y", .role = Role::out, .shape = {s.n, s.c, s.s}},
                  {.name = "mean", .role = stat, .shape = {s.c}},
                  {.name = "rstd", .role = stat, .shape = {s.c}, .fill = Fill::positive}};
    f.bind = [s](const std::vector<View>& v) {
      return BatchNormArgs{v[0], s.affine ? v[1] : View{}, s.affine ? v[2] : View{}, v[3], v[4], v[5], 1e-5, s.training};
    };
    add(batch, f, {4, 5}, s, budget(n), 2);
    if (s.fill != Fill::normal && s.fill != Fill::rare_nan) continue;
    Case<BatchNormGradArgs> b;
    b.operands = {{.name = "dy", .shape = {s.n, s.c, s.s}},
                  {.name = "x", .shape = {s.n, s.c, s.s}, .fill = s.fill, .limit = static_cast<std::int64_t>(n)},
                  {.name = "weight", .shape = {s.c}},
                  {.name = "mean", .shape = {s.c}},
                  {.name = "rstd", .shape = {s.c}, .fill = Fill::positive},
                  {.name = "dx", .role = Role::out, .shape = {s.n, s.c, s.s}},
                  {.name = "dweight", .role = s.affine ? Role::out : Role::in, .shape = {s.c}},
                  {.name = "dbias", .role = s.affine ? Role::out : Role::in, .shape = {s.c}}};
    b.bind = [s](const std::vector<View>& v) {
      return BatchNormGradArgs{
          v[0], v[1], s.affine ? v[2] : View{}, v[3], v[4], v[5], s.affine ? v[6] : View{}, s.affine ? v[7] : View{}, s.training};
    };
    add(batch_grad, b, {3, 4}, s, budget(n), 3);
  }
  return {make_spec(row_norm_family(), std::move(row)),     make_spec(row_norm_grad_family(), std::move(row_grad)),
          make_spec(group_norm_family(), std::move(group)), make_spec(group_norm_grad_family(), std::move(group_grad)),
          make_spec(batch_norm_family(), std::move(batch)), make_spec(batch_norm_grad_family(), std::move(batch_grad))};
}

}  // namespace graft
