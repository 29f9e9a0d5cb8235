// cuDNN's layer normalisation and its gradient as rows, by the graph API: the baseline of the ladder. Rows are images of `cols` channels;
// weight and bias are [1, cols, 1, 1] in x's dtype, mean and rstd [rows, 1, 1, 1] in f32.
#include "kernels/norm/rows.h"
#include "kernels/simt/cudnn_graph.h"

namespace graft::cuda {
#ifdef GRAFT_HAVE_CUDNN
namespace {

using Descriptor = CudnnGraph::Descriptor;
Descriptor rows_of(CudnnGraph& g, const View& v) {  // v: [rows, cols], cols dense
  const std::int64_t cols = v.shape[1], step = v.shape[0] > 1 ? v.stride[0] : cols;
  return g.tensor(v.dtype, {v.shape[0], cols, 1, 1}, {step, 1, 1, 1}, v.data);
}
Descriptor columns_of(CudnnGraph& g, const View& v) { return g.tensor(v.dtype, {1, v.shape[0], 1, 1}, {v.shape[0], 1, 1, 1}, v.data); }
Descriptor statistic(CudnnGraph& g, const View& v) { return g.tensor(v.dtype, {v.shape[0], 1, 1, 1}, {1, 1, 1, 1}, v.data); }

}  // namespace

void row_norm_cudnn(Queue& q, const RowNormArgs& a) {
  if (a.x.numel() == 0) return;
  std::vector<std::int64_t> key{CUDNN_ATTR_OPERATION_NORM_FWD_MODE};
  for (const View* v : {&a.x, &a.weight, &a.bias, &a.y, &a.mean, &a.rstd}) append_key(key, *v);
  const auto& plan = cudnn_plan(q, key, [&](CudnnGraph& g) {
    const Descriptor x = rows_of(g, a.x), w = columns_of(g, a.weight), b = columns_of(g, a.bias), y = rows_of(g, a.y),
                     mean = statistic(g, a.mean), rstd = statistic(g, a.rstd), eps = g.scalar(DType::f32);
    const cudnnBackendNormMode_t mode = CUDNN_LAYER_NORM;
    const cudnnBackendNormFwdPhase_t phase = CUDNN_NORM_FWD_TRAINING;
    g.operation(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR,
                {{CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode},
                 {CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, 1, &phase},
                 {CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x},
                 {CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &w},
                 {CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &b},
                 {CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y},
                 {CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &mean},
                 {CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &rstd},
                 {CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &eps}});
  });
  float eps = static_cast<float>(a.eps);
  run_cudnn(q, plan, "row_norm", {a.x.data, a.weight.data, a.bias.data, a.y.data, a.mean.data, a.rstd.data, &eps});
}

void row_norm_grad_cudnn(Queue& q, const RowNormGradArgs& a) {
  if (a.x.numel() == 0) return;
  std::vector<std::int64_t> key{CUDNN_ATTR_OPERATION_NORM_BWD_MODE};
  for (const View* v : {&a.x, &a.dy, &a.weight, &a.mean, &a.rstd, &a.dx, &a.dweight, &a.dbias}) append_key(key, *v);
  const auto& plan = cudnn_plan(q, key, [&](CudnnGraph& g) {
    const Descriptor x = rows_of(g, a.x), dy = rows_of(g, a.dy), w = columns_of(g, a.weight), mean = statistic(g, a.mean),
                     rstd = statistic(g, a.rstd), dx = rows_of(g, a.dx), dw = columns_of(g, a.dweight), db = columns_of(g, a.dbias);
    const cudnnBackendNormMode_t mode = CUDNN_LAYER_NORM;
    g.operation(CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR,
                {{CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode},
                 {CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x},
                 {CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &dy},
                 {CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &w},
                 {CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &mean},
                 {CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &rstd},
                 {CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &dx},
                 {CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &dw},
                 {CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &db}});
  });
  run_cudnn(q, plan, "row_norm_grad",
            {a.x.data, a.dy.data, a.weight.data, a.mean.data, a.rstd.data, a.dx.data, a.dweight.data, a.dbias.data});
}
#else
void row_norm_cudnn(Queue&, const RowNormArgs&) { throw Error(Code::bug, "row_norm: this build has no cuDNN"); }
void row_norm_grad_cudnn(Queue&, const RowNormGradArgs&) { throw Error(Code::bug, "row_norm_grad: this build has no cuDNN"); }
#endif
}  // namespace graft::cuda
