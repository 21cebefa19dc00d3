#include "runtime/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace cameo::runtime {

MemoryPlan plan_memory(const std::vector<Lifetime>& tensors) {
  const auto rounded = [](size_t n) { return (n + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment; };
  MemoryPlan plan;
  plan.offsets.assign(tensors.size(), 0);
  std::vector<uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return tensors[a].bytes > tensors[b].bytes; });
  std::vector<uint32_t> placed;  // sorted by offset
  for (uint32_t id : order) {
    const Lifetime& t = tensors[id];
    const size_t bytes = rounded(t.bytes);
    plan.without_reuse += bytes;
    size_t offset = 0;
    for (uint32_t other : placed) {
      const Lifetime& o = tensors[other];
      if (o.last < t.first || t.last < o.first) continue;
      if (plan.offsets[other] >= offset + bytes) break;
      offset = std::max(offset, plan.offsets[other] + rounded(o.bytes));
    }
    plan.offsets[id] = offset;
    plan.bytes = std::max(plan.bytes, offset + bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), id, [&](uint32_t a, uint32_t b) { return plan.offsets[a] < plan.offsets[b]; }), id);
  }
  return plan;
}

}  // namespace cameo::runtime
