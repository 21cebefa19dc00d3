// Decision trees, for TreeEnsemble, TreeEnsembleClassifier and TreeEnsembleRegressor.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "cameo/tensor.h"

namespace cameo::ops {

// Where x[feature] goes: to the true child when the comparison with the threshold holds.
enum class TreeMode : uint8_t { kLeq, kLt, kGte, kGt, kEq, kNeq, kMember };

struct TreeNode {
  TreeMode mode = TreeMode::kLeq;
  bool missing_goes_true = false;  // where NaN goes
  int64_t feature = 0;
  double threshold = 0;
  // Index of a node, or ~index of a leaf.
  int64_t when_true = 0, when_false = 0;
  size_t first_member = 0, num_members = 0;  // of Trees::members, for kMember
};

// A leaf adds weights to targets: entries first_weight to first_weight + num_weights - 1 of Trees::weights.
struct TreeLeaf {
  size_t first_weight = 0, num_weights = 0;
};

struct TreeWeight {
  int64_t target = 0;
  double weight = 0;
};

enum class TreeAggregation : uint8_t { kAverage, kSum, kMin, kMax };

struct Trees {
  std::vector<int64_t> roots;  // as children: a node, or ~leaf
  std::vector<TreeNode> nodes;
  std::vector<TreeLeaf> leaves;
  std::vector<TreeWeight> weights;
  std::vector<double> members;
  int64_t num_targets = 1;

  // Every index is in range, features are those of rows of `num_features`; errors are kInvalidModel, kInvalidInput for features.
  Status check(int64_t num_features) const;

  // Combines what all trees say of a row into `scores` (num_targets of them), starting from `base` where it is not empty;
  // `found` tells which targets got a weight at all. Fails when the nodes form a cycle.
  Status score(std::span<const double> row, TreeAggregation aggregation, std::span<const double> base, std::span<double> scores,
               std::span<char> found) const;

 private:
  Result<const TreeLeaf*> leaf_of(int64_t child, std::span<const double> row) const;
};

}  // namespace cameo::ops
