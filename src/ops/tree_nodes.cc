#include "ops/tree_nodes.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "ops/ml_matrix.h"

namespace cameo::ops {
namespace {

constexpr std::string_view kModes[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"};

using NodeKey = std::pair<int64_t, int64_t>;  // tree, node

}  // namespace

void TreeNodeAttrs::visit_nodes(ir::AttrVisitor& v) {
  v("nodes_treeids", nodes_treeids);
  v("nodes_nodeids", nodes_nodeids);
  v("nodes_featureids", nodes_featureids);
  v("nodes_truenodeids", nodes_truenodeids);
  v("nodes_falsenodeids", nodes_falsenodeids);
  v("nodes_missing_value_tracks_true", nodes_missing_value_tracks_true);
  v("nodes_modes", nodes_modes);
  v("nodes_values", nodes_values);
  v("nodes_hitrates", nodes_hitrates);
  v("base_values", base_values);
  v("nodes_values_as_tensor", nodes_values_as_tensor);
  v("nodes_hitrates_as_tensor", nodes_hitrates_as_tensor);
  v("base_values_as_tensor", base_values_as_tensor);
  v("post_transform", post_transform);
}

Result<std::vector<double>> either(const std::vector<float>& list, const Tensor& tensor, const char* what) {
  if (!tensor.defined()) return std::vector<double>(list.begin(), list.end());
  if (!kFloatTypes.contains(tensor.dtype()))
    return error(ErrorCode::kInvalidModel, "{} is {}; allowed: {}", what, dtype_name(tensor.dtype()), kFloatTypes.to_string());
  std::vector<double> values(static_cast<size_t>(tensor.num_elements()));
  read_row(tensor, 0, values);
  return values;
}

Result<Trees> trees_of(const TreeNodeAttrs& a, const TreeLeafAttrs& l, int64_t num_targets) {
  const size_t count = a.nodes_treeids.size();
  CAMEO_ASSIGN(const std::vector<double> values, either(a.nodes_values, a.nodes_values_as_tensor, "nodes_values_as_tensor"));
  for (size_t size : {a.nodes_nodeids.size(), a.nodes_featureids.size(), a.nodes_truenodeids.size(), a.nodes_falsenodeids.size(),
                      a.nodes_modes.size(), values.size()})
    if (size != count) return error(ErrorCode::kInvalidModel, "lists about the nodes have {} and {} entries", size, count);
  if (!a.nodes_missing_value_tracks_true.empty() && a.nodes_missing_value_tracks_true.size() != count)
    return error(ErrorCode::kInvalidModel, "nodes_missing_value_tracks_true has {} entries for {} nodes",
                 a.nodes_missing_value_tracks_true.size(), count);
  // Where each node of the lists goes: among the nodes, or as ~index among the leaves.
  Trees trees;
  trees.num_targets = num_targets;
  std::map<NodeKey, int64_t> places;
  for (size_t i = 0; i < count; ++i) {
    const bool leaf = a.nodes_modes[i] == "LEAF";
    const int64_t place = leaf ? ~std::ssize(trees.leaves) : std::ssize(trees.nodes);
    if (!places.emplace(NodeKey(a.nodes_treeids[i], a.nodes_nodeids[i]), place).second)
      return error(ErrorCode::kInvalidModel, "tree {} has node {} twice", a.nodes_treeids[i], a.nodes_nodeids[i]);
    if (leaf) {
      trees.leaves.emplace_back();
      continue;
    }
    const auto* mode = std::find(std::begin(kModes), std::end(kModes), a.nodes_modes[i]);
    if (mode == std::end(kModes)) return error(ErrorCode::kInvalidModel, "nodes_modes holds '{}', which is not known", a.nodes_modes[i]);
    TreeNode node;
    node.mode = static_cast<TreeMode>(mode - std::begin(kModes));
    node.feature = a.nodes_featureids[i];
    node.threshold = values[i];
    node.missing_goes_true = !a.nodes_missing_value_tracks_true.empty() && a.nodes_missing_value_tracks_true[i] != 0;
    trees.nodes.push_back(node);
  }
  std::map<NodeKey, bool> is_child;
  for (size_t i = 0; i < count; ++i) {
    const int64_t tree = a.nodes_treeids[i], place = places.at({tree, a.nodes_nodeids[i]});
    if (place < 0) continue;
    for (const bool side : {true, false}) {
      const NodeKey key(tree, side ? a.nodes_truenodeids[i] : a.nodes_falsenodeids[i]);
      const auto child = places.find(key);
      if (child == places.end())
        return error(ErrorCode::kInvalidModel, "tree {} has no node {}, a child of node {}", tree, key.second, a.nodes_nodeids[i]);
      TreeNode& node = trees.nodes[static_cast<size_t>(place)];
      (side ? node.when_true : node.when_false) = child->second;
      is_child[key] = true;
    }
  }
  for (size_t i = 0; i < count; ++i)
    if (const NodeKey key(a.nodes_treeids[i], a.nodes_nodeids[i]); !is_child.count(key)) trees.roots.push_back(places.at(key));
  // Weights, brought together for each leaf.
  CAMEO_ASSIGN(const std::vector<double> weights, either(l.weights, l.weights_as_tensor, "the tensor of weights"));
  if (l.nodeids.size() != l.treeids.size() || l.targets.size() != l.treeids.size() || weights.size() != l.treeids.size())
    return error(ErrorCode::kInvalidModel, "lists about the leaves have {}, {}, {} and {} entries", l.treeids.size(), l.nodeids.size(),
                 l.targets.size(), weights.size());
  std::vector<size_t> order(weights.size()), leaf(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto place = places.find({l.treeids[i], l.nodeids[i]});
    if (place == places.end() || place->second >= 0)
      return error(ErrorCode::kInvalidModel, "a weight is given for node {} of tree {}, which is no leaf", l.nodeids[i], l.treeids[i]);
    leaf[i] = static_cast<size_t>(~place->second);
  }
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) { return leaf[x] < leaf[y]; });
  for (size_t i : order) {
    TreeLeaf& target = trees.leaves[leaf[i]];
    if (target.num_weights++ == 0) target.first_weight = trees.weights.size();
    trees.weights.push_back({l.targets[i], weights[i]});
  }
  return trees;
}

}  // namespace cameo::ops
