#include <limits>

#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using ir::Dim;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();
const Dim kB = Dim::symbol("batch"), kS = Dim::symbol("seq"), kP = Dim::symbol("past");

// Parts of attentions as exporters write them.
struct Model : TestGraph {
  Id transpose(Id x, std::vector<int64_t> perm) { return node("Transpose", {x}, {{"perm", perm}}); }
  Id reshape(Id x, std::initializer_list<int64_t> shape) { return node("Reshape", {x, ints(shape)}); }
  Id rows(const std::string& name, int64_t width, Dim length = kS, DType dtype = DType::kFloat32) {
    return input(name, dtype, {kB, length, width});
  }
  // [batch, length, heads * size] as [batch, heads, length, size]
  Id heads(Id x, int64_t count, int64_t size) { return transpose(reshape(x, {0, 0, count, size}), {0, 2, 1, 3}); }
  Id keys(Id x, int64_t count, int64_t size) { return transpose(heads(x, count, size), {0, 1, 3, 2}); }
  Id matmul(Id a, Id b) { return node("MatMul", {a, b}); }
  Id mul(Id a, float b) { return node("Mul", {a, scalar(b)}); }
  Id add(Id a, Id b) { return node("Add", {a, b}); }
  Id softmax(Id x, int64_t axis = -1) { return node("Softmax", {x}, {{"axis", axis}}); }
  Id where(Id c, Id a, Id b) { return node("Where", {c, a, b}); }
  Id guarded(Id p) { return where(node("IsNaN", {p}), scalar(0), p); }
  // [batch, heads, length, size] as [batch, length, heads * size]
  Id merged(Id y, int64_t width) { return reshape(transpose(y, {0, 2, 1, 3}), {0, 0, width}); }
};

struct Left {
  std::string ops, notes;
  ir::Graph graph;
  const ir::Node* attention = nullptr;
};

// What is left after fuse_attention and the passes that take views apart.
Left left_of(const ir::Graph& graph,
             std::vector<Symbols> symbols = {{}, {{"batch", 1}, {"seq", 1}}, {{"batch", 2}, {"seq", 5}, {"past", 4}}},
             double tolerance = 4e-6) {
  Left left;
  left.graph =
      fused(graph, {"dead_code", "shape_computation", "constant_folding", "identity", "chains", "common_subexpressions", "fuse_attention"},
            symbols, tolerance, &left.notes);
  left.ops = ops_of(left.graph);
  for (const ir::Node& node : left.graph.nodes)
    if (node.op->name == "Attention") left.attention = &node;
  return left;
}

// The attention of 2 heads of size 4, with the scores changed by `change`.
template <class Fn>
Left plain(Fn change) {
  Model m;
  const Id q = m.heads(m.rows("q", 8), 2, 4), k = m.keys(m.rows("k", 8), 2, 4), v = m.heads(m.rows("v", 8), 2, 4);
  m.output(m.merged(m.matmul(m.softmax(change(m, m.matmul(q, k))), v), 8));
  return left_of(m.graph);
}

TEST(FuseAttention, ScaleAnywhere) {
  for (int where = 0; where < 7; ++where) {
    Model m;
    Id q = m.heads(m.rows("q", 8), 2, 4), k = m.keys(m.rows("k", 8), 2, 4), v = m.heads(m.rows("v", 8), 2, 4);
    if (where == 1) q = m.mul(q, 0.5f);
    if (where == 2) k = m.mul(k, 0.5f);
    if (where == 3) q = m.mul(q, 0.75f), k = m.mul(k, 0.75f);
    if (where == 4) q = m.heads(m.node("Div", {m.graph.find("q"), m.scalar(2)}), 2, 4);
    Id s = m.matmul(q, k);
    if (where == 5) s = m.mul(s, 0.5f);
    if (where == 6) s = m.node("Div", {s, m.scalar(2)});
    m.output(m.merged(m.matmul(m.softmax(s), v), 8));
    const Left left = left_of(m.graph);
    ASSERT_EQ(left.ops, "Attention") << where << "\n" << left.notes;
    EXPECT_EQ(attr<float>(*left.attention, "scale"), where == 0 ? 1 : where == 3 ? 0.5625f : 0.5f) << where;
    EXPECT_EQ(attr<int64_t>(*left.attention, "q_num_heads"), 2);
    EXPECT_GE(left.attention->sources.size(), 3u);
  }
}

