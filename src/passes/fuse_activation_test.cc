#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;

template <class Fn>
ir::Graph result_of(Fn f, std::string* notes = nullptr) {
  TestGraph g;
  g.output(f(g, g.input("x", DType::kFloat32, {ir::Dim::symbol("n"), 7})));
  return fused(g.graph, {"fuse_activation"}, {{}, {{"n", 0}}}, 2e-6, notes);
}
template <class Fn>
std::string left_of(Fn f) {
  return ops_of(result_of(f));
}

Id mul(TestGraph& g, Id a, Id b) { return g.node("Mul", {a, b}); }
Id mul(TestGraph& g, Id a, float b) { return mul(g, a, g.scalar(b)); }
Id add(TestGraph& g, Id a, float b) { return g.node("Add", {a, g.scalar(b)}); }
Id div(TestGraph& g, Id a, float b) { return g.node("Div", {a, g.scalar(b)}); }
Id clip(TestGraph& g, Id x, float low, float high) { return g.node("Clip", {x, g.scalar(low), g.scalar(high)}); }

TEST(FuseActivation, SigmoidAndSwish) {
  const auto denominator = [](TestGraph& g, Id x) { return add(g, g.node("Exp", {g.node("Neg", {x})}), 1); };
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return g.node("Reciprocal", {denominator(g, x)}); }), "Sigmoid");
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return g.node("Div", {g.scalar(1), denominator(g, x)}); }), "Sigmoid");
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return g.node("Div", {x, denominator(g, x)}); }), "Swish");
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return mul(g, g.node("Div", {g.scalar(1), denominator(g, x)}), x); }), "Swish");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return mul(g, x, g.node("Sigmoid", {x})); }), "Swish");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return mul(g, g.node("Sigmoid", {x}), x); }), "Swish");
  const ir::Graph quick = result_of([](TestGraph& g, Id x) { return mul(g, x, g.node("Sigmoid", {mul(g, x, 1.702f)})); });
  ASSERT_EQ(ops_of(quick), "Swish");
  EXPECT_EQ(attr<float>(quick.nodes[0], "alpha"), 1.702f);
  // A gate of something else.
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return mul(g, x, g.node("Sigmoid", {g.node("Abs", {x})})); }), "Abs, Sigmoid, Mul");
}

TEST(FuseActivation, HardSigmoid) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return div(g, clip(g, add(g, x, 3), 0, 6), 6); }), "HardSigmoid");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return mul(g, clip(g, add(g, x, 3), 0, 6), 1.f / 6); }), "HardSigmoid");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return clip(g, add(g, mul(g, x, 0.2f), 0.5f), 0, 1); }), "HardSigmoid");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return clip(g, add(g, div(g, x, 6), 0.5f), 0, 1); }), "HardSigmoid");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Clip", {g.node("Sub", {x, g.scalar(0.25f)})}, {{"min", 0.f}, {"max", 1.f}}, 6);
            }),
            "HardSigmoid");
  const auto minmax = [](TestGraph& g, Id x) { return g.node("Min", {g.node("Max", {add(g, x, 3), g.scalar(0)}), g.scalar(6)}); };
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return div(g, minmax(g, x), 6); }), "HardSigmoid");
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
              return div(g, g.node("Min", {g.node("Relu", {add(g, x, 3)}), g.scalar(6)}), 6);
            }),
            "HardSigmoid");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Max", {g.node("Min", {add(g, x, 0.5f), g.scalar(1)}), g.scalar(0)});
            }),
            "HardSigmoid");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return clip(g, x, 0, 1); }), "Clip");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return clip(g, add(g, x, 3), 0, 6); }), "Add, Clip");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return div(g, clip(g, add(g, x, 3), -1, 6), 6); }), "Add, Clip, Div");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return div(g, clip(g, add(g, x, 3), 0, 6), 5); }), "Add, Clip, Div");
}

TEST(FuseActivation, HardSwish) {
  const auto gate = [](TestGraph& g, Id x) { return clip(g, add(g, x, 3), 0, 6); };
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return div(g, mul(g, x, gate(g, x)), 6); }), "HardSwish");
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return mul(g, mul(g, gate(g, x), x), 1.f / 6); }), "HardSwish");
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return mul(g, mul(g, x, 1.f / 6), gate(g, x)); }), "HardSwish");
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return mul(g, x, div(g, gate(g, x), 6)); }), "HardSwish");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return mul(g, x, g.node("HardSigmoid", {x}, {{"alpha", 1.f / 6}, {"beta", 0.5f}}));
            }),
            "HardSwish");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return mul(g, x, g.node("HardSigmoid", {x})); }), "HardSigmoid, Mul");
  // What x is added to elsewhere does not matter: x here is itself a sum.
  EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
              const Id y = add(g, x, 1);
              return div(g, mul(g, y, gate(g, y)), 6);
            }),
            "Add, HardSwish");
  EXPECT_EQ(count(result_of([&](TestGraph& g, Id x) { return div(g, mul(g, g.node("Abs", {x}), gate(g, x)), 6); }), "HardSwish"), 0u);
}

TEST(FuseActivation, Others) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Log", {add(g, g.node("Exp", {x}), 1)}); }), "Softplus");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return mul(g, x, g.node("Tanh", {g.node("Softplus", {x})})); }), "Mish");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return mul(g, g.node("Tanh", {g.node("Log", {add(g, g.node("Exp", {x}), 1)})}), x); }),
            "Mish");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Div", {x, add(g, g.node("Abs", {x}), 1)}); }), "Softsign");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Max", {mul(g, x, 0.1f), x}); }), "LeakyRelu");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Max", {mul(g, x, 1.5f), x}); }), "Mul, Max");
}

TEST(FuseActivation, UsedElsewhere) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {4}), gate = g.node("Sigmoid", {x});
  g.output(mul(g, x, gate));
  g.output(g.node("Neg", {gate}));
  std::string notes;
  EXPECT_EQ(count(fused(g.graph, {"fuse_activation"}, {{}}, 2e-6, &notes), "Swish"), 0u);
  EXPECT_NE(notes.find("used elsewhere too"), std::string::npos) << notes;
}

}  // namespace
}  // namespace cameo::passes
