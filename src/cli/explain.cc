// cameo explain PLAN [NODE]
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/cli.h"
#include "ops/op.h"
#include "plan/content.h"

namespace cameo::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string path, node;
};

std::string list(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& t : texts) all += (all.empty() ? "" : ", ") + t;
  return all.empty() ? "none" : all;
}

std::vector<std::string> types(const ir::Graph& graph, const std::vector<ir::ValueId>& ids) {
  std::vector<std::string> texts;
  for (ir::ValueId id : ids) {
    if (id == ir::kNoValue) continue;
    const ir::Value& v = graph.value(id);
    texts.push_back(v.name + ": " + v.type.to_string() + (v.elided ? " (packed)" : v.is_constant() ? " (constant)" : ""));
  }
  return texts;
}

// The types that the node computes with: those of its inputs, constants in the form in which they are kept.
std::string precision(const ir::Graph& graph, const ir::Node& node) {
  std::vector<std::string> names;
  const auto add = [&](DType dtype) {
    const std::string name(dtype_name(dtype));
    if (dtype != DType::kUndefined && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (ir::ValueId id : node.inputs)
    if (id != ir::kNoValue && graph.value(id).type.is_tensor()) add(graph.value(id).type.dtype);
  for (const Tensor& t : node.packed) add(t.dtype());
  return list(names);
}

Json explain(const ir::Graph& graph, size_t index) {
  const ir::Node& node = graph.nodes[index];
  Json trials = Json::array();
  for (const ir::TacticTrial& t : node.trials) {
    Json trial = {{"tactic", t.tactic}};
    if (t.microseconds >= 0) trial["microseconds"] = t.microseconds;
    if (!t.reason.empty()) trial["reason"] = t.reason;
    trials.push_back(std::move(trial));
  }
  return {{"index", index},
          {"name", node.name},
          {"op", (node.op->domain.empty() ? "" : std::string(node.op->domain) + ".") + std::string(node.op->name)},
          {"attributes", attributes_text(node)},
          {"inputs", types(graph, node.inputs)},
          {"outputs", types(graph, node.outputs)},
          {"precision", precision(graph, node)},
          {"kernel", node.kernel.empty() ? "reference" : node.kernel},
          {"tactics", trials},
          {"onnx_nodes", node.sources}};
}

void print(const Json& n) {
  std::printf("node %zu: %s '%s'\n", n["index"].get<size_t>(), n["op"].get<std::string>().c_str(), n["name"].get<std::string>().c_str());
  if (const auto a = n["attributes"].get<std::string>(); !a.empty()) std::printf("  attributes: %s\n", a.c_str());
  for (const char* side : {"inputs", "outputs"}) std::printf("  %s: %s\n", side, list(n[side].get<std::vector<std::string>>()).c_str());
  std::printf("  precision: %s\n", n["precision"].get<std::string>().c_str());
  std::printf("  runs with: %s\n", n["kernel"].get<std::string>().c_str());
  for (const Json& t : n["tactics"]) {
    if (t.contains("microseconds"))
      std::printf("    %-28s %10.2f us\n", t["tactic"].get<std::string>().c_str(), t["microseconds"].get<double>());
    else
      std::printf("    %-28s %10s    %s\n", t["tactic"].get<std::string>().c_str(), "-", t.value("reason", "").c_str());
  }
  std::printf("  covers the ONNX nodes: %s\n", list(n["onnx_nodes"].get<std::vector<std::string>>()).c_str());
}

// By number, else by name, else all nodes whose name or ONNX nodes contain the text.
std::vector<size_t> find(const ir::Graph& graph, const std::string& text) {
  std::vector<size_t> found;
  if (!text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos &&
      std::stoul(text) < graph.nodes.size())
    return {std::stoul(text)};
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    if (graph.nodes[i].name == text) return {i};
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const ir::Node& node = graph.nodes[i];
    bool match = node.name.find(text) != std::string::npos;
    for (const std::string& source : node.sources) match |= source.find(text) != std::string::npos;
    if (match) found.push_back(i);
  }
  return found;
}

Result<int> run(const Options& o, const Common& common) {
  CAMEO_ASSIGN(const Plan plan, Plan::load(o.path));
  CAMEO_ASSIGN(const plan::Content content, plan::read(plan, /*verify_weights=*/false));
  const std::vector<size_t> found = find(content.graph, o.node);
  if (found.empty())
    return error(ErrorCode::kInvalidArgument,
                 "no node of '{}' is named like '{}', or stands for an ONNX node that is; `cameo inspect --layers {}` lists them", o.path,
                 o.node, o.path);
  Json all = Json::array();
  for (size_t i : found) all.push_back(explain(content.graph, i));
  if (common.json)
    std::printf("%s\n", Json{{"plan", o.path}, {"nodes", all}}.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  else
    for (const Json& n : all) print(n);
  return kDone;
}

}  // namespace

Run add_explain(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("plan", o->path, "Plan file")->required();
  app.add_option("node", o->node, "Number or name of a node, or part of the name of it or of an ONNX node it stands for; none: all nodes");
  return [o, &common] { return run(*o, common); };
}

}  // namespace cameo::cli