TEST(FuseAttention, KeysTransposedInAnyWay) {
  for (int way = 0; way < 3; ++way) {
    Model m;
    const Id q = m.heads(m.rows("q", 8), 2, 4), v = m.heads(m.rows("v", 8), 2, 4), x = m.rows("k", 8);
    Id k = m.keys(x, 2, 4);
    if (way == 1) k = m.transpose(m.reshape(x, {0, 0, 2, 4}), {0, 2, 3, 1});
    // torch's dynamo exporter
    if (way == 2) {
      const Id shape = m.node("Shape", {x}), batch = m.node("Slice", {shape, m.ints({0}), m.ints({1})}),
               length = m.node("Slice", {shape, m.ints({1}), m.ints({2})});
      const Id flat = m.node("Reshape", {m.heads(x, 2, 4), m.node("Concat", {m.ints({-1}), length, m.ints({4})}, {{"axis", int64_t{0}}})});
      k = m.node("Reshape", {m.transpose(flat, {0, 2, 1}), m.node("Concat", {batch, m.ints({2, 4}), length}, {{"axis", int64_t{0}}})});
    }
    m.output(m.merged(m.matmul(m.softmax(m.matmul(q, k)), v), 8));
    const Left left = left_of(m.graph);
    EXPECT_EQ(left.ops, "Attention") << way << "\n" << left.notes << ir::to_string(left.graph);
  }
}

TEST(FuseAttention, MasksAndBiases) {
  // Added.
  EXPECT_EQ(plain([](Model& m, Id s) {
              return m.add(m.mul(s, 0.5f), m.input("mask", DType::kFloat32, {kB, 1, kS, kS}));
            }).ops,
            "Attention");
  EXPECT_EQ(plain([](Model& m, Id s) { return m.add(m.input("mask", DType::kFloat32, {kS, kS}), s); }).ops, "Attention");
  EXPECT_EQ(plain([](Model& m, Id s) { return m.add(s, m.input("mask", DType::kFloat32, {kB, 1, 1, kS})); }).ops, "Attention");
  // Repeated for the batch, though broadcasting would do.
  EXPECT_EQ(plain([](Model& m, Id s) {
              const Id bias = m.input("bias", DType::kFloat32, {1, 2, kS, kS}),
                       batch = m.node("Shape", {m.graph.find("q")}, {{"end", int64_t{1}}});
              return m.add(s, m.node("Expand", {bias, m.node("Concat", {batch, m.ints({1, 1, 1})}, {{"axis", int64_t{0}}})}));
            }).ops,
            "Attention");
  // Two of them are one.
  EXPECT_EQ(plain([](Model& m, Id s) {
              return m.add(m.add(s, m.input("bias", DType::kFloat32, {1, 2, kS, kS})), m.input("mask", DType::kFloat32, {kB, 1, 1, kS}));
            }).ops,
            "Add, Attention");
  // Boolean.
  const Left added = plain([](Model& m, Id s) {
    return m.add(s, m.where(m.input("mask", DType::kBool, {kB, 1, kS, kS}), m.scalar(0), m.scalar(kLowest)));
  });
  EXPECT_EQ(added.ops, "Where, Attention");
  EXPECT_EQ(plain([](Model& m, Id s) {
              return m.where(m.input("mask", DType::kBool, {kB, 1, kS, kS}), s, m.scalar(kLowest));
            }).ops,
            "Where, Attention");
  EXPECT_EQ(plain([](Model& m, Id s) {
              return m.where(m.input("mask", DType::kBool, {kB, 1, kS, kS}), m.scalar(kLowest), s);
            }).ops,
            "Where, Attention");
}

TEST(FuseAttention, InfiniteMasksWithGuard) {
  for (int way = 0; way < 4; ++way) {
    Model m;
    const Id q = m.heads(m.rows("q", 8), 2, 4), k = m.keys(m.rows("k", 8), 2, 4), v = m.heads(m.rows("v", 8), 2, 4);
    const Id mask = m.input("mask", DType::kBool, {kB, 1, kS, kS}), none = m.scalar(-kInfinity), zero = m.scalar(0);
    Id s = m.matmul(q, k);
    if (way == 0) s = m.add(s, m.where(mask, zero, none));
    if (way == 1) s = m.add(s, m.where(mask, none, zero));
    if (way == 2) s = m.where(mask, s, none);
    if (way == 3) s = m.where(mask, none, s);
    m.output(m.merged(m.matmul(m.guarded(m.softmax(s)), v), 8));
    const Left left = left_of(m.graph);
    // Queries that see nothing, which come up in single-token rows, give zeros both ways.
    EXPECT_EQ(left.ops, way % 2 == 0 ? "Attention" : "Not, Attention") << way << left.notes;
  }
}

