#include "run_model.h"

#include "cameo/builder.h"
#include "cameo/engine.h"
#include "compare.h"
#include "onnx/import.h"
#include "onnx/model.h"
#include "ops/evaluate.h"

namespace cameo::conformance {
namespace {

using ops::RtValue;
using Kind = ir::Type::Kind;

Status set_input(ExecutionContext& context, const std::string& name, const RtValue& value) {
  switch (value.kind) {
    case Kind::kTensor:
      return context.set_input(name, value.tensor);
    case Kind::kSequence: {
      std::vector<Tensor> elements;
      for (const RtValue& element : *value.elements) elements.push_back(element.tensor);
      return context.set_input_sequence(name, std::move(elements));
    }
    case Kind::kOptional:
      return value.elements->empty() ? context.set_input_absent(name) : set_input(context, name, value.elements->front());
    case Kind::kUnknown:
      break;
  }
  return error(ErrorCode::kInternal, "input '{}' has no value", name);
}

// A copy of an output, since the next run overwrites it.
Result<RtValue> copy_output(const ExecutionContext& context, const TensorInfo& info) {
  if (info.type.starts_with("optional")) {
    CAMEO_ASSIGN(const bool present, context.output_present(info.name));
    if (!present) return RtValue::optional(std::nullopt);
    TensorInfo element = info;
    element.type = info.type.substr(std::string_view("optional(").size());
    CAMEO_ASSIGN(RtValue value, copy_output(context, element));
    return RtValue::optional(std::move(value));
  }
  if (info.type.starts_with("sequence")) {
    CAMEO_ASSIGN(std::vector<Tensor> tensors, context.output_sequence(info.name));
    std::vector<RtValue> elements;
    for (const Tensor& tensor : tensors) {
      CAMEO_ASSIGN(Tensor copy, tensor.clone());
      elements.push_back(RtValue::of(std::move(copy)));
    }
    return RtValue::sequence(std::move(elements), info.dtype);
  }
  CAMEO_ASSIGN(const Tensor tensor, context.output(info.name));
  CAMEO_ASSIGN(Tensor copy, tensor.clone());
  return RtValue::of(std::move(copy));
}

Result<std::vector<RtValue>> run_once(const Engine& engine, ExecutionContext& context, std::span<const std::string> output_names) {
  CAMEO_TRY(context.run());
  std::vector<RtValue> values;
  for (const std::string& name : output_names)
    for (const TensorInfo& info : engine.outputs())
      if (info.name == name) {
        CAMEO_ASSIGN(RtValue value, copy_output(context, info));
        values.push_back(std::move(value));
        break;
      }
  return values;
}

}  // namespace

Result<std::vector<RtValue>> run_plan(const std::string& model_path, std::span<const NamedValue> inputs,
                                      std::span<const std::string> output_names, bool repeatable, const std::string& device,
                                      bool cpu_fallback) {
  Builder builder;
  CAMEO_ASSIGN(const Plan plan, builder.build(model_path, {.verify_passes = true, .device = device, .cpu_fallback = cpu_fallback}));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan));
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  for (const auto& [name, value] : inputs) CAMEO_TRY(set_input(context, name, value));
  CAMEO_ASSIGN(std::vector<RtValue> first, run_once(engine, context, output_names));
  CAMEO_ASSIGN(std::vector<RtValue> second, run_once(engine, context, output_names));
  for (size_t i = 0; repeatable && i < first.size(); ++i) {
    const std::string text = difference(second[i], first[i], 0, 0);
    if (!text.empty()) return error(ErrorCode::kInternal, "the second run gives another output '{}': {}", output_names[i], text);
  }
  return first;
}

Result<std::vector<RtValue>> run_reference(const std::string& model_path, std::span<const NamedValue> inputs,
                                           std::span<const std::string> output_names) {
  CAMEO_ASSIGN(const onnx::Model model, onnx::read_model(model_path));
  CAMEO_ASSIGN(onnx::ImportedModel imported, onnx::import_model(model));
  ir::Graph& graph = imported.graph;
  CAMEO_TRY(ir::verify(graph));
  CAMEO_TRY(ir::infer_types(graph));
  std::vector<RtValue> values;
  for (ir::ValueId id : graph.inputs)
    for (const NamedValue& input : inputs)
      if (input.first == graph.value(id).name) values.push_back(input.second);
  CAMEO_ASSIGN(std::vector<RtValue> results, ops::evaluate_graph(graph, values));
  std::vector<RtValue> outputs;
  for (const std::string& name : output_names)
    for (size_t i = 0; i < graph.outputs.size(); ++i)
      if (graph.value(graph.outputs[i]).name == name) {
        outputs.push_back(results[i]);
        break;
      }
  return outputs;
}

}  // namespace cameo::conformance
