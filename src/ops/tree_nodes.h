// The trees of TreeEnsembleClassifier and TreeEnsembleRegressor: attributes as flat lists, nodes named by tree and node id.
#pragma once

#include <string>
#include <vector>

#include "ir/attrs.h"
#include "ops/trees.h"

namespace cameo::ops {

// Attributes that both operators have; version 3 allows tensors for numbers.
struct TreeNodeAttrs {
  std::vector<int64_t> nodes_treeids, nodes_nodeids, nodes_featureids, nodes_truenodeids, nodes_falsenodeids,
      nodes_missing_value_tracks_true;
  std::vector<std::string> nodes_modes;
  std::vector<float> nodes_values, nodes_hitrates, base_values;
  Tensor nodes_values_as_tensor, nodes_hitrates_as_tensor, base_values_as_tensor;
  std::string post_transform = "NONE";
  void visit_nodes(ir::AttrVisitor& v);
};

// What the leaves add: parallel lists.
struct TreeLeafAttrs {
  const std::vector<int64_t>&treeids, &nodeids, &targets;
  const std::vector<float>& weights;
  const Tensor& weights_as_tensor;
};

// The trees, with targets below num_targets. A tree's root is its one node that is no other's child.
Result<Trees> trees_of(const TreeNodeAttrs& nodes, const TreeLeafAttrs& leaves, int64_t num_targets);

// base_values, or the tensor when that is set, as doubles.
Result<std::vector<double>> either(const std::vector<float>& list, const Tensor& tensor, const char* what);

}  // namespace cameo::ops
