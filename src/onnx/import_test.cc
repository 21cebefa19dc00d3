#include "onnx/import.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "onnx/test_models.h"
#include "ops/op.h"

namespace cameo::onnx {
namespace {

using namespace test;

#define ASSERT_OK(result) ASSERT_TRUE((result).ok()) << (result).error().message()

TEST(Import, TypesNamesAndSources) {
  const std::string text =
      model(graph({.nodes = {node("Softmax", {"h"}, {"y"}, {int_attribute("axis", 1)}), node("Softmax", {"x"}, {"h"}, {}, "/a/soft")},
                   .inputs = {input_x()},
                   .outputs = {output_y()},
                   .value_infos = {value_info("h", tensor_type(1, {"N", 4}))}}));
  auto imported = import_bytes(text);
  ASSERT_OK(imported);
  const ir::Graph& g = imported->graph;
  ASSERT_TRUE(verify(g).ok());
  EXPECT_EQ(g.value(g.inputs[0]).type.to_string(), "float32[N, 4]");
  EXPECT_EQ(g.value(g.find("h")).type.to_string(), "float32[N, 4]");
  ASSERT_EQ(g.nodes.size(), 2u);
  EXPECT_EQ(g.nodes[0].sources, std::vector<std::string>{"/a/soft"});
  EXPECT_EQ(g.nodes[1].sources, std::vector<std::string>{"#0:Softmax"});
  EXPECT_EQ(g.nodes[1].version, 17);
  EXPECT_EQ(ir::to_string(*g.nodes[1].attrs).find("axis=1") != std::string::npos, true);
  EXPECT_EQ(imported->operator_counts.at("Softmax"), 2);
  EXPECT_EQ(imported->producer, "test");
}

TEST(Import, InitializerThatIsAnInput) {
  const std::string text = model(graph({.nodes = {node("Softmax", {"w"}, {"y"})},
                                        .inputs = {value_info("w", tensor_type(1, {2}))},
                                        .outputs = {output_y()},
                                        .initializers = {float_tensor("w", {2}, {1, 2})}}));
  auto constant = import_bytes(text);
  ASSERT_OK(constant);
  EXPECT_TRUE(constant->graph.inputs.empty());
  EXPECT_TRUE(constant->graph.value(constant->graph.find("w")).is_constant());
  auto kept = import_bytes(text, {.keep_initializer_inputs = true});
  ASSERT_OK(kept);
  EXPECT_EQ(kept->graph.inputs.size(), 1u);
  EXPECT_EQ(kept->input_defaults.at("w").data<float>()[1], 2);
}

TEST(Import, EveryFormOfConstant) {
  const std::pair<std::string, std::string> forms[] = {
      {tensor_attribute("value", float_tensor("", {1}, {3})), "float32[1]"},
      {attribute("value_float", 1, float32(2, 3)), "float32[]"},
      {attribute("value_floats", 6, float32(7, 3) + float32(7, 4)), "float32[2]"},
      {int_attribute("value_int", 3), "int64[]"},
      {attribute("value_ints", 7, numbers(8, {3, 4, 5})), "int64[3]"},
      {attribute("value_string", 3, bytes(4, "s")), "string[]"},
      {attribute("value_strings", 8, bytes(9, "s") + bytes(9, "t")), "string[2]"},
      {attribute("sparse_value", 11,
                 bytes(22, bytes(1, float_tensor("", {1}, {3})) + bytes(2, tensor("", 7, {1}, raw<int64_t>({2}))) + numbers(3, {4}))),
       "float32[4]"},
  };
  for (const auto& [form, type] : forms) {
    const std::string text = model_of({node("Constant", {}, {"y"}, {form})});
    auto imported = import_bytes(text);
    ASSERT_OK(imported);
    const ir::Graph& g = imported->graph;
    EXPECT_TRUE(g.nodes.empty());
    EXPECT_TRUE(g.value(g.outputs[0]).is_constant());
    EXPECT_EQ(g.value(g.outputs[0]).type.to_string(), type);
    EXPECT_EQ(g.value(g.outputs[0]).name, "y");
  }
}

TEST(Import, FunctionsAreInlined) {
  // outer(a; axis) = inner(inner(a, axis=axis)), where inner has a default for axis.
  const Names functions = {function({.name = "inner",
                                     .inputs = {"a"},
                                     .outputs = {"b"},
                                     .nodes = {node("Softmax", {"a"}, {"b"}, {reference("axis", 2, "axis")}, "soft")},
                                     .defaults = {int_attribute("axis", 0)},
                                     .opset = 13}),
                           function({.name = "outer",
                                     .inputs = {"a"},
                                     .outputs = {"c"},
                                     .attributes = {"axis"},
                                     .nodes = {node("inner", {"a"}, {"t"}, {reference("axis", 2, "axis")}, "first", "local"),
                                               node("inner", {"t"}, {"c"}, {}, "second", "local")}})};
  const std::string text = model_of(
      {node("outer", {"x"}, {"h"}, {int_attribute("axis", 1)}, "call", "local"), node("outer", {"h"}, {"y"}, {}, "", "local")}, functions);
  auto imported = import_bytes(text);
  ASSERT_OK(imported);
  const ir::Graph& g = imported->graph;
  ASSERT_TRUE(verify(g).ok());
  ASSERT_EQ(g.nodes.size(), 4u);
  EXPECT_EQ(g.nodes[0].sources[0], "call/first/soft");
  EXPECT_EQ(g.nodes[1].sources[0], "call/second/soft");
  EXPECT_EQ(g.nodes[3].sources[0], "#1:outer/second/soft");
  EXPECT_EQ(g.nodes[0].version, 13);
  EXPECT_NE(ir::to_string(*g.nodes[0].attrs).find("axis=1"), std::string::npos);
  EXPECT_NE(ir::to_string(*g.nodes[1].attrs).find("axis=0"), std::string::npos);
  EXPECT_EQ(g.value(g.nodes[0].outputs[0]).name, "call/t");
  EXPECT_EQ(g.value(g.nodes[1].outputs[0]).name, "h");
  EXPECT_EQ(g.value(g.outputs[0]).name, "y");
}

TEST(Import, FunctionOverloads) {
  const Names functions = {
      function({.name = "f", .inputs = {"a"}, .outputs = {"b"}, .nodes = {node("Softmax", {"a"}, {"b"})}}),
      function({.name = "f", .inputs = {"a"}, .outputs = {"b"}, .nodes = {node("Identity", {"a"}, {"b"})}, .more = bytes(13, "copy")})};
  const std::string text = model_of({node("f", {"x"}, {"y"}, {}, "", "local") + bytes(8, "copy")}, functions);
  auto imported = import_bytes(text);
  ASSERT_OK(imported);
  EXPECT_EQ(imported->graph.nodes[0].op->name, "Identity");
}

TEST(Import, FunctionThatReturnsItsInputKeepsTheOutputsName) {
  const std::string text =
      model_of({node("pass", {"x"}, {"y"}, {}, "", "local")}, {function({.name = "pass", .inputs = {"a"}, .outputs = {"a"}})});
  auto imported = import_bytes(text);
  ASSERT_OK(imported);
  const ir::Graph& g = imported->graph;
  ASSERT_TRUE(verify(g).ok());
  EXPECT_EQ(g.value(g.outputs[0]).name, "y");
  EXPECT_EQ(g.nodes[0].op->name, "Identity");
}

TEST(Import, AbsentFunctionInputsStayAbsent) {
  const Names functions = {
      function({.name = "f", .inputs = {"a", "low", "high"}, .outputs = {"b"}, .nodes = {node("Clip", {"a", "low", "high"}, {"b"})}})};
  const std::string text = model_of({node("f", {"x"}, {"y"}, {}, "", "local")}, functions);
  auto imported = import_bytes(text, {.allow_unsupported = true});
  ASSERT_OK(imported);
  if (ops::find_op("", "Clip") == nullptr) GTEST_SKIP() << "there is no Clip";
  EXPECT_EQ(imported->graph.nodes[0].inputs.size(), 1u);
}

std::string if_model(const std::string& then_graph, const std::string& else_graph, const Names& initializers = {}) {
  return model(graph({.nodes = {node("Softmax", {"x"}, {"h"}),
                                node("If", {"c"}, {"y"},
                                     {graph_attribute("else_branch", else_graph), graph_attribute("then_branch", then_graph)}, "cond")},
                      .inputs = {input_x(), value_info("c", tensor_type(9, {}))},
                      .outputs = {output_y()},
                      .initializers = initializers}));
}

TEST(Import, SubgraphsCapture) {
  const std::string then_graph = graph(
      {.nodes = {node("Concat", {"h", "small", "large"}, {"t"}, {int_attribute("axis", 0)}, "cat")}, .outputs = {value_info("t", "")}});
  const std::string else_graph = graph({.outputs = {value_info("h", "")}});
  const std::string text =
      if_model(then_graph, else_graph,
               {float_tensor("small", {1, 4}, {1, 2, 3, 4}), float_tensor("large", {1000, 4}, std::vector<float>(4000, 1.f))});
  auto imported = import_bytes(text, {.allow_unsupported = true});
  ASSERT_OK(imported);
  if (ops::find_op("", "If") == nullptr) GTEST_SKIP() << "there is no If";
  const ir::Graph& g = imported->graph;
  const Status checked = verify(g);
  ASSERT_OK(checked);
  const ir::Node& node = g.nodes[1];
  ASSERT_EQ(node.subgraphs.size(), 2u);
  EXPECT_EQ(node.subgraphs[0].attribute, "then_branch");
  EXPECT_EQ(node.subgraphs[0].captures, (std::vector<ir::ValueId>{g.find("h"), g.find("large")}));
  EXPECT_EQ(node.subgraphs[0].num_formal_inputs(), 0u);
  const ir::Graph& inner = *node.subgraphs[0].graph;
  EXPECT_TRUE(inner.value(inner.nodes[0].inputs[1]).is_constant());
  EXPECT_EQ(inner.nodes[0].sources[0], "cond.then_branch/cat");
  EXPECT_EQ(node.subgraphs[1].captures, std::vector<ir::ValueId>{g.find("h")});
}

TEST(Import, NodesInSubgraphsOrderTheNodesAround) {
  // The node that makes what the branch reads stands after the If.
  const std::string branch = graph({.nodes = {node("Identity", {"late"}, {"t"})}, .outputs = {value_info("t", "")}});
  const std::string text =
      model(graph({.nodes = {node("If", {"c"}, {"y"}, {graph_attribute("then_branch", branch), graph_attribute("else_branch", branch)}),
                             node("Softmax", {"x"}, {"late"})},
                   .inputs = {input_x(), value_info("c", tensor_type(9, {}))},
                   .outputs = {output_y()}}));
  auto imported = import_bytes(text, {.allow_unsupported = true});
  ASSERT_OK(imported);
  EXPECT_EQ(imported->graph.nodes[0].op->name, "Softmax");
}

TEST(Import, OpenExtentsAsExportersWriteThem) {
  auto imported = import_bytes(model(
      graph({.nodes = {node("Softmax", {"x"}, {"y"})}, .inputs = {value_info("x", tensor_type(1, {-1, "?"}))}, .outputs = {output_y()}})));
  ASSERT_OK(imported);
  EXPECT_EQ(imported->graph.value(imported->graph.inputs[0]).type.to_string(), "float32[?, ?]");
}

TEST(Import, ReportsEveryNodeThatCannotRun) {
  const std::string text =
      model_of({node("Sofmax", {"x"}, {"a"}, {}, "typo"), node("Softmax", {"a"}, {"b"}, {int_attribute("axes", 1)}, "attr"),
                node("Softmax", {"b", "b"}, {"c"}, {}, "arity"), node("FusedMatMul", {"c"}, {"d"}, {}, "ms", "com.microsoft"),
                node("Softmax", {"d"}, {"y"}, {attribute("axis", 1, float32(2, 1))}, "type")});
  auto failed = import_bytes(text);
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().message().find("5 nodes cannot be run"), std::string::npos) << failed.error().message();
  auto imported = import_bytes(text, {.allow_unsupported = true});
  ASSERT_OK(imported);
  ASSERT_EQ(imported->unsupported.size(), 5u);
  const char* expected[][2] = {{"typo", "did you mean 'Softmax'"},
                               {"attr", "it has axis"},
                               {"arity", "2 inputs, expected 1"},
                               {"ms", "ONNX Runtime"},
                               {"type", "of type float, expected int"}};
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(imported->unsupported[i].path, expected[i][0]);
    EXPECT_NE(imported->unsupported[i].reason.find(expected[i][1]), std::string::npos) << imported->unsupported[i].reason;
  }
}

