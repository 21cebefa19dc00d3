#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;

// What is left of f(x), with x [batch, 3, 4].
struct Left {
  std::string ops, notes;
  ir::Graph graph;
};

template <class Fn>
Left left_of(Fn f, DType dtype = DType::kFloat32, double tolerance = 2e-6) {
  TestGraph g;
  const Id y = f(g, g.input("x", dtype, {ir::Dim::symbol("batch"), 3, 4}));
  g.output(y);
  Left left;
  left.graph = fused(g.graph, {"fuse_layer_norm"}, {{}, {{"batch", 1}}, {{"batch", 0}}}, tolerance, &left.notes);
  left.ops = ops_of(left.graph);
  return left;
}

Id mean(TestGraph& g, Id x, std::vector<int64_t> axes = {-1}, int version = 17, int64_t keepdims = 1) {
  if (version < 18) return g.node("ReduceMean", {x}, {{"axes", axes}, {"keepdims", keepdims}}, version);
  return g.node("ReduceMean", {x, g.graph.add_constant("axes", Tensor::of<int64_t>({static_cast<int64_t>(axes.size())}, axes))},
                {{"keepdims", keepdims}}, version);
}

Id weight(TestGraph& g) { return g.constant<float>({4}, {1, 2, -3, 0.5f}); }

// The steps after the variance.
enum class Root { kSqrtDiv, kSqrtReciprocal, kSqrtOneDiv, kPowHalf, kPowMinusHalf, kReciprocalSqrt };
Id normalise(TestGraph& g, Id centred, Id variance, Root root, float epsilon = 1e-5f) {
  const Id sum = g.node("Add", {variance, g.scalar(epsilon)});
  switch (root) {
    case Root::kSqrtDiv:
      return g.node("Div", {centred, g.node("Sqrt", {sum})});
    case Root::kSqrtReciprocal:
      return g.node("Mul", {g.node("Reciprocal", {g.node("Sqrt", {sum})}), centred});
    case Root::kSqrtOneDiv:
      return g.node("Mul", {centred, g.node("Div", {g.scalar(1), g.node("Sqrt", {sum})})});
    case Root::kPowHalf:
      return g.node("Div", {centred, g.node("Pow", {sum, g.scalar(0.5f)})});
    case Root::kPowMinusHalf:
      return g.node("Mul", {centred, g.node("Pow", {sum, g.scalar(-0.5f)})});
    case Root::kReciprocalSqrt:
      return g.node("Mul", {centred, g.node("Sqrt", {g.node("Reciprocal", {sum})})});
  }
  return centred;
}

Id decomposed(TestGraph& g, Id x, bool power = true, Root root = Root::kSqrtDiv, std::vector<int64_t> axes = {-1}, int version = 17) {
  const Id centred = g.node("Sub", {x, mean(g, x, axes, version)});
  const Id squared = power ? g.node("Pow", {centred, g.scalar(2)}) : g.node("Mul", {centred, centred});
  return normalise(g, centred, mean(g, squared, axes, version), root);
}

TEST(FuseLayerNorm, EveryWayToWriteTheCore) {
  for (bool power : {true, false})
    for (Root root : {Root::kSqrtDiv, Root::kSqrtReciprocal, Root::kSqrtOneDiv, Root::kPowHalf, Root::kPowMinusHalf, Root::kReciprocalSqrt})
      for (int version : {11, 17, 18})
        EXPECT_EQ(left_of([&](TestGraph& g, Id x) { return decomposed(g, x, power, root, {-1}, version); }).ops, "LayerNormalization")
            << power << static_cast<int>(root) << version;
}

TEST(FuseLayerNorm, ScaleAndBias) {
  const Left both = left_of([](TestGraph& g, Id x) {
    return g.node("Add", {g.node("Mul", {decomposed(g, x), weight(g)}), g.constant<float>({4}, {0, 1, 2, 3})});
  });
  ASSERT_EQ(both.ops, "LayerNormalization");
  EXPECT_EQ(both.graph.nodes[0].inputs.size(), 3u);
  EXPECT_EQ(both.graph.nodes[0].sources.size(), 9u) << "it stands for all nodes of the norm";
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Mul", {weight(g), decomposed(g, x)}); }).ops, "LayerNormalization");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Add", {decomposed(g, x), g.constant<float>({1, 1, 4}, {1, 2, 3, 4})});
            }).ops,
            "LayerNormalization");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Mul", {decomposed(g, x), g.scalar(3)}); }).ops, "LayerNormalization");
  // A residual, and a parameter of other extents, are not its own.
  EXPECT_EQ(left_of([](TestGraph& g, Id x) { return g.node("Add", {decomposed(g, x), x}); }).ops, "LayerNormalization, Add");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Mul", {decomposed(g, x), g.constant<float>({3, 1}, {1, 2, 3})});
            }).ops,
            "LayerNormalization, Mul");
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              return g.node("Mul", {g.node("Mul", {decomposed(g, x), weight(g)}), weight(g)});
            }).ops,
            "LayerNormalization, Mul");
}

