#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using ir::Dim;
const Dim kB = Dim::symbol("batch"), kS = Dim::symbol("seq");

struct Model : TestGraph {
  Id slice(Id x, int64_t start, int64_t end, int64_t step = 1) {
    return node("Slice", {x, ints({start}), ints({end}), ints({-1}), ints({step})});
  }
  Id mul(Id a, Id b) { return node("Mul", {a, b}); }
  Id concat(Id a, Id b) { return node("Concat", {a, b}, {{"axis", int64_t{-1}}}); }
  // [-x2, x1] of size 8
  Id rotate_half(Id x) { return concat(node("Neg", {slice(x, 4, INT64_MAX)}), slice(x, 0, 4)); }
  Id rotated(Id x, Id cos, Id sin) { return node("Add", {mul(x, cos), mul(rotate_half(x), sin)}); }
  // cos and sin of [batch, seq, 4] angles, twice
  Id angles(Dim batch = kB) { return input("angles", DType::kFloat32, {batch, kS, 4}); }
  Id heads(int64_t count = 2) {
    return node("Transpose", {node("Reshape", {input("x", DType::kFloat32, {kB, kS, count * 8}), ints({0, 0, count, 8})})},
                {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  }
};

struct Left {
  ir::Graph graph;
  std::string notes;
};

Left left_of(const ir::Graph& graph) {
  Left left;
  // The operator's products and sums are the same, so the results are too.
  left.graph = fused(graph, {"dead_code", "identity", "chains", "common_subexpressions", "fuse_rotary_embedding"},
                     {{}, {{"batch", 1}, {"seq", 1}}, {{"batch", 2}, {"seq", 5}}}, 0, &left.notes);
  return left;
}

TEST(FuseRotaryEmbedding, HalvesOfLlama) {
  for (int way = 0; way < 4; ++way) {
    Model m;
    const Id f = m.angles(), both = m.concat(f, f);
    const auto table = [&](const char* op) {
      Id t = m.node(op, {both});
      if (way == 1) t = m.mul(t, m.scalar(1.5f));  // attention scaling
      return m.node("Unsqueeze", {t, m.ints({1})});
    };
    const Id x = m.heads(), cos = table("Cos"), sin = table("Sin");
    Id y = m.rotated(x, cos, sin);
    if (way == 2) {  // the sum and its products the other way round
      y = m.node("Add", {m.mul(sin, m.rotate_half(x)), m.mul(cos, x)});
    }
    if (way == 3) {  // by Split
      const std::vector<Id> halves = m.nodes("Split", {x}, 2, {{"axis", int64_t{3}}, {"num_outputs", int64_t{2}}});
      y = m.node("Add", {m.mul(x, cos), m.mul(m.concat(m.node("Neg", {halves[1]}), halves[0]), sin)});
    }
    m.output(y);
    const Left left = left_of(m.graph);
    ASSERT_EQ(count(left.graph, "RotaryEmbedding"), 1u) << way << left.notes;
    EXPECT_EQ(count(left.graph, "Concat"), 0u) << ir::to_string(left.graph);
    EXPECT_EQ(count(left.graph, "Slice") + count(left.graph, "Neg") + count(left.graph, "Add"), 0u);
    for (const ir::Node& node : left.graph.nodes)
      if (node.op->name == "RotaryEmbedding") {
        EXPECT_EQ(attr<int64_t>(node, "num_heads"), 2) << "it works on the packed rows";
        EXPECT_GE(node.sources.size(), 6u);
      }
  }
}

TEST(FuseRotaryEmbedding, QueriesAndKeysShareTheTables) {
  Model m;
  const Id f = m.angles(), both = m.concat(f, f);
  const Id cos = m.node("Unsqueeze", {m.node("Cos", {both}), m.ints({1})}), sin = m.node("Unsqueeze", {m.node("Sin", {both}), m.ints({1})});
  m.output(m.rotated(m.heads(), cos, sin));
  m.output(m.rotated(m.input("k", DType::kFloat32, {kB, 1, kS, 8}), cos, sin));
  const Left left = left_of(m.graph);
  EXPECT_EQ(count(left.graph, "RotaryEmbedding"), 2u) << left.notes;
  EXPECT_EQ(count(left.graph, "Cos"), 1u);
  EXPECT_EQ(count(left.graph, "Sin"), 1u);
}

TEST(FuseRotaryEmbedding, OneTableForTheBatch) {
  Model m;
  const Id f = m.angles(1), both = m.concat(f, f);
  m.output(m.rotated(m.heads(), m.node("Unsqueeze", {m.node("Cos", {both}), m.ints({1})}),
                     m.node("Unsqueeze", {m.node("Sin", {both}), m.ints({1})})));
  const Left left = left_of(m.graph);
  EXPECT_EQ(count(left.graph, "RotaryEmbedding"), 1u) << left.notes;
}

// Heads behind the length, and tables that are looked up.
TEST(FuseRotaryEmbedding, BeforeTheTranspose) {
  Model m;
  const Id f = m.angles(), both = m.concat(f, f);
  m.output(m.rotated(m.input("x", DType::kFloat32, {kB, kS, 2, 8}), m.node("Unsqueeze", {m.node("Cos", {both}), m.ints({2})}),
                     m.node("Unsqueeze", {m.node("Sin", {both}), m.ints({2})})));
  EXPECT_EQ(count(left_of(m.graph).graph, "RotaryEmbedding"), 1u);

  Model g;
  const auto rows = g.constant<float>({2, 8}, {1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8});
  const Id ids = g.input("ids", DType::kInt64, {kB, kS});
  const Id table = g.node("Unsqueeze", {g.node("Gather", {rows, ids}, {{"axis", int64_t{0}}}), g.ints({1})});
  g.output(g.rotated(g.heads(), table, table));
  EXPECT_EQ(count(left_of(g.graph).graph, "RotaryEmbedding"), 1u);
}

TEST(FuseRotaryEmbedding, Interleaved) {
  Model m;
  const auto neighbours = [&](Id x, const char* op) {
    const Id wide = m.node("Unsqueeze", {m.node(op, {x}), m.ints({-1})});
    return m.node("Unsqueeze", {m.node("Reshape", {m.node("Expand", {wide, m.ints({1, 1, 1, 2})}), m.ints({0, 0, 8})}), m.ints({1})});
  };
  const Id f = m.angles(), x = m.heads();
  const Id minus = m.node("Unsqueeze", {m.node("Neg", {m.slice(x, 1, INT64_MAX, 2)}), m.ints({-1})}),
           plus = m.node("Unsqueeze", {m.slice(x, 0, INT64_MAX, 2), m.ints({-1})});
  const Id turned = m.node("Reshape", {m.concat(minus, plus), m.ints({0, 0, 0, 8})});
  m.output(m.node("Add", {m.mul(x, neighbours(f, "Cos")), m.mul(turned, neighbours(f, "Sin"))}));
  const Left left = left_of(m.graph);
  ASSERT_EQ(count(left.graph, "RotaryEmbedding"), 1u) << left.notes << ir::to_string(left.graph);
  for (const ir::Node& node : left.graph.nodes)
    if (node.op->name == "RotaryEmbedding") {
      EXPECT_EQ(attr<int64_t>(node, "interleaved"), 1);
    }
}

// Phi, GPT-NeoX: a part of each head is turned, the rest is appended.
TEST(FuseRotaryEmbedding, PartOfEachHead) {
  for (const bool whole : {true, false}) {
    Model m;
    const Id f = m.angles(), both = m.concat(f, f);
    const Id x = m.node("Transpose", {m.node("Reshape", {m.input("x", DType::kFloat32, {kB, kS, 24}), m.ints({0, 0, 2, 12})})},
                        {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
    const Id y = m.rotated(m.slice(x, 0, 8), m.node("Unsqueeze", {m.node("Cos", {both}), m.ints({1})}),
                           m.node("Unsqueeze", {m.node("Sin", {both}), m.ints({1})}));
    m.output(m.concat(y, whole ? m.slice(x, 8, INT64_MAX) : m.slice(x, 4, 8)));
    const Left left = left_of(m.graph);
    EXPECT_EQ(count(left.graph, "RotaryEmbedding"), 1u) << left.notes;
    EXPECT_EQ(count(left.graph, "Slice"), whole ? 0u : 2u) << ir::to_string(left.graph);
  }
}

TEST(FuseRotaryEmbedding, Guards) {
  const auto refused = [](const Left& left, const std::string& why) {
    EXPECT_EQ(count(left.graph, "RotaryEmbedding"), 0u);
    EXPECT_NE(left.notes.find(why), std::string::npos) << left.notes;
  };
  {
    Model m;  // nothing says that the halves of the tables are equal
    m.output(m.rotated(m.heads(), m.input("cos", DType::kFloat32, {kB, 1, kS, 8}), m.input("sin", DType::kFloat32, {kB, 1, kS, 8})));
    refused(left_of(m.graph), "not provably so");
  }
  {
    Model m;  // a table of its own for each head
    const Id f = m.input("f", DType::kFloat32, {kB, 2, kS, 4}), both = m.concat(f, f);
    m.output(m.rotated(m.heads(), m.node("Cos", {both}), m.node("Sin", {both})));
    refused(left_of(m.graph), "one row for all heads");
  }
  {
    Model m;  // another value is rotated
    const Id f = m.angles(), both = m.concat(f, f), x = m.heads();
    const Id cos = m.node("Unsqueeze", {m.node("Cos", {both}), m.ints({1})});
    m.output(m.node("Add", {m.mul(m.node("Abs", {x}), cos), m.mul(m.rotate_half(x), cos)}));
    refused(left_of(m.graph), "another value");
  }
  {
    Model m;  // the halves stay in their places
    const Id f = m.angles(), both = m.concat(f, f), x = m.heads(), cos = m.node("Unsqueeze", {m.node("Cos", {both}), m.ints({1})});
    m.output(m.node("Add", {m.mul(x, cos), m.mul(m.concat(m.node("Neg", {m.slice(x, 0, 4)}), m.slice(x, 4, 8)), cos)}));
    EXPECT_EQ(count(left_of(m.graph).graph, "RotaryEmbedding"), 0u);
  }
}

}  // namespace
}  // namespace cameo::passes
