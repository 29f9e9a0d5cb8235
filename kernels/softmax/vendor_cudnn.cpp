// cudnnSoftmaxForward and Backward as rows: the baseline of the ladder. Rows are images of `cols` channels (mode "instance"), the accurate
// algorithms.
#include "kernels/simt/cudnn_graph.h"
#include "kernels/softmax/rows.h"

namespace graft::cuda {
#ifdef GRAFT_HAVE_CUDNN
namespace {

// v: [rows, cols] as [rows, cols, 1, 1]
class Tensor {
 public:
  explicit Tensor(const View& v) {
    check(cudnn().cudnnCreateTensorDescriptor(&d_), "cudnnCreateTensorDescriptor");
    const auto rows = static_cast<int>(v.shape[0]), cols = static_cast<int>(v.shape[1]);
    const auto step = static_cast<int>(rows > 1 ? v.stride[0] : cols);
    const int dims[4] = {rows, cols, 1, 1}, strides[4] = {step, 1, 1, 1};
    check(cudnn().cudnnSetTensorNdDescriptor(d_, cudnn_type(v.dtype), 4, dims, strides), "cudnnSetTensorNdDescriptor");
  }
  ~Tensor() { (void)cudnn().cudnnDestroyTensorDescriptor(d_); }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  operator cudnnTensorDescriptor_t() const { return d_; }

 private:
  cudnnTensorDescriptor_t d_ = nullptr;
};
struct Scale {  // alpha and beta have the accumulation type
  double wide;
  float narrow;
  explicit Scale(double v) : wide(v), narrow(static_cast<float>(v)) {}
  const void* as(DType t) const { return t == DType::f64 ? static_cast<const void*>(&wide) : &narrow; }
};
const Scale kOne(1), kZero(0);
cudnnSoftmaxAlgorithm_t algorithm(bool log) { return log ? CUDNN_SOFTMAX_LOG : CUDNN_SOFTMAX_ACCURATE; }

}  // namespace

void softmax_cudnn(Queue& q, const SoftmaxArgs& a) {
  if (a.x.numel() == 0) return;
  check(cudnn().cudnnSoftmaxForward(cudnn().handle(q), algorithm(a.log), CUDNN_SOFTMAX_MODE_INSTANCE, kOne.as(a.x.dtype), Tensor(a.x),
                                    a.x.data, kZero.as(a.x.dtype), Tensor(a.y), a.y.data),
        "cudnnSoftmaxForward");
}
void softmax_grad_cudnn(Queue& q, const SoftmaxGradArgs& a) {
  if (a.y.numel() == 0) return;
  check(cudnn().cudnnSoftmaxBackward(cudnn().handle(q), algorithm(a.log), CUDNN_SOFTMAX_MODE_INSTANCE, kOne.as(a.y.dtype), Tensor(a.y),
                                     a.y.data, Tensor(a.dy), a.dy.data, kZero.as(a.y.dtype), Tensor(a.dx), a.dx.data),
        "cudnnSoftmaxBackward");
}
#else
void softmax_cudnn(Queue&, const SoftmaxArgs&) { throw Error(Code::bug, "softmax: this build has no cuDNN"); }
void softmax_grad_cudnn(Queue&, const SoftmaxGradArgs&) { throw Error(Code::bug, "softmax_grad: this build has no cuDNN"); }
#endif
}  // namespace graft::cuda
