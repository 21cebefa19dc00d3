// TreeEnsemble (ai.onnx.ml 5): decision trees over the rows of a matrix. Node i compares a feature with nodes_splits[i] and goes on
// to nodes_truenodeids[i] or nodes_falsenodeids[i], which count leaves where nodes_trueleafs or nodes_falseleafs is 1. A leaf adds
// its weight to its target; what the trees say of a target is combined by aggregate_function (0 average, 1 sum, 2 min, 3 max).
// A tree whose root has twice the same leaf is that leaf. membership_values lists the sets of the nodes of mode 6, in the order
// of the nodes, each ended by NaN.
#include <cmath>

#include "ops/dispatch.h"
#include "ops/ml_matrix.h"
#include "ops/post_transform.h"
#include "ops/trees.h"

namespace cameo::ops {
namespace {

struct TreeEnsembleAttrs : ir::AttrsOf<TreeEnsembleAttrs> {
  int64_t aggregate_function = 1, post_transform = 0;
  std::optional<int64_t> n_targets;
  std::vector<int64_t> tree_roots, nodes_featureids, nodes_truenodeids, nodes_falsenodeids, nodes_trueleafs, nodes_falseleafs,
      nodes_missing_value_tracks_true, leaf_targetids;
  Tensor nodes_modes, nodes_splits, nodes_hitrates, leaf_weights, membership_values;
  void visit(ir::AttrVisitor& v) override {
    v("aggregate_function", aggregate_function);
    v("post_transform", post_transform);
    v("n_targets", n_targets);
    v("tree_roots", tree_roots);
    v("nodes_featureids", nodes_featureids);
    v("nodes_truenodeids", nodes_truenodeids);
    v("nodes_falsenodeids", nodes_falsenodeids);
    v("nodes_trueleafs", nodes_trueleafs);
    v("nodes_falseleafs", nodes_falseleafs);
    v("nodes_missing_value_tracks_true", nodes_missing_value_tracks_true);
    v("leaf_targetids", leaf_targetids);
    v("nodes_modes", nodes_modes);
    v("nodes_splits", nodes_splits);
    v("nodes_hitrates", nodes_hitrates);
    v("leaf_weights", leaf_weights);
    v("membership_values", membership_values);
  }
};

Result<std::vector<double>> numbers_of(const Tensor& t) {
  std::vector<double> values(t.defined() ? static_cast<size_t>(t.num_elements()) : 0);
  if (t.defined() && !kFloatTypes.contains(t.dtype()))
    return error(ErrorCode::kInvalidModel, "an attribute holds {}; allowed: {}", dtype_name(t.dtype()), kFloatTypes.to_string());
  if (t.defined()) read_row(t, 0, values);
  return values;
}

Result<Trees> trees_of(const TreeEnsembleAttrs& a) {
  const size_t nodes = a.nodes_featureids.size(), leaves = a.leaf_targetids.size();
  CAMEO_ASSIGN(const std::vector<double> splits, numbers_of(a.nodes_splits));
  CAMEO_ASSIGN(const std::vector<double> weights, numbers_of(a.leaf_weights));
  CAMEO_ASSIGN(const std::vector<double> members, numbers_of(a.membership_values));
  if (!a.nodes_modes.defined() || a.nodes_modes.dtype() != DType::kUint8)
    return error(ErrorCode::kInvalidModel, "nodes_modes must be a uint8 tensor");
  const auto modes = a.nodes_modes.span<uint8_t>();
  for (size_t size : {splits.size(), modes.size(), a.nodes_truenodeids.size(), a.nodes_falsenodeids.size(), a.nodes_trueleafs.size(),
                      a.nodes_falseleafs.size()})
    if (size != nodes) return error(ErrorCode::kInvalidModel, "lists about the nodes have {} and {} entries", size, nodes);
  if (!a.nodes_missing_value_tracks_true.empty() && a.nodes_missing_value_tracks_true.size() != nodes)
    return error(ErrorCode::kInvalidModel, "nodes_missing_value_tracks_true has {} entries for {} nodes",
                 a.nodes_missing_value_tracks_true.size(), nodes);
  if (weights.size() != leaves) return error(ErrorCode::kInvalidModel, "there are {} leaf weights for {} leaves", weights.size(), leaves);
  Trees trees;
  trees.num_targets = a.n_targets.value_or(1);
  const auto child = [](int64_t index, int64_t is_leaf) -> Result<int64_t> {
    if (index < 0) return error(ErrorCode::kInvalidModel, "a node's child is {}", index);
    return is_leaf ? ~index : index;
  };
  size_t next_member = 0;
  for (size_t i = 0; i < nodes; ++i) {
    TreeNode node;
    if (modes[i] > static_cast<uint8_t>(TreeMode::kMember))
      return error(ErrorCode::kInvalidModel, "nodes_modes holds {}; allowed: 0 to 6", modes[i]);
    node.mode = static_cast<TreeMode>(modes[i]);
    node.feature = a.nodes_featureids[i];
    node.threshold = splits[i];
    node.missing_goes_true = !a.nodes_missing_value_tracks_true.empty() && a.nodes_missing_value_tracks_true[i] != 0;
    CAMEO_ASSIGN(node.when_true, child(a.nodes_truenodeids[i], a.nodes_trueleafs[i]));
    CAMEO_ASSIGN(node.when_false, child(a.nodes_falsenodeids[i], a.nodes_falseleafs[i]));
    if (node.mode == TreeMode::kMember) {
      node.first_member = next_member;
      while (next_member < members.size() && !std::isnan(members[next_member])) ++next_member;
      if (next_member == members.size())
        return error(ErrorCode::kInvalidModel, "membership_values has no set, ended by NaN, for node {}", i);
      node.num_members = next_member++ - node.first_member;
    }
    trees.nodes.push_back(node);
  }
  for (size_t i = 0; i < leaves; ++i) {
    trees.leaves.push_back({i, 1});
    trees.weights.push_back({a.leaf_targetids[i], weights[i]});
  }
  for (int64_t root : a.tree_roots) {
    if (root < 0 || root >= static_cast<int64_t>(nodes))
      return error(ErrorCode::kInvalidModel, "tree_roots holds {}; there are {} nodes", root, nodes);
    const TreeNode& node = trees.nodes[static_cast<size_t>(root)];
    trees.roots.push_back(node.when_true < 0 && node.when_true == node.when_false ? node.when_true : root);
  }
  trees.members = members;
  return trees;
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<TreeEnsembleAttrs>();
  if (a.aggregate_function < 0 || a.aggregate_function > 3)
    return error(ErrorCode::kInvalidModel, "aggregate_function is {}; allowed: 0 to 3", a.aggregate_function);
  if (a.post_transform < 0 || a.post_transform > 4)
    return error(ErrorCode::kInvalidModel, "post_transform is {}; allowed: 0 to 4", a.post_transform);
  if (a.n_targets.value_or(1) < 1 || a.n_targets.value_or(1) > INT32_MAX)
    return error(ErrorCode::kInvalidModel, "n_targets is {}; it must be 1 or more", *a.n_targets);
  ir::Dim rows;
  if (c.shape(0)) {
    if (c.shape(0)->size() != 2) return error(ErrorCode::kInvalidInput, "the input has rank {}; it must be a matrix", c.shape(0)->size());
    rows = c.shape(0)->front();
  }
  c.set_output(0, c.dtype(0), {rows, a.n_targets.value_or(1)});
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<TreeEnsembleAttrs>();
  const Tensor& x = c.input(0);
  CAMEO_ASSIGN(const Trees trees, trees_of(a));
  CAMEO_TRY(trees.check(x.dim(1)));
  const std::span<double> row = c.scratch<double>(x.dim(1)), scores = c.scratch<double>(trees.num_targets);
  const std::span<char> found = c.scratch<char>(trees.num_targets);
  return dispatch_floats(x.dtype(), "TreeEnsemble", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    T* to = c.output(0).data<T>();
    for (int64_t r = 0; r < x.dim(0); ++r) {
      CAMEO_TRY(c.check_cancelled());
      read_row(x, r, row);
      CAMEO_TRY(trees.score(row, static_cast<TreeAggregation>(a.aggregate_function), {}, scores, found));
      apply(static_cast<PostTransform>(a.post_transform), scores);
      for (double score : scores) *to++ = static_cast<T>(static_cast<compute_t<T>>(score));
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(TreeEnsemble) = {
    .name = "TreeEnsemble",
    .domain = "ai.onnx.ml",
    .min_version = 5,
    .max_version = 5,
    .input_types = {{DType::kFloat32, DType::kFloat64, DType::kFloat16}},
    .make_attrs = &ir::make_attrs<TreeEnsembleAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
