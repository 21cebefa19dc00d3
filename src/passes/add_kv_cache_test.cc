#include "passes/add_kv_cache.h"

#include <cmath>
#include <functional>
#include <random>

#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using ir::Dim;
using ops::RtValue;

constexpr int64_t kVocabulary = 11, kWidth = 8, kHeads = 2, kPositions = 32;
const Dim kB = Dim::symbol("batch"), kS = Dim::symbol("seq");

// A language model of one layer, put together from what exporters write.
struct Lm : TestGraph {
  std::mt19937 random{7};
  Id ids = input("input_ids", DType::kInt64, {kB, kS}), mask = ir::kNoValue;
  Id attention_mask() { return mask == ir::kNoValue ? mask = input("attention_mask", DType::kInt64, {kB, kS}) : mask; }

  Id weight(const Dims& dims) {
    Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
    for (float& v : t.span<float>()) v = std::uniform_real_distribution<float>(-1, 1)(random);
    return graph.add_constant("w", t);
  }
  Id table() { return table_ == ir::kNoValue ? table_ = weight({kPositions, kWidth}) : table_; }
  Id embedded() { return node("Gather", {weight({kVocabulary, kWidth}), ids}); }
  Id length() { return node("Squeeze", {node("Shape", {ids}, {{"start", int64_t{1}}, {"end", int64_t{2}}})}); }
  Id range() { return node("Range", {constant<int64_t>({}, {0}), length(), constant<int64_t>({}, {1})}); }
  Id unsqueeze(Id x, std::initializer_list<int64_t> axes) { return node("Unsqueeze", {x, ints(axes)}); }
  Id linear(Id x, int64_t from = kWidth, int64_t to = kWidth) { return node("MatMul", {x, weight({from, to})}); }
  Id norm(Id x) { return node("LayerNormalization", {x, weight({kWidth}), weight({kWidth})}, {{"axis", int64_t{-1}}}); }

  // [1, 1, seq, seq], true where a token may be seen
  Id causal() { return node("LessOrEqual", {unsqueeze(range(), {0, 1, 2}), unsqueeze(range(), {0, 1, 3})}); }

  Id attend(Id q, Id k, Id v, Id bias = ir::kNoValue, bool is_causal = true) {
    std::vector<Id> inputs = {q, k, v};
    if (bias != ir::kNoValue) inputs.push_back(bias);
    return node("Attention", inputs, {{"is_causal", static_cast<int64_t>(is_causal)}, {"q_num_heads", kHeads}, {"kv_num_heads", kHeads}});
  }
  // What follows the embedding; `attention` of queries, keys and values.
  void layers(Id x, const std::function<Id(Id, Id, Id)>& attention) {
    const Id h = norm(x);
    x = node("Add", {x, linear(attention(linear(h), linear(h), linear(h)))});
    // As Conv1D of GPT-2: the product on [batch * seq, width].
    const Id flat = node("Reshape", {norm(x), ints({-1, kWidth})});
    const Id wide = node("Gelu", {node("Gemm", {flat, weight({kWidth, 16}), weight({16})})});
    const Id back = node("Gemm", {wide, weight({16, kWidth}), weight({kWidth})});
    const Id target = node("Concat", {node("Shape", {ids}), ints({kWidth})}, {{"axis", int64_t{0}}});
    x = node("Add", {x, node("Reshape", {back, target})});
    logits(linear(norm(x), kWidth, kVocabulary));
  }
  void plain_layers(Id x) {
    layers(x, [&](Id q, Id k, Id v) { return attend(q, k, v); });
  }
  void logits(Id x) {
    const Id id = graph.add_value("logits");
    const ir::Node identity = {
        ops::find_op("", "Identity"), 22, "out", {x}, {id}, ops::find_op("", "Identity")->make_attrs(), {}, {}, {}, {}, {}};
    graph.nodes.push_back(identity);
    output(id);
    EXPECT_TRUE(ir::infer_types(graph).ok());
  }

 private:
  Id table_ = ir::kNoValue;
};

Tensor of_row(const std::vector<int64_t>& row) {
  return Tensor::of<int64_t>({1, static_cast<int64_t>(row.size())}, std::span<const int64_t>(row));
}

