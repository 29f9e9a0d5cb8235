// What the tape promises beside gradients: modes, hooks, recomputation, graphs as text, custom functions, saved tensors that changed, and
// that an op without a backward does not compile.
#include "engine/autograd/tape.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "engine/ops/ops.h"

namespace graft {
namespace {

Tensor leaf(const std::vector<double>& v, const Shape& s) {
  Tensor t = Tensor::from(v, s);
  t.set_requires_grad();
  return t;
}
bool says(const std::function<void()>& f, const std::string& text) {
  try {
    f();
  } catch (const Error& e) { return std::string(e.what()).find(text) != std::string::npos; }
  return false;
}

TEST(Tape, GradientsIntoALeafAdd) {
  Tensor x = leaf({1, 2, 3}, {3});
  backward(sum(mul(x, x)));
  backward(sum(mul(x, 3.0)));
  EXPECT_EQ(x.grad().values(), (std::vector<double>{5, 7, 9}));
}

TEST(Tape, NoGradAndDetachLeaveNoNodes) {
  Tensor x = leaf({1, 2}, {2});
  {
    NoGrad off;
    EXPECT_FALSE(square(x).requires_grad());
    EnableGrad on;
    EXPECT_TRUE(square(x).requires_grad());
  }
  EXPECT_FALSE(square(x.detach()).requires_grad());
  backward(sum(mul(x, square(x).detach())));
  EXPECT_EQ(x.grad().values(), (std::vector<double>{1, 4}));
}

TEST(Tape, HooksSeeAndReplaceGradients) {
  Tensor x = leaf({1, 2}, {2});
  const Tensor y = square(x);
  std::vector<double> seen;
  add_hook(y, [&](const Tensor& g) {
    seen = g.values();
    return mul(g, 10.0);
  });
  backward(sum(mul(y, 3.0)));
  EXPECT_EQ(seen, (std::vector<double>{3, 3}));
  EXPECT_EQ(x.grad().values(), (std::vector<double>{60, 120}));
}

TEST(Tape, HooksOfEveryOutputRunInTheirOrder) {
  Tensor x = leaf({1, 2}, {2});
  const auto both = custom(
      "both",
      [](Context&, const Tensors& in) {
        return Tensors{mul(in[0], 2.0), mul(in[0], 3.0)};
      },
      [](const Context&, const Tensors& dy) { return Tensors{add(mul(dy[0], 2.0), mul(dy[1], 3.0))}; });
  const Tensors y = both({x});
  add_hook(y[1], [](const Tensor& g) { return add(g, 1.0); });
  add_hook(y[1], [](const Tensor& g) { return mul(g, 10.0); });
  backward(sum(add(y[0], y[1])));
  EXPECT_EQ(x.grad().values(), (std::vector<double>{62, 62}));  // 2 + 3 * (1 + 1) * 10
}

// What a caller may do to a gradient in place stays with that leaf.
TEST(Tape, GradientsOfLeavesAreDenseAndTheirOwn) {
  Tensor a = leaf({1, 2, 3}, {3}), b = leaf({4, 5, 6}, {3});
  const Tensor seed = Tensor::from<double>({1, 1, 1}, {3});
  backward(add(a, b), seed);
  mul_(a.grad(), 2);
  EXPECT_EQ(a.grad().values(), (std::vector<double>{2, 2, 2}));
  EXPECT_EQ(b.grad().values(), (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(seed.values(), (std::vector<double>{1, 1, 1}));
  Tensor w = leaf({1, 2, 3}, {3});
  backward(sum(w));
  EXPECT_TRUE(w.grad().is_contiguous());
  mul_(w.grad(), 0.5);
  EXPECT_EQ(w.grad().values(), (std::vector<double>{0.5, 0.5, 0.5}));
}

TEST(Tape, ChangesInPlaceDropNoGradientAndWriteNothingTwice) {
  const Tensor sum_so_far = Tensor::zeros({2}, DType::f64), y = square(leaf({1, 2}, {2}));
  EXPECT_TRUE(says([&] { add_(sum_so_far, y); }, "wants a gradient"));
  EXPECT_TRUE(says([&] { copy_into(sum_so_far, y); }, "wants a gradient"));
  EXPECT_EQ(sum_so_far.values(), (std::vector<double>{0, 0}));
  add_(sum_so_far, y.detach());
  EXPECT_EQ(sum_so_far.values(), (std::vector<double>{1, 4}));
  const Tensor one = Tensor::ones({1}, DType::f64), many = expand(one, {4});
  EXPECT_TRUE(says([&] { mul_(many, 2); }, "share one place"));
  EXPECT_TRUE(says([&] { fill_(many, 2); }, "share one place"));
  EXPECT_EQ(one.values()[0], 1);
}

TEST(Tape, RecomputationCanBeDifferentiatedAgain) {
  Tensor x = leaf({2}, {1}), w = leaf({3}, {1});
  const auto f = [w](const Tensors& in) { return Tensors{mul(w, mul(in[0], square(in[0])))}; };  // w x^3
  HigherOrder plain;
  const Tensor dx = gradients(checkpoint(f, {x})[0], {x}, {}, {.create_graph = true})[0];
  EXPECT_EQ(dx.values()[0], 36);  // 3 w x^2
  const Tensors twice = gradients(sum(dx), {x, w});
  EXPECT_EQ(twice[0].values()[0], 36);  // 6 w x
  EXPECT_EQ(twice[1].values()[0], 12);  // 3 x^2
}
// What f captured is given its gradient where the pass around it would put it.
TEST(Tape, RecomputationGivesACapturedLeafsGradientToWhoAsks) {
  Tensor x = leaf({2}, {1}), w = leaf({3}, {1});
  const Tensor y = checkpoint([w](const Tensors& in) { return Tensors{mul(w, square(in[0]))}; }, {x})[0];
  const Tensors g = gradients(y, {w, x}, {}, {.keep_graph = true});
  EXPECT_EQ(g[0].values()[0], 4);
  EXPECT_EQ(g[1].values()[0], 12);
  EXPECT_FALSE(w.grad().defined());
  EXPECT_FALSE(x.grad().defined());
  backward(y);
  EXPECT_EQ(w.grad().values()[0], 4);
}
TEST(Tape, RecomputationLeavesTheCallersTensorsAlone) {
  Tensor x = leaf({2}, {1});
  const Tensor data = Tensor::from<double>({5}, {1});
  const Tensors y = checkpoint([](const Tensors& in) { return Tensors{square(in[0]), in[1]}; }, {x, data});
  EXPECT_FALSE(data.requires_grad());
  backward(y[0]);
  EXPECT_EQ(x.grad().values()[0], 4);
}

// Where parts of a composition have a kink and the whole has none.
TEST(Tape, HigherOrderGradientsAtZero) {
  const auto derivatives = [](Tensor (*f)(const Tensor&)) {
    HigherOrder plain;
    Tensor x = leaf({0}, {1});
    const Tensor first = gradients(sum(f(x)), {x}, {}, {.create_graph = true})[0];
    return std::pair(first.values()[0], gradients(sum(first), {x})[0].values()[0]);
  };
  const auto [softplus1, softplus2] = derivatives([](const Tensor& x) { return softplus(x); });
  EXPECT_DOUBLE_EQ(softplus1, 0.5);
  EXPECT_DOUBLE_EQ(softplus2, 0.25);
  const auto [mish1, mish2] = derivatives([](const Tensor& x) { return mish(x); });
  EXPECT_NEAR(mish1, 0.6, 1e-12);
  EXPECT_NEAR(mish2, 0.64, 1e-12);
  const auto [bce1, bce2] = derivatives([](const Tensor& x) { return bce_with_logits(x, Tensor::ones({1}, DType::f64)); });
  EXPECT_DOUBLE_EQ(bce1, -0.5);
  EXPECT_DOUBLE_EQ(bce2, 0.25);
}

TEST(Tape, RecomputationGivesTheSameBits) {
  RandomState r{1, 2, 0};
  const Tensor w = rand_normal({8, 8}, 0, 1, r), v = rand_normal({4, 8}, 0, 1, r);
  const auto block = [](const Tensors& in) {
    RandomState d{5, 6, 0};
    return Tensors{dropout(gelu(matmul(in[0], in[1])), 0.3, d)};
  };
  Tensor x1 = clone(v).detach(), w1 = clone(w).detach(), x2 = clone(v).detach(), w2 = clone(w).detach();
  for (Tensor* t : {&x1, &w1, &x2, &w2}) t->set_requires_grad();
  backward(sum(square(block({x1, w1})[0])));
  backward(sum(square(checkpoint(block, {x2, w2})[0])));
  EXPECT_EQ(x1.grad().values(), x2.grad().values());
  EXPECT_EQ(w1.grad().values(), w2.grad().values());
}

TEST(Tape, HigherOrderGradients) {
  Tensor x = leaf({0.5, 2}, {2});
  Tensor y = sum(mul(x, mul(x, square(x))));  // x^4
  for (int order = 1; order <= 3; ++order) y = sum(gradients(y, {x}, {}, {.create_graph = true})[0]);
  const Tensor g = gradients(y, {x})[0];  // 24
  for (double v : g.values()) EXPECT_NEAR(v, 24, 1e-9);
}

TEST(Tape, GraphsAreReadable) {
  Tensor x = leaf({1, 2, 3, 4}, {2, 2});
  x.set_name("x");
  const Tensor y = sum(softmax(matmul(x, x), 1));
  const std::string text = dump_graph(y);
  for (const char* part : {"softmax", "matmul", "f64[2,2]", "x"}) EXPECT_NE(text.find(part), std::string::npos) << text;
  EXPECT_EQ(dump_graph(y, true).rfind("digraph", 0), 0u);
}

TEST(Tape, ACustomFunctionInAFewLines) {
  const auto cube = custom(
      "cube",
      [](Context& c, const Tensors& in) {
        c.keep(in[0]);
        return Tensors{mul(in[0], square(in[0]))};
      },
      [](const Context& c, const Tensors& dy) { return Tensors{mul(dy[0], mul(square(c.saved(0)), 3.0))}; });
  Tensor x = leaf({2, -1}, {2});
  backward(sum(cube({x})[0]));
  EXPECT_EQ(x.grad().values(), (std::vector<double>{12, 3}));
}

TEST(Tape, WrongUsesAreErrors) {
  Tensor x = leaf({1, 2}, {2});
  const Tensor y = square(x);
  EXPECT_TRUE(says([&] { backward(y); }, "seed"));
  const Tensor s = sum(square(y));
  {
    NoGrad off;
    fill_(y.detach(), 7);
  }
  EXPECT_TRUE(says([&] { backward(s); }, "changed in place"));
  const Tensor z = sum(square(x));
  backward(z);
  EXPECT_THROW(backward(z), Error);  // the graph was used up
  EXPECT_THROW(Tensor::from<std::int64_t>({1}, {1}).set_requires_grad(), Error);
  EXPECT_THROW(add_(y, y), Error);
}

TEST(Tape, LongChainsDoNotRecurse) {
  Tensor x = leaf({1}, {1});
  Tensor y = x;
  for (int i = 0; i < 200000; ++i) y = add(y, x);
  backward(sum(y));
  EXPECT_EQ(x.grad().values()[0], 200001);
}

// Compiled by the test itself: the same file without -DWITHOUT must pass and with it must fail, for the reason that the tape states.
TEST(Tape, AnOpWithoutABackwardDoesNotCompile) {
  const std::string base = testing::TempDir() + "graft-no-backward-" + std::to_string(::getpid());
  std::ofstream(base + ".cpp") << R"(#include "engine/autograd/tape.h"
namespace graft {
struct Lost {
  static constexpr std::string_view name = "lost";
  struct Attrs {};
  static Tensors forward(Context&, const Attrs&, const Tensors& in) { return in; }
#ifndef WITHOUT
  static constexpr std::string_view no_gradient = "only this test uses it";
#endif
};
Tensor use(const Tensor& x) { return record1<Lost>({}, {x}); }
}
)";
  const std::string compile =
      std::string("${CXX:-c++} -std=c++20 -fsyntax-only -I'") + GRAFT_SOURCE_DIR + "' " + base + ".cpp 2>" + base + ".err ";
  EXPECT_EQ(std::system(compile.c_str()), 0);
  EXPECT_NE(std::system((compile + "-DWITHOUT").c_str()), 0);
  std::ifstream f(base + ".err");
  const std::string text((std::istreambuf_iterator<char>(f)), {});
  EXPECT_NE(text.find("an operation needs a backward"), std::string::npos) << text;
  std::remove((base + ".cpp").c_str());
  std::remove((base + ".err").c_str());
}

}  // namespace
}  // namespace graft