TEST(Import, ManyNodesInReverse) {
  Names nodes;
  for (int i = 0; i < 200'000; ++i)
    nodes.push_back(node("Identity", {i == 0 ? "x" : "v" + std::to_string(i)}, {i == 199'999 ? "y" : "v" + std::to_string(i + 1)}));
  std::reverse(nodes.begin(), nodes.end());
  const std::string text = model_of(nodes);
  auto imported = import_bytes(text);
  ASSERT_OK(imported);
  EXPECT_EQ(imported->graph.nodes.size(), nodes.size());
}

// ---- external data

class ExternalData : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) / ("external_" + std::to_string(::getpid()));
    std::filesystem::create_directories(root_ / "model" / "sub");
    std::filesystem::create_directories(root_ / "cache");
    write(root_ / "model" / "w.bin");
    write(root_ / "model" / "sub" / "w.bin");
    write(root_ / "cache" / "w.bin");
    write(root_ / "secret.bin");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  static void write(const std::filesystem::path& path) {
    const std::vector<float> values = {0, 1, 2, 3, 4, 5, 6, 7};
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(values.data()), 32);
  }
  Result<ImportedModel> load(const Entries& entries, const ImportOptions& options = {}) {
    const std::string text = model_with({external_tensor("w", 1, {2}, entries)});
    return import_bytes(text, options, (root_ / "model").string());
  }
  std::filesystem::path root_;
};

TEST_F(ExternalData, IsMapped) {
  for (const char* location : {"w.bin", "sub/w.bin", "./w.bin", "sub//w.bin"}) {
    auto imported = load({{"location", location}, {"offset", "8"}, {"length", "8"}});
    ASSERT_OK(imported);
    const Tensor w = imported->graph.value(imported->graph.find("w")).constant;
    EXPECT_EQ(w.data<float>()[0], 2);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(w.raw()) % 4096, 8u) << "copied, not mapped";
  }
  auto unaligned = load({{"location", "w.bin"}, {"offset", "2"}});
  ASSERT_OK(unaligned);
}

