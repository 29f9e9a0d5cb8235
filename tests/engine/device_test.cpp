// What a device does that the CPU does not: bad indices that only a kernel sees, errors that name operation and launch, copies beside the
// work.
#include "kernels/core/device.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "engine/autograd/tape.h"
#include "engine/data/feed.h"
#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "kernels/core/graph.h"
#include "kernels/embed/embed.h"
#include "kernels/gather/gather.h"
#include "kernels/loss/loss.h"

namespace graft {
namespace {

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(Code::usage)) << e.what();
    return e.what();
  }
  return "nothing was thrown";
}

class OnDevice : public testing::TestWithParam<DeviceKind> {
 protected:
  void SetUp() override {
    if (const std::string why = why_not({GetParam(), 0}); !why.empty()) GTEST_SKIP() << why;
    queue_.emplace(2, Device{GetParam(), 0});
    use_.emplace(*queue_);
  }
  Queue& queue() { return *queue_; }

 private:
  std::optional<Queue> queue_;
  std::optional<UseQueue> use_;
};
std::string device_name(const testing::TestParamInfo<DeviceKind>& i) {
  return i.param == DeviceKind::cuda ? "cuda" : name_of(Device{i.param, 0});
}
INSTANTIATE_TEST_SUITE_P(Devices, OnDevice, testing::Values(DeviceKind::emu, DeviceKind::cuda), device_name);

Tensor ids(const std::vector<std::int64_t>& v) { return Tensor::from(v, {static_cast<std::int64_t>(v.size())}); }

struct BadIndex {
  const char* name;
  std::function<Tensor()> f;
};
// Each with several bad indices, of which the one at the smallest position must be named.
std::vector<BadIndex> bad_indices() {
  const auto table = [] { return Tensor::ones({100, 8}); };
  const auto many = [] {
    std::vector<std::int64_t> v(300, 1);
    for (std::size_t i = 77; i < v.size(); i += 3) v[i] = 500 + static_cast<std::int64_t>(i);
    return ids(v);
  };
  return {
      {"embedding",
       [=] {
         return sum(embedding(table(), ids({3, 7, 99, 512, 4, 100})));
       }},
      {"embedding, many", [=] { return sum(embedding(table(), many())); }},
      {"embedding, a negative id",
       [=] {
         return sum(embedding(table(), ids({3, -1, 200})));
       }},
      {"index_select", [=] { return sum(index_select(table(), 0, many())); }},
      {"index_select of the last axis, counted from the end",
       [=] {
         return sum(index_select(table(), 1, ids({-8, 7, -9, 8})));
       }},
      {"gather",
       [=] {
         return sum(gather(table(), 1, Tensor::from<std::int64_t>({0, -8, 3, 8, -9, 2}, {3, 2})));
       }},
      {"gather along the first axis",
       [=] {
         return sum(gather(table(), 0, Tensor::from<std::int64_t>({0, 1, 2, 3, 100, 99, 100, -101}, {2, 4})));
       }},
      {"scatter",
       [=] {
         return sum(scatter(Tensor::zeros({3, 4}), 1, Tensor::from<std::int64_t>({0, 4, 3, 9, 1, 1}, {3, 2}), Tensor::ones({3, 2})));
       }},
      {"scatter_add",
       [=] {
         return sum(scatter_add(Tensor::zeros({4, 3}), 0, Tensor::from<std::int64_t>({0, 1, 2, 3, -5, 7}, {2, 3}), Tensor::ones({2, 3})));
       }},
      {"cross_entropy",
       [=] {
         return cross_entropy(Tensor::ones({4, 10}), ids({1, -100, 11, 10}));
       }},
      {"cross_entropy, with its gradient",
       [=] {
         Tensor x = Tensor::ones({4, 10});
         return cross_entropy(x.set_requires_grad(), ids({1, 12, 11, 10}));
       }},
      {"cross_entropy, weighted",
       [=] {
         CrossEntropyOptions o;
         o.class_weight = Tensor::ones({10});
         return cross_entropy(Tensor::ones({4, 10}), ids({1, 9, -3, 10}), o);
       }},
      {"cross_entropy, long rows",
       [=] {
         return cross_entropy(Tensor::ones({3, 1031}), ids({1, 1031, 1032}));
       }},
      {"focal_loss",
       [=] {
         return focal_loss(Tensor::ones({4, 10}), ids({1, 9, -1, 10}));
       }},
  };
}

