#include <cmath>

#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;

template <class Fn>
ir::Graph result_of(Fn f, std::string* notes = nullptr) {
  TestGraph g;
  g.output(f(g, g.input("x", DType::kFloat32, {ir::Dim::symbol("n"), 5})));
  return fused(g.graph, {"fuse_gelu"}, {{}, {{"n", 0}}}, 2e-6, notes);
}
template <class Fn>
std::string left_of(Fn f) {
  return ops_of(result_of(f));
}

Id mul(TestGraph& g, Id a, Id b) { return g.node("Mul", {a, b}); }
Id mul(TestGraph& g, Id a, float b) { return mul(g, a, g.scalar(b)); }
Id add(TestGraph& g, Id a, Id b) { return g.node("Add", {a, b}); }
Id div(TestGraph& g, Id a, float b) { return g.node("Div", {a, g.scalar(b)}); }

// The factors 0.5, x and gate in every order and with every way to halve.
template <class Fn>
void in_every_order(Fn gate, const std::string& approximate) {
  for (int order = 0; order < 8; ++order) {
    const ir::Graph left = result_of([&](TestGraph& g, Id x) {
      const Id f = gate(g, x);
      switch (order) {
        case 0:
          return mul(g, mul(g, x, f), 0.5f);
        case 1:
          return mul(g, x, mul(g, f, 0.5f));
        case 2:
          return mul(g, mul(g, x, 0.5f), f);
        case 3:
          return mul(g, f, mul(g, g.scalar(0.5f), x));
        case 4:
          return div(g, mul(g, f, x), 2);
        case 5:
          return mul(g, div(g, x, 2), f);
        case 6:
          return mul(g, div(g, f, 2), x);
        default:
          return mul(g, g.scalar(0.5f), mul(g, f, x));
      }
    });
    EXPECT_EQ(ops_of(left), "Gelu") << order;
    EXPECT_EQ(attr<std::string>(left.nodes[0], "approximate"), approximate);
    EXPECT_GE(left.nodes[0].sources.size(), 5u);
  }
}

TEST(FuseGelu, Erf) {
  in_every_order([](TestGraph& g, Id x) { return add(g, g.node("Erf", {div(g, x, std::sqrt(2.f))}), g.scalar(1)); }, "none");
  in_every_order([](TestGraph& g, Id x) { return add(g, g.scalar(1), g.node("Erf", {mul(g, x, 0.70710678f)})); }, "none");
  in_every_order([](TestGraph& g, Id x) { return add(g, g.scalar(1), g.node("Erf", {mul(g, g.scalar(0.70710677f), x)})); }, "none");
  EXPECT_EQ(
      left_of([](TestGraph& g, Id x) { return mul(g, x, add(g, mul(g, g.node("Erf", {div(g, x, 1.4142135f)}), 0.5f), g.scalar(0.5f))); }),
      "Gelu");
}

TEST(FuseGelu, Tanh) {
  const float k = 0.7978845608f, c = 0.044715f;
  const auto gate = [](TestGraph& g, Id inner) { return add(g, g.node("Tanh", {inner}), g.scalar(1)); };
  in_every_order([&](TestGraph& g, Id x) { return gate(g, mul(g, add(g, x, mul(g, g.node("Pow", {x, g.scalar(3)}), c)), k)); }, "tanh");
  in_every_order([&](TestGraph& g, Id x) { return gate(g, mul(g, add(g, x, mul(g, mul(g, x, mul(g, x, x)), c)), k)); }, "tanh");
  in_every_order([&](TestGraph& g, Id x) { return gate(g, mul(g, add(g, x, mul(g, mul(g, mul(g, x, c), x), x)), k)); }, "tanh");
  // FastGelu: x * (k + k c x^2), and k x (1 + c x^2).
  in_every_order([&](TestGraph& g, Id x) { return gate(g, mul(g, x, add(g, mul(g, mul(g, x, x), k * c), g.scalar(k)))); }, "tanh");
  in_every_order([&](TestGraph& g, Id x) { return gate(g, mul(g, mul(g, x, k), add(g, mul(g, mul(g, x, c), x), g.scalar(1)))); }, "tanh");
}

TEST(FuseGelu, OfAProduct) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              const Id y = mul(g, x, 3.f);
              return mul(g, mul(g, y, add(g, g.node("Erf", {div(g, y, 1.4142135f)}), g.scalar(1))), 0.5f);
            }),
            "Mul, Gelu");
}

TEST(FuseGelu, Guards) {
  const auto with = [](float root, float one, float half) {
    return left_of([&](TestGraph& g, Id x) { return mul(g, mul(g, x, add(g, g.node("Erf", {div(g, x, root)}), g.scalar(one))), half); });
  };
  EXPECT_EQ(with(1.4142135f, 1, 0.5f), "Gelu");
  EXPECT_NE(with(1.414f, 1, 0.5f), "Gelu");
  EXPECT_NE(with(1.4142135f, 1.01f, 0.5f), "Gelu");
  EXPECT_NE(with(1.4142135f, 1, 0.51f), "Gelu");
  // Of another value.
  EXPECT_EQ(count(result_of([](TestGraph& g, Id x) {
                    const Id other = g.node("Abs", {x});
                    return mul(g, mul(g, other, add(g, g.node("Erf", {div(g, x, 1.4142135f)}), g.scalar(1))), 0.5f);
                  }),
                  "Gelu"),
            0u);
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {4}), erf = g.node("Erf", {div(g, x, 1.4142135f)});
  g.output(mul(g, mul(g, x, add(g, erf, g.scalar(1))), 0.5f));
  g.output(g.node("Neg", {erf}));
  std::string notes;
  EXPECT_EQ(count(fused(g.graph, {"fuse_gelu"}, {{}}, 2e-6, &notes), "Gelu"), 0u);
  EXPECT_NE(notes.find("used elsewhere too"), std::string::npos) << notes;
}

}  // namespace
}  // namespace cameo::passes
