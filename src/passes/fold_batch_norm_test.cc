#include <cmath>

#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using Ints = std::vector<int64_t>;
const ir::Dim kN = ir::Dim::symbol("n");

Id weights(TestGraph& g, const Dims& dims) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  for (int64_t i = 0; i < t.num_elements(); ++i) t.data<float>()[i] = static_cast<float>(i * 5 % 11 - 5) / 4;
  return g.graph.add_constant("w", t);
}

// BatchNormalization of that many channels.
Id normalized(TestGraph& g, Id x, int64_t channels, int version = 0) {
  const auto list = [&](float first, float step) {
    Tensor t = Tensor::allocate(DType::kFloat32, {channels}).value();
    for (int64_t c = 0; c < channels; ++c) t.data<float>()[c] = first + step * static_cast<float>(c);
    return g.graph.add_constant("c", t);
  };
  return g.node("BatchNormalization", {x, list(1.5f, -0.5f), list(0.25f, 0.5f), list(-1, 0.75f), list(0.5f, 1)}, {{"epsilon", 1e-3f}},
                version);
}

std::string left_of(TestGraph& g, std::string* notes = nullptr) {
  return ops_of(fused(g.graph, {"fold_batch_norm"}, {{}, {{"n", 0}}}, 4e-6, notes));
}

TEST(FoldBatchNorm, IntoLayers) {
  for (bool bias : {false, true}) {
    TestGraph g;
    const Id x = g.input("x", DType::kFloat32, {kN, 4, 5, 5});
    const auto with_bias = [&](std::vector<Id> inputs, const Dims& dims) {
      if (bias) inputs.push_back(weights(g, dims));
      return inputs;
    };
    g.output(normalized(g, g.node("Conv", with_bias({x, weights(g, {3, 4, 2, 2})}, {3})), 3));
    g.output(normalized(g, g.node("Conv", with_bias({x, weights(g, {6, 2, 1, 1})}, {6}), {{"group", int64_t{2}}}), 6, 9));
    g.output(normalized(g, g.node("ConvTranspose", with_bias({x, weights(g, {4, 3, 2, 2})}, {3})), 3));
    g.output(normalized(g, g.node("ConvTranspose", with_bias({x, weights(g, {4, 3, 2, 2})}, {6}), {{"group", int64_t{2}}}), 6));
    EXPECT_EQ(left_of(g), "Conv, Conv, ConvTranspose, ConvTranspose");
  }
  for (int64_t transposed : {0, 1}) {
    TestGraph g;
    const Id x = g.input("x", DType::kFloat32, {kN, 4});
    const AttrList attrs = {{"alpha", 0.5f}, {"beta", 2.f}, {"transB", transposed}};
    const Dims dims = transposed ? Dims{3, 4} : Dims{4, 3};
    g.output(normalized(g, g.node("Gemm", {x, weights(g, dims)}, attrs), 3));
    g.output(normalized(g, g.node("Gemm", {x, weights(g, dims), weights(g, {1, 3})}, attrs), 3));
    g.output(normalized(g, g.node("Gemm", {x, weights(g, dims), weights(g, {})}, attrs), 3));
    g.output(normalized(g, g.node("MatMul", {x, weights(g, {4, 3})}), 3));
    EXPECT_EQ(left_of(g), "Gemm, Gemm, Gemm, MatMul, Add");
  }
}

TEST(FoldBatchNorm, ScalesOfBranches) {
  for (bool turned : {false, true}) {
    TestGraph g;
    const Id x = g.input("x", DType::kFloat32, {kN, 5, 6, 4});
    Id y = g.node("Add", {weights(g, {3}), g.node("MatMul", {x, weights(g, {4, 3})})});
    if (turned) y = g.node("Transpose", {y}, {{"perm", Ints{0, 3, 1, 2}}});
    Tensor t = Tensor::allocate(DType::kFloat32, turned ? Dims{3, 1, 1} : Dims{3}).value();
    for (int64_t c = 0; c < 3; ++c) t.data<float>()[c] = 0.5f - static_cast<float>(c);
    g.output(g.node("Mul", {y, g.graph.add_constant("scale", t)}));
    EXPECT_EQ(left_of(g), turned ? "MatMul, Add, Transpose" : "MatMul, Add");
  }
  // A scale along another axis, and a sum that is read twice.
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 3, 3, 4});
  const Id y =
      g.node("Transpose", {g.node("Add", {g.node("MatMul", {x, weights(g, {4, 3})}), weights(g, {3})})}, {{"perm", Ints{0, 3, 1, 2}}});
  g.output(g.node("Mul", {y, weights(g, {3})}));
  const Id z = g.node("Add", {g.node("MatMul", {x, weights(g, {4, 3})}), weights(g, {3})});
  g.output(g.node("Mul", {z, weights(g, {1})}));
  g.output(z);
  EXPECT_EQ(left_of(g), "MatMul, Add, Transpose, Mul, MatMul, Add, Mul");
}

