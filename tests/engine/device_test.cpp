// What a device does that the CPU does not: bad indices that only a kernel sees, errors that name operation and launch, copies beside the work.
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "engine/autograd/tape.h"
#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "kernels/core/device.h"
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
std::string device_name(const testing::TestParamInfo<DeviceKind>& i) { return i.param == DeviceKind::cuda ? "cuda" : name_of(Device{i.param, 0}); }
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
      {"embedding", [=] { return sum(embedding(table(), ids({3, 7, 99, 512, 4, 100}))); }},
      {"embedding, many", [=] { return sum(embedding(table(), many())); }},
      {"embedding, a negative id", [=] { return sum(embedding(table(), ids({3, -1, 200}))); }},
      {"index_select", [=] { return sum(index_select(table(), 0, many())); }},
      {"index_select of the last axis, counted from the end", [=] { return sum(index_select(table(), 1, ids({-8, 7, -9, 8}))); }},
      {"gather", [=] { return sum(gather(table(), 1, Tensor::from<std::int64_t>({0, -8, 3, 8, -9, 2}, {3, 2}))); }},
      {"gather along the first axis", [=] { return sum(gather(table(), 0, Tensor::from<std::int64_t>({0, 1, 2, 3, 100, 99, 100, -101}, {2, 4}))); }},
      {"scatter", [=] { return sum(scatter(Tensor::zeros({3, 4}), 1, Tensor::from<std::int64_t>({0, 4, 3, 9, 1, 1}, {3, 2}), Tensor::ones({3, 2}))); }},
      {"scatter_add", [=] { return sum(scatter_add(Tensor::zeros({4, 3}), 0, Tensor::from<std::int64_t>({0, 1, 2, 3, -5, 7}, {2, 3}), Tensor::ones({2, 3}))); }},
      {"cross_entropy", [=] { return cross_entropy(Tensor::ones({4, 10}), ids({1, -100, 11, 10})); }},
      {"cross_entropy, weighted", [=] {
         CrossEntropyOptions o;
         o.class_weight = Tensor::ones({10});
         return cross_entropy(Tensor::ones({4, 10}), ids({1, 9, -3, 10}), o);
       }},
      {"cross_entropy, long rows", [=] { return cross_entropy(Tensor::ones({3, 1031}), ids({1, 1031, 1032})); }},
      {"focal_loss", [=] { return focal_loss(Tensor::ones({4, 10}), ids({1, 9, -1, 10})); }},
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
  each(embed_grad_family(), EmbedGradArgs{bad.view(), out.view(), table.view()}, "embed_grad: id 50 at position 1 is outside the table of 50 rows");
  const auto three = [](const Tensor& t, std::int64_t inner_stride = 1) { return t.alias({1, t.size(0), 16}, {0, t.rank() == 1 ? 1 : 16, inner_stride}, 0).view(); };
  each(gather_family(), GatherArgs{three(table), three(bad, 0), three(out)}, "gather: index 50 at position 1 is out of range for an axis of 50");
  each(scatter_family(), ScatterArgs{three(out), three(bad, 0), three(table)}, "scatter: index 50 at position 1 is out of range for an axis of 50");
  const Tensor logits = Tensor::ones({4, 1024}), loss = Tensor::zeros({4}), lse = Tensor::zeros({4}), target = ids({1023, 3, 1024, -1});
  each(cross_entropy_family(), CrossEntropyArgs{logits.view(), target.view(), {}, loss.view(), lse.view()}, "cross_entropy: target[2] is 1024 but there are 1024 classes");
  EXPECT_GE(rungs, 2 + 4 + 3 + 3 + 4);
}

}  // namespace
}  // namespace graft
