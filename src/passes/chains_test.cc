#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using Perm = std::vector<int64_t>;

// The operators that are left of f(x), where x is float32[b, s, 12], between two Neg.
template <class Fn>
std::string left_of(Fn f, DType dtype = DType::kFloat32) {
  TestGraph g;
  const auto x = g.input("x", dtype, {ir::Dim::symbol("b"), ir::Dim::symbol("s"), 12});
  g.output(f(g, x));
  return ops_of(optimised(g.graph, "chains", {{}, {{"b", 0}}, {{"s", 0}}, {{"b", 1}, {"s", 5}}}));
}

TEST(ChainsPass, Transposes) {
  const auto pair = [](std::optional<Perm> first, std::optional<Perm> second) {
    return left_of([&](TestGraph& g, Id x) {
      const auto attrs = [](const auto& perm) { return perm ? AttrList{{"perm", *perm}} : AttrList{}; };
      return g.node("Neg", {g.node("Transpose", {g.node("Transpose", {x}, attrs(first))}, attrs(second))});
    });
  };
  EXPECT_EQ(pair(Perm{0, 2, 1}, Perm{0, 2, 1}), "Neg");
  EXPECT_EQ(pair(Perm{1, 2, 0}, Perm{2, 0, 1}), "Neg");
  EXPECT_EQ(pair(Perm{1, 2, 0}, Perm{1, 2, 0}), "Transpose, Neg");
  EXPECT_EQ(pair(std::nullopt, std::nullopt), "Neg");
  EXPECT_EQ(pair(std::nullopt, Perm{2, 1, 0}), "Neg");
  EXPECT_EQ(pair(Perm{0, 2, 1}, std::nullopt), "Transpose, Neg");
}

TEST(ChainsPass, TransposeUsedTwiceStaysForTheOther) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 3});
  const auto t = g.node("Transpose", {x});
  g.output(g.node("Neg", {t}));
  g.output(g.node("Neg", {g.node("Transpose", {t})}));
  EXPECT_EQ(ops_of(optimised(g.graph, "chains")), "Transpose, Neg, Neg");
}

TEST(ChainsPass, Views) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Neg", {g.node("Squeeze", {g.node("Unsqueeze", {x, g.ints({1})}), g.ints({1})})});
            }),
            "Neg");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Neg", {g.node("Reshape", {g.node("Reshape", {x, g.ints({0, 0, 3, 4})}), g.ints({0, 0, 12})})});
            }),
            "Neg");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Neg", {g.node("Reshape", {g.node("Reshape", {x, g.ints({-1, 12})}), g.ints({-1, 3, 4})})});
            }),
            "Reshape, Neg");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Neg", {g.node("Unsqueeze", {g.node("Unsqueeze", {x, g.ints({1})}), g.ints({0, -1})})});
            }),
            "Unsqueeze, Neg");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Neg", {g.node("Unsqueeze", {g.node("Flatten", {x}), g.ints({1})})});
            }),
            "Reshape, Neg");
}

TEST(ChainsPass, CopiedExtentsComeFromTheShapeBetween) {
  // Here 0 means 12*s, which is not the extent of x at that place.
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Neg", {g.node("Reshape", {g.node("Reshape", {x, g.ints({0, -1})}), g.ints({0, 0, 1})})});
            }),
            "Reshape, Neg");
}

TEST(ChainsPass, UnknownShapes) {
  const auto left = [](auto f) {
    TestGraph g;
    g.output(g.node("Neg", {f(g, g.input_of_unknown_rank("x", DType::kFloat32))}));
    return ops_of(optimised(g.graph, "chains"));
  };
  EXPECT_EQ(left([](TestGraph& g, Id x) { return g.node("Squeeze", {g.node("Unsqueeze", {x, g.ints({0, 2})}), g.ints({2, 0})}); }), "Neg");
  EXPECT_EQ(left([](TestGraph& g, Id x) {
              return g.node("Squeeze", {g.node("Unsqueeze", {x, g.ints({0, 1})}), g.ints({0})});
            }),
            "Unsqueeze, Squeeze, Neg");
  EXPECT_EQ(left([](TestGraph& g, Id x) {
              return g.node("Reshape", {g.node("Reshape", {x, g.ints({-1})}), g.ints({-1, 2})});
            }),
            "Reshape, Neg");
  EXPECT_EQ(left([](TestGraph& g, Id x) {
              return g.node("Reshape", {g.node("Reshape", {x, g.ints({-1})}), g.ints({0, 1})});
            }),
            "Reshape, Neg");
  EXPECT_EQ(left([](TestGraph& g, Id x) { return g.node("Transpose", {g.node("Transpose", {x})}); }), "Neg");
}

TEST(ChainsPass, Casts) {
  const auto left = [](DType from, DType between, DType to) {
    return left_of(
        [&](TestGraph& g, Id x) {
          const auto first = g.node("Cast", {x}, {{"to", static_cast<int64_t>(between)}});
          return g.node("Reshape", {g.node("Cast", {first}, {{"to", static_cast<int64_t>(to)}}), g.ints({-1})});
        },
        from);
  };
  EXPECT_EQ(left(DType::kFloat16, DType::kFloat32, DType::kFloat16), "Reshape");
  EXPECT_EQ(left(DType::kInt32, DType::kInt64, DType::kInt32), "Reshape");
  EXPECT_EQ(left(DType::kBool, DType::kFloat32, DType::kBool), "Reshape");
  EXPECT_EQ(left(DType::kInt8, DType::kFloat16, DType::kInt8), "Reshape");
  EXPECT_EQ(left(DType::kUint8, DType::kInt32, DType::kFloat32), "Cast, Reshape");
  EXPECT_EQ(left(DType::kFloat32, DType::kFloat64, DType::kFloat16), "Cast, Reshape");
  EXPECT_EQ(left(DType::kFloat32, DType::kFloat16, DType::kFloat32), "Cast, Cast, Reshape");
  EXPECT_EQ(left(DType::kInt64, DType::kInt32, DType::kInt64), "Cast, Cast, Reshape");
  EXPECT_EQ(left(DType::kInt64, DType::kFloat32, DType::kInt64), "Cast, Cast, Reshape");
  EXPECT_EQ(left(DType::kUint8, DType::kInt32, DType::kInt8), "Cast, Cast, Reshape");
  EXPECT_EQ(left(DType::kInt32, DType::kBool, DType::kInt32), "Cast, Cast, Reshape");
  EXPECT_EQ(left(DType::kBfloat16, DType::kFloat16, DType::kBfloat16), "Cast, Cast, Reshape");
}

TEST(ChainsPass, TwiceTheOpposite) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Tanh", {g.node("Neg", {g.node("Neg", {x})})}); }), "Tanh");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("And", {x, g.node("Not", {g.node("Not", {x})})}); }, DType::kBool), "And");
}

TEST(ChainsPass, NodesNameTheirOrigins) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 3, 4});
  const AttrList turn = {{"perm", Perm{1, 2, 0}}};
  g.output(g.node("Transpose", {g.node("Transpose", {x}, turn)}, turn));
  const ir::Graph graph = optimised(g.graph, "chains");
  ASSERT_EQ(graph.nodes.size(), 1u);
  std::vector<std::string> sources = graph.nodes[0].sources;
  std::sort(sources.begin(), sources.end());
  EXPECT_EQ(sources, (std::vector<std::string>{"Transpose_0", "Transpose_1"}));
}

}  // namespace
}  // namespace cameo::passes
