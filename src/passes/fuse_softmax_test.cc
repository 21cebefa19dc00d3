#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;

template <class Fn>
std::string left_of(Fn f) {
  TestGraph g;
  g.output(f(g, g.input("x", DType::kFloat32, {ir::Dim::symbol("n"), 3, 5})));
  return ops_of(fused(g.graph, {"fuse_softmax"}, {{}, {{"n", 0}}}));
}

Id reduce(TestGraph& g, const char* op, Id x, std::vector<int64_t> axes) {
  return g.node(op, {x, g.graph.add_constant("axes", Tensor::of<int64_t>({static_cast<int64_t>(axes.size())}, axes))}, {}, 18);
}

TEST(FuseSoftmax, Softmax) {
  for (int64_t axis : {-1, 1, 0}) {
    const auto e = [&](TestGraph& g, Id x) { return g.node("Exp", {g.node("Sub", {x, reduce(g, "ReduceMax", x, {axis})})}); };
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
                const Id top = e(g, x);
                return g.node("Div", {top, reduce(g, "ReduceSum", top, {axis})});
              }),
              "Softmax");
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
                const Id top = e(g, x);
                return g.node("Mul", {g.node("Reciprocal", {reduce(g, "ReduceSum", top, {axis})}), top});
              }),
              "Softmax");
    EXPECT_EQ(left_of([&](TestGraph& g, Id x) {
                const Id top = g.node("Exp", {x});
                return g.node("Div", {top, reduce(g, "ReduceSum", top, {axis})});
              }),
              "Softmax");
  }
}

TEST(FuseSoftmax, LogSoftmax) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Sub", {x, reduce(g, "ReduceLogSumExp", x, {-1})}); }), "LogSoftmax");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Sub", {x, g.node("Log", {reduce(g, "ReduceSum", g.node("Exp", {x}), {1})})});
            }),
            "LogSoftmax");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              const Id d = g.node("Sub", {x, reduce(g, "ReduceMax", x, {2})});
              return g.node("Sub", {d, g.node("Log", {reduce(g, "ReduceSum", g.node("Exp", {d}), {2})})});
            }),
            "LogSoftmax");
}

TEST(FuseSoftmax, Guards) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              const Id e = g.node("Exp", {g.node("Sub", {x, reduce(g, "ReduceMax", x, {1})})});
              return g.node("Div", {e, reduce(g, "ReduceSum", e, {2})});
            }),
            "ReduceMax, Sub, Softmax");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              const Id e = g.node("Exp", {x});
              return g.node("Div", {e, reduce(g, "ReduceSum", e, {1, 2})});
            }),
            "Exp, ReduceSum, Div");
}

}  // namespace
}  // namespace cameo::passes
