#include "run_model.h"

#include "onnx/import.h"
#include "onnx/model.h"
#include "ops/evaluate.h"

namespace cameo::conformance {

Result<std::vector<ops::RtValue>> run_reference(const std::string& model_path, std::span<const NamedValue> inputs,
                                                std::span<const std::string> output_names) {
  CAMEO_ASSIGN(const onnx::Model model, onnx::read_model(model_path));
  CAMEO_ASSIGN(onnx::ImportedModel imported, onnx::import_model(model));
  ir::Graph& graph = imported.graph;
  CAMEO_TRY(ir::verify(graph));
  CAMEO_TRY(ir::infer_types(graph));
  std::vector<ops::RtValue> values;
  for (ir::ValueId id : graph.inputs)
    for (const NamedValue& input : inputs)
      if (input.first == graph.value(id).name) values.push_back(input.second);
  CAMEO_ASSIGN(std::vector<ops::RtValue> results, ops::evaluate_graph(graph, values));
  std::vector<ops::RtValue> outputs;
  for (const std::string& name : output_names)
    for (size_t i = 0; i < graph.outputs.size(); ++i)
      if (graph.value(graph.outputs[i]).name == name) {
        outputs.push_back(results[i]);
        break;
      }
  return outputs;
}

}  // namespace cameo::conformance