TEST(FuseAttention, GroupsOfHeadsAndPast) {
  for (const bool grouped : {false, true})
    for (const bool present : {false, true}) {
      Model m;
      const int64_t kv = grouped ? 2 : 4;
      const Id past_key = m.input("past_key", DType::kFloat32, {kB, kv, kP, 4}),
               past_value = m.input("past_value", DType::kFloat32, {kB, kv, kP, 4});
      const Id q = m.heads(m.rows("q", 16), 4, 4);
      const Id k = m.node("Concat", {past_key, m.heads(m.rows("k", kv * 4), kv, 4)}, {{"axis", int64_t{-2}}});
      const Id v = m.node("Concat", {past_value, m.heads(m.rows("v", kv * 4), kv, 4)}, {{"axis", int64_t{2}}});
      const auto repeated = [&](Id x) {
        if (!grouped) return x;
        const Id five = m.node("Unsqueeze", {x, m.ints({2})}), shape = m.node("Shape", {x});
        const auto extent = [&](int64_t i) { return m.node("Slice", {shape, m.ints({i}), m.ints({i + 1})}); };
        const Id to = m.node("Concat", {extent(0), m.ints({2, 2}), extent(2), m.ints({4})}, {{"axis", int64_t{0}}});
        return m.node("Reshape", {m.node("Expand", {five, to}),
                                  m.node("Concat", {extent(0), m.ints({4}), extent(2), m.ints({4})}, {{"axis", int64_t{0}}})});
      };
      const Id s = m.mul(m.matmul(q, m.transpose(repeated(k), {0, 1, 3, 2})), 0.5f);
      m.output(m.merged(m.matmul(m.softmax(m.add(s, m.input("mask", DType::kFloat32, {kB, 1, kS, kP + kS}))), repeated(v)), 16));
      if (present) m.output(k), m.output(v);
      const Left left = left_of(m.graph);
      ASSERT_EQ(left.ops, "Attention") << grouped << present << "\n" << left.notes << ir::to_string(left.graph);
      EXPECT_EQ(left.attention->outputs.size(), present ? 3u : 1u);
      EXPECT_EQ(attr<int64_t>(*left.attention, "kv_num_heads"), kv);
    }
}

TEST(FuseAttention, CrossAttentionAndHeadsAsTheyAre) {
  // Keys and values of another length, and heads that come from elsewhere.
  Model cross;
  const Dim other = Dim::symbol("other");
  const Id q = cross.heads(cross.rows("q", 8), 2, 4), k = cross.keys(cross.rows("k", 8, other), 2, 4),
           v = cross.heads(cross.rows("v", 8, other), 2, 4);
  cross.output(cross.merged(cross.matmul(cross.softmax(cross.matmul(q, k)), v), 8));
  EXPECT_EQ(left_of(cross.graph, {{{"other", 7}}, {{"other", 1}}}).ops, "Attention");

  Model m;
  const Id heads = m.input("q", DType::kFloat32, {kB, 2, kS, 4}), cached_k = m.input("k", DType::kFloat32, {kB, 2, other, 4}),
           cached_v = m.input("v", DType::kFloat32, {kB, 2, other, 4});
  m.output(m.matmul(m.softmax(m.matmul(heads, m.transpose(cached_k, {0, 1, 3, 2}))), cached_v));
  EXPECT_EQ(left_of(m.graph, {{{"other", 7}}}).ops, "Attention");
}

TEST(FuseAttention, PackedQueriesKeysAndValues) {
  for (const bool split : {false, true}) {
    Model m;
    const Id x = m.transpose(m.reshape(m.rows("x", 24), {0, 0, 3, 2, 4}), {2, 0, 3, 1, 4});
    std::vector<Id> parts;
    if (split)
      for (Id part : m.nodes("Split", {x}, 3, {{"axis", int64_t{0}}, {"num_outputs", int64_t{3}}}))
        parts.push_back(m.node("Squeeze", {part, m.ints({0})}));
    else
      for (int64_t i : {0, 1, 2}) parts.push_back(m.node("Gather", {x, m.constant<int64_t>({}, {i})}, {{"axis", int64_t{0}}}));
    const Id s = m.matmul(m.mul(parts[0], 0.5f), m.transpose(parts[1], {0, 1, 3, 2}));
    m.output(m.merged(m.matmul(m.softmax(s), parts[2]), 8));
    EXPECT_EQ(left_of(m.graph).ops, "Split, Attention");
  }
}

