#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(TreeEnsembleRegressor) {
  const std::string ml = "ai.onnx.ml";
  using Attributes = std::vector<std::pair<std::string, std::string>>;
  const auto with = [](Attributes more) {
    Attributes all = {{"nodes_treeids", "[0, 0, 0]"},
                      {"nodes_nodeids", "[0, 1, 2]"},
                      {"nodes_featureids", "[0, 0, 0]"},
                      {"nodes_values", "[1.5, 0, 0]"},
                      {"nodes_modes", "[BRANCH_LEQ, LEAF, LEAF]"},
                      {"nodes_truenodeids", "[1, 0, 0]"},
                      {"nodes_falsenodeids", "[2, 0, 0]"},
                      {"target_treeids", "[0, 0]"},
                      {"target_nodeids", "[1, 2]"},
                      {"target_ids", "[0, 0]"},
                      {"target_weights", "[10, 20]"}};
    for (auto& attribute : more) {
      std::erase_if(all, [&](const auto& old) { return old.first == attribute.first; });
      all.push_back(attribute);
    }
    return all;
  };
  const Tensor x = tensor<float>({2, 1}, {1, 2});
  return {
      {.name = "one tree", .attributes = with({}), .inputs = {x}, .outputs = {tensor<float>({2, 1}, {10, 20})}, .domain = ml},
      {.name = "base value",
       .attributes = with({{"base_values", "[0.5]"}, {"aggregate_function", "'AVERAGE'"}}),
       .inputs = {tensor<int64_t>({1}, {3})},
       .outputs = {tensor<float>({1, 1}, {20.5f})},
       .domain = ml},
      {.name = "a child that is not there",
       .attributes = with({{"nodes_falsenodeids", "[3, 0, 0]"}}),
       .inputs = {x},
       .error = "tree 0 has no node 3",
       .domain = ml},
      {.name = "a weight of no leaf",
       .attributes = with({{"target_nodeids", "[0, 2]"}}),
       .inputs = {x},
       .error = "which is no leaf",
       .domain = ml},
      {.name = "a target beyond the last",
       .attributes = with({{"target_ids", "[0, 1]"}}),
       .inputs = {x},
       .error = "a leaf has target 1; there are 1",
       .domain = ml},
      {.name = "a feature beyond the last",
       .attributes = with({{"nodes_featureids", "[1, 0, 0]"}}),
       .inputs = {x},
       .error = "a tree asks for feature 1; the input has 1",
       .domain = ml},
      {.name = "the same node twice",
       .attributes = with({{"nodes_nodeids", "[0, 1, 1]"}}),
       .inputs = {x},
       .error = "tree 0 has node 1 twice",
       .domain = ml},
  };
}

}  // namespace cameo::ops
