// Values at the edges, as PyTorch has them: numbers that a dtype cannot hold, nothing, zero, and what cancels.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "engine/autograd/tape.h"
#include "engine/nn/layers.h"
#include "engine/ops/ops.h"

namespace graft {
namespace {

using Values = std::vector<double>;
template <class T>
Tensor of(const std::vector<T>& v) {
  return Tensor::from<T>(v, {static_cast<std::int64_t>(v.size())});
}

TEST(Clamp, OfIntegersKeepsToWhatTheyCanHold) {
  const Tensor i = of<std::int32_t>({-7, 0, 3, 2000000000});
  EXPECT_EQ(clamp(i, 0, INFINITY).values(), (Values{0, 0, 3, 2000000000}));
  EXPECT_EQ(clamp(i, -INFINITY, 2).values(), (Values{-7, 0, 2, 2}));
  EXPECT_EQ(clamp(i, -1e12, 1e12).values(), i.values());
  EXPECT_EQ(clamp(i, -1, 3).dtype(), DType::i32);
  EXPECT_EQ(clamp(of<std::uint8_t>({0, 44, 255}), -1, 300).values(), (Values{0, 44, 255}));
  EXPECT_EQ(clamp(of<std::uint8_t>({0, 44, 255}), 10, 200).values(), (Values{10, 44, 200}));
  const std::int64_t big = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(clamp(of<std::int64_t>({big, -5}), 0, INFINITY).data<std::int64_t>()[0], big);
  const Tensor half = clamp(i, 0.5, 2.5);
  EXPECT_EQ(half.dtype(), DType::f32);
  EXPECT_EQ(half.values(), (Values{0.5, 0.5, 2.5, 2.5}));
}
TEST(Numbers, ThatAnIntegerTensorCannotHoldSaturate) {
  EXPECT_EQ(Tensor::full({2}, 300, DType::u8).values(), (Values{255, 255}));
  EXPECT_EQ(Tensor::scalar(-3e9, DType::i32).values()[0], -2147483648.0);
  EXPECT_EQ(Tensor::scalar(NAN, DType::i64).values()[0], 0);
  EXPECT_EQ(Tensor::scalar(1e30, DType::i64).data<std::int64_t>()[0], std::numeric_limits<std::int64_t>::max());
  const Tensor t = Tensor::zeros({2}, DType::u8);
  fill_(t, -4);
  EXPECT_EQ(t.values(), (Values{0, 0}));
}

TEST(Slice, AStepBeyondTheAxisTakesOneElement) {
  const Tensor x = Tensor::from<double>({0, 1, 2, 3, 4}, {5});
  for (const std::int64_t step : {std::int64_t{6}, INT64_MAX - 1, INT64_MAX}) {
    EXPECT_EQ(slice(x, 0, 0, INT64_MAX, step).values(), (std::vector<double>{0}));
    EXPECT_EQ(slice(x, 0, 4, INT64_MIN, -step).values(), (std::vector<double>{4}));
  }
  EXPECT_EQ(slice(x, 0, 4, INT64_MIN, INT64_MIN).values(), (std::vector<double>{4}));
  EXPECT_EQ(slice(x, 0, 3, 3, INT64_MAX).numel(), 0);
  EXPECT_EQ(slice(Tensor::empty({0}, DType::f64, Device{}), 0, 0, INT64_MAX, INT64_MAX).numel(), 0);
}

TEST(OneDimension, ErrorsSpeakOfWhatWasCalled) {
  const Tensor x = Tensor::zeros({2, 3, 5});
  const auto says = [](const std::function<Tensor()>& call, const std::string& what) {
    try {
      call();
      ADD_FAILURE() << "no error: " << what;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::usage);
      EXPECT_NE(std::string(e.what()).find(what), std::string::npos) << e.what();
    }
  };
  says([&] { return conv1d(x, Tensor::zeros({4, 2, 3})); }, "conv1d: input has 3 channels but weight f32[4,2,3] wants 2");
  says([&] { return conv1d(x, Tensor::zeros({4, 3, 9})); }, "conv1d: input f32[2,3,5] and weight f32[4,3,9]: the kernel is larger");
  says([&] { return conv1d(x, Tensor::zeros({4, 3, 0})); }, "conv1d: the kernel of weight f32[4,3,0] must be at least 1 wide");
  says([&] { return max_pool1d(x, 6, 9); }, "max_pool1d: the kernel is larger");  // by less than a stride
  says([&] { return max_pool1d(x, 9); }, "max_pool1d: the kernel is larger than the padded input f32[2,3,5]");
  says([&] { return avg_pool1d(Tensor::zeros({3, 5}), 2); }, "avg_pool1d: input f32[3,5] wants three axes [n, channels, w]");
}

TEST(Matmul, OverNothingIsZeros) {
  EXPECT_EQ(matmul(Tensor::ones({2, 3, 0}), Tensor::ones({0, 4})).values(), Values(24, 0));
  EXPECT_EQ(matmul(Tensor::ones({2, 0, 5}), Tensor::ones({5, 4})).shape(), (Shape{2, 0, 4}));
  Tensor x = Tensor::ones({2, 3, 0}, DType::f64), w = Tensor::ones({0, 4}, DType::f64);
  x.set_requires_grad();
  w.set_requires_grad();
  backward(sum(matmul(x, w)));
  EXPECT_EQ(x.grad().shape(), x.shape());
  EXPECT_EQ(w.grad().shape(), w.shape());
}
TEST(Matmul, OfIntegersIsExactAndWrapsAsTheyDo) {
  const std::int64_t odd = (std::int64_t{1} << 53) + 1;
  EXPECT_EQ(matmul(Tensor::from<std::int64_t>({odd}, {1, 1}), Tensor::from<std::int64_t>({1}, {1, 1})).data<std::int64_t>()[0], odd);
  const Tensor a = Tensor::full({1, 2}, 200, DType::u8);
  EXPECT_EQ(matmul(a, transpose(a)).values(), (Values{128}));  // 80000 mod 256
  const Tensor b = Tensor::full({1, 2}, 2000000000, DType::i32), c = Tensor::full({2, 1}, 2, DType::i32);
  EXPECT_EQ(matmul(b, c).values(), (Values{-589934592}));  // 8e9 mod 2^32, with a sign
  EXPECT_EQ(matmul(b, c).dtype(), DType::i32);
  // batches, vectors, and more than one piece of k
  const Tensor x = reshape(cast(Tensor::arange(0, 24), DType::i64), {2, 3, 4}), y = reshape(cast(Tensor::arange(0, 8), DType::i64), {4, 2});
  EXPECT_EQ(matmul(x, y).values(), matmul(cast(x, DType::f64), cast(y, DType::f64)).values());
  EXPECT_EQ(matmul(select(x, 0, 0), select(y, 1, 1)).values(),
            matmul(cast(select(x, 0, 0), DType::f64), cast(select(y, 1, 1), DType::f64)).values());
  const Tensor tall = sub(reshape(Tensor::arange(0, 64 * 700), {64, 700}), std::int64_t{20000});
  EXPECT_EQ(matmul(tall, transpose(tall)).values(), matmul(cast(tall, DType::f64), transpose(cast(tall, DType::f64))).values());
}

TEST(Prod, OverNothingHasAnEmptyGradient) {
  Tensor x = Tensor::ones({2, 0}, DType::f64);
  x.set_requires_grad();
  const Tensor y = prod(x, {1});
  EXPECT_EQ(y.values(), (Values{1, 1}));
  backward(sum(y));
  EXPECT_EQ(x.grad().shape(), (Shape{2, 0}));
}

TEST(Pow, ToZeroIsOneWhateverTheBase) {
  Tensor x = of<double>({NAN, INFINITY, 0, -3});
  EXPECT_EQ(pow(x, 0.0).values(), (Values{1, 1, 1, 1}));
  x.set_requires_grad();
  backward(sum(pow(x, 0.0)));
  EXPECT_EQ(x.grad().values(), (Values{0, 0, 0, 0}));
}

TEST(Norm, HasNoGradientAtTheOriginAndDoesNotOverflow) {
  Tensor x = of<double>({0, 0});
  x.set_requires_grad();
  const Tensor n = norm(x);
  EXPECT_EQ(n.values()[0], 0);
  backward(n);
  EXPECT_EQ(x.grad().values(), (Values{0, 0}));
  Tensor y = of<double>({3, 4});
  y.set_requires_grad();
  backward(norm(y));
  EXPECT_NEAR(y.grad().values()[0], 0.6, 1e-15);
  EXPECT_NEAR(y.grad().values()[1], 0.8, 1e-15);
  const Tensor half = cast(of<double>({300, 300}), DType::f16);
  EXPECT_NEAR(norm(half).values()[0], 424.25, 0.25);
}

TEST(Bce, OfLogitsThatAreSureIsNotLostToCancellation) {
  const Tensor x = of<float>({5, 12, 20, -20, 200}), one = Tensor::ones({5});
  const Values got = bce_with_logits(x, one, Reduction::none).values();
  const Values wanted = {6.715348489118068e-3, 6.144193477732903e-6, 2.0611536181902037e-9, 20, 0};
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 4e-7 * wanted[i]) << i;
  EXPECT_NEAR(bce_with_logits(cast(of<double>({5}), DType::bf16), Tensor::ones({1}, DType::bf16), Reduction::none).values()[0], 0.0067,
              5e-5);
}

TEST(Embedding, PaddingBeginsAtZeroAndStaysThere) {
  const Params p = Params::init(3);
  const Embedding e(p, 5, 4, 2);
  graft::Run run;
  const Tensor y = e.forward(of<std::int64_t>({2, 1}), run);
  EXPECT_EQ(select(y, 0, 0).values(), Values(4, 0));
  EXPECT_NE(select(y, 0, 1).values(), Values(4, 0));
  backward(sum(y));
  EXPECT_EQ(select(e.weight.grad(), 0, 2).values(), Values(4, 0));
  EXPECT_EQ(select(e.weight.grad(), 0, 1).values(), Values(4, 1));
}

}  // namespace
}  // namespace graft