// The logits of the last token of a row that stands alone.
std::vector<float> alone(const ir::Graph& graph, const std::vector<int64_t>& row) {
  std::vector<RtValue> inputs;
  std::vector<int64_t> count(row.size());
  for (size_t i = 0; i < row.size(); ++i) count[i] = static_cast<int64_t>(i);
  for (Id id : graph.inputs) {
    const std::string& name = graph.value(id).name;
    inputs.push_back(RtValue::of(of_row(name == "input_ids" ? row : name == "position_ids" ? count : std::vector<int64_t>(row.size(), 1))));
  }
  const auto outputs = ops::evaluate_graph(graph, inputs);
  EXPECT_TRUE(outputs.ok()) << outputs.error().message();
  const std::span<const float> all = (*outputs)[0].tensor.span<float>();
  return {all.end() - kVocabulary, all.end()};
}

// Rows of different lengths, at once and then token by token, give what they give alone.
void expect_same(const ir::Graph& graph, const ir::Graph& cached, const std::string& what) {
  constexpr int64_t kCapacity = 12;
  std::vector<std::vector<int64_t>> rows = {{3, 1, 4}, {1, 5, 9, 2, 6}};
  std::vector<RtValue> inputs(cached.inputs.size());
  for (size_t i = 3; i < inputs.size(); ++i) {
    ir::Shape shape = *cached.value(cached.inputs[i]).type.shape;
    Dims dims;
    for (const Dim& d : shape) dims.push_back(d.is_const() ? d.value() : dims.empty() ? 2 : kCapacity);
    Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
    for (float& v : t.span<float>()) v = 1e3f;  // what is not used does not show
    inputs[i] = RtValue::of(t);
  }
  std::vector<int64_t> past = {0, 0};
  for (int step = 0; step < 4; ++step) {
    const int64_t width = step == 0 ? 5 : 1;
    std::vector<int64_t> ids, last;
    for (size_t r = 0; r < 2; ++r) {
      if (step > 0) rows[r].push_back(static_cast<int64_t>(r) + step);
      for (int64_t i = 0; i < width; ++i) {
        const size_t at = static_cast<size_t>(past[r] + i);
        ids.push_back(at < rows[r].size() ? rows[r][at] : 0);
      }
      last.push_back(static_cast<int64_t>(rows[r].size()) - past[r] - 1);
    }
    inputs[0] = RtValue::of(Tensor::of<int64_t>({2, width}, std::span<const int64_t>(ids)));
    inputs[1] = RtValue::of(Tensor::of<int64_t>({2}, std::span<const int64_t>(past)));
    inputs[2] = RtValue::of(Tensor::of<int64_t>({2}, std::span<const int64_t>(last)));
    const auto outputs = ops::evaluate_graph(cached, inputs);
    ASSERT_TRUE(outputs.ok()) << what << outputs.error().message();
    ASSERT_EQ((*outputs)[0].tensor.dims(), (Dims{2, 1, kVocabulary})) << what;
    for (size_t r = 0; r < 2; ++r) {
      const std::vector<float> want = alone(graph, rows[r]);
      for (size_t i = 0; i < want.size(); ++i)
        ASSERT_NEAR((*outputs)[0].tensor.data<float>()[r * kVocabulary + i], want[i], 1e-4) << what << ", step " << step << ", row " << r;
      past[r] = static_cast<int64_t>(rows[r].size());
    }
    for (size_t i = 3; i < inputs.size(); ++i) inputs[i] = (*outputs)[i - 2];
  }
}

ir::Graph expect_cached(const ir::Graph& graph, const std::string& what, int64_t most_positions = 0) {
  ir::Graph cached = graph;
  const auto found = add_kv_cache(cached);
  EXPECT_TRUE(found.ok()) << what << ": " << (found.ok() ? "" : found.error().message());
  if (!found.ok()) return cached;
  EXPECT_EQ(found->caches, 2) << what;
  EXPECT_EQ(found->most_positions, most_positions) << what;
  std::string names;
  for (const auto* list : {&cached.inputs, &cached.outputs})
    for (Id id : *list) names += cached.value(id).name + " ";
  EXPECT_EQ(names,
            "input_ids past_lengths last_positions past_key_values.0.key past_key_values.0.value logits present.0.key present.0.value ")
      << what;
  expect_same(graph, cached, what);
  return cached;
}