TEST_P(OnDevice, ABadIndexSaysWhatTheCpuSaysAndTheProcessGoesOn) {
  Queue host(1);
  for (const BadIndex& bad : bad_indices()) {
    std::string on_cpu;
    {
      UseQueue use(host);
      on_cpu = refusal([&] { bad.f().item(); });
    }
    EXPECT_NE(on_cpu.find(": "), std::string::npos) << bad.name << on_cpu;
    for (const LaneOrder order : {LaneOrder::up, LaneOrder::down, LaneOrder::seeded}) {
      queue().set_lane_order(order);
      EXPECT_EQ(refusal([&] { bad.f().item(); }), on_cpu) << bad.name;
      EXPECT_EQ(sum(embedding(Tensor::ones({100, 8}), ids({0, 99}))).item(), 16) << bad.name;  // the next operation works
      EXPECT_EQ(refusal([&] { bad.f(), queue().synchronize(); }), on_cpu) << bad.name;
      EXPECT_NO_THROW(queue().synchronize()) << bad.name << ": reported once";
    }
    queue().set_lane_order(LaneOrder::up);
  }
}

TEST_P(OnDevice, OfTwoOperationsTheFirstIsNamed) {
  const Tensor table = Tensor::ones({100, 8});
  const std::string text = refusal([&] {
    const Tensor late = embedding(table, ids({1, 2, 3, 4, 5, 777})), early = index_select(table, 0, ids({888}));
    add(sum(late), sum(early)).item();
  });
  EXPECT_NE(text.find("embedding: id 777 at position 5"), std::string::npos) << text;
}

// Every rung reports, not only the one that would be chosen; a kernel without an engine is called by its family's name.
TEST_P(OnDevice, EveryRungReports) {
  int rungs = 0;
  const auto each = [&](const auto& family, const auto& args, const std::string& says) {
    for (const auto& row : family.rows()) {
      if (!serves(row.backend, queue().device().kind) || !row.allowed(args)) continue;
      family.run_row(queue(), row, args);
      EXPECT_EQ(refusal([&] { queue().synchronize(); }).substr(0, says.size()), says) << row.name;
      ++rungs;
    }
  };
  const Tensor table = Tensor::ones({50, 16}), out = Tensor::zeros({4, 16}), bad = ids({1, 50, 3, -7});
  each(embed_family(), EmbedArgs{bad.view(), table.view(), out.view()}, "embed: id 50 at position 1 is outside the table of 50 rows");
  each(embed_grad_family(), EmbedGradArgs{bad.view(), out.view(), table.view()},
       "embed_grad: id 50 at position 1 is outside the table of 50 rows");
  const auto three = [](const Tensor& t, std::int64_t inner_stride = 1) {
    return t.alias({1, t.size(0), 16}, {0, t.rank() == 1 ? 1 : 16, inner_stride}, 0).view();
  };
  each(gather_family(), GatherArgs{three(table), three(bad, 0), three(out)},
       "gather: index 50 at position 1 is out of range for an axis of 50");
  each(scatter_family(), ScatterArgs{three(out), three(bad, 0), three(table)},
       "scatter: index 50 at position 1 is out of range for an axis of 50");
  const Tensor logits = Tensor::ones({4, 1024}), loss = Tensor::zeros({4}), lse = Tensor::zeros({4}), target = ids({1023, 3, 1024, -1});
  each(cross_entropy_family(), CrossEntropyArgs{logits.view(), target.view(), {}, loss.view(), lse.view()},
       "cross_entropy: target[2] is 1024 but there are 1024 classes");
  const Tensor dlogits = Tensor::zeros({4, 1024});
  each(cross_entropy_fused_family(), CrossEntropyFusedArgs{{logits.view(), target.view(), {}, loss.view(), lse.view()}, dlogits.view(), {}},
       "cross_entropy_fused: target[2] is 1024 but there are 1024 classes");
  EXPECT_GE(rungs, 2 + 4 + 3 + 3 + 4 + 5);
}

// ---- what runs is known by name ----

