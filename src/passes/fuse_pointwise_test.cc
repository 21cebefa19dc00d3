#include <cmath>

#include "passes/fusion_test.h"
#include "passes/program_builder.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
const ir::Dim kN = ir::Dim::symbol("n");

// What is left of f(x), x float32[n, 5].
template <class Fn>
ir::Graph result_of(Fn f, std::string* notes = nullptr) {
  TestGraph g;
  g.output(f(g, g.input("x", DType::kFloat32, {kN, 5})));
  return fused(g.graph, {"fuse_pointwise"}, {{}, {{"n", 0}}, {{"n", 1}}}, 4e-6, notes);
}
template <class Fn>
std::string left_of(Fn f) {
  return ops_of(result_of(f));
}

TEST(FusePointwise, EveryOperator) {
  struct Case {
    const char* op;
    AttrList attrs = {};
    int version = 0;
  };
  const Case unary[] = {{"Neg"},
                        {"Abs"},
                        {"Exp"},
                        {"Erf"},
                        {"Tanh"},
                        {"Sigmoid"},
                        {"Relu"},
                        {"HardSwish"},
                        {"Mish"},
                        {"Softplus"},
                        {"Reciprocal"},
                        {"Floor"},
                        {"Ceil"},
                        {"Sin"},
                        {"Cos"},
                        {"Sqrt"},
                        {"Log"},
                        {"Gelu"},
                        {"Gelu", {{"approximate", std::string("tanh")}}},
                        {"Swish"},
                        {"Swish", {{"alpha", 1.702f}}},
                        {"LeakyRelu"},
                        {"LeakyRelu", {{"alpha", 0.3f}}},
                        {"HardSigmoid"},
                        {"HardSigmoid", {{"alpha", 0.5f}, {"beta", 0.25f}}},
                        {"Elu"},
                        {"Elu", {{"alpha", 0.5f}}},
                        {"Selu"},
                        {"Selu", {{"gamma", 2.f}}},
                        {"Softsign"},
                        {"Clip"},
                        {"Clip", {{"min", -0.5f}, {"max", 1.f}}, 6},
                        {"Clip", {{"max", 0.5f}}, 6}};
  for (const Case& c : unary) {
    SCOPED_TRACE(c.op);
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return g.node(c.op, {x}, c.attrs, c.version); }), "Pointwise");
  }
  for (const char* op : {"Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Min", "Max", "Sum", "Mean"}) {
    SCOPED_TRACE(op);
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return g.node(op, {x, g.constant<float>({5}, {1, 2, -1, 0.5f, 3})}); }), "Pointwise");
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return g.node(op, {x, g.scalar(2)}); }), "Pointwise");
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return g.node(op, {x, g.node("Abs", {x})}); }), "Pointwise");
  }
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Max", {x, g.scalar(0), g.scalar(-1), x}); }), "Pointwise");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Sub", {g.scalar(3), x}); }), "Pointwise");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Clip", {x, g.scalar(-1)}); }), "Pointwise");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Clip", {x, ir::kNoValue, g.scalar(1)}); }), "Pointwise");
}

TEST(FusePointwise, Programs) {
  const auto program = [](const ir::Graph& graph) {
    const auto& attrs = graph.nodes.back().attrs_as<ops::CameoPointwiseAttrs>();
    return ops::to_string(attrs.decode(graph.nodes.back().inputs.size()).value());
  };
  EXPECT_EQ(program(result_of([](TestGraph& g, Id x) {
              return g.node("Relu", {g.node("Add", {g.node("Mul", {x, g.scalar(3)}), x})});
            })),
            "r1 = Fma(x0, 3, x0); r2 = Relu(r1)");
  EXPECT_EQ(program(result_of([](TestGraph& g, Id x) {
              return g.node("Div", {g.node("Pow", {x, g.scalar(2)}), g.scalar(4)});
            })),
            "r1 = Square(x0); r2 = Mul(r1, 0.25)");
  // The same twice is computed once.
  EXPECT_EQ(program(result_of([](TestGraph& g, Id x) {
              return g.node("Mul", {g.node("Tanh", {x}), g.node("Tanh", {x})});
            })),
            "r1 = Tanh(x0); r2 = Mul(r1, r1)");
}

TEST(FusePointwise, ChainsAndGraphsWithOneResult) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Mul", {x, g.node("Sigmoid", {g.node("Add", {x, g.scalar(1)})})});
            }),
            "Pointwise");
  // Both paths from a value inside come together again.
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              const Id a = g.node("Exp", {x});
              return g.node("Div", {g.node("Sub", {a, g.scalar(1)}), g.node("Add", {a, g.scalar(1)})});
            }),
            "Pointwise");
  // It runs over programs that are there already.
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {3});
  g.output(g.node("Tanh", {g.node("Neg", {x})}));
  ir::Graph once = fused(g.graph, {"fuse_pointwise"});
  ASSERT_EQ(ops_of(once), "Pointwise");
  const Id inner = once.outputs[0];
  ir::Node outer = pointwise_node({{inner, x}, {2, {{ops::PointOp::kAdd, 0, 1, 0}}, {}}});
  outer.outputs = {once.add_value("outer")};
  once.outputs = outer.outputs;
  once.nodes.push_back(outer);
  EXPECT_EQ(ops_of(fused(once, {"fuse_pointwise"})), "Pointwise");
}

