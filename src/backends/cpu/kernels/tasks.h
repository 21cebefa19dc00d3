// How many tasks the work of a kernel is cut into.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cameo::cpu {

// `wanted` tasks are worth their start; fewer are made where that serves. As many for each thread, up to four: a thread then
// has the same part of the rows in every kernel, and what it wrote lies in its own cache. Tasks that are few and short cost
// less than an uneven split, longer ones even out what slows a thread.
inline int64_t even_tasks(int64_t wanted, int64_t threads) {
  constexpr int64_t kPerTask = 8;
  if (wanted < threads) return std::max<int64_t>(wanted, 1);
  return threads * std::clamp<int64_t>(wanted / (kPerTask * threads), 1, 4);
}

}  // namespace cameo::cpu