TEST(FuseAttention, BatchAndHeadsInOneAxis) {
  for (const bool masked : {false, true}) {
    Model m;
    const auto flat = [&](const char* name) { return m.node("Reshape", {m.heads(m.rows(name, 8, 5), 2, 4), m.ints({-1, 5, 4})}); };
    Id s = m.matmul(m.mul(flat("q"), 0.5f), m.transpose(flat("k"), {0, 2, 1}));
    if (masked) s = m.reshape(m.add(m.reshape(s, {-1, 2, 5, 5}), m.input("mask", DType::kFloat32, {kB, 1, 5, 5})), {-1, 5, 5});
    const Id y = m.reshape(m.matmul(m.softmax(s), flat("v")), {-1, 2, 5, 4});
    m.output(m.merged(y, 8));
    const Left left = left_of(m.graph);
    EXPECT_EQ(left.ops, "Attention") << masked << left.notes << ir::to_string(left.graph);
  }
}

// Bloom: products over [batch * heads, …], masks and softmax over [batch, heads, …].
TEST(FuseAttention, OnlyTheSoftmaxHasHeads) {
  Model m;
  const auto merged = [&](Id x) { return m.reshape(x, {-1, 3, 4}); };
  const auto of = [&](const char* name) { return merged(m.heads(m.rows(name, 8, 3), 2, 4)); };
  const Id s = m.reshape(m.matmul(of("q"), m.transpose(of("k"), {0, 2, 1})), {-1, 2, 3, 3});
  const Id p = m.softmax(m.add(s, m.input("mask", DType::kFloat32, {kB, 1, 3, 3})));
  m.output(m.merged(m.reshape(m.matmul(m.reshape(p, {-1, 3, 3}), of("v")), {-1, 2, 3, 4}), 8));
  const Left left = left_of(m.graph);
  ASSERT_EQ(left.ops, "Attention") << left.notes;
  EXPECT_EQ(attr<int64_t>(*left.attention, "q_num_heads"), 2);
}

TEST(FuseAttention, OneHeadWithoutAnAxis) {
  Model m;
  const Id q = m.rows("q", 4), k = m.rows("k", 4), v = m.rows("v", 4);
  m.output(m.node("Neg",
                  {m.matmul(m.softmax(m.add(m.matmul(q, m.transpose(k, {0, 2, 1})), m.input("mask", DType::kFloat32, {kB, kS, kS}))), v)}));
  EXPECT_EQ(left_of(m.graph).ops, "Unsqueeze, Attention, Neg");
}

TEST(FuseAttention, Windows) {
  Model m;
  const Dim n = Dim(3) * kB;
  const auto flat = [&](const char* name) { return m.reshape(m.input(name, DType::kFloat32, {n, 5, 8}), {0, 0, 2, 4}); };
  const Id q = m.transpose(flat("q"), {0, 2, 1, 3}), k = m.transpose(flat("k"), {0, 2, 3, 1}), v = m.transpose(flat("v"), {0, 2, 1, 3});
  Id s = m.add(m.matmul(q, k), m.input("bias", DType::kFloat32, {1, 2, 5, 5}));
  s = m.reshape(m.add(m.reshape(s, {-1, 3, 2, 5, 5}), m.input("mask", DType::kFloat32, {1, 3, 1, 5, 5})), {-1, 2, 5, 5});
  m.output(m.merged(m.matmul(m.softmax(s), v), 8));
  const Left left = left_of(m.graph);
  EXPECT_EQ(count(left.graph, "Attention"), 1u) << left.notes;
  EXPECT_EQ(count(left.graph, "Softmax"), 0u);
}

TEST(FuseAttention, Softcap) {
  const Left left = plain([](Model& m, Id s) {
    const Id capped = m.mul(m.node("Tanh", {m.node("Div", {m.mul(s, 0.5f), m.scalar(3)})}), 3);
    return m.add(capped, m.input("mask", DType::kFloat32, {kB, 1, kS, kS}));
  });
  ASSERT_EQ(left.ops, "Attention") << left.notes;
  EXPECT_EQ(attr<float>(*left.attention, "softcap"), 3);
  EXPECT_EQ(attr<float>(*left.attention, "scale"), 0.5f);
}

TEST(FuseAttention, SoftmaxInFloat) {
  Model m;
  const auto heads = [&](const char* name) { return m.heads(m.rows(name, 8, kS, DType::kFloat16), 2, 4); };
  const Id s = m.matmul(heads("q"), m.transpose(heads("k"), {0, 1, 3, 2}));
  const Id p = m.node("Cast", {m.softmax(m.node("Cast", {s}, {{"to", int64_t{1}}}))}, {{"to", int64_t{10}}});
  m.output(m.merged(m.matmul(p, heads("v")), 8));
  const Left left = left_of(m.graph, {{}}, 4e-3);
  ASSERT_EQ(left.ops, "Attention") << left.notes;
  EXPECT_EQ(attr<int64_t>(*left.attention, "softmax_precision"), 1);
}

