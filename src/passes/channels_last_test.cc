#include "ops/cameo_conv.h"
#include "passes/fusion_test.h"
#include "passes/layout.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using Ints = std::vector<int64_t>;
const ir::Dim kN = ir::Dim::symbol("n"), kH = ir::Dim::symbol("h");
const std::vector<std::string> kPasses = {"fuse_conv", "channels_last", "constant_folding", "chains", "dead_code"};

Id weights(TestGraph& g, const Dims& dims) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  for (int64_t i = 0; i < t.num_elements(); ++i) t.data<float>()[i] = static_cast<float>(i * 5 % 11 - 5) / 8;
  return g.graph.add_constant("w", t);
}
Id conv(TestGraph& g, Id x, int64_t in, int64_t out, int64_t kernel = 1) {
  const int64_t pad = kernel / 2;
  return g.node("Conv", {x, weights(g, {out, in, kernel, kernel}), weights(g, {out})}, {{"pads", Ints{pad, pad, pad, pad}}});
}

// What is left between two convolutions of [n, 4, 6, h], and what moves values about.
template <class Fn>
std::string between(Fn f, std::vector<std::string> passes = kPasses) {
  TestGraph g;
  const Id x = conv(g, g.input("x", DType::kFloat32, {kN, 2, 6, kH}), 2, 4);
  const Id y = f(g, x);
  g.output(conv(g, y, 4, 2));
  std::string left = ops_of(fused(g.graph, passes, {{{"n", 2}, {"h", 5}}, {{"n", 1}, {"h", 8}}, {{"n", 0}, {"h", 4}}}, 4e-6));
  const std::string first = "Transpose, Conv, ", last = ", Conv, Transpose";
  EXPECT_TRUE(left.starts_with(first) && left.ends_with(last)) << left;
  return left.substr(first.size(), std::max<int64_t>(0, static_cast<int64_t>(left.size() - first.size() - last.size())));
}

TEST(ChannelsLast, OneTransposeAtEachEnd) {
  TestGraph g;
  Id x = g.input("x", DType::kFloat32, {kN, 3, 8, 8});
  for (int i = 0; i < 4; ++i) x = conv(g, x, i == 0 ? 3 : 4, 4, 3);
  g.output(x);
  const ir::Graph graph = fused(g.graph, kPasses, {{}, {{"n", 0}}});
  EXPECT_EQ(ops_of(graph), "Transpose, Conv, Conv, Conv, Conv, Transpose");
  EXPECT_EQ(graph.value(graph.nodes[1].inputs[2]).constant.dims().to_string(), "4");
  for (size_t i = 1; i < 5; ++i) EXPECT_EQ(graph.nodes[i].attrs_as<ops::CameoConvAttrs>().channels_last, 1);
}

TEST(ChannelsLast, OneAndThreeAxes) {
  TestGraph g;
  g.output(g.node("Conv", {g.input("x", DType::kFloat32, {kN, 3, 8}), weights(g, {2, 3, 3}), weights(g, {2})}));
  EXPECT_EQ(ops_of(fused(g.graph, kPasses)), "Transpose, Conv, Transpose");
  TestGraph h;
  h.output(h.node("Conv", {h.input("x", DType::kFloat32, {kN, 1, 4, 4, 4}), weights(h, {2, 1, 2, 2, 2})}));
  std::string notes;
  EXPECT_EQ(ops_of(fused(h.graph, kPasses, {{}}, 2e-6, &notes)), "Conv");
  EXPECT_NE(notes.find("it has not one or two spatial axes"), std::string::npos);
}