TEST_P(OnDevice, AnOperationAndItsBackwardAreNamedWithShapes) {
  std::string forward_text, backward_text;
  const auto probe = custom(
      "probe",
      [&](Context&, const Tensors& in) {
        forward_text = running();
        return Tensors{mul(in[0], 2.0)};
      },
      [&](const Context&, const Tensors& dy) {
        backward_text = running();
        return Tensors{mul(dy[0], 2.0)};
      });
  Tensor x = Tensor::ones({2, 3});
  x.set_requires_grad();
  backward(sum(probe({x})[0]));
  EXPECT_EQ(forward_text, "probe of f32[2,3]");
  EXPECT_EQ(backward_text, "backward of probe f32[2,3]");
  EXPECT_EQ(running(), "");
}

// ---- batches beside the work ----

Dataset small_set(std::int64_t n) { return draw_glyphs("digits", n, 3); }

TEST_P(OnDevice, AFeedGivesTheLoadersBatches) {
  const Dataset set = small_set(23);
  LoaderOptions options;
  options.batch = 5, options.seed = 7, options.shuffle = true;
  options.format.mean = {0.5}, options.format.deviation = {0.5};
  const Loader loader(set, options);
  Feed feed(loader, queue());
  for (std::int64_t step = 0; step < 12; ++step) {
    const std::int64_t epoch = step / loader.batches(), i = step % loader.batches();
    const Batch b = feed.get(epoch, i);
    const Tensor twice = mul(b.images, 2.0), labels = add(b.labels, 0);
    if (step % 3 != 2)
      feed.prefetch((step + 1) / loader.batches(), (step + 1) % loader.batches());  // where nobody asked ahead, get() makes it
    if (step == 4) feed.prefetch(0, 0);                                             // one is under way already
    const Batch want = loader.get(epoch, i);
    ASSERT_EQ(b.images.shape(), want.images.shape());
    const std::vector<float> got = twice.host<float>(), from = want.images.host<float>();
    for (std::size_t k = 0; k < got.size(); ++k) ASSERT_EQ(got[k], 2 * from[k]) << step;
    EXPECT_EQ(labels.host<std::int64_t>(), want.labels.host<std::int64_t>()) << step;
  }
  const Batch other = feed.get(9, 2);  // not the one that was asked for ahead
  EXPECT_EQ(other.labels.host<std::int64_t>(), loader.get(9, 2).labels.host<std::int64_t>());
}

// ---- memory of a graph ----

TEST_P(OnDevice, MemoryOfACaptureIsTheGraphsUntilItDies) {
  Allocator& a = Allocator::of(queue().device());
  a.trim();
  const std::int64_t before = a.stats().in_use;
  const Tensor x = Tensor::ones({1 << 16});
  Tensor y, outside;
  {
    Graph graph(queue());
    Tensor freed_inside = mul(x, 3.0);
    graph.capture([&] {
      y = add(mul(x, 2.0), freed_inside);  // the product's block is free again when the sum has been recorded
      y = add(y, 1.0);
      freed_inside = {};
    });
    EXPECT_GE(a.stats().pooled, 2 * x.bytes());
    outside = Tensor::full({1 << 16}, 100);  // must not land in what the graph uses
    const Tensor more = Tensor::full({1 << 16}, 200);
    fill_(x, 5);
    graph.replay();
    EXPECT_EQ(y.host<float>()[77], 2 * 5 + 3 + 1);
    EXPECT_EQ(outside.host<float>()[77], 100);
    EXPECT_EQ(more.host<float>()[77], 200);
    fill_(x, 7);
    graph.replay();
    EXPECT_EQ(y.host<float>()[77], 2 * 7 + 3 + 1);
  }
  EXPECT_EQ(a.stats().pooled, 0);
  EXPECT_EQ(y.host<float>()[0], 18);  // what came out of it lives on
  y = outside = {};
  EXPECT_EQ(a.stats().in_use - before, x.bytes());
}
TEST_P(OnDevice, ReadingAResultInACaptureNamesTheOperation) {
  const Tensor x = Tensor::ones({2, 3});
  Graph graph(queue());
  const std::string text = refusal([&] { graph.capture([&] { EXPECT_EQ(sum(x).item(), 6); }); });
  EXPECT_NE(text.find("the host reads device memory while a graph is captured"), std::string::npos) << text;
  const std::string named = refusal([&] { graph.capture([&] { masked_select(x, Tensor::ones({2, 3}, DType::b8)); }); });
  EXPECT_NE(named.find("while a graph is captured"), std::string::npos) << named;
  EXPECT_EQ(sum(x).item(), 6);
}

}  // namespace
}  // namespace graft
