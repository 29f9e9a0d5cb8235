// Fused kernels as the engine uses them: the same bits as what they replace, or the same numbers where the order of roundings differs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <optional>

#include "engine/autograd/tape.h"
#include "engine/nn/layers.h"
#include "engine/ops/ops.h"
#include "engine/optim/optimizer.h"
#include "kernels/core/device.h"
#include "kernels/optim/optim.h"

namespace graft {
namespace {

class FusedOps : public testing::TestWithParam<DeviceKind> {
 protected:
  void SetUp() override {
    if (const std::string why = why_not({GetParam(), 0}); !why.empty()) GTEST_SKIP() << why;
    queue_.emplace(2, Device{GetParam(), 0});
    use_.emplace(*queue_);
  }

 private:
  std::optional<Queue> queue_;
  std::optional<UseQueue> use_;
};
INSTANTIATE_TEST_SUITE_P(On, FusedOps, testing::Values(DeviceKind::cpu, DeviceKind::emu, DeviceKind::cuda), [](const auto& i) {
  return i.param == DeviceKind::cuda ? std::string("cuda") : name_of(Device{i.param, 0});
});

Tensor drawn(const Shape& s, std::uint64_t stream, DType t = DType::f32) {
  RandomState r{11, stream, 0};
  return rand_normal(s, 0, 1, r, t);
}
Tensor leaf(const Tensor& t) {
  Tensor l = clone(t).detach();
  l.set_requires_grad();
  return l;
}
double difference(const Tensor& a, const Tensor& b) {
  const auto x = a.values(), y = b.values();
  EXPECT_EQ(x.size(), y.size());
  double most = 0;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    most = std::isnan(x[i] - y[i]) ? INFINITY : std::max(most, std::abs(x[i] - y[i]));
  return most;
}

// ---- cross-entropy with its gradient in one visit ----

TEST_P(FusedOps, CrossEntropyLeavesTheGradientOfTheRows) {
  const Tensor target = Tensor::from<std::int64_t>({1, 4, -100, 0, 2}, {5});
  for (const DType t : {DType::f32, DType::f64, DType::bf16})
    for (const Reduction how : {Reduction::mean, Reduction::sum}) {
      const Tensor x = leaf(drawn({5, 6}, 1, t)), y = leaf(x);
      CrossEntropyOptions o;
      o.smoothing = 0.1;
      o.reduction = how;
      const Tensor loss = cross_entropy(x, target, o);
      backward(loss);
      o.reduction = Reduction::none;
      const Tensor rows = cross_entropy(y, target, o), reduced = how == Reduction::sum ? sum(rows) : mul(sum(rows), 0.25);
      backward(reduced);
      EXPECT_NEAR(loss.item(), reduced.item(), 1e-6 * std::abs(reduced.item()));
      EXPECT_LE(difference(x.grad(), y.grad()), (t == DType::bf16 ? 0x1p-8 : 1e-6))
          << std::string(name_of(t));  // bf16: half an ulp below 1
      const auto g = x.grad().values();
      for (std::size_t c = 12; c < 18; ++c) EXPECT_EQ(g[c], 0);  // the ignored row
    }
}

TEST_P(FusedOps, CrossEntropyMultipliesByACotangentThatIsNotOne) {
  const Tensor target = Tensor::from<std::int64_t>({1, 0, 2}, {3});
  for (const DType t : {DType::f32, DType::bf16}) {
    const Tensor x = leaf(drawn({3, 4}, 2, t)), y = leaf(x), z = leaf(x);
    backward(cross_entropy(x, target));
    backward(cross_entropy(y, target), Tensor::ones({}, DType::f32));  // a 1 that the op cannot know
    EXPECT_EQ(x.grad().values(), y.grad().values());
    backward(mul(cross_entropy(z, target), 0.25));
    EXPECT_EQ(mul(x.grad(), 0.25).values(), z.grad().values());  // exact in every dtype
    const Tensor w = leaf(x), loss = cross_entropy(w, target);
    backward(loss, {}, {.keep_graph = true});
    backward(loss);
    EXPECT_EQ(mul(x.grad(), 2.0).values(), w.grad().values());
  }
}

// ---- bias_act ----

TEST_P(FusedOps, BiasActIsItsPlainCompositionBitForBit) {
  for (const DType t : {DType::f32, DType::f64})
    for (const ActKind act : {ActKind::none, ActKind::relu, ActKind::gelu, ActKind::silu})
      for (const int axis : {1, -1}) {
        const Tensor x = leaf(drawn({3, 4, 8}, 3, t)), bias = leaf(drawn({axis == 1 ? 4 : 8}, 4, t)),
                     residual = leaf(drawn({3, 4, 8}, 5, t));
        const Tensor v = drawn({3, 4, 8}, 6, t);
        RandomState one{5, 9, 3}, two = one;
        const Tensor y = bias_act(x, bias, residual, {act, 0.3, axis}, one);
        Tensor sum = add(x, axis == 1 ? reshape(bias, {4, 1}) : bias);
        if (act == ActKind::relu) sum = relu(sum);
        if (act == ActKind::gelu) sum = gelu(sum);
        if (act == ActKind::silu) sum = silu(sum);
        const Tensor plain = add(residual, dropout(sum, 0.3, two));
        EXPECT_EQ(one.position, two.position);
        EXPECT_EQ(y.values(), plain.values()) << "act " << static_cast<int>(act) << " axis " << axis;
        const Tensors g = gradients(y, {x, bias, residual}, v), h = gradients(plain, {x, bias, residual}, v);
        EXPECT_EQ(g[0].values(), h[0].values()) << "act " << static_cast<int>(act) << " axis " << axis;
        EXPECT_LE(difference(g[1], h[1]), t == DType::f64 ? 1e-14 : 1e-5);
        EXPECT_EQ(g[2].values(), v.values());
      }
}

TEST(BiasAct, WrongArgumentsAreRefused) {
  const Tensor x = drawn({2, 3}, 1);
  RandomState r{1, 1, 0};
  const auto refused = [&](const auto& f) {
    try {
      f();
    } catch (const Error& e) { return e.code() == Code::usage && std::string(e.what()).rfind("bias_act: ", 0) == 0; }
    return false;
  };
  EXPECT_TRUE(refused([&] { bias_act(x, drawn({2}, 2), {ActKind::relu}); }));
  EXPECT_TRUE(refused([&] { bias_act(x, Tensor{}, drawn({3}, 2), {}, r); }));
  EXPECT_TRUE(refused([&] { bias_act(x, Tensor{}, {ActKind::relu, 0.5}); }));
  EXPECT_TRUE(refused([&] { bias_act(x, Tensor{}, Tensor{}, {ActKind::relu, 1}, r); }));
  EXPECT_TRUE(refused([&] { bias_act(Tensor::scalar(1), Tensor{}, {}); }));
  EXPECT_TRUE(refused([&] { bias_act(Tensor::from<std::int64_t>({1}, {1}), Tensor{}, {}); }));
}

TEST_P(FusedOps, LinearActIsLinearThenActivationThenDropout) {
  const Params p = Params::init(3);
  const LinearAct fused(p, 6, 8, ActKind::gelu, 0.5);
  Sequential plain;
  plain.add<Linear>(fused.linear).add<Activation>("gelu").add<Dropout>(0.5);
  const Tensor x = drawn({5, 6}, 7);
  for (const bool training : {true, false}) {
    graft::Run a{training, {1, 2, 0}}, b = a;
    EXPECT_LE(difference(fused.forward(x, a), plain.forward(x, b)), 1e-5);  // the product's own bias is added before its sum is rounded
    EXPECT_EQ(a.random.position, b.random.position);
  }
}

// ---- numbers in device memory ----

TEST_P(FusedOps, RandomNumbersMoveOnByAnOffsetInMemory) {
  const Tensor x = drawn({37}, 8), offset = Tensor::from<std::int64_t>({1ll << 33, (1ll << 32) - 2}, {2});
  RandomState by_value{3, 4 + (1ull << 33), 5 + (1ull << 32) - 2}, from_memory{3, 4, 5, offset};
  EXPECT_EQ(dropout(x, 0.4, by_value).values(), dropout(x, 0.4, from_memory).values());
  EXPECT_EQ(rand_normal({9}, 0, 1, by_value).values(), rand_normal({9}, 0, 1, from_memory).values());
  const Tensor y = bias_act(x, Tensor{}, Tensor{}, {ActKind::silu, 0.4, -1}, by_value);
  EXPECT_EQ(y.values(), bias_act(x, Tensor{}, Tensor{}, {ActKind::silu, 0.4, -1}, from_memory).values());
  offset.set_values({7, 0});  // what a replayed step reads
  RandomState next{3, 11, 5};
  from_memory.position = 5;
  EXPECT_EQ(dropout(x, 0.4, next).values(), dropout(x, 0.4, from_memory).values());
}

// ---- optimisers over many tensors ----

struct Kind {
  OptimKind kind;
  bool m, v, v2;
  std::function<void(OptimRule&)> set = [](OptimRule&) {};
};
const Kind kKinds[] = {{OptimKind::sgd, false, false, false},
                       {OptimKind::sgd, true, false, false,
                        [](OptimRule& r) {
                          r.momentum = 0.9;
                          r.nesterov = true;
                        }},
                       {OptimKind::adam, true, true, true,
                        [](OptimRule& r) {
                          r.amsgrad = true;
                          r.maximize = true;
                        }},
                       {OptimKind::adamw, true, true, false},
                       {OptimKind::rmsprop, true, true, true,
                        [](OptimRule& r) {
                          r.momentum = 0.9;
                          r.centered = true;
                        }},
                       {OptimKind::adagrad, false, true, false, [](OptimRule& r) { r.lr_decay = 0.1; }},
                       {OptimKind::lion, true, false, false}};

// Every row of optim_multi on many tensors, with the rule by value and from memory, against every row of optim on each.
TEST_P(FusedOps, OptimMultiIsOptimOnEachTensorBitForBit) {
  Queue& q = current_queue();
  const std::vector<std::int64_t> sizes = {5, 1, 4099, 0, 64};
  for (const Kind& k : kKinds)
    for (const std::int64_t step : {1, 7}) {
      OptimRule rule{};
      rule.kind = k.kind;
      rule.lr = 0.013;
      rule.weight_decay = 0.07;
      rule.grad_scale = 0.3;
      rule.step = step;
      k.set(rule);
      const auto fresh = [&](std::vector<Tensors>& held) {  // the same numbers each time
        std::vector<OptimTensors> all;
        for (std::size_t i = 0; i < sizes.size(); ++i) {
          const Shape s{sizes[i]};
          // v above v2^2, as a mean of squares is above the mean's square
          const Tensor v = add(square(drawn(s, 50 + i)), 1.0), v2 = mul(square(drawn(s, 60 + i)), 0.05);
          held.push_back({drawn(s, 20 + i), drawn(s, 30 + i), drawn(s, 40 + i), v, v2});
          const Tensors& t = held.back();
          all.push_back(
              {t[0].view(), View{}, t[1].view(), k.m ? t[2].view() : View{}, k.v ? t[3].view() : View{}, k.v2 ? t[4].view() : View{}});
        }
        return all;
      };
      std::vector<Tensors> want;
      const std::vector<OptimTensors> each = fresh(want);
      for (const OptimTensors& t : each) {
        OptimArgs a{};
        static_cast<OptimTensors&>(a) = t;
        static_cast<OptimRule&>(a) = rule;
        optim_family().run(q, a);
      }
      const auto numbers = optim_scalars(rule);
      const Tensor scalars = Tensor::from<double>({numbers.begin(), numbers.end()}, {kOptimScalars});
      int rows = 0;
      for (const auto& row : optim_multi_family().rows()) {
        if (!serves(row.backend, q.device().kind)) continue;
        for (const bool from_memory : {false, true}) {
          std::vector<Tensors> got;
          OptimMultiArgs a{};
          static_cast<OptimRule&>(a) = rule;
          a.tensors = fresh(got);
          if (from_memory) {
            a.scalars = scalars.view();
            a.lr = a.grad_scale = NAN;  // not what is read
            a.step = 1;
          }
          optim_multi_family().run_row(q, row, a);
          for (std::size_t i = 0; i < sizes.size(); ++i)
            for (std::size_t o = 0; o < 5; ++o)
              EXPECT_EQ(got[i][o].values(), want[i][o].values())
                  << row.name << " kind " << static_cast<int>(k.kind) << " step " << step << " tensor " << i << " operand " << o;
          ++rows;
        }
      }
      EXPECT_GE(rows, 4);
    }
}

std::vector<OptimOptions> all_options() {
  std::vector<OptimOptions> all;
  for (const char* name : {"sgd", "adam", "adamw", "rmsprop", "adagrad", "lion"}) {
    all.push_back(optim_defaults(name));
    all.back().weight_decay = 0.02;
  }
  all[0].momentum = 0.9;
  all[1].amsgrad = true;
  all[3].centered = true;
  return all;
}

TEST_P(FusedOps, UpdatesFromDeviceScalarsAreTheStepsBitForBit) {
  for (const OptimOptions& o : all_options())
    for (const DType t : {DType::f32, DType::bf16}) {
      const auto parameters = [&] {
        Tensors p;
        for (const Shape& s : {Shape{3, 5}, Shape{7}, Shape{1}}) p.push_back(leaf(drawn(s, 70 + p.size(), t)));
        return p;
      };
      const Tensors p = parameters(), r = parameters();
      const auto make = [&](const Tensors& w) { return Optimizer({{{{"a", w[0]}, {"b", w[1]}, {"c", w[2]}}, o}}); };
      Optimizer one = make(p), two = make(r);
      two.scalars_on_device(true);
      for (int step = 0; step < 5; ++step) {
        for (std::size_t k = 0; k < p.size(); ++k) {
          const bool given = k != 1 || step % 2 == 0;  // b is left alone every other time: its bias corrections are its own
          const Tensor g = drawn(p[k].shape(), 100 + 10 * static_cast<std::uint64_t>(step) + k, t);
          p[k].set_grad(given ? g : Tensor{});
          r[k].set_grad(given ? g : Tensor{});
        }
        const double factor = 1 / (1.0 + step), scale = step == 3 ? 0.25 : 1;
        one.step(factor, scale);
        two.advance(factor, scale);
        two.update();
      }
      for (std::size_t k = 0; k < p.size(); ++k)
        EXPECT_EQ(p[k].values(), r[k].values()) << o.name << " " << std::string(name_of(t)) << " parameter " << k;
    }
}

TEST(Optim, AGradientThatCameAfterTheCountIsAnError) {
  const Tensor a = leaf(drawn({3}, 1)), b = leaf(drawn({3}, 2));
  Optimizer o({{{{"a", a}, {"b", b}}, OptimOptions{}}});
  a.set_grad(drawn({3}, 3));
  o.advance();
  b.set_grad(drawn({3}, 4));
  try {
    o.update();
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::usage);
    EXPECT_NE(std::string(e.what()).find("parameter 'b'"), std::string::npos) << e.what();
  }
  OptimOptions adafactor = optim_defaults("adafactor");
  EXPECT_THROW(Optimizer({{{{"a", a}}, adafactor}}).scalars_on_device(true), Error);
}

TEST_P(FusedOps, NormOfManyGradients) {
  Tensors params;
  double squares = 0;
  for (std::uint64_t k = 0; k < 210; ++k) {  // more than one launch holds
    params.push_back(leaf(Tensor::zeros({static_cast<std::int64_t>(k % 7)}, k % 3 ? DType::f32 : DType::bf16)));
    params.back().set_grad(drawn(params.back().shape(), 200 + k, params.back().dtype()));
    for (double v : params.back().grad().values()) squares += v * v;
  }
  EXPECT_NEAR(grad_norm(params), std::sqrt(squares), 1e-12 * std::sqrt(squares));
  EXPECT_EQ(grad_norm({}), 0);
}

// ---- images that lie channels last ----

// The gradient that comes from behind a flatten lies channels first; where it meets images that lie otherwise, it takes their order, or
// every kernel from there on would go element by element.
TEST_P(FusedOps, GradientsTakeTheOrderOfTheImages) {
  const Tensor images = drawn({2, 6, 7, 8}, 21), weight = drawn({4, 6, 3, 3}, 22), bias = drawn({4}, 23);
  const std::pair<const char*, std::function<Tensor(const Tensor&)>> ops[] = {
      {"max_pool2d",
       [](const Tensor& x) {
         return max_pool2d(x, PoolGeometry{2, 2, 2, 2});
       }},
      {"avg_pool2d",
       [](const Tensor& x) {
         return avg_pool2d(x, PoolGeometry{3, 3, 2, 2});
       }},
      {"conv2d_relu", [&](const Tensor& x) { return conv2d_relu(x, weight, bias); }}};
  for (const auto& [name, op] : ops) {
    SCOPED_TRACE(name);
    const Tensor first = leaf(images), last = permute(leaf(permute(images, {0, 2, 3, 1})), {0, 3, 1, 2});
    const Tensor y = op(first), z = op(last);
    EXPECT_EQ(z.strides()[1], 1);
    const Tensor seed = drawn({2, y.numel() / 2}, 24);
    const Tensor dx = gradients(flatten(y, 1), {first}, seed)[0], dz = gradients(flatten(z, 1), {last}, seed)[0];
    EXPECT_EQ(dz.strides()[1], 1) << "the gradient of images that lie channels last";
    EXPECT_EQ(dx.strides()[3], 1);
    EXPECT_LE(difference(y, z), 1e-5);
    EXPECT_LE(difference(dx, dz), 1e-5);
  }
}

}  // namespace
}  // namespace graft