TEST(FoldBatchNorm, ConstantsPerChannel) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 2, 5});
  const auto conv = [&] { return g.node("Conv", {x, weights(g, {3, 2, 2}), weights(g, {3})}); };
  g.output(g.node("Mul", {conv(), g.constant<float>({3, 1}, {2, -1, 0.5f})}));
  g.output(g.node("Add", {g.constant<float>({1, 3, 1}, {2, -1, 0.5f}), conv()}));
  g.output(g.node("Sub", {conv(), g.scalar(3)}));
  g.output(g.node("Sub", {g.scalar(3), conv()}));
  g.output(g.node("Div", {conv(), g.scalar(3)}));
  g.output(g.node("Add", {g.node("Mul", {conv(), g.constant<float>({3, 1}, {2, -1, 0.5f})}), g.constant<float>({3, 1}, {1, 2, 3})}));
  g.output(g.node("Mul", {g.node("MatMul", {x, weights(g, {5, 4})}), g.constant<float>({4}, {2, -1, 0.5f, 1})}));
  EXPECT_EQ(left_of(g), "Conv, Conv, Conv, Conv, Conv, Conv, MatMul");
}

TEST(FoldBatchNorm, WhatNothingTakesBecomesScaleAndShift) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 3, 4});
  g.output(normalized(g, x, 3));
  const Id y = g.node("Conv", {x, weights(g, {3, 3, 1})});  // used twice
  g.output(normalized(g, y, 3));
  g.output(g.node("Relu", {y}));
  EXPECT_EQ(left_of(g), "Pointwise, Conv, Pointwise, Relu");
}

TEST(FoldBatchNorm, WhatStays) {
  std::string notes;
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 3, 4}), w = weights(g, {3, 3, 1});
  g.output(g.node("Mul", {g.node("Conv", {x, w}), g.scalar(2)}));  // the weights are used twice
  g.output(g.node("Conv", {x, w}));
  g.output(g.node("Mul", {g.node("Conv", {x, g.input("w2", DType::kFloat32, {3, 3, 1})}), g.scalar(2)}));
  g.output(g.node("Mul", {g.node("Conv", {x, weights(g, {3, 3, 1})}), g.constant<float>({4}, {1, 2, 3, 4})}));  // along the columns
  g.output(g.node("Mul", {g.node("Conv", {x, weights(g, {3, 3, 1})}), g.scalar(0)}));                           // NaN * 0 is NaN
  g.output(g.node("Mul", {g.node("Conv", {x, weights(g, {3, 3, 1})}), g.scalar(INFINITY)}));
  g.output(g.node("Mul", {g.node("Conv", {g.input("one", DType::kFloat32, {1, 3, 4}), weights(g, {3, 3, 1})}),
                          g.constant<float>({2, 3, 1}, {1, 2, 3, 4, 5, 6})}));
  const std::vector<Id> scale = {weights(g, {3}), weights(g, {3}), weights(g, {3}), g.constant<float>({3}, {1, 2, 3})};
  g.output(g.nodes("BatchNormalization", {x, scale[0], scale[1], scale[2], scale[3]}, 3, {{"training_mode", int64_t{1}}})[0]);
  g.output(g.node("BatchNormalization", {x, g.input("scale", DType::kFloat32, {3}), scale[1], scale[2], scale[3]}));
  std::string ops = left_of(g, &notes);
  EXPECT_EQ(ops.find("Pointwise"), std::string::npos);
  for (const char* reason : {"are also used elsewhere", "are not constant", "not one number a channel", "holds 0 or infinity",
                             "it computes statistics", "scale, shift or statistics are not constant"})
    EXPECT_NE(notes.find(reason), std::string::npos) << reason;
}

}  // namespace
}  // namespace cameo::passes
