#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

// The operators that are left of f(x), where x is float32[n, 3].
template <class Fn>
std::string left_of(Fn f, DType dtype = DType::kFloat32) {
  TestGraph g;
  g.output(g.node("Identity", {f(g, g.input("x", dtype, {ir::Dim::symbol("n"), 3}))}));
  return ops_of(optimised(g.graph, "identity", {{}, {{"n", 0}}, {{"n", 1}}}));
}

using Id = ir::ValueId;

TEST(IdentityPass, NodesThatDoNothing) {
  // One Identity stays: an output keeps its name and so cannot be the input itself.
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Identity", {g.node("Identity", {x})}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Cast", {x}, {{"to", int64_t{1}}}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Reshape", {x, g.ints({0, 3})}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Reshape", {x, g.ints({-1, 3})}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Flatten", {x}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Expand", {x, g.ints({1, 1})}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Expand", {x, g.ints({3})}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 1}}}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Slice", {x, g.ints({0}), g.ints({INT64_MAX}), g.ints({1})}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Pad", {x, g.ints({0, 0, 0, 0})}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Tile", {x, g.ints({1, 1})}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Split", {x}, {{"num_outputs", int64_t{1}}}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Concat", {x}, {{"axis", int64_t{1}}}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Sum", {x}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Max", {x}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Clip", {x}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Where", {g.constant<bool>({1}, {true}), x, g.scalar(2)}); }), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Where", {g.constant<bool>({}, {false}), g.scalar(2), x}); }), "Identity");
}

TEST(IdentityPass, NodesThatLookAlikeStay) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Cast", {x}, {{"to", int64_t{11}}}); }), "Cast");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Reshape", {x, g.ints({3, -1})}); }), "Reshape");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Expand", {x, g.ints({1, 1, 1})}); }), "Expand");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Transpose", {x}); }), "Transpose");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Slice", {x, g.ints({-1}), g.ints({-INT64_MAX}), g.ints({1}), g.ints({-1})});
            }),
            "Slice");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Slice", {x, g.ints({1}), g.ints({3}), g.ints({1})}); }), "Slice");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Pad", {x, g.ints({0, 1, 0, -1})}); }), "Pad");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Tile", {x, g.ints({1, 2})}); }), "Tile");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Sum", {x, x}); }), "Sum");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Clip", {x, g.scalar(-1)}); }), "Clip");
  // The other branch would lend its shape.
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Where", {g.constant<bool>({1}, {true}), g.scalar(2), x}); }), "Where");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Where", {g.constant<bool>({3}, {true, false, true}), x, x}); }), "Where");
}

TEST(IdentityPass, NeutralNumbers) {
  const auto left = [](const char* op, float number, bool right = true) {
    return left_of([&](TestGraph& g, Id x) { return right ? g.node(op, {x, g.scalar(number)}) : g.node(op, {g.scalar(number), x}); });
  };
  EXPECT_EQ(left("Mul", 1), "Identity");
  EXPECT_EQ(left("Mul", 1, false), "Identity");
  EXPECT_EQ(left("Mul", 1.0000001f), "Mul");
  EXPECT_EQ(left("Div", 1), "Identity");
  EXPECT_EQ(left("Div", 1, false), "Div");
  EXPECT_EQ(left("Pow", 1), "Identity");
  EXPECT_EQ(left("Pow", 1, false), "Pow");
  // -0 + 0 is 0, -0 + -0 is -0, -0 - 0 is -0 and -0 - -0 is 0.
  EXPECT_EQ(left("Add", 0), "Add");
  EXPECT_EQ(left("Add", -0.0f), "Identity");
  EXPECT_EQ(left("Add", -0.0f, false), "Identity");
  EXPECT_EQ(left("Sub", 0), "Identity");
  EXPECT_EQ(left("Sub", -0.0f), "Sub");
  EXPECT_EQ(left("Sub", 0, false), "Sub");
  const auto left_int = [](const char* op, int64_t number) {
    return left_of([&](TestGraph& g, Id x) { return g.node(op, {x, g.constant<int64_t>({1, 1}, {number})}); }, DType::kInt64);
  };
  EXPECT_EQ(left_int("Add", 0), "Identity");
  EXPECT_EQ(left_int("Sub", 0), "Identity");
  EXPECT_EQ(left_int("Mul", 1), "Identity");
  EXPECT_EQ(left_int("Mul", 0), "Mul");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("And", {x, g.constant<bool>({}, {true})}); }, DType::kBool), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("And", {x, g.constant<bool>({}, {false})}); }, DType::kBool), "And");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Or", {g.constant<bool>({}, {false}), x}); }, DType::kBool), "Identity");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Xor", {x, g.constant<bool>({}, {true})}); }, DType::kBool), "Xor");
}

