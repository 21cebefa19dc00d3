// Files that must be refused: each with a typed error that says what is wrong and where, quickly and in little memory.
// `citation` is the defect in another project that the case repeats, where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>

#include "onnx/test_models.h"

namespace cameo::onnx {
namespace {

using namespace test;
using namespace std::string_literals;

struct BadFile {
  const char* name;
  const char* citation;
  std::string bytes;
  const char* expected;  // part of the message
};

void check(const std::vector<BadFile>& files) {
  for (const BadFile& file : files) {
    SCOPED_TRACE(file.name);
    const std::clock_t start = std::clock();
    auto imported = import_bytes(file.bytes);
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 5.0) << "seconds";
    ASSERT_FALSE(imported.ok()) << file.citation;
    const ErrorCode code = imported.error().code();
    EXPECT_TRUE(code == ErrorCode::kInvalidModel || code == ErrorCode::kUnsupported) << error_code_name(code);
    EXPECT_NE(imported.error().message().find(file.expected), std::string::npos) << imported.error().message();
    EXPECT_LT(imported.error().message().size(), 4000u);
  }
}

std::string soft(const std::string& from, const std::string& to) { return node("Softmax", {from}, {to}); }
std::string good() { return model_of({soft("x", "y")}); }
std::string graph_of(const Names& nodes, const std::string& more = "") {
  return graph({.nodes = nodes, .inputs = {input_x()}, .outputs = {output_y()}, .more = more});
}
std::string branch(const Names& nodes, const std::string& output) { return graph({.nodes = nodes, .outputs = {value_info(output, "")}}); }
std::string if_node(const std::string& then_graph, const std::string& else_graph, const std::string& output = "y") {
  return node("If", {"c"}, {output}, {graph_attribute("then_branch", then_graph), graph_attribute("else_branch", else_graph)}, "cond");
}
std::string model_with_if(const Names& nodes) {
  return model(graph({.nodes = nodes, .inputs = {input_x(), value_info("c", tensor_type(9, {}))}, .outputs = {output_y()}}));
}
std::string header() { return number(1, 10) + bytes(8, opset("", 17)); }

TEST(BadFiles, TheGoodOneIsGood) {
  const std::string text = good();
  auto imported = import_bytes(text);
  ASSERT_TRUE(imported.ok()) << imported.error().message();
}

TEST(BadFiles, OtherFormats) {
  const std::string zip = "PK\x03\x04\x14\0\0\0"s;
  check({
      {"empty", "", "", "an empty file"},
      {"zeros", "", std::string(5000, '\0'), "zero bytes"},
      {"text", "", "A model? No.\n", "looks like text"},
      {"JSON", "", " {\"model\": []}", "JSON text"},
      {"HTML", "a failed download", "<!DOCTYPE html><html>Not found</html>", "HTML or XML"},
      {"OpenVINO", "", "<?xml version=\"1.0\"?><net name=\"m\"></net>", "OpenVINO"},
      {"Git LFS pointer", "", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"},
      {"zip", "", zip + "x.onnx", "a zip archive"},
      {"PyTorch zip", "", zip + "archive/data.pkl", "PyTorch"},
      {"Keras zip", "", zip + "model.weights.h5", "Keras"},
      {"NumPy zip", "", zip + "a.npy", ".npz"},
      {"PyTorch pickle", "", "\x80\x02\x8a\nl\xfc", "pickle"},
      {"Python pickle", "", "\x80\x04\x95", "pickle"},
      {"GGUF", "", "GGUF\x03\0\0\0"s, "GGUF"},
      {"safetensors", "", "\x02\0\0\0\0\0\0\0{}"s, "safetensors"},
      {"TensorFlow Lite", "", "\x1c\0\0\0TFL3"s, "TensorFlow Lite"},
      {"ONNX Runtime", "", "\x1c\0\0\0ORTM"s, ".ort"},
      {"TensorRT engine", "", "ptrt\x01\0"s, "TensorRT"},
      {"HDF5", "", "\x89HDF\r\n\x1a\n", "HDF5"},
      {"NumPy", "", "\x93NUMPY\x01\0"s, ".npy"},
      {"gzip", "", "\x1f\x8b\x08", "gzip"},
      {"bzip2", "", "BZh91AY", "bzip2"},
      {"xz", "", "\xfd"s + "7zXZ\0"s, "xz archive"},
      {"Zstandard", "", "\x28\xb5\x2f\xfd", "Zstandard"},
      {"7-Zip", "", "7z\xbc\xaf\x27\x1c", "7-Zip"},
      {"tar", "", std::string(257, 'a') + "ustar", "tar archive"},
      {"PNG", "", "\x89PNG\r\n", "PNG"},
      {"JPEG", "", "\xff\xd8\xff\xe0", "JPEG"},
      {"ELF", "", "\x7f"s + "ELF", "ELF"},
      {"PDF", "", "%PDF-1.7", "PDF"},
      {"SavedModel", "", number(1, 1) + bytes(2, bytes(1, "tensorflow")) + "\xff", "SavedModel"},
      {"frozen graph", "", bytes(1, bytes(1, "x") + bytes(2, "Placeholder")), "frozen TensorFlow graph"},
      {"TensorProto", "", float_tensor("t", {2}, {1, 2}), "not a valid ONNX model"},
      {"noise", "", "\xde\xad\xbe\xef\xde\xad\xbe\xef", "not a valid ONNX model"},
  });
}

TEST(BadFiles, Wire) {
  const std::string head = header();
  const std::string long_varint = std::string(10, '\xff') + "\x01";
  check({
      {"only a tag", "", "\x08", "at byte 0: a field goes past the end"},
      {"only a header", "", head, "holds no graph"},
      {"a length without bytes", "", head + "\x3a\x10", "a field goes past the end"},
      {"a length of 4 GB", "", head + "\x3a\xff\xff\xff\xff\x0f", "a field goes past the end"},
      {"a negative length", "", head + "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a field goes past the end"},
      {"a length of 11 bytes", "", head + "\x3a" + long_varint, "longer than 10 bytes"},
      {"a number of 11 bytes", "", "\x08" + long_varint, "longer than 10 bytes"},
      {"a group", "", head + "\x3b", "unknown wire type"},
      {"wire type 7", "", head + "\x3f", "unknown wire type"},
      {"field 0", "", head + "\x02\x01"s, "number 0 or a reserved one"},
      {"field 19000", "", head + "\xc2\xa3\x09\x01"s, "number 0 or a reserved one"},
      {"the graph is a number", "", head + number(7, 3), "field 7 holds a varint, expected a length"},
      {"ir_version is text", "", bytes(1, "10") + bytes(7, ""), "field 1 holds a length and bytes, expected a varint"},
      {"a node is a number", "", head + bytes(7, number(1, 3)), "in graph.node: field 1 holds a varint"},
      {"a node goes past its graph", "", head + bytes(7, "\x0a\x7f"), "in graph.node: a field goes past the end"},
      {"an op_type is a number", "", head + bytes(7, bytes(1, number(4, 3))), "in graph.node: field 4"},
      {"an int attribute is text", "", model_of({node("Softmax", {"x"}, {"y"}, {bytes(1, "axis") + bytes(3, "1")})}),
       "graph.node.attribute: field 3"},
      {"a float attribute is a varint", "", model_of({node("Softmax", {"x"}, {"y"}, {bytes(1, "axis") + number(2, 1)})}),
       "graph.node.attribute: field 2"},
      {"ints end in a varint", "", model_of({node("Softmax", {"x"}, {"y"}, {bytes(1, "axis") + bytes(8, "\x01\xff")})}),
       "graph.node.attribute: a field goes"},
      {"floats of 5 bytes", "", model_of({node("Softmax", {"x"}, {"y"}, {bytes(1, "axis") + bytes(7, "12345")})}),
       "graph.node.attribute: "},
      {"dims are fixed", "", model_with({bytes(8, "w") + float32(1, 1)}), "graph.initializer: field 1"},
      {"data_type beyond 32 bits", "", model_with({bytes(8, "w") + number(2, int64_t{1} << 40)}), "which is no 32-bit number"},
      {"data_location 2", "", model_with({bytes(8, "w") + number(2, 1) + number(14, 2)}), "data_location is 2"},
      {"two graphs", "hidden graphs", good() + bytes(7, graph_of({soft("x", "y")})), "a second graph"},
      {"two raw_data", "hidden data", model_with({float_tensor("w", {1}, {1}) + bytes(9, "1234")}), "raw_data stands twice"},
      {"an attribute with two tensors", "",
       model_of(
           {node("Constant", {}, {"y"}, {tensor_attribute("value", float_tensor("", {1}, {1})) + bytes(5, float_tensor("", {1}, {1}))})}),
       "stands twice"},
      {"attribute type 99", "", model_of({node("Softmax", {"x"}, {"y"}, {attribute("axis", 99, number(3, 1))})}), "unknown type 99"},
      {"attribute type that lies", "", model_of({node("Softmax", {"x"}, {"y"}, {attribute("axis", 6, number(3, 1))})}),
       "said to be of type floats but holds a value of type int"},
      {"a tensor attribute without tensor", "", model_of({node("Constant", {}, {"y"}, {attribute("value", 4, "")})}),
       "is of type tensor but holds none"},
      {"a graph attribute without graph", "", model_of({node("If", {"x"}, {"y"}, {attribute("then_branch", 5, "")})}),
       "is of type graph but holds none"},
      {"a type of two kinds", "", model(graph({.inputs = {value_info("x", tensor_type(1, {}) + bytes(4, ""))}})), "a type of two kinds"},
  });
}

TEST(BadFiles, ModelAndOpsets) {
  const std::string body = bytes(7, graph_of({soft("x", "y")}));
  const auto with_opset = [&](int64_t version) { return number(1, 10) + bytes(8, opset("", version)) + body; };
  check({
      {"no ir_version", "", bytes(8, opset("", 17)) + body, "ir_version is 0"},
      {"negative ir_version", "", number(1, -3) + bytes(8, opset("", 17)) + body, "ir_version is -3"},
      {"ir_version of the future", "", number(1, 999) + bytes(8, opset("", 17)) + body, "ir_version is 999"},
      {"no opset", "", number(1, 10) + body, "imports no opset"},
      {"opset 0", "", with_opset(0), "opset version 0"},
      {"negative opset", "CVE-2026-21869", with_opset(-1), "opset version -1"},
      {"huge opset", "CVE-2026-21869", with_opset(INT64_MAX), "opset version 9223372036854775807"},
      {"opset of the future", "", with_opset(1000), "opset 1000 is outside of"},
      {"one domain, two versions", "", good() + bytes(8, opset("ai.onnx", 12)), "imported twice, with opset versions 17 and 12"},
      {"domain not imported", "", number(1, 10) + bytes(8, opset("local", 1)) + body, "imports no opset of domain 'ai.onnx'"},
      {"unknown domain", "", model_of({node("Softmax2", {"x"}, {"y"}, {}, "n", "org.example")}), "unknown domain 'org.example'"},
      {"unknown operator", "", model_of({node("Zzzzzzz", {"x"}, {"y"}, {}, "n")}), "'n' (Zzzzzzz, opset 17): unknown operator"},
      {"misspelt operator", "", model_of({node("softmax", {"x"}, {"y"}, {}, "n")}), "did you mean 'Softmax'?"},
      {"operator name of a megabyte", "", model_of({node(std::string(1 << 20, 'a'), {"x"}, {"y"}, {}, std::string(1 << 20, 'b'))}),
       "unknown operator"},
  });
}

TEST(BadFiles, Graphs) {
  const auto chain = [](int n, const std::string& first) {
    Names nodes;
    for (int i = 0; i < n; ++i)
      nodes.push_back(soft(i == 0 ? first : "v" + std::to_string(i), i == n - 1 ? "y" : "v" + std::to_string(i + 1)));
    return nodes;
  };
  const std::string x = input_x(), y = output_y();
  check({
      {"no outputs", "", model(graph({.nodes = {soft("x", "y")}, .inputs = {x}})), "the graph has no outputs"},
      {"nothing at all", "", header() + bytes(7, ""), "the graph has no outputs"},
      {"two outputs of a name", "", model(graph({.nodes = {soft("x", "y")}, .inputs = {x}, .outputs = {y, y}})), "two outputs 'y'"},
      {"two inputs of a name", "", model(graph({.nodes = {soft("x", "y")}, .inputs = {x, x}, .outputs = {y}})), "two inputs 'x'"},
      {"an input without a name", "", model(graph({.nodes = {soft("x", "y")}, .inputs = {bytes(2, tensor_type(1, {}))}, .outputs = {y}})),
       "a value without a name"},
      {"an input without a type", "", model(graph({.nodes = {soft("x", "y")}, .inputs = {value_info("x", "")}, .outputs = {y}})),
       "input 'x' has no type"},
      {"an output that nothing makes", "", model_of({soft("x", "z")}), "output 'y' of graph 'g' is made by no node"},
      {"an input that nothing makes", "", model_of({node("Softmax", {"ghost"}, {"y"}, {}, "n")}),
       "node 'n' (Softmax): input 0, 'ghost', is made by no node"},
      {"a node that reads itself", "", model_of({soft("y", "y")}), "cycle: node #0 (Softmax) reads from node #0"},
      {"a cycle of two", "", model_of({soft("b", "a"), soft("a", "b"), soft("a", "y")}), "cycle"},
      {"a cycle of three", "",
       model_of({node("Softmax", {"c"}, {"a"}, {}, "na"), node("Softmax", {"a"}, {"b"}, {}, "nb"), node("Softmax", {"b"}, {"c"}, {}, "nc"),
                 soft("a", "y")}),
       "node 'na' (Softmax) reads from node 'nc' (Softmax) reads from node 'nb' (Softmax) reads from node 'na'"},
      {"a cycle of 100,000", "", model_of(chain(100'000, "y")), "more) reads from"},
      {"a cycle through a subgraph", "",
       model_with_if({if_node(branch({soft("later", "t")}, "t"), branch({soft("x", "e")}, "e"), "early"), soft("early", "later"),
                      soft("later", "y")}),
       "cycle"},
      {"a cycle through a subgraph's output", "", model_with_if({if_node(branch({}, "y"), branch({soft("x", "e")}, "e"))}), "cycle"},
      {"a value made twice", "", model_of({soft("x", "y"), soft("x", "y")}), "node #0 (Softmax) and node #1 (Softmax) both make 'y'"},
      {"a value made twice by a node", "", model_of({node("Split", {"x"}, {"y", "y"})}), "both make 'y'"},
      {"a node that makes an input", "", model_of({soft("x", "x"), soft("x", "y")}), "makes 'x', which is already an input"},
      {"a node that makes an initializer", "",
       model(graph(
           {.nodes = {soft("x", "w"), soft("w", "y")}, .inputs = {x}, .outputs = {y}, .initializers = {float_tensor("w", {1}, {1})}})),
       "makes 'w', which is already an input or initializer"},
      {"two initializers of a name", "", model_with({float_tensor("w", {1}, {1}), float_tensor("w", {1}, {2})}),
       "two initializers are called 'w'"},
      {"an initializer without a name", "", model_with({float_tensor("", {1}, {1})}), "an initializer without a name"},
      {"a sparse initializer without a name", "", model(graph_of({soft("x", "y")}, bytes(15, numbers(3, {2})))),
       "a sparse initializer without a name"},
      {"a node without op_type", "", model_of({bytes(1, "x") + bytes(2, "y")}), "has no op_type"},
      {"an empty node", "", model_of({""}), "has no op_type"},
      {"an attribute without a name", "", model_of({node("Softmax", {"x"}, {"y"}, {number(3, 1)})}), "attribute '' has no name"},
      {"an attribute twice", "", model_of({node("Softmax", {"x"}, {"y"}, {int_attribute("axis", 1), int_attribute("axis", 0)})}),
       "attribute 'axis' is given twice"},
      {"an unknown attribute", "", model_of({node("Softmax", {"x"}, {"y"}, {int_attribute("axes", 1)})}),
       "no attribute 'axes'; it has axis"},
      {"an attribute of a wrong type", "", model_of({node("Softmax", {"x"}, {"y"}, {attribute("axis", 1, float32(2, 1))})}),
       "is of type float, expected int"},
      {"an attribute that is a graph", "",
       model_of({node("Softmax", {"x"}, {"y"}, {graph_attribute("axis", branch({soft("x", "t")}, "t"))})}),
       "is of type graph, expected int"},
      {"a reference outside of a function", "", model_of({node("Softmax", {"x"}, {"y"}, {reference("axis", 2, "a")})}),
       "refers to attribute 'a' of a function, but stands in none"},
      {"no inputs", "", model_of({node("Softmax", {}, {"y"})}), "it has 0 inputs, expected 1"},
      {"too many inputs", "", model_of({node("Softmax", {"x", "x"}, {"y"})}), "it has 2 inputs, expected 1"},
      {"a million inputs", "", model_of({node("Softmax", Names(1'000'000, "x"), {"y"})}), "it has 1000000 inputs, expected 1"},
      {"too many outputs", "", model_of({node("Softmax", {"x"}, {"y", "z"})}), "it has 2 outputs, expected 1"},
      {"50,000 unknown nodes", "",
       [] {
         Names nodes;
         for (int i = 0; i < 50'000; ++i) nodes.push_back(node("Op" + std::to_string(i), {"x"}, {"v" + std::to_string(i)}));
         nodes.push_back(soft("x", "y"));
         return model_of(nodes);
       }(),
       "50000 nodes cannot be run"},
  });
}

TEST(BadFiles, Subgraphs) {
  const std::string fine = branch({soft("x", "e")}, "e");
  const auto nested = [](int depth) {
    std::string inner = branch({soft("x", "t")}, "t");
    for (int i = 0; i < depth; ++i) inner = branch({node("If", {"c"}, {"t"}, {graph_attribute("then_branch", inner)})}, "t");
    return inner;
  };
  const auto nested_types = [](int depth) {
    std::string type = tensor_type(1, {2});
    for (int i = 0; i < depth; ++i) type = bytes(4, bytes(1, type));
    return type;
  };
  check({
      {"70 levels of subgraphs", "ORT#32344", model_with_if({if_node(nested(70), fine)}), "nested deeper than 64 levels"},
      {"2,000 levels of subgraphs", "ORT#29617", model_with_if({if_node(nested(2000), fine)}), "nested deeper than 64 levels"},
      {"100 levels of sequences", "",
       model(graph({.nodes = {soft("x", "y")}, .inputs = {value_info("x", nested_types(100))}, .outputs = {output_y()}})),
       "nested deeper than 64 levels"},
      {"a subgraph reads nothing's value", "", model_with_if({if_node(branch({node("Softmax", {"ghost"}, {"t"}, {}, "n")}, "t"), fine)}),
       "node 'cond.then_branch/n' (Softmax): input 0, 'ghost'"},
      {"a subgraph reads its sibling's value", "", model_with_if({if_node(branch({soft("e", "t")}, "t"), fine)}),
       "'e', is made by no node"},
      {"a graph reads a subgraph's value", "", model_with_if({if_node(branch({soft("x", "t")}, "t"), fine, "z"), soft("t", "y")}),
       "'t', is made by no node"},
      {"a subgraph's output that nothing makes", "", model_with_if({if_node(branch({}, "ghost"), fine)}),
       "output 'ghost' of graph 'g' is made by no node"},
      {"a subgraph makes a value twice", "", model_with_if({if_node(branch({soft("x", "t"), soft("x", "t")}, "t"), fine)}),
       "both make 't'"},
      {"a cycle in a subgraph", "", model_with_if({if_node(branch({soft("b", "a"), soft("a", "b")}, "a"), fine)}),
       "cond.then_branch: the graph has a cycle"},
      {"a subgraph's input with a default", "",
       model_with_if({if_node(
           graph({.inputs = {input_x()}, .outputs = {value_info("x", "")}, .initializers = {float_tensor("x", {1}, {1})}}), fine)}),
       "'x' is both an input and an initializer"},
      {"a subgraph's input twice", "",
       model_with_if({if_node(graph({.inputs = {input_x(), input_x()}, .outputs = {value_info("x", "")}}), fine)}), "two inputs 'x'"},
      {"a subgraph's initializer is damaged", "",
       model_with_if({if_node(graph({.outputs = {value_info("w", "")}, .initializers = {tensor("w", 1, {2}, "1234")}}), fine)}),
       "tensor 'w': float32 of shape 2 takes 8 bytes"},
      {"an If in an unknown operator", "",
       model_with_if({node("Mystery", {"x"}, {"y"}, {graph_attribute("body", branch({soft("ghost", "t")}, "t"))})}), "'ghost'"},
  });
}

TEST(BadFiles, Functions) {
  const auto call = [](const std::string& name, const std::string& from = "x", const std::string& to = "y") {
    return node(name, {from}, {to}, {}, "call", "local");
  };
  const auto f = [](const std::string& name, const Names& nodes) {
    return function({.name = name, .inputs = {"a"}, .outputs = {"b"}, .nodes = nodes});
  };
  Names doubling, deep, deep_in_subgraphs;
  for (int i = 0; i < 70; ++i) {
    const std::string next = "f" + std::to_string(i + 1);
    doubling.push_back(f("f" + std::to_string(i), {call(next, "a", "t"), call(next, "t", "b")}));
  }
  doubling.push_back(f("f70", {soft("a", "b")}));
  for (int i = 0; i < 200; ++i) deep.push_back(f("f" + std::to_string(i), {call("f" + std::to_string(i + 1), "a", "b")}));
  deep.push_back(f("f200", {soft("a", "b")}));
  for (int i = 0; i < 90; ++i) {
    const std::string body = branch({call("f" + std::to_string(i + 1), "a", "t")}, "t");
    deep_in_subgraphs.push_back(f("f" + std::to_string(i), {node("If", {"a"}, {"b"}, {graph_attribute("then_branch", body)})}));
  }
  deep_in_subgraphs.push_back(f("f90", {soft("a", "b")}));
  const std::string plain = f("f", {soft("a", "b")});
  check({
      {"calls itself", "onnx#8171", model_of({call("f")}, {f("f", {call("f", "a", "b")})}),
       "function 'local.f' is recursive: 'local.f' calls 'local.f'"},
      {"calls itself through another", "ORT#28187", model_of({call("f")}, {f("f", {call("g", "a", "b")}), f("g", {call("f", "a", "b")})}),
       "'local.f' calls 'local.g' calls 'local.f'"},
      {"calls itself from a subgraph", "ORT#28187",
       model_of({call("f")}, {f("f", {node("If", {"a"}, {"b"}, {graph_attribute("then_branch", branch({call("f", "a", "t")}, "t"))})})}),
       "is recursive"},
      {"recursive but never called", "", model_of({soft("x", "y")}, {f("f", {call("f", "a", "b")})}), "is recursive"},
      {"2^70 nodes when written out", "exponential inlining", model_of({call("f0")}, doubling), "more than 10^18 nodes"},
      {"calls 90 deep, each in a subgraph", "ORT#32344", model_of({call("f0")}, deep_in_subgraphs), "nest deeper than 128"},
      {"calls 200 deep", "", model_of({call("f0")}, deep), "more than 100 deep"},
      {"defined twice", "", model_of({call("f")}, {plain, plain}), "function 'local.f' is defined twice"},
      {"without a name", "", model_of({soft("x", "y")}, {bytes(4, "a")}), "a function without a name"},
      {"two inputs of a name", "", model_of({call("f")}, {function({.name = "f", .inputs = {"a", "a"}, .outputs = {"b"}})}),
       "two inputs 'a'"},
      {"two outputs of a name", "", model_of({call("f")}, {function({.name = "f", .inputs = {"a"}, .outputs = {"b", "b"}})}),
       "two outputs 'b'"},
      {"an input without a name", "", model_of({call("f")}, {function({.name = "f", .inputs = {""}, .outputs = {"b"}})}),
       "an input without a name"},
      {"two attributes of a name", "",
       model_of({call("f")},
                {function({.name = "f", .inputs = {"a"}, .outputs = {"b"}, .attributes = {"k"}, .defaults = {int_attribute("k", 1)}})}),
       "two attributes 'k'"},
      {"a default that is a reference", "",
       model_of({call("f")}, {function({.name = "f", .inputs = {"a"}, .outputs = {"b"}, .defaults = {reference("k", 2, "k")}})}),
       "the default of attribute 'k' refers to another"},
      {"too many inputs", "", model_of({node("f", {"x", "x"}, {"y"}, {}, "call", "local")}, {plain}),
       "it passes 2 inputs, the function takes 1"},
      {"too many outputs", "", model_of({node("f", {"x"}, {"y", "z"}, {}, "call", "local")}, {plain}),
       "it reads 2 outputs, the function gives 1"},
      {"an unknown attribute", "", model_of({node("f", {"x"}, {"y"}, {int_attribute("k", 1)}, "call", "local")}, {plain}),
       "the function has no attribute 'k'"},
      {"reads nothing's value", "", model_of({call("f")}, {f("f", {soft("ghost", "b")})}),
       "node 'call/#0:Softmax' (Softmax): input 0, 'ghost'"},
      {"sees values outside", "", model_of({call("f")}, {f("f", {soft("x", "b")})}), "'x', is made by no node"},
      {"never makes its output", "", model_of({call("f")}, {f("f", {soft("a", "t")})}), "the function's output 'b' is made by no node"},
      {"makes its input", "", model_of({call("f")}, {f("f", {soft("a", "a"), soft("a", "b")})}), "makes 'a', which is already an input"},
      {"a cycle", "", model_of({call("f")}, {f("f", {soft("b", "t"), soft("t", "b")})}), "call: the graph has a cycle"},
      {"a call of nothing's value", "", model_of({call("f", "ghost")}, {plain}), "input 0, 'ghost', is made by no node"},
      {"a reference to no parameter", "", model_of({call("f")}, {f("f", {node("Softmax", {"a"}, {"b"}, {reference("axis", 2, "k")})})}),
       "which function 'f' does not have"},
      {"a reference of a wrong type", "",
       model_of({node("f", {"x"}, {"y"}, {attribute("k", 3, bytes(4, "s"))}, "call", "local")},
                {function({.name = "f",
                           .inputs = {"a"},
                           .outputs = {"b"},
                           .attributes = {"k"},
                           .nodes = {node("Softmax", {"a"}, {"b"}, {reference("axis", 2, "k")})}})}),
       "refers to attribute 'k', which is of type string, expected int"},
      {"opset of the future", "",
       model_of({call("f")}, {function({.name = "f", .inputs = {"a"}, .outputs = {"b"}, .nodes = {soft("a", "b")}, .opset = 1000})}),
       "opset 1000"},
      {"negative opset", "",
       model_of({call("f")}, {function({.name = "f", .inputs = {"a"}, .outputs = {"b"}, .nodes = {soft("a", "b")}, .opset = -1})}),
       "opset version -1"},
      {"without the opset it needs", "",
       model_of({call("f")}, {bytes(1, "f") + bytes(4, "a") + bytes(5, "b") + bytes(7, soft("a", "b")) + bytes(10, "local")}),
       "the function imports no opset of domain 'ai.onnx'"},
  });
}

TEST(BadFiles, Tensors) {
  const auto w = [](const std::string& message) { return model_with({message}); };
  const int64_t huge = int64_t{1} << 62;
  check({
      {"negative extent", "", w(tensor("w", 1, {-1}, "")), "negative extent -1"},
      {"extents that overflow", "ORT#28055", w(tensor("w", 1, {huge, huge}, "")), "too many elements"},
      {"extents that overflow to zero", "", w(tensor("w", 1, {int64_t{1} << 32, int64_t{1} << 32}, "")), "too many elements"},
      {"extents that overflow beside a zero", "", w(tensor("w", 1, {0, huge, huge}, "")), "too many elements"},
      {"a huge shape over few bytes", "ORT#27547", w(tensor("w", 1, {1'000'000'000'000}, "1234")),
       "takes 4000000000000 bytes, but its raw_data has 4"},
      {"a huge shape over no bytes", "ORT#27547", w(tensor_head("w", 1, {1'000'000'000'000})),
       "needs 1000000000000 numbers in float_data, but there are 0"},
      {"700M int4 in a byte", "onnx#8033", w(tensor("w", 22, {700'000'000}, "1")), "takes 350000000 bytes, but its raw_data has 1"},
      {"700M int4 in a number", "onnx#8033", w(tensor_head("w", 22, {700'000'000}) + number(5, 1)),
       "needs 350000000 numbers in int32_data, but there are 1"},
      {"odd int4 count", "ORT#28973", w(tensor("w", 22, {3}, "1")), "takes 2 bytes, but its raw_data has 1"},
      {"odd uint2 count", "ORT#28973", w(tensor("w", 25, {5}, "1")), "takes 2 bytes, but its raw_data has 1"},
      {"raw_data too short", "", w(tensor("w", 1, {2}, "1234567")), "takes 8 bytes, but its raw_data has 7"},
      {"raw_data too long", "", w(tensor("w", 1, {2}, "123456789")), "takes 8 bytes, but its raw_data has 9"},
      {"raw_data for no elements", "", w(tensor("w", 1, {0}, "1")), "takes 0 bytes, but its raw_data has 1"},
      {"too few numbers", "", w(tensor_head("w", 7, {3}) + numbers(7, {1, 2})), "needs 3 numbers in int64_data, but there are 2"},
      {"too many numbers", "", w(tensor_head("w", 7, {1}) + numbers(7, {1, 2})), "needs 1 numbers in int64_data, but there are 2"},
      {"odd complex numbers", "", w(tensor_head("w", 14, {1}) + float32(4, 1)), "needs 2 numbers in float_data, but there are 1"},
      {"numbers in a wrong field", "", w(tensor_head("w", 1, {1}) + numbers(7, {1})),
       "keeps its data in float_data, but int64_data is filled"},
      {"numbers in two fields", "", w(tensor_head("w", 1, {1}) + float32(4, 1) + numbers(7, {1})), "int64_data is filled"},
      {"raw_data and numbers", "", w(float_tensor("w", {1}, {1}) + float32(4, 1)), "both raw_data and float_data"},
      {"float_data of 5 bytes", "", w(tensor_head("w", 1, {1}) + bytes(4, "12345")), "float_data holds 5 bytes, not a multiple of 4"},
      {"a number cut off", "", w(tensor_head("w", 6, {1}) + bytes(5, "\x01\xff")), "number 1 of its data is damaged"},
      {"a number of 11 bytes", "", w(tensor_head("w", 6, {1}) + bytes(5, std::string(10, '\xff') + "\x01")), "is damaged"},
      {"int8 of 300", "", w(tensor_head("w", 3, {1}) + numbers(5, {300})), "element 0 is 300, outside of -128 to 127 for int8"},
      {"uint8 of -1", "", w(tensor_head("w", 2, {1}) + numbers(5, {-1})), "element 0 is -1"},
      {"float16 of 70000", "", w(tensor_head("w", 10, {1}) + numbers(5, {70000})), "element 0 is 70000"},
      {"int32 of 2^40", "", w(tensor_head("w", 6, {1}) + numbers(5, {int64_t{1} << 40})), "element 0 is 1099511627776"},
      {"no type", "", w(tensor("w", 0, {1}, "1234")), "element type 0"},
      {"float6", "", w(tensor("w", 27, {1}, "1")), "element type 27"},
      {"type 99", "", w(tensor("w", 99, {1}, "1")), "element type 99"},
      {"negative type", "", w(tensor("w", -1, {1}, "1")), "element type -1"},
      {"strings in raw_data", "", w(tensor("w", 8, {1}, "text")), "strings must be in string_data"},
      {"too few strings", "", w(tensor_head("w", 8, {2}) + bytes(6, "a")), "needs 2 numbers in string_data, but there are 1"},
      {"2^57 strings", "", w(tensor_head("w", 8, {int64_t{1} << 57})), "in string_data, but there are 0"},
      {"in segments", "", w(float_tensor("w", {1}, {1}) + bytes(3, number(1, 0))), "in segments"},
      {"external strings", "", w(external_tensor("w", 8, {1}, {{"location", "f"}})), "strings cannot be external data"},
      {"external and raw data", "", w(external_tensor("w", 1, {1}, {{"location", "f"}}) + bytes(9, "1234")),
       "both raw_data and external data"},
      {"external data of a model in memory", "", w(external_tensor("w", 1, {1}, {{"location", "f"}})), "read from memory without one"},
      {"a name with control characters", "", w(tensor("w\n\x1b[31m", 1, {1}, "")), "tensor 'w??[31m'"},
  });
}

TEST(BadFiles, SparseTensors) {
  const auto sparse = [](const std::string& values, const std::string& indices, const std::vector<int64_t>& dims) {
    return model(graph_of({soft("x", "y")}, bytes(15, bytes(1, values) + bytes(2, indices) + numbers(3, dims))));
  };
  const auto indices = [](const std::vector<int64_t>& dims, const std::vector<int64_t>& values) {
    return tensor("", 7, dims, raw(values));
  };
  const std::string two = float_tensor("s", {2}, {1, 2});
  check({
      {"index past the end", "ORT#27903", sparse(two, indices({2}, {1, 4}), {2, 2}), "index 1 is 4, outside of 0 to 3"},
      {"negative index", "ORT#27265", sparse(two, indices({2}, {-1, 2}), {2, 2}), "index 0 is -1"},
      {"coordinate past the end", "ORT#27903", sparse(two, indices({2, 2}, {0, 0, 0, 2}), {2, 2}),
       "index 1 is 2 on axis 1, outside of 0 to 1"},
      {"negative coordinate", "ORT#27265", sparse(two, indices({2, 2}, {0, -1, 0, 1}), {2, 2}), "index 0 is -1 on axis 1"},
      {"not in order", "", sparse(two, indices({2}, {2, 1}), {2, 2}), "not in ascending order at 1"},
      {"an index twice", "", sparse(two, indices({2}, {1, 1}), {2, 2}), "not in ascending order at 1"},
      {"too few indices", "", sparse(two, indices({1}, {1}), {2, 2}), "its indices are int64 of shape 1, expected"},
      {"coordinates of a wrong rank", "ORT#28731", sparse(two, indices({2, 3}, {0, 0, 0, 1, 1, 1}), {2, 2}), "of shape 2x3, expected"},
      {"indices that are floats", "", sparse(two, float_tensor("", {2}, {0, 1}), {2, 2}), "its indices are float32"},
      {"values of rank 2", "", sparse(float_tensor("s", {1, 2}, {1, 2}), indices({2}, {0, 1}), {2, 2}), "its values have shape 1x2"},
      {"a terabyte when dense", "", sparse(two, indices({2}, {0, 1}), {1 << 20, 1 << 20}), "too many elements"},
      {"negative extent", "", sparse(two, indices({2}, {0, 1}), {-2, 2}), "negative extent -2"},
      {"no extents", "", sparse(two, indices({2}, {0, 1}), {}), "index 1 is 1, outside of 0 to 0"},
      {"damaged values", "", sparse(tensor("s", 1, {2}, "1234"), indices({2}, {0, 1}), {2, 2}),
       "tensor 's': float32 of shape 2 takes 8 bytes"},
  });
}

TEST(BadFiles, Types) {
  const auto x = [](const std::string& type) {
    return model(graph({.nodes = {soft("x", "y")}, .inputs = {value_info("x", type)}, .outputs = {output_y()}}));
  };
  const auto inner = [](const std::string& type) {
    return model(graph({.nodes = {soft("x", "h"), soft("h", "y")},
                        .inputs = {input_x()},
                        .outputs = {output_y()},
                        .value_infos = {value_info("h", type)}}));
  };
  const int64_t huge = int64_t{1} << 40;
  check({
      {"negative extent", "", x(tensor_type(1, {-2, 3})), "type of value 'x': dimension 0 is -2"},
      {"most negative extent", "", x(tensor_type(1, {INT64_MIN})), "dimension 0 is -9223372036854775808"},
      {"extents that overflow", "", x(tensor_type(1, {huge, huge})),
       "type of value 'x': dimension 1 is 1099511627776, which makes the shape larger"},
      {"the largest extent", "", x(tensor_type(1, {INT64_MAX})), "makes the shape larger"},
      {"element type 99", "", x(tensor_type(99, {1})), "element type 99"},
      {"element type -1", "", x(tensor_type(-1, {1})), "element type -1"},
      {"a map", "", x(bytes(5, number(1, 7))), "map types are not supported"},
      {"a sparse tensor", "", x(bytes(8, number(1, 1))), "sparse tensor types are not supported"},
      {"an opaque type", "", x(bytes(7, bytes(1, "d"))), "opaque types are not supported"},
      {"negative extent inside", "", inner(tensor_type(1, {-5})), "type of value 'h': dimension 0 is -5"},
      {"element type 99 in a sequence", "", inner(bytes(4, bytes(1, tensor_type(99, {})))), "type of value 'h': element type 99"},
  });
}

TEST(BadFiles, Constants) {
  const auto constant = [](const Names& attributes, const Names& inputs = {}) {
    return model_of({node("Constant", inputs, {"y"}, attributes, "k")});
  };
  const std::string one = tensor_attribute("value", float_tensor("", {1}, {1}));
  check({
      {"no value", "", constant({}), "it has 0 attributes, expected one"},
      {"two values", "", constant({one, int_attribute("value_int", 1)}), "it has 2 attributes, expected one"},
      {"an input", "", constant({one}, {"x"}), "it has 1 inputs"},
      {"a wrong type", "", constant({int_attribute("value", 1)}), "attribute 'value' is of type int, expected tensor"},
      {"an unknown attribute", "", constant({int_attribute("number", 1)}), "Constant has no attribute 'number'"},
      {"a damaged tensor", "", constant({tensor_attribute("value", tensor("", 1, {9}, "1"))}),
       "node 'k' (Constant): tensor '': float32 of shape 9 takes 36 bytes"},
      {"two outputs", "", model_of({node("Constant", {}, {"y", "z"}, {one})}), "2 outputs"},
  });
}

// ---- every truncation and every changed byte of a small model

std::string model_of_everything() {
  const Names functions = {function({.name = "f",
                                     .inputs = {"a"},
                                     .outputs = {"b"},
                                     .nodes = {node("Softmax", {"a"}, {"b"}, {reference("axis", 2, "axis")})},
                                     .defaults = {int_attribute("axis", 0)}})};
  const std::string sparse =
      bytes(15, bytes(1, float_tensor("s", {2}, {5, 7})) + bytes(2, tensor("", 7, {2}, raw<int64_t>({1, 5}))) + numbers(3, {2, 3}));
  return model(
      graph({.nodes = {node("f", {"x"}, {"h"}, {}, "call", "local"),
                       node("Constant", {}, {"k"}, {tensor_attribute("value", tensor("", 22, {3}, "\x21\x03"))}),
                       node("If", {"c"}, {"y"},
                            {graph_attribute("then_branch", branch({node("Concat", {"h", "w"}, {"t"}, {int_attribute("axis", 0)})}, "t")),
                             graph_attribute("else_branch", branch({soft("h", "e")}, "e"))})},
             .inputs = {input_x(), value_info("c", tensor_type(9, {}))},
             .outputs = {output_y()},
             .initializers = {float_tensor("w", {1, 4}, {1, 2, 3, 4}), tensor_head("i", 6, {2}) + numbers(5, {1, -1}),
                              tensor_head("t8", 8, {1}) + bytes(6, "text")},
             .value_infos = {value_info("h", tensor_type(1, {"N", 4}))},
             .more = sparse}),
      functions);
}

TEST(BadFiles, EveryTruncationIsAnError) {
  const std::string whole = model_of_everything();
  const std::string complete = whole;
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    auto imported = import_bytes(cut, {.allow_unsupported = true});
    EXPECT_FALSE(imported.ok()) << "cut at byte " << size;
  }
  auto imported = import_bytes(complete, {.allow_unsupported = true});
  ASSERT_TRUE(imported.ok()) << imported.error().message();
}

TEST(BadFiles, EveryChangedByteIsRefusedOrHarmless) {
  const std::string whole = model_of_everything();
  for (size_t at = 0; at < whole.size(); ++at)
    for (const int change : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ change);
      auto imported = import_bytes(changed, {.allow_unsupported = true});
      if (imported.ok() && imported->unsupported.empty()) {
        EXPECT_TRUE(verify(imported->graph).ok()) << "byte " << at << " changed by " << change;
      }
    }
}

}  // namespace
}  // namespace cameo::onnx
