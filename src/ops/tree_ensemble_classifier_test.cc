#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(TreeEnsembleClassifier) {
  const std::string ml = "ai.onnx.ml";
  using Attributes = std::vector<std::pair<std::string, std::string>>;
  const auto with = [](Attributes more) {
    Attributes all = {{"nodes_treeids", "[0, 0, 0]"},
                      {"nodes_nodeids", "[0, 1, 2]"},
                      {"nodes_featureids", "[0, 0, 0]"},
                      {"nodes_values", "[1.5, 0, 0]"},
                      {"nodes_modes", "[BRANCH_LEQ, LEAF, LEAF]"},
                      {"nodes_truenodeids", "[1, 0, 0]"},
                      {"nodes_falsenodeids", "[2, 0, 0]"}};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const Tensor x = tensor<float>({2, 1}, {1, 2});
  return {
      {.name = "votes for one class of two",
       .attributes = with({{"class_treeids", "[0, 0]"},
                           {"class_nodeids", "[1, 2]"},
                           {"class_ids", "[0, 0]"},
                           {"class_weights", "[0.25, 0.75]"},
                           {"classlabels_int64s", "[4, 5]"}}),
       .inputs = {x},
       .outputs = {tensor<int64_t>({2}, {4, 5}), tensor<float>({2, 2}, {0.75f, 0.25f, 0.25f, 0.75f})},
       .domain = ml},
      {.name = "a margin for one class of two",
       .attributes = with({{"class_treeids", "[0, 0]"},
                           {"class_nodeids", "[1, 2]"},
                           {"class_ids", "[0, 0]"},
                           {"class_weights", "[-1, 1]"},
                           {"classlabels_int64s", "[4, 5]"},
                           {"post_transform", "'LOGISTIC'"}}),
       .inputs = {x},
       .outputs = {tensor<int64_t>({2}, {4, 5}), tensor<float>({2, 2}, {0.7310586f, 0.26894143f, 0.26894143f, 0.7310586f})},
       .domain = ml},
      {.name = "three classes",
       .attributes = with({{"class_treeids", "[0, 0, 0]"},
                           {"class_nodeids", "[1, 2, 2]"},
                           {"class_ids", "[2, 0, 1]"},
                           {"class_weights", "[1, 0.5, 2]"},
                           {"classlabels_strings", "[a, b, c]"}}),
       .inputs = {x},
       .outputs = {tensor<std::string>({2}, {"c", "b"}), tensor<float>({2, 3}, {0, 0, 1, 0.5f, 2, 0})},
       .domain = ml},
      {.name = "no labels", .attributes = with({}), .inputs = {x}, .error = "exactly one kind must be given", .domain = ml},
  };
}

}  // namespace cameo::ops