// ---- Causal masks.

bool is_causal(const Left& left) { return left.attention != nullptr && attr<int64_t>(*left.attention, "is_causal") == 1; }

TEST(FuseAttention, CausalByComparisonOfRanges) {
  for (int way = 0; way < 5; ++way) {
    const Left left = plain([&](Model& m, Id s) {
      const Id shape = m.node("Shape", {m.graph.find("q")});
      const Id length = m.node("Gather", {shape, m.constant<int64_t>({}, {1})});
      const Id range = m.node("Range", {m.constant<int64_t>({}, {0}), length, m.constant<int64_t>({}, {1})});
      const Id row = m.node("Unsqueeze", {range, m.ints({0, 1, 3})}), column = m.node("Unsqueeze", {range, m.ints({0, 1, 2})});
      if (way == 0) return m.add(s, m.where(m.node("LessOrEqual", {column, row}), m.scalar(0), m.scalar(kLowest)));
      if (way == 1) return m.add(s, m.where(m.node("GreaterOrEqual", {row, column}), m.scalar(0), m.scalar(-kInfinity)));
      if (way == 2) return m.where(m.node("Less", {column, m.node("Add", {row, m.constant<int64_t>({}, {1})})}), s, m.scalar(-1e4f));
      if (way == 3) return m.where(m.node("Not", {m.node("LessOrEqual", {column, row})}), m.scalar(kLowest), s);
      return m.add(s, m.where(m.node("Less", {column, row}), m.scalar(0), m.scalar(kLowest)));  // not itself: not causal
    });
    ASSERT_NE(left.attention, nullptr) << way << left.notes;
    EXPECT_EQ(is_causal(left), way != 4) << way;
    EXPECT_EQ(left.attention->inputs.size(), way != 4 ? 3u : 4u);
  }
}

TEST(FuseAttention, CausalWithPast) {
  Model m;
  const Id past_key = m.input("past_key", DType::kFloat32, {kB, 2, kP, 4}),
           past_value = m.input("past_value", DType::kFloat32, {kB, 2, kP, 4});
  const Id x = m.rows("q", 8), q = m.heads(x, 2, 4);
  const Id k = m.node("Concat", {past_key, m.heads(m.rows("k", 8), 2, 4)}, {{"axis", int64_t{2}}});
  const Id v = m.node("Concat", {past_value, m.heads(m.rows("v", 8), 2, 4)}, {{"axis", int64_t{2}}});
  const auto scalar_extent = [&](Id of, int64_t axis) {
    return m.node("Gather", {m.node("Shape", {of}), m.constant<int64_t>({}, {axis})});
  };
  const Id past = scalar_extent(past_key, 2), length = scalar_extent(x, 1), zero = m.constant<int64_t>({}, {0}),
           one = m.constant<int64_t>({}, {1});
  const Id rows = m.add(m.node("Range", {zero, length, one}), past), columns = m.node("Range", {zero, m.add(past, length), one});
  const Id mask =
      m.node("LessOrEqual", {m.node("Unsqueeze", {columns, m.ints({0, 1, 2})}), m.node("Unsqueeze", {rows, m.ints({0, 1, 3})})});
  const Id s = m.add(m.matmul(q, m.transpose(k, {0, 1, 3, 2})), m.where(mask, m.scalar(0), m.scalar(kLowest)));
  m.output(m.merged(m.matmul(m.softmax(s), v), 8));
  m.output(k);
  m.output(v);
  const Left left = left_of(m.graph);
  EXPECT_TRUE(is_causal(left)) << left.notes << ir::to_string(left.graph);
}

// GPT-2: a slice of a constant triangle.
TEST(FuseAttention, CausalBySliceOfATriangle) {
  std::vector<char> triangle;
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 8; ++j) triangle.push_back(j <= i);
  const Left left = plain([&](Model& m, Id s) {
    Tensor t = Tensor::allocate(DType::kBool, {1, 1, 8, 8}).value();
    for (size_t i = 0; i < triangle.size(); ++i) t.data<bool>()[i] = triangle[i];
    const Id bias = m.graph.add_constant("bias", std::move(t)), shape = m.node("Shape", {m.graph.find("k")});
    const Id length = m.node("Slice", {shape, m.ints({1}), m.ints({2})});
    const Id rows = m.node("Slice", {bias, m.node("Sub", {length, length}), length, m.ints({2})});
    return m.where(m.node("Slice", {rows, m.ints({0}), length, m.ints({3})}), s, m.scalar(kLowest));
  });
  EXPECT_TRUE(is_causal(left)) << left.notes << ir::to_string(left.graph);
}

