// Placement of tensors with known lifetimes in one block of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cameo::runtime {

struct Lifetime {
  size_t bytes = 0;
  uint32_t first = 0, last = 0;  // steps, both included
};

struct MemoryPlan {
  std::vector<size_t> offsets;  // one per tensor, multiples of kTensorAlignment
  size_t bytes = 0;             // size of the block
  size_t without_reuse = 0;     // what the tensors would take side by side
};

inline constexpr size_t kTensorAlignment = 64;

// Tensors whose lifetimes overlap never overlap in memory, in both. Greedy by size: the largest tensor is placed first,
// each at the lowest offset where it fits (Pisarchyk and Lee, "Efficient memory management for deep neural net
// inference", 2020).
MemoryPlan plan_memory(const std::vector<Lifetime>& tensors);

// For threads that each work on their part of every tensor, the first thread on the first: memory then stays with the
// processor that wrote it last, which matters more than the size where the processors have caches of their own. The block is
// cut in lanes, one for each tensor at a time, and all tensors of a lane have the same middle. Greedy by size as above, each in
// the smallest lane that is free.
MemoryPlan plan_memory_in_lanes(const std::vector<Lifetime>& tensors);

}  // namespace cameo::runtime
