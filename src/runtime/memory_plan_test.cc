#include "runtime/memory_plan.h"

#include <gtest/gtest.h>

#include <random>

namespace cameo::runtime {
namespace {

TEST(MemoryPlan, ReusesMemoryOfTensorsThatAreGone) {
  const MemoryPlan plan = plan_memory({{1024, 0, 1}, {1024, 1, 2}, {1024, 2, 3}});
  EXPECT_EQ(plan.bytes, 2048u);
  EXPECT_EQ(plan.without_reuse, 3072u);
}

TEST(MemoryPlan, NothingToPlace) { EXPECT_EQ(plan_memory({}).bytes, 0u); }

TEST(MemoryPlan, TensorsOfALaneHaveOneMiddle) {
  const MemoryPlan plan = plan_memory_in_lanes({{4096, 0, 1}, {1024, 1, 2}, {2048, 2, 3}, {512, 3, 4}});
  EXPECT_EQ(plan.offsets, (std::vector<size_t>{0, 4096, 1024, 4352}));
  EXPECT_EQ(plan.bytes, 5120u);
}

TEST(MemoryPlan, LivingTensorsNeverOverlap) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    std::vector<Lifetime> tensors(1 + random() % 60);
    for (Lifetime& t : tensors) {
      t.bytes = random() % 5000;
      t.first = random() % 40;
      t.last = t.first + random() % 10;
    }
    for (const MemoryPlan& plan : {plan_memory(tensors), plan_memory_in_lanes(tensors)})
      for (size_t a = 0; a < tensors.size(); ++a) {
        EXPECT_EQ(plan.offsets[a] % kTensorAlignment, 0u);
        EXPECT_LE(plan.offsets[a] + tensors[a].bytes, plan.bytes);
        for (size_t b = 0; b < a; ++b) {
          const bool alive_together = tensors[a].first <= tensors[b].last && tensors[b].first <= tensors[a].last;
          const bool apart = plan.offsets[a] + tensors[a].bytes <= plan.offsets[b] ||
                             plan.offsets[b] + tensors[b].bytes <= plan.offsets[a] || !tensors[a].bytes || !tensors[b].bytes;
          EXPECT_TRUE(!alive_together || apart) << "seed " << seed << ", tensors " << a << " and " << b;
        }
      }
  }
}

}  // namespace
}  // namespace cameo::runtime