TEST(FuseLayerNorm, SeveralAxes) {
  const Left left = left_of([](TestGraph& g, Id x) { return decomposed(g, x, true, Root::kSqrtDiv, {1, 2}); });
  EXPECT_EQ(left.ops, "LayerNormalization");
  EXPECT_EQ(attr<int64_t>(left.graph.nodes[0], "axis"), -2);
}

TEST(FuseLayerNorm, TwoDifferencesAndBatchNormForm) {
  EXPECT_EQ(left_of([](TestGraph& g, Id x) {
              const Id m = mean(g, x), d = g.node("Sub", {x, m});
              return normalise(g, g.node("Sub", {x, m}), mean(g, g.node("Mul", {d, d})), Root::kSqrtDiv);
            }).ops,
            "LayerNormalization");
  for (bool scaled : {true, false})
    EXPECT_EQ(
        left_of(
            [&](TestGraph& g, Id x) {
              const Id m = mean(g, x), d = g.node("Sub", {x, m});
              const Id sum = g.node("Add", {mean(g, g.node("Mul", {d, d})), g.scalar(1e-3f)});
              Id s = g.node("Reciprocal", {g.node("Sqrt", {sum})});
              if (scaled) s = g.node("Mul", {s, weight(g)});
              return g.node("Add", {g.node("Mul", {x, s}), g.node("Sub", {g.constant<float>({4}, {1, 2, 3, 4}), g.node("Mul", {m, s})})});
            },
            DType::kFloat32, 1e-5)
            .ops,
        "LayerNormalization");
}

TEST(FuseLayerNorm, CastsOf16BitTypes) {
  for (DType dtype : {DType::kFloat16, DType::kBfloat16}) {
    const auto to = static_cast<int64_t>(dtype);
    const Left left = left_of(
        [&](TestGraph& g, Id x) {
          return g.node("Cast", {decomposed(g, g.node("Cast", {x}, {{"to", int64_t{1}}}))}, {{"to", to}});
        },
        dtype);
    EXPECT_EQ(left.ops, "LayerNormalization");
  }
  EXPECT_EQ(left_of(
                [&](TestGraph& g, Id x) {
                  return decomposed(g, g.node("Cast", {x}, {{"to", int64_t{1}}}));
                },
                DType::kFloat16)
                .ops,
            "Cast, LayerNormalization");
}

TEST(FuseLayerNorm, Guards) {
  const Left not_last = left_of([](TestGraph& g, Id x) { return decomposed(g, x, true, Root::kSqrtDiv, {1}); });
  EXPECT_EQ(count(not_last.graph, "LayerNormalization"), 0u);
  EXPECT_NE(not_last.notes.find("the axes that it is over are not the last"), std::string::npos) << not_last.notes;

  const Left two_axes = left_of([](TestGraph& g, Id x) {
    const Id centred = g.node("Sub", {x, mean(g, x, {1, 2})});
    return normalise(g, centred, mean(g, g.node("Mul", {centred, centred})), Root::kSqrtDiv);
  });
  EXPECT_EQ(count(two_axes.graph, "LayerNormalization"), 0u);
  EXPECT_NE(two_axes.notes.find("different axes"), std::string::npos) << two_axes.notes;

  // The difference is needed elsewhere.
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {2, 4}), centred = g.node("Sub", {x, mean(g, x)});
  g.output(normalise(g, centred, mean(g, g.node("Mul", {centred, centred})), Root::kSqrtDiv));
  g.output(centred);
  std::string notes;
  EXPECT_EQ(count(fused(g.graph, {"fuse_layer_norm"}, {{}}, 2e-6, &notes), "LayerNormalization"), 0u);
  EXPECT_NE(notes.find("an output of the graph"), std::string::npos) << notes;

  EXPECT_EQ(count(left_of([](TestGraph& t, Id v) {
                    const Id c = t.node("Sub", {v, mean(t, v)});
                    return normalise(t, c, mean(t, t.node("Pow", {c, t.scalar(3)})), Root::kSqrtDiv);
                  }).graph,
                  "LayerNormalization"),
            0u);

  TestGraph open;
  const Id wide = open.input("x", DType::kFloat32, {2, ir::Dim::symbol("width")});
  open.output(decomposed(open, wide));
  notes.clear();
  EXPECT_EQ(count(fused(open.graph, {"fuse_layer_norm"}, {{}}, 2e-6, &notes), "LayerNormalization"), 0u);
  EXPECT_NE(notes.find("extents that it is over are not known"), std::string::npos) << notes;
}

}  // namespace
}  // namespace cameo::passes
