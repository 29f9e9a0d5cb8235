// cuDNN's convolutions as rows, by its graph API: the baseline of the ladder. One convolution per graph, cross-correlation, f32 sums; a
// bias or a ReLU would be a graph of several operations that takes only some shapes, so the limit leaves those calls to our own rows.
#include "kernels/conv/rows.h"
#include "kernels/simt/cudnn_graph.h"

namespace graft::cuda {
#ifdef GRAFT_HAVE_CUDNN
namespace {

CudnnGraph::Descriptor image(CudnnGraph& g, const View& v) {
  return g.tensor(v.dtype, {v.shape[0], v.shape[1], v.shape[2], v.shape[3]}, {v.stride[0], v.stride[1], v.stride[2], v.stride[3]}, v.data);
}
struct Names {  // of one pass
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t conv, alpha, beta, x, w, y;
};
constexpr Names kForward{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
constexpr Names kInputGrad{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
constexpr Names kWeightGrad{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};

void run(Queue& q, const char* op, const Names& n, const View& x, const View& w, const View& y, const ConvGeometry& s) {
  if (x.numel() == 0 || w.numel() == 0 || y.numel() == 0) return;
  std::vector<std::int64_t> key{n.operation,  s.stride_h,  s.stride_w,   s.pad_top,    s.pad_left,
                                s.pad_bottom, s.pad_right, s.dilation_h, s.dilation_w, s.groups};
  for (const View* v : {&x, &w, &y}) append_key(key, *v);
  const auto& plan = cudnn_plan(q, key, [&](CudnnGraph& g) {
    const auto dx = image(g, x), dw = image(g, w), dy = image(g, y);
    const bool wide = x.dtype == DType::f64;
    const cudnnDataType_t sums = wide ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const std::int64_t axes = 2, strides[2] = {s.stride_h, s.stride_w}, before[2] = {s.pad_top, s.pad_left},
                       after[2] = {s.pad_bottom, s.pad_right}, dilations[2] = {s.dilation_h, s.dilation_w};
    const auto conv =
        g.make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, {{CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes},
                                                      {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums},
                                                      {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
                                                      {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before},
                                                      {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after},
                                                      {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations},
                                                      {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides}});
    const float one32 = 1, zero32 = 0;
    const double one64 = 1, zero64 = 0;
    const cudnnBackendAttributeType_t scale = wide ? CUDNN_TYPE_DOUBLE : CUDNN_TYPE_FLOAT;
    g.operation(n.operation, {{n.x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &dx},
                              {n.w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &dw},
                              {n.y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &dy},
                              {n.conv, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv},
                              {n.alpha, scale, 1, wide ? static_cast<const void*>(&one64) : &one32},
                              {n.beta, scale, 1, wide ? static_cast<const void*>(&zero64) : &zero32}});
  });
  run_cudnn(q, plan, op, {x.data, w.data, y.data});
}

}  // namespace

void conv_cudnn(Queue& q, const ConvArgs& a) { run(q, "conv", kForward, a.x, a.weight, a.y, a.geometry); }
void conv_input_grad_cudnn(Queue& q, const ConvInputGradArgs& a) {
  run(q, "conv_input_grad", kInputGrad, a.dx, a.weight, a.dy, a.geometry);
}
void conv_weight_grad_cudnn(Queue& q, const ConvWeightGradArgs& a) {
  run(q, "conv_weight_grad", kWeightGrad, a.x, a.dweight, a.dy, a.geometry);
}
#else
void conv_cudnn(Queue&, const ConvArgs&) { throw Error(Code::bug, "conv: this build has no cuDNN"); }
void conv_input_grad_cudnn(Queue&, const ConvInputGradArgs&) { throw Error(Code::bug, "conv_input_grad: this build has no cuDNN"); }
void conv_weight_grad_cudnn(Queue&, const ConvWeightGradArgs&) { throw Error(Code::bug, "conv_weight_grad: this build has no cuDNN"); }
#endif
}  // namespace graft::cuda
