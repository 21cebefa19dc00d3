#include "onnx/write.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "onnx/test_models.h"
#include "ops/op.h"

namespace cameo::onnx {
namespace {

using namespace test;

// Equal in everything that a model says, with the same names.
void expect_equal(const ir::Graph& a, const ir::Graph& b) {
  EXPECT_EQ(ir::to_string(a), ir::to_string(b));
  for (const ir::Value& value : a.values) {
    const ir::ValueId id = b.find(value.name);
    ASSERT_NE(id, ir::kNoValue) << value.name;
    EXPECT_EQ(value.type.to_string(), b.value(id).type.to_string()) << value.name;
    ASSERT_EQ(value.is_constant(), b.value(id).is_constant()) << value.name;
    if (!value.is_constant()) continue;
    const Tensor &x = value.constant, &y = b.value(id).constant;
    ASSERT_EQ(x.dims(), y.dims());
    if (x.dtype() == DType::kString) {
      for (int64_t i = 0; i < x.num_elements(); ++i) EXPECT_EQ(x.data<std::string>()[i], y.data<std::string>()[i]);
    } else if (x.num_bytes() > 0) {
      EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.num_bytes()), 0) << value.name;
    }
  }
  ASSERT_EQ(a.nodes.size(), b.nodes.size());
  for (size_t i = 0; i < a.nodes.size(); ++i) {
    EXPECT_EQ(a.nodes[i].name, b.nodes[i].name);
    EXPECT_EQ(a.nodes[i].version, b.nodes[i].version);
    EXPECT_TRUE(ir::equal(*a.nodes[i].attrs, *b.nodes[i].attrs));
    ASSERT_EQ(a.nodes[i].subgraphs.size(), b.nodes[i].subgraphs.size());
    for (size_t k = 0; k < a.nodes[i].subgraphs.size(); ++k) expect_equal(*a.nodes[i].subgraphs[k].graph, *b.nodes[i].subgraphs[k].graph);
  }
}

void expect_round_trip(const std::string& model) {
  auto first = import_bytes(model);
  ASSERT_TRUE(first.ok()) << first.error().message();
  auto written = serialize_model(first->graph);
  ASSERT_TRUE(written.ok()) << written.error().message();
  auto second = import_bytes(*written);
  ASSERT_TRUE(second.ok()) << second.error().message();
  const Status sound = ir::verify(second->graph);
  EXPECT_TRUE(sound.ok()) << sound.error().message();
  expect_equal(first->graph, second->graph);
}

TEST(Write, NodesAttributesAndTypes) {
  expect_round_trip(model(graph({.nodes = {node("Softmax", {"x"}, {"h"}, {int_attribute("axis", 1)}, "/soft"),
                                           node("Concat", {"h", "x"}, {"y"}, {int_attribute("axis", 0)})},
                                 .inputs = {input_x()},
                                 .outputs = {output_y()},
                                 .value_infos = {value_info("h", tensor_type(1, {"N", 4}))}})));
}

// Operators of domain ai.cameo, with their opset.
TEST(Write, OwnOperators) {
  const auto program = [](const std::vector<int64_t>& code) {
    std::string values;
    for (int64_t v : code) values += number(8, v);
    return attribute("program", 7, values);
  };
  const std::string text = model(graph({.nodes = {node("Pointwise", {"x"}, {"h"}, {program({0, 0, 0, 0, 24, 1, 0, 0})}, "p", "ai.cameo"),
                                                  node("MatMul", {"h", "x"}, {"y"}, {int_attribute("trans_b", 1)}, "m", "ai.cameo")},
                                        .inputs = {input_x()},
                                        .outputs = {output_y()}}),
                                 {}, bytes(8, opset("ai.cameo", 1)));
  expect_round_trip(text);
  const auto written = serialize_model(import_bytes(text)->graph);
  ASSERT_TRUE(written.ok());
  EXPECT_NE(written->find(bytes(8, opset("ai.cameo", 1))), std::string::npos);
}