TEST(ChannelsLast, WhatWorksOnEitherForm) {
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Relu", {x}); }), "Relu");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("PRelu", {x, g.constant<float>({4, 1, 1}, {1, 2, 3, 4})}); }), "PRelu");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Add", {x, g.constant<float>({6, 1}, {1, 2, 3, 4, 5, 6})}); }), "Add");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Mul", {g.scalar(3), x}); }), "Mul");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Add", {x, g.node("Sigmoid", {x})}); }), "Sigmoid, Add");
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              return g.node("Where", {g.node("Greater", {x, g.scalar(0)}), x, g.scalar(1)});
            }),
            "Greater, Where");
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              return g.node("MaxPool", {x},
                            {{"kernel_shape", Ints{2, 3}}, {"strides", Ints{2, 1}}, {"pads", Ints{0, 1, 1, 1}}, {"ceil_mode", int64_t{1}}});
            }),
            "MaxPool");
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              return g.node("MaxPool", {x}, {{"kernel_shape", Ints{2, 3}}, {"auto_pad", std::string("SAME_UPPER")}});
            }),
            "MaxPool");
  EXPECT_EQ(
      between([](TestGraph& g, Id x) {
        return g.node("AveragePool", {x}, {{"kernel_shape", Ints{3, 2}}, {"pads", Ints{1, 0, 1, 1}}, {"count_include_pad", int64_t{1}}});
      }),
      "AveragePool");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Softmax", {x}, {{"axis", int64_t{1}}}); }), "Softmax");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Softmax", {x}); }), "Softmax");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Slice", {x, g.ints({1}), g.ints({3}), g.ints({-1})}); }), "Slice");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Slice", {x, g.ints({0, 0, 1, 1}), g.ints({9, 4, 3, 4})}); }), "Slice");
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              return g.node("Pad", {x, g.ints({0, 0, 1, 2, 0, 0, 3, 4})}, {{"mode", std::string("reflect")}});
            }),
            "Pad");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Pad", {x, g.ints({1, 2}), g.scalar(7), g.ints({-2})}); }), "Pad");
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              return g.node("Resize", {x, ir::kNoValue, g.constant<float>({4}, {1, 1, 2, 1.5f})}, {{"mode", std::string("linear")}});
            }),
            "Resize");
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              const auto parts = g.nodes("Split", {x}, 2, {{"axis", int64_t{1}}, {"num_outputs", int64_t{2}}});
              return g.node("Concat", {parts[1], g.node("Tanh", {parts[0]})}, {{"axis", int64_t{-3}}});
            }),
            "Split, Tanh, Concat");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Mul", {x, g.node("ReduceMean", {x, g.ints({2, -1})})}); }), "ReduceMean, Mul");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Sub", {x, g.node("ReduceMax", {x, g.ints({1})})}); }), "ReduceMax, Sub");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Mul", {x, g.node("GlobalAveragePool", {x})}); }), "ReduceMean, Mul");
  EXPECT_EQ(between([](TestGraph& g, Id x) { return g.node("Mul", {x, g.node("GlobalMaxPool", {x})}); }), "ReduceMax, Mul");
}

TEST(ChannelsLast, SizesFromTheShape) {
  // Resize to twice the size, worked out from the shape.
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              const Id size = g.node("Mul", {g.node("Shape", {x}, {{"start", int64_t{2}}}), g.ints({2, 2})});
              const Id sizes = g.node("Concat", {g.node("Shape", {x}, {{"end", int64_t{2}}}), size}, {{"axis", int64_t{0}}});
              return g.node("Resize", {x, ir::kNoValue, ir::kNoValue, sizes});
            }).find("Transpose"),
            std::string::npos);
}

TEST(ChannelsLast, ChannelShuffle) {
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              const Id groups = g.node("Reshape", {x, g.ints({0, 2, 2, 6, -1})});
              return g.node("Reshape", {g.node("Transpose", {groups}, {{"perm", Ints{0, 2, 1, 3, 4}}}), g.ints({0, 4, 6, -1})});
            }),
            "Reshape, Transpose, Reshape");
}

TEST(ChannelsLast, SpatialAxesFoldAndUnfold) {
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              const Id rows = g.node("Softmax", {g.node("Reshape", {x, g.ints({0, 4, -1})})}, {{"axis", int64_t{1}}});
              return g.node("Reshape", {rows, g.ints({0, 0, 6, -1})});
            }),
            "Reshape, Softmax, Reshape");
  // As a vision transformer embeds its patches.
  TestGraph g;
  const Id x = conv(g, g.input("x", DType::kFloat32, {kN, 3, 4, 4}), 3, 5);
  g.output(g.node("Transpose", {g.node("Reshape", {x, g.ints({0, 5, 16})})}, {{"perm", Ints{0, 2, 1}}}));
  EXPECT_EQ(ops_of(fused(g.graph, kPasses)), "Transpose, Conv, Reshape");
}

TEST(ChannelsLast, TransposesOfTheModel) {
  // As ConvNeXt normalises.
  EXPECT_EQ(between([](TestGraph& g, Id x) {
              const Id last = g.node("Transpose", {x}, {{"perm", Ints{0, 2, 3, 1}}});
              const Id y = g.node("LayerNormalization", {last, weights(g, {4}), weights(g, {4})});
              return g.node("Add", {x, g.node("Transpose", {y}, {{"perm", Ints{0, 3, 1, 2}}})});
            }),
            "LayerNormalization, Add");
  // Without convolutions they still go where they cost least.
  TestGraph g;
  const Id x = g.node("Transpose", {g.input("x", DType::kFloat32, {kN, 4, 5, 6})}, {{"perm", Ints{0, 3, 1, 2}}});
  g.output(g.node("Relu", {g.node("Concat", {x, x}, {{"axis", int64_t{1}}})}));
  g.output(g.node("Transpose", {g.node("Tanh", {x})}, {{"perm", Ints{0, 2, 3, 1}}}));
  EXPECT_EQ(ops_of(fused(g.graph, kPasses)), "Transpose, Concat, Relu, Tanh");
}