TEST(FuseAttention, CausalByTriluAndByConstant) {
  const auto static_attention = [](auto mask) {
    Model m;
    const auto heads = [&](const char* name) { return m.heads(m.rows(name, 8, 4), 2, 4); };
    const Id s = m.matmul(heads("q"), m.transpose(heads("k"), {0, 1, 3, 2}));
    m.output(m.merged(m.matmul(m.softmax(mask(m, s)), heads("v")), 8));
    return left_of(m.graph, {{}});
  };
  EXPECT_TRUE(is_causal(static_attention([](Model& m, Id s) {
    const Id ones = m.node("ConstantOfShape", {m.ints({4, 4})}, {{"value", Tensor::of<bool>({1}, {true})}});
    return m.where(m.node("Trilu", {ones}, {{"upper", int64_t{0}}}), s, m.scalar(-kInfinity));
  })));
  const float i = -kInfinity;
  EXPECT_TRUE(is_causal(static_attention([&](Model& m, Id s) {
    return m.add(s, m.constant<float>({4, 4}, {0, i, i, i, 0, 0, i, i, 0, 0, 0, i, 0, 0, 0, 0}));
  })));
  EXPECT_FALSE(is_causal(static_attention([&](Model& m, Id s) {
    return m.add(s, m.constant<float>({4, 4}, {0, i, i, i, 0, 0, i, i, 0, 0, 0, i, 0, 1, 0, 0}));
  })));
}

// ---- Masks and scales that cannot be proved to fit.

TEST(FuseAttention, ScaledAfterTheMask) {
  const Left left = plain([](Model& m, Id s) { return m.mul(m.add(s, m.input("mask", DType::kFloat32, {kB, 1, kS, kS})), 0.5f); });
  ASSERT_EQ(left.ops, "Mul, Attention") << left.notes;
  EXPECT_EQ(attr<float>(*left.attention, "scale"), 0.5f);
  const Left dropped = plain([](Model& m, Id s) {
    const Id mask = m.where(m.input("mask", DType::kBool, {kB, 1, 1, kS}), m.scalar(0), m.scalar(kLowest));
    return m.node("Div", {m.add(s, mask), m.scalar(2)});
  });
  ASSERT_EQ(dropped.ops, "Where, Attention") << dropped.notes;
}

TEST(FuseAttention, ScalesOfHeads) {
  for (const bool divides : {false, true}) {
    const Left left = plain([&](Model& m, Id s) {
      const Id scales = m.constant<float>({2, 1, 1}, {0.5f, 2});
      return m.add(m.node(divides ? "Div" : "Mul", {s, scales}), m.input("bias", DType::kFloat32, {1, 2, kS, kS}));
    });
    ASSERT_NE(left.attention, nullptr) << left.notes;
    EXPECT_EQ(left.ops.find("Softmax"), std::string::npos) << left.ops;
  }
}

TEST(FuseAttention, MaskOfOneElementARow) {
  const Left left = plain([](Model& m, Id s) { return m.add(s, m.input("mask", DType::kFloat32, {kB, 1, kS, 1})); });
  ASSERT_NE(left.attention, nullptr) << left.notes;
  EXPECT_NE(left.ops.find("Expand, Attention"), std::string::npos) << left.ops;
}

TEST(FuseAttention, MaskOfMoreRowsThanTheScores) {
  Model m;
  const Id q = m.input("q", DType::kFloat32, {1, 2, kS, 4}), k = m.input("k", DType::kFloat32, {1, 2, 4, kS}),
           v = m.input("v", DType::kFloat32, {1, 2, kS, 4});
  m.output(m.matmul(m.softmax(m.add(m.matmul(q, k), m.input("mask", DType::kFloat32, {kB, 1, kS, kS}))), v));
  const Left batch = left_of(m.graph);
  ASSERT_NE(batch.attention, nullptr) << batch.notes;
  EXPECT_EQ(batch.ops.find("Softmax"), std::string::npos) << batch.ops;

  Model rows;  // one query, as many masks
  const Id one = rows.input("q", DType::kFloat32, {kB, 2, 1, 4}), keys = rows.input("k", DType::kFloat32, {kB, 2, 4, kS}),
           values = rows.input("v", DType::kFloat32, {kB, 2, kS, 4});
  rows.output(rows.matmul(rows.softmax(rows.add(rows.matmul(one, keys), rows.input("mask", DType::kFloat32, {kP, kS}))), values));
  const Left queries = left_of(rows.graph, {{{"batch", 2}, {"seq", 5}, {"past", 3}}});
  ASSERT_NE(queries.attention, nullptr) << queries.notes;
  EXPECT_EQ(queries.ops.find("Softmax"), std::string::npos) << queries.ops;
}