TEST(AddKvCache, Positions) {
  const auto learned = [](const std::string& what, const std::function<Id(Lm&)>& rows) {
    Lm m;
    const Id x = m.embedded();
    m.plain_layers(m.node("Add", {x, rows(m)}));
    expect_cached(m.graph, what, kPositions);
  };
  learned("looked up by [1, seq]", [](Lm& m) { return m.node("Gather", {m.table(), m.unsqueeze(m.range(), {0})}); });
  learned("looked up by [seq]", [](Lm& m) { return m.node("Gather", {m.table(), m.range()}); });
  learned("the beginning of a table", [](Lm& m) {
    const Id table = m.graph.add_constant("t", m.graph.value(m.table()).constant.reshaped({1, kPositions, kWidth}));
    return m.node("Slice", {table, m.ints({0}), m.unsqueeze(m.length(), {0}), m.ints({1})});
  });
  learned("an input", [](Lm& m) { return m.node("Gather", {m.table(), m.input("position_ids", DType::kInt64, {kB, kS})}); });
  learned("counted in the mask", [](Lm& m) {
    const Id counted = m.node("Sub", {m.node("CumSum", {m.attention_mask(), m.constant<int64_t>({}, {1})}), m.constant<int64_t>({}, {1})});
    const Id padded = m.node("Equal", {m.attention_mask(), m.constant<int64_t>({}, {0})});
    return m.node("Gather", {m.table(), m.node("Where", {padded, m.constant<int64_t>({}, {1}), counted})});
  });
}

// Rows of a table in few bits are looked up with their scales.
TEST(AddKvCache, QuantizedEmbedding) {
  Lm m;
  Tensor table = Tensor::allocate(DType::kInt8, {kVocabulary, kWidth}).value();
  for (int64_t i = 0; i < table.num_elements(); ++i) table.data<int8_t>()[i] = static_cast<int8_t>(i * 37);
  const Id rows = m.node("Gather", {m.graph.add_constant("t", table), m.ids}),
           scales = m.node("Gather", {m.weight({kVocabulary, 2}), m.ids});
  m.plain_layers(m.node("DequantizeLinear", {rows, scales}, {{"axis", int64_t{-1}}, {"block_size", kWidth / 2}}));
  expect_cached(m.graph, "int8 in blocks");
}

// QDQ: weights and activations go through pairs of QuantizeLinear and DequantizeLinear.
TEST(AddKvCache, QuantizedProducts) {
  Lm m;
  const auto linear = [&](Id x, int64_t to) {
    Tensor w = Tensor::allocate(DType::kInt8, {kWidth, to}).value();
    for (int64_t i = 0; i < w.num_elements(); ++i) w.data<int8_t>()[i] = static_cast<int8_t>(i * 73);
    const Id scale = m.scalar(0.05f);
    const Id rounded = m.node("DequantizeLinear", {m.node("QuantizeLinear", {x, scale}), scale});
    return m.node("MatMul", {rounded, m.node("DequantizeLinear", {m.graph.add_constant("w", w), m.scalar(0.01f)})});
  };
  const Id x = m.embedded(), h = m.norm(x);
  m.logits(linear(m.norm(m.node("Add", {x, m.attend(linear(h, kWidth), linear(h, kWidth), linear(h, kWidth))})), kVocabulary));
  expect_cached(m.graph, "QDQ");
}

