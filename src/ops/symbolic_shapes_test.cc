// Chains of shape arithmetic as exporters write them: what stays known while "batch" and "seq" are symbols.
#include <gtest/gtest.h>

#include "ops/infer.h"

namespace cameo::ops {
namespace {

// A graph of single-output nodes of one opset, built and inferred step by step.
class Chain {
 public:
  ir::ValueId input(const std::string& name, DType dtype, ir::Shape shape) {
    const auto id = graph_.add_value(name);
    graph_.inputs.push_back(id);
    types_.push_back(Fact::of(ir::Type::tensor(dtype, std::move(shape))));
    return id;
  }
  ir::ValueId list(std::initializer_list<int64_t> values) {
    return graph_.add_constant("c", Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
  }
  ir::ValueId number(int64_t value) { return graph_.add_constant("c", Tensor::of<int64_t>({}, {value})); }
  ir::ValueId add(const char* op, std::vector<ir::ValueId> inputs, std::shared_ptr<ir::Attrs> attrs = nullptr) {
    ir::Node node;
    node.op = find_op("", op);
    node.version = 20;
    node.inputs = std::move(inputs);
    node.outputs = {graph_.add_value(op)};
    node.attrs = attrs ? attrs : std::shared_ptr<ir::Attrs>(node.op->make_attrs());
    graph_.nodes.push_back(node);
    return node.outputs[0];
  }
  std::shared_ptr<ir::Attrs> axis(const char* op, int64_t value) {
    struct Setter final : ir::AttrVisitor {
      int64_t value = 0;
      void operator()(const char*, int64_t& v) override { v = value; }
      void operator()(const char*, float&) override {}
      void operator()(const char*, std::string&) override {}
      void operator()(const char*, std::vector<int64_t>&) override {}
      void operator()(const char*, std::vector<float>&) override {}
      void operator()(const char*, std::vector<std::string>&) override {}
      void operator()(const char*, Tensor&) override {}
      void operator()(const char*, std::optional<int64_t>& v) override { v = value; }
      void operator()(const char*, std::optional<float>&) override {}
      void operator()(const char*, std::optional<std::string>&) override {}
      void operator()(const char*, std::optional<std::vector<int64_t>>&) override {}
      void operator()(const char*, std::optional<std::vector<float>>&) override {}
      void operator()(const char*, std::optional<std::vector<std::string>>&) override {}
    } setter;
    setter.value = value;
    std::shared_ptr<ir::Attrs> attrs = find_op("", op)->make_attrs();
    attrs->visit(setter);
    return attrs;
  }
  std::string type(ir::ValueId id) {
    auto facts = infer_graph(graph_, types_);
    return facts.ok() ? (*facts)[id].type.to_string() : facts.error().message();
  }

 private:
  ir::Graph graph_;
  std::vector<Fact> types_;
};

const ir::Dim kBatch = ir::Dim::symbol("batch"), kSeq = ir::Dim::symbol("seq"), kPast = ir::Dim::symbol("past");

TEST(SymbolicShapes, ReshapeIntoHeads) {
  Chain g;
  const auto x = g.input("x", DType::kFloat32, {kBatch, kSeq, 768});
  const auto shape = g.add("Shape", {x});
  const auto batch = g.add("Unsqueeze", {g.add("Gather", {shape, g.number(0)}), g.list({0})});
  const auto seq = g.add("Slice", {shape, g.list({1}), g.list({2})});
  const auto target = g.add("Concat", {batch, seq, g.list({12, -1})}, g.axis("Concat", 0));
  EXPECT_EQ(g.type(g.add("Reshape", {x, target})), "float32[batch, seq, 12, 64]");
  EXPECT_EQ(g.type(g.add("Reshape", {x, g.list({0, 0, 12, -1})})), "float32[batch, seq, 12, 64]");
  EXPECT_EQ(g.type(g.add("Reshape", {x, g.list({-1, 768})})), "float32[batch*seq, 768]");
}

TEST(SymbolicShapes, UnknownExtentFollowsFromTheOthers) {
  Chain g;
  const auto x = g.input("x", DType::kFloat32, {kBatch, ir::Dim::unknown(), 768});
  EXPECT_EQ(g.type(g.add("Reshape", {x, g.list({0, 0, 12, -1})})), "float32[batch, ?, 12, 64]");
}

TEST(SymbolicShapes, SlicesOfATableBroadcast) {
  Chain g;
  const auto ids = g.input("ids", DType::kInt64, {kBatch, kSeq});
  const auto table = g.input("table", DType::kInt64, {1, 512});
  const auto seq = g.add("Slice", {g.add("Shape", {ids}), g.list({1}), g.list({2})});
  const auto positions = g.add("Slice", {table, g.list({0}), seq, g.list({1})});
  EXPECT_EQ(g.type(positions), "int64[1, min(512, seq)]");
  EXPECT_EQ(g.type(g.add("Expand", {positions, g.add("Shape", {ids})})), "int64[batch, seq]");
}

TEST(SymbolicShapes, CausalMaskIsCutFromATable) {
  Chain g;
  const auto all = g.input("all", DType::kFloat32, {kBatch, kPast + kSeq});
  const auto past = g.input("past", DType::kFloat32, {kBatch, kPast});
  const auto scores = g.input("scores", DType::kFloat32, {kBatch, 12, kSeq, kPast + kSeq});
  const auto table = g.input("table", DType::kFloat32, {1, 1, 1024, 1024});
  const auto from = g.add("Slice", {g.add("Shape", {past}), g.list({1}), g.list({2})});
  const auto to = g.add("Slice", {g.add("Shape", {all}), g.list({1}), g.list({2})});
  const auto rows = g.add("Slice", {table, from, to, g.list({2})});
  const auto mask = g.add("Slice", {rows, g.list({0}), to, g.list({3})});
  EXPECT_EQ(g.type(g.add("Expand", {mask, g.add("Shape", {scores})})), "float32[batch, 12, seq, seq + past]");
}

TEST(SymbolicShapes, ExtentsAddUp) {
  Chain g;
  const auto past = g.input("past", DType::kFloat32, {kBatch, kPast});
  const auto now = g.input("now", DType::kFloat32, {kBatch, kSeq});
  const auto all = g.add("Concat", {past, now}, g.axis("Concat", 1));
  EXPECT_EQ(g.type(all), "float32[batch, seq + past]");
  EXPECT_EQ(g.type(g.add("Slice", {all, g.list({0}), g.list({INT64_MAX}), g.list({1}), g.list({1})})), "float32[batch, seq + past]");
  EXPECT_EQ(g.type(g.add("Range", {g.number(0), g.add("Size", {all}), g.number(1)})), "int64[batch*seq + batch*past]");
}

TEST(SymbolicShapes, UnknownRanksAreTaken) {
  Chain g;
  const auto x = g.input("x", DType::kFloat32, {kBatch, kSeq});
  const auto shape = g.input("shape", DType::kInt64, {ir::Dim::unknown()});
  const auto any = g.add("Reshape", {x, shape});
  EXPECT_EQ(g.type(any), ir::Type::tensor(DType::kFloat32).to_string());
  for (const char* op : {"Shape", "Size", "Transpose", "Flatten", "Identity", "Squeeze"})
    EXPECT_EQ(g.type(g.add(op, {any})).find("node"), std::string::npos);
}

}  // namespace
}  // namespace cameo::ops