TEST(ChannelsLast, TheLeastIsTransposed) {
  // The small one of two values.
  TestGraph g;
  const Id x = conv(g, g.input("x", DType::kFloat32, {kN, 3, 8, 8}), 3, 4);
  g.output(g.node("MaxPool", {g.node("Relu", {x})}, {{"kernel_shape", Ints{4, 4}}, {"strides", Ints{4, 4}}}));
  EXPECT_EQ(ops_of(fused(g.graph, kPasses)), "Transpose, Conv, Relu, MaxPool, Transpose");
  TestGraph h;
  const Id y = conv(
      h, h.node("AveragePool", {h.input("x", DType::kFloat32, {kN, 3, 8, 8})}, {{"kernel_shape", Ints{4, 4}}, {"strides", Ints{4, 4}}}), 3,
      4);
  h.output(h.node("ReduceMean", {y, h.ints({2, 3})}, {{"keepdims", int64_t{0}}}));
  EXPECT_EQ(ops_of(fused(h.graph, kPasses)), "AveragePool, Transpose, Conv, ReduceMean");
  // Where nothing changes place it is a Reshape.
  TestGraph i;
  i.output(conv(i, i.node("GlobalAveragePool", {i.input("x", DType::kFloat32, {kN, 3, 8, 8})}), 3, 4));
  EXPECT_EQ(ops_of(fused(i.graph, kPasses)), "GlobalAveragePool, Reshape, Conv, Reshape");
}

TEST(ChannelsLast, WhatIsReadInBothFormsIsTransposedOnce) {
  TestGraph g;
  const Id x = conv(g, g.input("x", DType::kFloat32, {kN, 3, 8, 8}), 3, 4);
  g.output(g.node("Flatten", {x}));
  g.output(g.node("Flatten", {x}, {{"axis", int64_t{2}}}));
  g.output(conv(g, x, 4, 2));
  g.output(conv(g, x, 4, 2, 3));
  EXPECT_EQ(count(fused(g.graph, kPasses), "Transpose"), 4u);  // the input, x, and two outputs
}

TEST(ChannelsLast, OperatorsThatNeedTheirForm) {
  TestGraph g;
  const Id x = conv(g, g.input("x", DType::kFloat32, {kN, 3, 8, 8}), 3, 4);
  const Id y = g.node("LRN", {x}, {{"size", int64_t{3}}});
  g.output(conv(g, y, 4, 2));
  EXPECT_EQ(ops_of(fused(g.graph, kPasses)), "Transpose, Conv, Transpose, LRN, Transpose, Conv, Transpose");
  // Nothing to do without convolutions.
  TestGraph h;
  h.output(h.node("MaxPool", {h.node("Relu", {h.input("x", DType::kFloat32, {kN, 3, 8, 8})})}, {{"kernel_shape", Ints{2, 2}}}));
  EXPECT_EQ(ops_of(fused(h.graph, kPasses)), "Relu, MaxPool");
}

TEST(ChannelsLast, LargeGraphsTakeLittleTime) {
  TestGraph g;
  Id x = g.input("x", DType::kFloat32, {1, 2, 4, 4});
  const Id w = weights(g, {2, 2, 1, 1});
  std::vector<Id> recent = {x};
  for (int i = 0; i < 3000; ++i) {
    x = g.node("Conv", {x, w});
    if (i % 3 == 0) x = g.node("LRN", {x}, {{"size", int64_t{1}}});
    if (i % 7 == 0) x = g.node("Transpose", {g.node("Transpose", {x}, {{"perm", Ints{0, 2, 3, 1}}})}, {{"perm", Ints{0, 3, 1, 2}}});
    x = g.node("Relu", {g.node("Add", {x, recent[recent.size() * 2 / 3]})});
    recent.push_back(x);
  }
  g.output(x);
  std::vector<PassReport> reports;
  PassOptions options;
  options.disabled = {"fuse_pointwise", "fuse_epilogue"};
  ASSERT_TRUE(run_passes(g.graph, options, reports).ok());
  EXPECT_GT(count(g.graph, "Conv"), 2999u);
}

TEST(ChannelsLast, Epilogues) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 4, 8, 8});
  const Id y = conv(g, x, 4, 4, 3);
  g.output(g.node("Relu", {g.node("Add", {y, x})}));
  g.output(g.node("Add", {conv(g, y, 4, 4), g.constant<float>({1, 4, 1, 1}, {1, 2, 3, 4})}));
  std::vector<std::string> passes = kPasses;
  passes.insert(passes.end(), {"fuse_pointwise", "fuse_epilogue"});
  const ir::Graph graph = fused(g.graph, passes, {{}, {{"n", 0}}}, 4e-6);
  EXPECT_EQ(count(graph, "Transpose"), 3u);
}

}  // namespace
}  // namespace cameo::passes
