#include "ops/trees.h"

#include <algorithm>
#include <cmath>

namespace cameo::ops {

Status Trees::check(int64_t num_features) const {
  const auto check_child = [&](int64_t child) -> Status {
    const int64_t index = child < 0 ? ~child : child, count = child < 0 ? std::ssize(leaves) : std::ssize(nodes);
    if (index >= count) return error(ErrorCode::kInvalidModel, "a tree refers to {} {} of {}", child < 0 ? "leaf" : "node", index, count);
    return {};
  };
  for (int64_t root : roots) CAMEO_TRY(check_child(root));
  for (const TreeNode& node : nodes) {
    CAMEO_TRY(check_child(node.when_true));
    CAMEO_TRY(check_child(node.when_false));
    if (node.feature < 0 || node.feature >= num_features)
      return error(ErrorCode::kInvalidInput, "a tree asks for feature {}; the input has {}", node.feature, num_features);
  }
  for (const TreeWeight& w : weights)
    if (w.target < 0 || w.target >= num_targets)
      return error(ErrorCode::kInvalidModel, "a leaf has target {}; there are {}", w.target, num_targets);
  return {};
}

Result<const TreeLeaf*> Trees::leaf_of(int64_t child, std::span<const double> row) const {
  for (size_t steps = 0; child >= 0; ++steps) {
    if (steps == nodes.size()) return error(ErrorCode::kInvalidModel, "the nodes of a tree form a cycle");
    const TreeNode& node = nodes[static_cast<size_t>(child)];
    const double x = row[static_cast<size_t>(node.feature)];
    bool holds = false;
    switch (node.mode) {
      case TreeMode::kLeq:
        holds = x <= node.threshold;
        break;
      case TreeMode::kLt:
        holds = x < node.threshold;
        break;
      case TreeMode::kGte:
        holds = x >= node.threshold;
        break;
      case TreeMode::kGt:
        holds = x > node.threshold;
        break;
      case TreeMode::kEq:
        holds = x == node.threshold;
        break;
      case TreeMode::kNeq:
        holds = x != node.threshold;
        break;
      case TreeMode::kMember: {
        const auto first = members.begin() + static_cast<std::ptrdiff_t>(node.first_member);
        holds = std::find(first, first + static_cast<std::ptrdiff_t>(node.num_members), x) !=
                first + static_cast<std::ptrdiff_t>(node.num_members);
        break;
      }
    }
    child = holds || (node.missing_goes_true && std::isnan(x)) ? node.when_true : node.when_false;
  }
  return &leaves[static_cast<size_t>(~child)];
}

Status Trees::score(std::span<const double> row, TreeAggregation aggregation, std::span<const double> base, std::span<double> scores,
                    std::span<char> found) const {
  std::fill(scores.begin(), scores.end(), 0.0);
  std::fill(found.begin(), found.end(), 0);
  for (int64_t root : roots) {
    CAMEO_ASSIGN(const TreeLeaf* leaf, leaf_of(root, row));
    for (size_t i = leaf->first_weight; i < leaf->first_weight + leaf->num_weights; ++i) {
      const auto target = static_cast<size_t>(weights[i].target);
      const double weight = weights[i].weight;
      if (aggregation == TreeAggregation::kMin && found[target])
        scores[target] = std::min(scores[target], weight);
      else if (aggregation == TreeAggregation::kMax && found[target])
        scores[target] = std::max(scores[target], weight);
      else
        scores[target] += weight;
      found[target] = 1;
    }
  }
  for (size_t k = 0; k < scores.size(); ++k) {
    if (aggregation == TreeAggregation::kAverage) scores[k] /= static_cast<double>(roots.size());
    if (k < base.size()) scores[k] += base[k];
  }
  return {};
}

}  // namespace cameo::ops
