#include "runtime/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace cameo::runtime {
namespace {

size_t rounded(size_t bytes) { return (bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment; }

// Largest first.
std::vector<uint32_t> by_size(const std::vector<Lifetime>& tensors) {
  std::vector<uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return tensors[a].bytes > tensors[b].bytes; });
  return order;
}

bool meet(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }

size_t side_by_side(const std::vector<Lifetime>& tensors) {
  size_t bytes = 0;
  for (const Lifetime& t : tensors) bytes += rounded(t.bytes);
  return bytes;
}

}  // namespace

MemoryPlan plan_memory(const std::vector<Lifetime>& tensors) {
  MemoryPlan plan = {.offsets = std::vector<size_t>(tensors.size(), 0), .without_reuse = side_by_side(tensors)};
  std::vector<uint32_t> placed;  // sorted by offset
  for (uint32_t id : by_size(tensors)) {
    const size_t bytes = rounded(tensors[id].bytes);
    size_t offset = 0;
    for (uint32_t other : placed) {
      if (!meet(tensors[id], tensors[other])) continue;
      if (plan.offsets[other] >= offset + bytes) break;
      offset = std::max(offset, plan.offsets[other] + rounded(tensors[other].bytes));
    }
    plan.offsets[id] = offset;
    plan.bytes = std::max(plan.bytes, offset + bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), id, [&](uint32_t a, uint32_t b) { return plan.offsets[a] < plan.offsets[b]; }), id);
  }
  return plan;
}

MemoryPlan plan_memory_in_lanes(const std::vector<Lifetime>& tensors) {
  struct Lane {
    size_t middle;
    std::vector<uint32_t> tensors;
  };
  MemoryPlan plan = {.offsets = std::vector<size_t>(tensors.size(), 0), .without_reuse = side_by_side(tensors)};
  std::vector<Lane> lanes;  // the first tensor of each is its largest, so they are sorted, largest first
  for (uint32_t id : by_size(tensors)) {
    const auto is_free = [&](const Lane& lane) {
      return std::none_of(lane.tensors.begin(), lane.tensors.end(), [&](uint32_t other) { return meet(tensors[id], tensors[other]); });
    };
    const size_t half = rounded(tensors[id].bytes / 2 + tensors[id].bytes % 2);
    auto lane = std::find_if(lanes.rbegin(), lanes.rend(), is_free);
    if (lane == lanes.rend()) {
      lanes.push_back({plan.bytes + half, {}});
      plan.bytes += 2 * half;
      lane = lanes.rbegin();
    }
    plan.offsets[id] = lane->middle - half;
    lane->tensors.push_back(id);
  }
  return plan;
}

}  // namespace cameo::runtime
