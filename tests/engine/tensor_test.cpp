// Tensors and their memory: dtype promotion as PyTorch's, what views share, what is refused, and the allocator's books.
#include <gtest/gtest.h>

#include "engine/autograd/tape.h"
#include "engine/base/context.h"
#include "engine/ops/ops.h"

namespace graft {
namespace {

template <class F>
std::string refusal(Code code, F f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(Promotion, IsPyTorchs) {
  // torch.promote_types of PyTorch 2.15, rows and columns in this order.
  const DType order[] = {DType::b8, DType::u8, DType::i32, DType::i64, DType::f16, DType::bf16, DType::f32, DType::f64};
  const char* table[8][8] = {
      {"bool", "u8", "i32", "i64", "f16", "bf16", "f32", "f64"}, {"u8", "u8", "i32", "i64", "f16", "bf16", "f32", "f64"},
      {"i32", "i32", "i32", "i64", "f16", "bf16", "f32", "f64"}, {"i64", "i64", "i64", "i64", "f16", "bf16", "f32", "f64"},
      {"f16", "f16", "f16", "f16", "f16", "f32", "f32", "f64"},  {"bf16", "bf16", "bf16", "bf16", "f32", "bf16", "f32", "f64"},
      {"f32", "f32", "f32", "f32", "f32", "f32", "f32", "f64"},  {"f64", "f64", "f64", "f64", "f64", "f64", "f64", "f64"}};
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 8; ++j)
      EXPECT_EQ(name_of(promote(order[i], order[j])), table[i][j]) << name_of(order[i]) << " with " << name_of(order[j]);
  // A tensor without axes decides only the kind.
  EXPECT_EQ(add(Tensor::ones({2}, DType::f16), Tensor::scalar(2, DType::f64)).dtype(), DType::f16);
  EXPECT_EQ(add(Tensor::ones({2}, DType::i32), Tensor::scalar(2, DType::i64)).dtype(), DType::i32);
  EXPECT_EQ(add(Tensor::ones({2}, DType::i32), Tensor::scalar(2, DType::f64)).dtype(), DType::f64);
  EXPECT_EQ(add(Tensor::ones({2}, DType::i32), 0.5).dtype(), DType::f32);
  EXPECT_EQ(add(Tensor::ones({2}, DType::u8), 5).dtype(), DType::u8);
}

TEST(Views, ShareStorageWhereStridesAllow) {
  const Tensor x = Tensor::arange(0, 24);
  const Tensor y = reshape(x, {2, 3, 4});
  EXPECT_TRUE(y.same_storage(x));
  EXPECT_TRUE(transpose(y).same_storage(x));
  EXPECT_TRUE(slice(y, 1, 2, INT64_MIN, -1).same_storage(x));
  EXPECT_TRUE(expand(reshape(x, {24, 1}), {24, 3}).same_storage(x));
  EXPECT_TRUE(diagonal(y, 1, 2).same_storage(x));
  EXPECT_FALSE(reshape(transpose(y), {24}).same_storage(x));  // not expressible by strides
  EXPECT_FALSE(clone(y).same_storage(x));
  EXPECT_FALSE(contiguous(transpose(y)).same_storage(x));
  EXPECT_TRUE(contiguous(y).same_storage(x));
  EXPECT_EQ(reshape(transpose(y, 0, 1), {3, -1}).values()[4], 12);
}

TEST(Refusals, NameOpShapesAndRule) {
  const Tensor x = Tensor::zeros({2, 3}), y = Tensor::zeros({4, 3});
  const auto has = [](const std::string& text, std::initializer_list<const char*> parts) {
    for (const char* p : parts) EXPECT_NE(text.find(p), std::string::npos) << text << " lacks " << p;
  };
  has(refusal(Code::usage, [&] { add(x, y); }), {"add", "[2,3]", "[4,3]"});
  has(refusal(Code::usage, [&] { matmul(x, y); }), {"matmul", "f32[2,3]", "f32[4,3]"});
  has(refusal(Code::usage, [&] { reshape(x, {4, 2}); }), {"reshape", "[2,3]", "[4,2]"});
  has(refusal(Code::usage, [&] { sum(x, {2}); }), {"sum", "2"});
  has(refusal(Code::usage, [&] { cat({x, Tensor::zeros({2, 3, 1})}); }), {"cat", "[2,3]", "[2,3,1]"});
  has(refusal(Code::usage, [&] { einsum("ij,jk->il", {x, y}); }), {"einsum", "ij,jk->il"});
  has(refusal(Code::usage, [&] { topk(x, 4); }), {"topk", "4", "[2,3]"});
  has(refusal(Code::usage, [&] { embedding(x, Tensor::from<std::int64_t>({0, 2}, {2})); }), {"embedding", "2"});
  has(refusal(Code::usage, [&] { gather(x, 1, Tensor::from<std::int64_t>({0, -4}, {2, 1})); }), {"gather", "-4"});
  has(refusal(Code::usage,
              [&] {
                conv2d(Tensor::zeros({1, 3, 8, 8}), Tensor::zeros({64, 4, 3, 3}));
              }),
      {"conv2d", "3 channels", "f32[64,4,3,3]"});
  has(refusal(Code::usage, [&] { Tensor::zeros({2, 2}).item(); }), {"[2,2]"});
  has(refusal(Code::usage,
              [&] {
                Tensor t;
                t.shape();
              }),
      {"undefined"});
  has(refusal(Code::usage, [&] { Tensor::zeros({2}).data<double>(); }), {"f32", "f64"});
  has(refusal(Code::memory, [&] { Tensor::zeros({1LL << 40, 1LL << 40}); }), {"[1099511627776,1099511627776]"});
}

TEST(Allocator, ReusesCountsAndListsTheLargestByName) {
  Allocator& a = Allocator::of(Device{});
  a.trim();
  const MemoryStats before = a.stats();
  EXPECT_EQ(before.cached, 0);
  {
    const Tensor t = Tensor::empty({1 << 18});
    EXPECT_GE(a.stats().in_use, before.in_use + (1 << 20));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.raw()) % 64, 0u);
  }
  EXPECT_EQ(a.stats().in_use, before.in_use);
  EXPECT_GE(a.stats().cached, 1 << 20);
  const std::int64_t reused = a.stats().reused;
  { const Tensor t = Tensor::empty({1 << 18}); }
  EXPECT_EQ(a.stats().reused, reused + 1);
  a.trim();
  EXPECT_EQ(a.stats().cached, 0);