// The rows come from the Expand of the mask alone.
TEST(FuseAttention, ExpandedMaskOfMoreRows) {
  Model m;
  const Id q = m.input("q", DType::kFloat32, {kB, 2, 1, 4}), k = m.input("k", DType::kFloat32, {kB, 2, 4, kS}),
           v = m.input("v", DType::kFloat32, {kB, 2, kS, 4});
  const Id mask = m.node("Expand", {m.input("mask", DType::kFloat32, {kB, 1, 1, kS}), m.ints({1, 1, 3, 1})});
  m.output(m.matmul(m.softmax(m.add(m.matmul(q, k), mask)), v));
  const Left left = left_of(m.graph);
  ASSERT_NE(left.attention, nullptr) << left.notes;
  EXPECT_NE(left.ops.find("Expand"), std::string::npos) << left.ops;
}

// The extents of the keys are those of the present, which would be an output of the attention.
TEST(FuseAttention, MaskOfOneElementARowWithPast) {
  Model m;
  const auto joined = [&](const char* past, const char* fresh) {
    return m.node("Concat", {m.input(past, DType::kFloat32, {kB, 2, kP, 4}), m.heads(m.rows(fresh, 8), 2, 4)}, {{"axis", int64_t{2}}});
  };
  const Id k = joined("past_key", "k"), v = joined("past_value", "v");
  const Id s =
      m.add(m.matmul(m.heads(m.rows("q", 8), 2, 4), m.transpose(k, {0, 1, 3, 2})), m.input("mask", DType::kFloat32, {kB, 1, kS, 1}));
  m.output(m.merged(m.matmul(m.softmax(s), v), 8));
  m.output(k);
  m.output(v);
  left_of(m.graph);
}

TEST(FuseAttention, CausalThatIsNotFarBelowOnceScaled) {
  Model m;
  const Id q = m.heads(m.rows("q", 8, 3), 2, 4), k = m.keys(m.rows("k", 8, 3), 2, 4), v = m.heads(m.rows("v", 8, 3), 2, 4);
  const Id bias = m.constant<float>({3, 3}, {0, -1e4f, -1e4f, 0, 0, -1e4f, 0, 0, 0});
  m.output(m.merged(m.matmul(m.softmax(m.mul(m.add(m.matmul(q, k), bias), 1e-4f)), v), 8));
  const Left left = left_of(m.graph);
  ASSERT_NE(left.attention, nullptr) << left.notes;
  EXPECT_EQ(attr<int64_t>(*left.attention, "is_causal").value_or(0), 0);
}

TEST(FuseAttention, MaximumWithTheLowestNumber) {
  const Left left = plain([](Model& m, Id s) {
    const Id mask = m.where(m.input("mask", DType::kBool, {kB, 1, 1, kS}), m.scalar(0), m.scalar(kLowest));
    return m.node("Max", {m.add(s, mask), m.scalar(kLowest)});
  });
  ASSERT_EQ(left.ops, "Where, Attention") << left.notes;
}

TEST(FuseAttention, MoreThanFourAxes) {
  Model m;  // [batch, windows, heads, length, size]
  const auto five = [&](const char* name) { return m.transpose(m.input(name, DType::kFloat32, {kB, 3, kS, 2, 4}), {0, 1, 3, 2, 4}); };
  const Id q = five("q"), k = m.transpose(five("k"), {0, 1, 2, 4, 3}), v = five("v");
  m.output(m.matmul(m.softmax(m.mul(m.matmul(q, k), 0.5f)), v));
  const Left left = left_of(m.graph);
  ASSERT_NE(left.attention, nullptr) << left.notes;
  EXPECT_EQ(left.ops.find("Softmax"), std::string::npos) << left.ops;
}

TEST(FuseAttention, OneHeadOfKeysForAll) {
  Model m;
  const Id q = m.heads(m.rows("q", 8), 2, 4), k = m.keys(m.rows("k", 4), 1, 4), v = m.heads(m.rows("v", 4), 1, 4);
  m.output(m.merged(m.matmul(m.softmax(m.matmul(q, k)), v), 8));
  const Left left = left_of(m.graph);
  ASSERT_EQ(left.ops, "Attention") << left.notes;
  EXPECT_EQ(attr<int64_t>(*left.attention, "kv_num_heads"), 1);
}

// ---- Guards.