// Angles of rotary embeddings from positions, as Llama's exports compute them.
TEST(AddKvCache, RotaryEmbeddings) {
  for (int way = 0; way < 3; ++way) {
    Lm m;
    const Id x = m.embedded();
    Id cos, sin, positions = ir::kNoValue;
    if (way == 2) {
      cos = m.weight({kPositions, kWidth / kHeads / 2}), sin = m.weight({kPositions, kWidth / kHeads / 2});
      positions = m.node("Expand", {m.unsqueeze(m.range(), {0}), m.node("Shape", {m.ids})});
    } else {
      const Id frequencies = m.constant<float>({1, kWidth / kHeads / 2, 1}, {1.f, 0.1f});
      const Id batch = m.node("Concat", {m.node("Shape", {m.ids}, {{"end", int64_t{1}}}), m.ints({1, 1})}, {{"axis", int64_t{0}}});
      const Id row = m.node("Cast", {m.unsqueeze(m.range(), {0, 1})}, {{"to", static_cast<int64_t>(DType::kFloat32)}});
      // In one of them the frequencies have a batch, in the other the angles get it.
      Id angles = m.node("MatMul", {way == 0 ? m.node("Expand", {frequencies, batch}) : frequencies, row});
      angles = m.node("Transpose", {angles}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
      if (way == 1) angles = m.node("Expand", {angles, batch});
      cos = m.node("Cos", {angles}), sin = m.node("Sin", {angles});
    }
    const auto rotated = [&](Id heads) {
      std::vector<Id> inputs = {heads, cos, sin};
      if (positions != ir::kNoValue) inputs.push_back(positions);
      return m.node("RotaryEmbedding", inputs, {{"num_heads", kHeads}});
    };
    m.layers(x, [&](Id q, Id k, Id v) { return m.attend(rotated(q), rotated(k), v); });
    expect_cached(m.graph, "rotary " + std::to_string(way));
  }
}

TEST(AddKvCache, Masks) {
  const auto masked = [](const std::string& what, const std::function<Id(Lm&)>& bias, bool is_causal) {
    Lm m;
    const Id b = bias(m);
    m.layers(m.embedded(), [&](Id q, Id k, Id v) { return m.attend(q, k, v, b, is_causal); });
    expect_cached(m.graph, what);
  };
  const auto seen = [](Lm& m) {  // [batch, 1, 1, seq]
    return m.unsqueeze(m.node("Cast", {m.attention_mask()}, {{"to", static_cast<int64_t>(DType::kBool)}}), {1, 2});
  };
  masked(
      "none but causal", [](Lm&) { return ir::kNoValue; }, true);
  masked(
      "a triangle", [](Lm& m) { return m.causal(); }, false);
  masked("padding alone", seen, true);
  masked(
      "a triangle and padding",
      [&](Lm& m) {
        return m.node("And", {m.causal(), seen(m)});
      },
      false);
  masked(
      "(1 - mask) * min",
      [&](Lm& m) {
        const Id on = m.node("Cast", {seen(m)}, {{"to", static_cast<int64_t>(DType::kFloat32)}});
        const Id off = m.node("Mul", {m.node("Sub", {m.scalar(1), on}), m.scalar(-3.4e38f)});
        return m.node("Add", {m.node("Where", {m.causal(), m.scalar(0), m.scalar(-3.4e38f)}), off});
      },
      false);
  masked(
      "a corner of a known triangle",
      [](Lm& m) {
        Tensor t = Tensor::allocate(DType::kBool, {1, 1, kPositions, kPositions}).value();
        for (int64_t i = 0; i < t.num_elements(); ++i) t.data<bool>()[i] = i % kPositions <= i / kPositions;
        const Id end = m.unsqueeze(m.length(), {0});
        const Id ends = m.node("Concat", {end, end}, {{"axis", int64_t{0}}});
        return m.node("Slice", {m.graph.add_constant("t", t), m.ints({0, 0}), ends, m.ints({2, 3})});
      },
      false);
}

TEST(AddKvCache, OnlyLastPositionsAfterTheLastAttention) {
  Lm m;
  m.plain_layers(m.embedded());
  const ir::Graph cached = expect_cached(m.graph, "plain");
  for (const ir::Node& node : cached.nodes)
    if (node.op->name == "Gemm") {
      EXPECT_EQ(ir::to_string(*cached.value(node.outputs[0]).type.shape).substr(0, 6), "[batch") << node.name;
    }
  EXPECT_EQ(count(cached, "GatherND"), 2u);  // the attention's result, and what goes around it
}

TEST(AddKvCache, HeadsApart) {
  Lm m;
  const Id x = m.embedded();
  const auto apart = [&](Id h) {
    return m.node("Transpose", {m.node("Reshape", {h, m.ints({0, 0, kHeads, kWidth / kHeads})})},
                  {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  };
  m.layers(x, [&](Id q, Id k, Id v) {
    const Id y = m.node("Attention", {apart(q), apart(k), apart(v)}, {{"is_causal", int64_t{1}}});
    return m.node("Reshape", {m.node("Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}}), m.ints({0, 0, kWidth})});
  });
  const ir::Graph cached = expect_cached(m.graph, "[batch, heads, seq, size]");
  EXPECT_EQ(cached.value(cached.inputs[3]).type.shape->size(), 4u);
}

void expect_refused(const Lm& m, const std::string& reason) {
  ir::Graph graph = m.graph;
  const auto found = add_kv_cache(graph);
  ASSERT_FALSE(found.ok()) << reason;
  EXPECT_EQ(found.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(found.error().message().find(reason), std::string::npos) << found.error().message();
  EXPECT_EQ(ops_of(graph), ops_of(m.graph));
}

TEST(AddKvCache, Refusals) {
  const auto refused = [](const std::string& reason, const std::function<Id(Lm&, Id)>& embedded, const std::function<Id(Lm&)>& bias,
                          bool is_causal) {
    Lm m;
    const Id x = embedded(m, m.embedded()), b = bias ? bias(m) : ir::kNoValue;
    m.layers(x, [&](Id q, Id k, Id v) { return m.attend(q, k, v, b, is_causal); });
    expect_refused(m, reason);
  };
  const auto same = [](Lm&, Id x) { return x; };
  refused("it is not causal", same, nullptr, false);
  refused(
      "it is not causal", same,
      [](Lm& m) {  // BERT
        return m.unsqueeze(m.node("Cast", {m.attention_mask()}, {{"to", static_cast<int64_t>(DType::kBool)}}), {1, 2});
      },
      false);
  refused(
      "hides other keys", same, [](Lm& m) { return m.node("Not", {m.causal()}); }, false);
  refused(
      "none that is known", same,
      [](Lm& m) {
        return m.weight({kHeads, 1, 1});
      },
      true);
  refused(
      "it takes a mean over positions",
      [](Lm& m, Id x) {
        return m.node("LayerNormalization", {x, m.weight({1, kWidth})}, {{"axis", int64_t{1}}});
      },
      nullptr, true);
  refused(
      "it reduces over positions",
      [](Lm& m, Id x) {
        return m.node("Sub", {x, m.node("ReduceMean", {x, m.ints({1})}, {{"keepdims", int64_t{1}}})});
      },
      nullptr, true);
  refused(
      "(Conv): it is not known to treat each position by itself",
      [](Lm& m, Id x) {
        const auto turn = [&](Id v) { return m.node("Transpose", {v}, {{"perm", std::vector<int64_t>{0, 2, 1}}}); };
        return turn(m.node("Conv", {turn(x), m.weight({kWidth, kWidth, 3})}, {{"pads", std::vector<int64_t>{2, 0}}}));
      },
      nullptr, true);
  refused(
      "it sums over positions",
      [](Lm& m, Id x) {
        const auto turn = [&](Id v) { return m.node("Transpose", {v}, {{"perm", std::vector<int64_t>{0, 2, 1}}}); };
        return m.node("Add", {x, m.node("Expand", {m.node("MatMul", {turn(x), m.weight({1, 1})}), m.ints({1, 1})})});
      },
      nullptr, true);
  // The length itself is a number that the tokens are multiplied by.
  refused(
      "depends on the number of tokens",
      [](Lm& m, Id x) {
        return m.node("Mul", {x, m.node("Cast", {m.length()}, {{"to", static_cast<int64_t>(DType::kFloat32)}})});
      },
      nullptr, true);
  refused(
      "depends on the number of tokens",
      [](Lm& m, Id x) {
        const Id scale =
            m.node("Cast", {m.node("ReduceSum", {m.attention_mask(), m.ints({1})})}, {{"to", static_cast<int64_t>(DType::kFloat32)}});
        return m.node("Mul", {x, m.unsqueeze(scale, {-1})});
      },
      nullptr, true);
}

TEST(AddKvCache, OtherModels) {
  Lm without;
  without.logits(without.linear(without.embedded(), kWidth, kVocabulary));
  expect_refused(without, "no Attention");
  Lm other;
  other.input("pixel_values", DType::kFloat32, {kB, 3});
  other.plain_layers(other.embedded());
  expect_refused(other, "'pixel_values'");
  Lm fixed;
  fixed.graph.value(fixed.ids).type.shape = ir::Shape{kB, 16};
  fixed.plain_layers(fixed.embedded());
  expect_refused(fixed, "fixed length, 16");
}

}  // namespace
}  // namespace cameo::passes