TEST_F(ExternalData, MissingFilesCanBeZeros) {
  auto imported = load({{"location", "absent.bin"}}, {.allow_missing_external_data = true});
  ASSERT_OK(imported);
  EXPECT_EQ(imported->missing_external_data, std::vector<std::string>{"w"});
}

TEST_F(ExternalData, LinksInsideTheFolderAreFine) {
  std::filesystem::create_symlink("w.bin", root_ / "model" / "link.bin");
  std::filesystem::create_directory_symlink("sub", root_ / "model" / "linked");
  for (const char* location : {"link.bin", "linked/w.bin"}) ASSERT_OK(load({{"location", location}}));
}

TEST_F(ExternalData, LinksOutNeedTheExtraRoot) {
  std::filesystem::create_symlink("../cache/w.bin", root_ / "model" / "blob.bin");
  EXPECT_FALSE(load({{"location", "blob.bin"}}).ok());
  ASSERT_OK(load({{"location", "blob.bin"}}, {.external_data_root = (root_ / "cache").string()}));
  EXPECT_FALSE(load({{"location", "blob.bin"}}, {.external_data_root = (root_ / "cach").string()}).ok());
}

struct Escape {
  const char* name;
  std::string location;
  const char* expected;
};

// ONNX: CVE-2022-25882, CVE-2024-27318, CVE-2026-27489, CVE-2026-34446.
TEST_F(ExternalData, CannotLeaveTheFolder) {
  std::filesystem::create_symlink("../secret.bin", root_ / "model" / "file_link.bin");
  std::filesystem::create_symlink((root_ / "secret.bin").string(), root_ / "model" / "absolute_link.bin");
  std::filesystem::create_directory_symlink("..", root_ / "model" / "parent_link");
  std::filesystem::create_hard_link(root_ / "secret.bin", root_ / "model" / "hard_link.bin");
  std::filesystem::create_symlink("loop.bin", root_ / "model" / "loop.bin");
  ASSERT_EQ(::mkfifo((root_ / "model" / "fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/zero", root_ / "model" / "zero");
  std::filesystem::create_directories(root_ / "model2");
  write(root_ / "model2" / "w.bin");
  std::filesystem::create_directory_symlink("../model2", root_ / "model" / "sibling");
  const Escape escapes[] = {
      {"parent", "../secret.bin", "contains '..'"},
      {"parent after a folder", "sub/../../secret.bin", "contains '..'"},
      {"parent that comes back", "sub/../w.bin", "contains '..'"},
      {"only a parent", "..", "contains '..'"},
      {"backslashes", "..\\secret.bin", "contains '..'"},
      {"absolute", (root_ / "secret.bin").string(), "absolute path"},
      {"absolute, its own folder", (root_ / "model" / "w.bin").string(), "absolute path"},
      {"a drive", "C:/w.bin", "absolute path"},
      {"empty", "", "is empty"},
      {"NUL", std::string("w.bin\0/../../secret.bin", 23), "NUL byte"},
      {"too long", std::string(5000, 'a'), "longer than a path"},
      {"symbolic link", "file_link.bin", "leads out of the model's folder"},
      {"absolute symbolic link", "absolute_link.bin", "leads out of the model's folder"},
      {"symbolic link as parent", "parent_link/secret.bin", "leads out of the model's folder"},
      {"folder whose name starts alike", "sibling/w.bin", "leads out of the model's folder"},
      {"hard link", "hard_link.bin", "hard links"},
      {"link to itself", "loop.bin", "cannot open"},
      {"FIFO", "fifo", "a FIFO"},
      {"device", "zero", "a device"},
      {"directory", "sub", "a directory"},
      {"the folder itself", ".", "a directory"},
      {"absent", "absent.bin", "No such file"},
      {"a file as a folder", "w.bin/x", "Not a directory"},
  };
  for (const Escape& e : escapes) {
    SCOPED_TRACE(e.name);
    auto imported = load({{"location", e.location}});
    ASSERT_FALSE(imported.ok());
    EXPECT_NE(imported.error().message().find(e.expected), std::string::npos) << imported.error().message();
    EXPECT_NE(imported.error().message().find("tensor 'w'"), std::string::npos) << imported.error().message();
  }
}

// openvinotoolkit/openvino#34070: offset + length wraps.
TEST_F(ExternalData, RangesAreChecked) {
  const std::pair<Entries, const char*> cases[] = {
      {{{"location", "w.bin"}, {"offset", "28"}}, "needs 8 bytes at offset 28"},
      {{{"location", "w.bin"}, {"offset", "32"}}, "needs 8 bytes at offset 32"},
      {{{"location", "w.bin"}, {"offset", "18446744073709551612"}, {"length", "8"}}, "needs 8 bytes at offset 18446744073709551612"},
      {{{"location", "w.bin"}, {"offset", "18446744073709551616"}}, "not a number"},
      {{{"location", "w.bin"}, {"offset", "-4"}}, "not a number"},
      {{{"location", "w.bin"}, {"offset", "4x"}}, "not a number"},
      {{{"location", "w.bin"}, {"offset", ""}}, "not a number"},
      {{{"location", "w.bin"}, {"length", "4"}}, "takes 8 bytes, but the length of its external data is 4"},
      {{{"location", "w.bin"}, {"length", "0"}}, "takes 8 bytes"},
      {{{"location", "w.bin"}, {"length", "18446744073709551615"}}, "takes 8 bytes"},
      {{{"location", "w.bin"}, {"location", "sub/w.bin"}}, "names its location twice"},
      {{{"location", "w.bin"}, {"offset", "0"}, {"offset", "4"}}, "names its offset twice"},
      {{{"offset", "0"}}, "without a location"},
      {{}, "without a location"},
  };
  for (const auto& [entries, expected] : cases) {
    auto imported = load(entries);
    ASSERT_FALSE(imported.ok()) << expected;
    EXPECT_NE(imported.error().message().find(expected), std::string::npos) << imported.error().message();
  }
}

}  // namespace
}  // namespace cameo::onnx
