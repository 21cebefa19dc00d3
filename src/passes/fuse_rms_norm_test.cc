#include "base/numeric.h"
#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;

template <class Fn>
std::string left_of(Fn f, DType dtype = DType::kFloat32, double tolerance = 2e-6) {
  TestGraph g;
  g.output(f(g, g.input("x", dtype, {ir::Dim::symbol("batch"), 3, 4})));
  return ops_of(fused(g.graph, {"fuse_rms_norm"}, {{}, {{"batch", 1}}, {{"batch", 0}}}, tolerance));
}

Id mean_of_squares(TestGraph& g, Id x, bool power, std::vector<int64_t> axes = {-1}) {
  const Id squared = power ? g.node("Pow", {x, g.scalar(2)}) : g.node("Mul", {x, x});
  return g.node("Add", {g.node("ReduceMean", {squared}, {{"axes", axes}}, 13), g.scalar(1e-6f)});
}

Id rms(TestGraph& g, Id x, bool power = true) {
  return g.node("Mul", {x, g.node("Div", {g.scalar(1), g.node("Sqrt", {mean_of_squares(g, x, power)})})});
}

Id cast(TestGraph& g, Id x, DType to) { return g.node("Cast", {x}, {{"to", static_cast<int64_t>(to)}}); }

Tensor half_weights() { return Tensor::of<Float16>({4}, {Float16(1.f), Float16(2.f), Float16(-0.5f), Float16(3.f)}); }

TEST(FuseRmsNorm, EveryWayToWriteIt) {
  for (bool power : {true, false}) {
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return rms(g, x, power); }), "RMSNormalization");
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
                return g.node("Mul", {x, g.node("Reciprocal", {g.node("Sqrt", {mean_of_squares(g, x, power)})})});
              }),
              "RMSNormalization");
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
                return g.node("Div", {x, g.node("Sqrt", {mean_of_squares(g, x, power)})});
              }),
              "RMSNormalization");
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
                return g.node("Mul", {g.node("Pow", {mean_of_squares(g, x, power), g.scalar(-0.5f)}), x});
              }),
              "RMSNormalization");
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
                return g.node("Div", {x, g.node("Sqrt", {mean_of_squares(g, x, power, {1, 2})})});
              }),
              "RMSNormalization");
  }
}

TEST(FuseRmsNorm, Scale) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Mul", {g.constant<float>({4}, {1, 2, 3, 4}), rms(g, x)});
            }),
            "RMSNormalization");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Mul", {g.constant<float>({3, 1}, {1, 2, 3}), rms(g, x)});
            }),
            "RMSNormalization, Mul");
}

TEST(FuseRmsNorm, FloatInside16BitTypes) {
  // Llama and T5: rounded, then scaled.
  EXPECT_EQ(left_of(
                [](TestGraph& g, Id x) {
                  return g.node("Mul",
                                {g.graph.add_constant("w", half_weights()), cast(g, rms(g, cast(g, x, DType::kFloat32)), DType::kFloat16)});
                },
                DType::kFloat16),
            "RMSNormalization");
  // torch.nn.RMSNorm: scaled, then rounded.
  EXPECT_EQ(
      left_of(
          [](TestGraph& g, Id x) {
            return cast(g, g.node("Mul", {rms(g, cast(g, x, DType::kFloat32)), g.constant<float>({4}, {1, 2, 3, 4})}), DType::kFloat16);
          },
          DType::kFloat16),
      "RMSNormalization, Cast");
}

TEST(FuseRmsNorm, Guards) {
  const auto middle = [](TestGraph& g, Id x) { return g.node("Div", {x, g.node("Sqrt", {mean_of_squares(g, x, true, {1})})}); };
  EXPECT_EQ(left_of(middle), "Pow, ReduceMean, Add, Sqrt, Div");
  // The mean is of another value's squares.
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Div", {x, g.node("Sqrt", {mean_of_squares(g, g.node("Neg", {x}), true)})});
            }),
            "Neg, Pow, ReduceMean, Add, Sqrt, Div");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Mul", {x, g.node("Sqrt", {mean_of_squares(g, x, true)})});
            }),
            "Pow, ReduceMean, Add, Sqrt, Mul");
}

}  // namespace
}  // namespace cameo::passes