TEST(FusePointwise, WhatIsUsedElsewhereIsNotComputedTwice) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {4});
  const Id a = g.node("Exp", {x});
  g.output(g.node("Neg", {a}));
  g.output(g.node("Tanh", {a}));
  EXPECT_EQ(ops_of(fused(g.graph, {"fuse_pointwise"})), "Pointwise, Pointwise, Pointwise");
  TestGraph h;
  const Id y = h.input("x", DType::kFloat32, {4});
  const Id b = h.node("Exp", {y});
  h.output(b);
  h.output(h.node("Neg", {b}));
  EXPECT_EQ(ops_of(fused(h.graph, {"fuse_pointwise"})), "Pointwise, Pointwise");
}

TEST(FusePointwise, WhatIsBroadcastIsNotComputedForEachElement) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 4, 5}), gate = g.input("gate", DType::kFloat32, {kN, 4, 1});
  g.output(g.node("Mul", {x, g.node("Sigmoid", {gate})}));
  EXPECT_EQ(ops_of(fused(g.graph, {"fuse_pointwise"})), "Pointwise, Pointwise");
  // Whether it is broadcast is not known.
  TestGraph h;
  const Id y = h.input("x", DType::kFloat32, {ir::Dim::symbol("m")}), z = h.input("z", DType::kFloat32, {kN});
  h.output(h.node("Mul", {y, h.node("Sigmoid", {z})}));
  EXPECT_EQ(ops_of(fused(h.graph, {"fuse_pointwise"})), "Pointwise, Pointwise");
}

TEST(FusePointwise, ExtentsThatNobodyKnows) {
  TestGraph g;
  const Id at = g.node("Flatten", {g.node("NonZero", {g.input("x", DType::kFloat32, {7})})});  // int64[1, ?]
  const Id y = g.node("Cast", {at}, {{"to", int64_t{1}}});
  g.output(g.node("Tanh", {g.node("Mul", {g.node("Neg", {y}), g.scalar(3)})}));
  g.output(g.node("Neg", {g.node("Mul", {g.node("Exp", {y}), g.node("Exp", {y})})}));
  EXPECT_EQ(count(fused(g.graph, {"fuse_pointwise"}), "Pointwise"), 2u);
}

TEST(FusePointwise, ANumberThatGivesTheRankStaysAnInput) {
  TestGraph g;
  g.output(g.node("Add", {g.input("x", DType::kFloat32, {3}), g.constant<float>({1, 1}, {2})}));
  const ir::Graph graph = fused(g.graph, {"fuse_pointwise"});
  EXPECT_EQ(ops_of(graph), "Pointwise");
  EXPECT_EQ(graph.nodes[0].inputs.size(), 2u);
}

TEST(FusePointwise, OtherNodesStay) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat64, {3}), i = g.input("i", DType::kInt64, {3}), f = g.input("f", DType::kFloat32, {3});
  g.output(g.node("Exp", {x}));
  g.output(g.node("Add", {i, i}));
  g.output(g.node("Pow", {f, i}));
  g.output(g.node("Clip", {f, g.node("ReduceMax", {f}, {{"keepdims", int64_t{0}}})}));
  g.output(g.node("Clip", {f, g.scalar(NAN)}));
  g.output(g.node("Softmax", {f}));
  g.output(g.node("Add", {f, f}, {{"broadcast", int64_t{1}}}, 6));
  EXPECT_EQ(count(fused(g.graph, {"fuse_pointwise"}), "Pointwise"), 0u);
}

TEST(FusePointwise, ProgramsEndAtTheirLimits) {
  std::string notes;
  const ir::Graph deep = result_of(
      [](TestGraph& g, Id x) {
        for (int i = 0; i < 100; ++i) x = g.node(i % 2 ? "Tanh" : "Neg", {x});
        return x;
      },
      &notes);
  EXPECT_EQ(ops_of(deep), "Pointwise, Pointwise");
  EXPECT_NE(notes.find("cannot be longer"), std::string::npos);
  TestGraph g;
  Id sum = g.input("x", DType::kFloat32, {4});
  for (int i = 0; i < 20; ++i) sum = g.node("Add", {sum, g.input("x" + std::to_string(i), DType::kFloat32, {4})});
  g.output(sum);
  EXPECT_EQ(ops_of(fused(g.graph, {"fuse_pointwise"})), "Pointwise, Pointwise");
}

TEST(FusePointwise, NaNAndInfinityStay) {
  const float inf = INFINITY, nan = NAN;
  for (const char* op : {"Relu", "Sigmoid", "Tanh", "Gelu", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Softplus", "Exp", "Abs"}) {
    SCOPED_TRACE(op);
    TestGraph g;
    const Id x = g.node("Add", {g.input("x", DType::kFloat32, {4}), g.constant<float>({4}, {nan, inf, -inf, 0})});
    g.output(g.node("Max", {g.node(op, {g.node("Clip", {x, g.scalar(-5), g.scalar(5)})}), g.scalar(-9)}));
    g.output(g.node(op, {x}));
    (void)fused(g.graph, {"fuse_pointwise"});
  }
}

}  // namespace
}  // namespace cameo::passes