  Tensor big = Tensor::empty({1 << 20}), small = Tensor::empty({1 << 10});
  const Tensor result = exp(big);
  big.set_name("conv2.weight");
  small.set_name("conv2.bias");
  a.set_limit(a.stats().in_use + (1 << 20));
  const std::string text = refusal(Code::memory, [] { Tensor::empty({1 << 22}); });
  a.set_limit(0);
  EXPECT_NE(text.find("conv2.weight"), std::string::npos) << text;
  EXPECT_NE(text.find("a result of exp 4 MiB"), std::string::npos) << text;
  const std::size_t weight = text.find("conv2.weight"), bias = text.find("conv2.bias");
  EXPECT_TRUE(bias == std::string::npos || weight < bias) << text;
  EXPECT_EQ(Tensor::empty({1 << 22}).numel(), 1 << 22);  // the process goes on
}

TEST(Tensors, AreNamedCountedAndConverted) {
  EXPECT_EQ(Tensor::zeros({2, 0, 3}).numel(), 0);
  EXPECT_EQ(Tensor::zeros({2, 0, 3}).str(), "f32[2,0,3]");
  EXPECT_EQ(Tensor::scalar(3).item(), 3);
  EXPECT_EQ(Tensor::arange(1, 2, 0.25, DType::f64).values(), (std::vector<double>{1, 1.25, 1.5, 1.75}));
  EXPECT_EQ(Tensor::eye(2, DType::bf16).values(), (std::vector<double>{1, 0, 0, 1}));
  EXPECT_EQ(cast(Tensor::from<double>({1.9, -1.9, 0}, {3}), DType::i32).values(), (std::vector<double>{1, -1, 0}));
  EXPECT_EQ(cast(Tensor::from<double>({0.5, 0, -2}, {3}), DType::b8).values(), (std::vector<double>{1, 0, 1}));
  EXPECT_EQ(cast(Tensor::from<double>({1.00390625}, {1}), DType::bf16).values()[0], 1);  // half to even
  EXPECT_EQ(cast(Tensor::from<double>({1.01171875}, {1}), DType::bf16).values()[0], 1.015625);
}

}  // namespace
}  // namespace graft