TEST(Write, ConstantsOfEveryType) {
  Names initializers;
  for (int type = 1; type < kNumDTypes; ++type) {
    const std::string name = "w" + std::to_string(type);
    const int bits = dtype_bits(static_cast<DType>(type));
    if (bits == 0)
      initializers.push_back(tensor_head(name, type, {5}) + bytes(6, "a") + bytes(6, "") + bytes(6, "c") + bytes(6, "d") + bytes(6, "e"));
    else
      initializers.push_back(tensor(name, type, {5}, std::string((static_cast<size_t>(bits) * 5 + 7) / 8, '\x01')));
  }
  initializers.push_back(tensor("scalar", 7, {}, "12345678"));
  initializers.push_back(tensor("nothing", 1, {0, 3}, ""));
  expect_round_trip(model_with(initializers));
}

TEST(Write, FunctionsAreWrittenOut) {
  const Names functions = {
      function({.name = "f", .inputs = {"a"}, .outputs = {"b"}, .nodes = {node("Softmax", {"a"}, {"t"}), node("Softmax", {"t"}, {"b"})}})};
  expect_round_trip(model_of({node("f", {"x"}, {"h"}, {}, "one", "local"), node("f", {"h"}, {"y"}, {}, "", "local")}, functions));
}

TEST(Write, SubgraphsAndCaptures) {
  if (ops::find_op("", "If") == nullptr) GTEST_SKIP() << "there is no If";
  const std::string inner = graph({.nodes = {node("Concat", {"h", "small", "large", "own"}, {"t"}, {int_attribute("axis", 0)}, "cat")},
                                   .outputs = {value_info("t", "")},
                                   .initializers = {float_tensor("own", {1, 4}, {5, 6, 7, 8})}});
  const std::string nested =
      graph({.nodes = {node("If", {"c"}, {"u"}, {graph_attribute("then_branch", inner), graph_attribute("else_branch", inner)})},
             .outputs = {value_info("u", "")}});
  expect_round_trip(model(graph(
      {.nodes = {node("Softmax", {"x"}, {"h"}),
                 node("If", {"c"}, {"y"}, {graph_attribute("then_branch", inner), graph_attribute("else_branch", nested)}, "cond")},
       .inputs = {input_x(), value_info("c", tensor_type(9, {}))},
       .outputs = {output_y()},
       .initializers = {float_tensor("small", {1, 4}, {1, 2, 3, 4}), float_tensor("large", {1000, 4}, std::vector<float>(4000, 1.f))}})));
}

TEST(Write, LargeConstantsGoToAFileOfTheirOwn) {
  const std::string path = ::testing::TempDir() + "/write_" + std::to_string(::getpid()) + ".onnx";
  const std::string text = model_with({float_tensor("w", {1000}, std::vector<float>(1000, 2.f)),
                                       float_tensor("v", {300}, std::vector<float>(300, 3.f)), float_tensor("s", {1}, {4})});
  auto first = import_bytes(text);
  ASSERT_TRUE(first.ok()) << first.error().message();
  const Status written = write_model(first->graph, path, {.max_inline_bytes = 100});
  ASSERT_TRUE(written.ok()) << written.error().message();
  EXPECT_LT(std::filesystem::file_size(path), 1000u);
  EXPECT_EQ(std::filesystem::file_size(path + ".data"), 4032u + 1200u);
  auto model = read_model(path);
  ASSERT_TRUE(model.ok()) << model.error().message();
  auto second = import_model(*model);
  ASSERT_TRUE(second.ok()) << second.error().message();
  expect_equal(first->graph, second->graph);
  std::filesystem::remove(path);
  std::filesystem::remove(path + ".data");
}

TEST(Write, NodesOfDifferentOpsetsAreRefused) {
  const Names functions = {
      function({.name = "f", .inputs = {"a"}, .outputs = {"b"}, .nodes = {node("Softmax", {"a"}, {"b"})}, .opset = 13})};
  const std::string text = model_of({node("f", {"x"}, {"h"}, {}, "", "local"), node("Softmax", {"h"}, {"y"})}, functions);
  auto imported = import_bytes(text);
  ASSERT_TRUE(imported.ok());
  auto written = serialize_model(imported->graph);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace cameo::onnx
