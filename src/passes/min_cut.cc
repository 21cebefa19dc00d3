#include "passes/min_cut.h"

#include <algorithm>

namespace cameo::passes {

int MinCut::add_node() {
  out_.emplace_back();
  return static_cast<int>(out_.size()) - 1;
}

void MinCut::add_edge(int from, int to, int64_t capacity) {
  out_[static_cast<size_t>(from)].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({to, capacity});
  out_[static_cast<size_t>(to)].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({from, 0});
}

bool MinCut::find_levels() {
  level_.assign(out_.size(), -1);
  level_[kSource] = 0;
  std::vector<int> queue = {kSource};
  for (size_t i = 0; i < queue.size(); ++i)
    for (int e : out_[static_cast<size_t>(queue[i])]) {
      const Edge& edge = edges_[static_cast<size_t>(e)];
      if (edge.left <= 0 || level_[static_cast<size_t>(edge.to)] >= 0) continue;
      level_[static_cast<size_t>(edge.to)] = level_[static_cast<size_t>(queue[i])] + 1;
      queue.push_back(edge.to);
    }
  return level_[kSink] >= 0;
}

// Pushes flow along one path of rising levels, found without recursion: graphs may be thousands of nodes deep.
int64_t MinCut::push() {
  std::vector<int> path;  // edges
  int node = kSource;
  while (node != kSink) {
    auto& at = next_[static_cast<size_t>(node)];
    const auto& out = out_[static_cast<size_t>(node)];
    while (at < out.size()) {
      const Edge& edge = edges_[static_cast<size_t>(out[at])];
      if (edge.left > 0 && level_[static_cast<size_t>(edge.to)] == level_[static_cast<size_t>(node)] + 1) break;
      ++at;
    }
    if (at < out.size()) {
      path.push_back(out[at]);
      node = edges_[static_cast<size_t>(out[at])].to;
    } else {
      if (path.empty()) return 0;
      node = edges_[static_cast<size_t>(path.back() ^ 1)].to;
      path.pop_back();
      ++next_[static_cast<size_t>(node)];
    }
  }
  int64_t limit = kInfinite;
  for (int e : path) limit = std::min(limit, edges_[static_cast<size_t>(e)].left);
  for (int e : path) {
    edges_[static_cast<size_t>(e)].left -= limit;
    edges_[static_cast<size_t>(e ^ 1)].left += limit;
  }
  return limit;
}

std::vector<char> MinCut::solve() {
  while (find_levels()) {
    next_.assign(out_.size(), 0);
    while (push() > 0) {
    }
  }
  std::vector<char> with_source(out_.size());
  std::ranges::transform(level_, with_source.begin(), [](int level) { return static_cast<char>(level >= 0); });
  return with_source;
}

}  // namespace cameo::passes