TEST(FuseAttention, Refusals) {
  const auto refused = [](const Left& left, const std::string& why) {
    EXPECT_EQ(left.attention, nullptr) << why;
    EXPECT_NE(left.notes.find(why), std::string::npos) << left.notes;
  };
  refused(plain([](Model& m, Id s) { return m.mul(m.add(s, m.input("mask", DType::kFloat32, {kB, 1, kS, kS})), -1); }), "changed after");
  refused(plain([](Model& m, Id s) { return m.mul(s, -1); }), "negative");
  refused(plain([](Model& m, Id s) { return m.node("Mul", {s, m.input("scales", DType::kFloat32, {kB, 2, kS, kS})}); }), "");
  refused(plain([](Model& m, Id s) { return m.where(m.input("mask", DType::kBool, {kB, 1, 1, kS}), s, m.scalar(-100)); }), "far below");
  refused(plain([](Model& m, Id s) {
            return m.where(m.input("mask", DType::kBool, {kB, 1, 1, kS}), s, m.scalar(-1e4f));
          }),
          "infinitely far below");

  Model shared;
  const Id q = shared.heads(shared.rows("q", 8), 2, 4), k = shared.keys(shared.rows("k", 8), 2, 4),
           v = shared.heads(shared.rows("v", 8), 2, 4);
  const Id p = shared.softmax(shared.matmul(q, k));
  shared.output(shared.merged(shared.matmul(p, v), 8));
  shared.output(p);
  refused(left_of(shared.graph), "an output of the graph");

  Model batches;  // queries are the same for all of the batch
  const Id learned = batches.input("q", DType::kFloat32, {1, 2, kS, 4}), all = batches.input("k", DType::kFloat32, {kB, 2, 4, kS});
  batches.output(batches.matmul(batches.softmax(batches.matmul(learned, all)), batches.input("v", DType::kFloat32, {kB, 2, kS, 4})));
  refused(left_of(batches.graph), "may differ");

  Model axis;
  const Id aq = axis.input("q", DType::kFloat32, {kB, 2, 3, 4}), ak = axis.input("k", DType::kFloat32, {kB, 2, 4, 3});
  axis.output(axis.matmul(axis.softmax(axis.matmul(aq, ak), 2), axis.input("v", DType::kFloat32, {kB, 2, 3, 4})));
  EXPECT_EQ(left_of(axis.graph).attention, nullptr);
}

// The mask's extents are taken from what would become an output of the attention itself.
TEST(FuseAttention, MaskFromItsOwnPresent) {
  Model m;
  const Id past_key = m.input("past_key", DType::kFloat32, {kB, 2, Dim(), 4}),
           past_value = m.input("past_value", DType::kFloat32, {kB, 2, Dim(), 4});
  const Id k = m.node("Concat", {past_key, m.heads(m.rows("k", 8), 2, 4)}, {{"axis", int64_t{2}}});
  const Id v = m.node("Concat", {past_value, m.heads(m.rows("v", 8), 2, 4)}, {{"axis", int64_t{2}}});
  const Id bias = m.node("ReduceSum", {k, m.ints({1, 3})}, {{"keepdims", int64_t{0}}}, 13);
  const Id s = m.add(m.matmul(m.heads(m.rows("q", 8), 2, 4), m.transpose(k, {0, 1, 3, 2})), m.node("Unsqueeze", {bias, m.ints({1, 2})}));
  m.output(m.merged(m.matmul(m.softmax(s), v), 8));
  const Left left = left_of(m.graph, {{}});
  EXPECT_EQ(count(left.graph, "Concat"), 2u) << left.notes;
}

// Layers that share masks and biases share their sum.
TEST(FuseAttention, TheSumOfMasksIsMadeOnce) {
  Model m;
  const Id mask = m.input("mask", DType::kFloat32, {kB, 1, 1, kS}), bias = m.input("bias", DType::kFloat32, {1, 2, kS, kS});
  Id x = m.rows("x", 8);
  for (int layer = 0; layer < 3; ++layer) {
    const Id s = m.add(m.add(m.mul(m.matmul(m.heads(x, 2, 4), m.keys(x, 2, 4)), 0.5f), bias), mask);
    x = m.merged(m.matmul(m.softmax(s), m.heads(x, 2, 4)), 8);
  }
  m.output(x);
  // Without projections between them the heads stay apart from layer to layer.
  EXPECT_EQ(left_of(m.graph, {{}}, 2e-5).ops, "Reshape, Add, Transpose, Attention, Attention, Attention, Transpose, Reshape");
}

}  // namespace
}  // namespace cameo::passes
