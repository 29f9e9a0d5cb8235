// One program per kernel family: every row of its tables on every case, dtype and layout, against `ref`; the same bits for 1, 2 and 3
// threads; a row that never ran fails. GRAFT_SEED replays another seed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "kernels/core/device.h"
#include "kernels/specs.h"

namespace graft {
std::vector<Spec> GRAFT_FAMILY_SPECS();

namespace {

std::uint64_t seed() {
  const char* s = std::getenv("GRAFT_SEED");
  return s ? std::strtoull(s, nullptr, 10) : 1;
}

// Every row that serves the queue's device runs its cases; one that never did fails, and so does a family without any row for the device.
void check_all(Queue& q) {
  for (const Spec& spec : GRAFT_FAMILY_SPECS()) {
    const CheckReport report = check(spec, q, {.variant = "", .seed = seed()});
    std::size_t shown = 0;
    for (const auto& f : report.failures) {
      if (shown++ < 12) ADD_FAILURE() << f;
    }
    if (shown > 12) ADD_FAILURE() << "... and " << shown - 12 << " more";
    int rows = 0;
    for (const auto& row : spec.rows) {
      if (row.name == "ref" || !serves(row.backend, q.device().kind) || !row.executable()) continue;
      ++rows;
      const auto it = report.ran.find(std::string(row.name));
      EXPECT_TRUE(it != report.ran.end() && it->second > 0) << spec.family->name() << "=" << row.name << " never ran a case";
    }
    EXPECT_GT(rows, 0) << spec.family->name() << " has no row for " << name_of(q.device());
  }
}

TEST(Family, EveryRowAgreesWithRefAndHasRun) {
  Queue q(2);
  check_all(q);
}
// The CUDA rows as the emulator runs them, each case under three orders of its threads (kernels/core/spec.cpp).
TEST(Family, EveryCudaRowAgreesWithRefUnderTheEmulator) {
  if (const std::string why = why_not({DeviceKind::emu, 0}); !why.empty()) GTEST_SKIP() << why;
  Queue q(2, {DeviceKind::emu});
  check_all(q);
}

TEST(Family, EveryCudaRowAgreesWithRefOnTheGpu) {
  if (const std::string why = why_not({DeviceKind::cuda, 0}); !why.empty()) GTEST_SKIP() << why;
  Queue q(2, {DeviceKind::cuda});
  check_all(q);
}

TEST(Family, SameBitsForAnyNumberOfThreads) {
  Queue queues[] = {Queue(1), Queue(2), Queue(3)};
  for (const Spec& spec : GRAFT_FAMILY_SPECS())
    for (const auto& c : spec.cases)
      for (int r = 0; r < static_cast<int>(spec.rows.size()); ++r) {
        if (c.only_timed() || !serves(spec.rows[r].backend, DeviceKind::cpu)) continue;
        const DType t = c.dtypes.front();
        Operands one(c, t, c.layouts.front(), seed());
        if (!c.allowed(r, one.views())) continue;
        c.run(queues[0], r, one.views());
        for (int k = 1; k < 3; ++k) {
          Operands many(c, t, c.layouts.front(), seed());
          c.run(queues[k], r, many.views());
          for (std::size_t o = 0; o < c.operands.size(); ++o) {
            const View &a = one.views()[o], &b = many.views()[o];
            ASSERT_TRUE(is_dense(a) && is_dense(b));
            ASSERT_EQ(0, a.numel() ? std::memcmp(a.data, b.data, static_cast<std::size_t>(a.numel()) * size_of(a.dtype)) : 0)
                << spec.family->name() << "=" << spec.rows[r].name << " " << c.shape << ": '" << c.operands[o].name << "' differs for "
                << queues[k].threads() << " threads";
          }
        }
      }
}

}  // namespace
}  // namespace graft
