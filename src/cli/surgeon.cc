// cameo surgeon MODEL -o OUT.onnx
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cameo/version.h"
#include "cli/cli.h"
#include "onnx/import.h"
#include "onnx/opset.h"
#include "onnx/write.h"
#include "passes/driver.h"

namespace cameo::cli {
namespace {

struct Options {
  std::string model, output;
  std::vector<std::string> only, disabled;
  bool onnx_operators = false, verify = false;
  int opset = 0;
  std::string external_data_root;
};

Result<std::vector<std::string>> disabled_passes(const Options& o) {
  std::vector<std::string> disabled = o.disabled;
  for (const std::string& name : o.only) {
    const auto passes = passes::all_passes();
    if (std::none_of(passes.begin(), passes.end(), [&](const passes::Pass* pass) { return pass->name == name; }))
      return error(ErrorCode::kInvalidArgument, "there is no pass '{}'; `cameo inspect --passes` lists them", name);
  }
  for (const passes::Pass* pass : passes::all_passes()) {
    const bool left_out = !o.only.empty() && std::find(o.only.begin(), o.only.end(), pass->name) == o.only.end();
    if (left_out) disabled.emplace_back(pass->name);
  }
  if (o.onnx_operators)
    for (std::string& name : passes_with_own_operators()) disabled.push_back(std::move(name));
  return disabled;
}

Result<int> operate(const Options& o, const Common& common) {
  CAMEO_ASSIGN(const onnx::Model model, onnx::read_model(o.model));
  CAMEO_ASSIGN(onnx::ImportedModel imported, onnx::import_model(model, {.external_data_root = o.external_data_root}));
  ir::Graph& graph = imported.graph;
  CAMEO_TRY(ir::infer_types(graph));
  const size_t before = graph.nodes.size();
  passes::PassOptions options;
  CAMEO_ASSIGN(options.disabled, disabled_passes(o));
  options.verify = o.verify;
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
  options.logger = &logger;
  std::vector<PassReport> reports;
  CAMEO_TRY(passes::run_passes(graph, options, reports));
  const auto given = imported.opsets.find("");
  const int at_least = std::max(o.opset, given == imported.opsets.end() ? 1 : static_cast<int>(given->second));
  CAMEO_ASSIGN(const int opset, onnx::unify_opset(graph, at_least));
  if (o.opset != 0 && opset > o.opset) return error(ErrorCode::kUnsupported, "the graph needs opset {}; --opset says {}", opset, o.opset);
  CAMEO_TRY(onnx::write_model(graph, o.output, {.producer_version = CAMEO_VERSION}));
  if (common.json) {
    nlohmann::ordered_json object = {{"model", o.output},
                                     {"opset", opset},
                                     {"nodes_before", before},
                                     {"nodes", graph.nodes.size()},
                                     {"passes", nlohmann::json::array()}};
    for (const PassReport& p : reports)
      object["passes"].push_back({{"name", p.name}, {"changes", p.changes}, {"milliseconds", p.milliseconds}, {"notes", p.notes}});
    std::printf("%s\n", object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s: opset %d, %zu nodes; there were %zu\n", o.output.c_str(), opset, graph.nodes.size(), before);
  }
  return kDone;
}

}  // namespace

Run add_surgeon(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("model", o->model, "ONNX file")->required();
  app.add_option("-o,--output", o->output, "ONNX file to write; large constants go to a file beside it")->required();
  app.add_option("--passes", o->only, "Run these passes alone (names: cameo inspect --passes)")->delimiter(',');
  app.add_option("--disable-pass", o->disabled, "Leave a pass out; repeatable")->allow_extra_args(false);
  app.add_flag("--onnx-operators", o->onnx_operators, "Use operators of ONNX alone, so that other programs can run the file");
  app.add_option("--opset", o->opset, "Opset version to write, at least the model's; without it the lowest that will do")
      ->check(CLI::Range(7, 28));
  app.add_flag("--verify-passes", o->verify, "Check the graph after every pass");
  app.add_option("--external-data-root", o->external_data_root, "One more folder that the model's external data may lie in");
  return [o, &common] { return operate(*o, common); };
}

}  // namespace cameo::cli