TEST(IdentityPass, ConstantsThatChangeTheShapeStay) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Mul", {x, g.constant<float>({1, 1, 1}, {1})}); }), "Mul");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Mul", {x, g.constant<float>({0, 1, 1}, {})}); }), "Mul");
  // A scale of ones is a parameter.
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Mul", {x, g.constant<float>({3}, {1, 1, 1})}); }), "Mul");
}

TEST(IdentityPass, UnknownRank) {
  for (bool scalar : {true, false}) {
    TestGraph g;
    const auto x = g.input_of_unknown_rank("x", DType::kFloat32);
    const auto one = scalar ? g.scalar(1) : g.constant<float>({1}, {1});
    g.output(g.node("Neg", {g.node("Mul", {x, one})}));
    EXPECT_EQ(ops_of(optimised(g.graph, "identity")), scalar ? "Neg" : "Mul, Neg");
  }
}

TEST(IdentityPass, Dropout) {
  const auto left = [](auto make) {
    TestGraph g;
    const auto x = g.input("x", DType::kFloat32, {4});
    make(g, x);
    PassReport report;
    const std::string left = ops_of(optimised(g.graph, "identity", {{}}, &report));
    return report.notes.empty() ? left : left + ": " + report.notes[0];
  };
  EXPECT_EQ(left([](TestGraph& g, Id x) { g.output(g.node("Neg", {g.node("Dropout", {x, g.scalar(0.5f)})})); }), "Neg");
  EXPECT_EQ(left([](TestGraph& g, Id x) { g.output(g.node("Neg", {g.node("Dropout", {x}, {}, 7)})); }), "Neg");
  EXPECT_EQ(left([](TestGraph& g, Id x) {
              g.output(g.node("Neg", {g.node("Dropout", {x, g.scalar(0.5f), g.constant<bool>({}, {false})})}));
            }),
            "Neg");
  EXPECT_EQ(left([](TestGraph& g, Id x) {
              const auto outputs = g.nodes("Dropout", {x, g.scalar(0.5f)}, 2);
              g.output(g.node("Neg", {outputs[0]}));
              g.output(outputs[1]);
            }),
            "Dropout, Neg: node 'Dropout_0' (Dropout): its mask is used");
}

TEST(IdentityPass, OutputsKeepTheirNames) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {4});
  const auto y = g.node("Neg", {x});
  g.output(g.node("Identity", {y}));  // takes Neg's place
  g.output(g.node("Identity", {y}));  // then this one is a copy
  g.output(g.node("Cast", {x}, {{"to", int64_t{1}}}));
  const ir::Graph graph = optimised(g.graph, "identity");
  EXPECT_EQ(ops_of(graph), "Neg, Identity, Identity");
}

TEST(IdentityPass, ConstantOutput) {
  TestGraph g;
  g.input("x", DType::kFloat32, {4});
  g.output(g.node("Identity", {g.scalar(3)}));
  const ir::Graph graph = optimised(g.graph, "identity");
  EXPECT_EQ(ops_of(graph), "");
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "Identity_0:0");
}

}  // namespace
}  // namespace cameo::passes
