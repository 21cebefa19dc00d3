// SequenceMap (ai.onnx 17): runs its body on each element of the first sequence; further sequences of the same length go along
// with it, tensors are given whole to every call. Each output is the sequence of what the body gave.
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

Status check_body(const ir::Node& node) {
  const ir::Subgraph& body = node.subgraphs[0];
  if (body.num_formal_inputs() != node.inputs.size() || body.graph->outputs.size() != node.outputs.size())
    return error(ErrorCode::kInvalidModel, "the body has {} inputs and {} outputs, the node {} and {}; they must be the same",
                 body.num_formal_inputs(), body.graph->outputs.size(), node.inputs.size(), node.outputs.size());
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] == ir::kNoValue) return error(ErrorCode::kInvalidModel, "lacks its input {}", i);
  return {};
}

Status infer(InferContext& c) {
  CAMEO_TRY(check_body(c.node()));
  std::vector<ir::Type> formal;
  CAMEO_ASSIGN(formal.emplace_back(), element_type(c, 0));
  for (size_t i = 1; i < c.num_inputs(); ++i)
    formal.push_back(c.input(i).kind == ir::Type::Kind::kSequence ? *c.input(i).element : c.input(i));
  auto made = c.infer_subgraph(0, formal);
  if (!made.ok()) return std::move(made).error().in("body");
  for (size_t i = 0; i < c.num_outputs(); ++i) c.set_output(i, ir::Type::sequence(std::move((*made)[i])));
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const auto first, sequence_elements(c, 0));
  const auto is_sequence = [&](size_t i) { return c.value(i).kind == ir::Type::Kind::kSequence; };
  for (size_t i = 1; i < c.num_inputs(); ++i)
    if (is_sequence(i) && c.value(i).elements->size() != first.size())
      return error(ErrorCode::kInvalidInput, "input {} is a sequence of {} elements, input 0 of {}", i, c.value(i).elements->size(),
                   first.size());
  std::vector<std::vector<RtValue>> results(c.num_outputs());
  for (auto& result : results) result.reserve(first.size());
  std::vector<RtValue> formal(c.num_inputs());
  for (size_t k = 0; k < first.size(); ++k) {
    CAMEO_TRY(c.check_cancelled());
    for (size_t i = 0; i < formal.size(); ++i) formal[i] = is_sequence(i) ? (*c.value(i).elements)[k] : c.value(i);
    auto made = c.run_subgraph(0, formal);
    if (!made.ok()) return std::move(made).error().in("element " + std::to_string(k));
    for (size_t i = 0; i < results.size(); ++i) {
      CAMEO_ASSIGN(RtValue element, owning((*made)[i]));
      results[i].push_back(std::move(element));
    }
  }
  const ir::Graph& body = *c.node().subgraphs[0].graph;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!c.has_output(i)) continue;
    const DType dtype = results[i].empty() ? body.value(body.outputs[i]).type.dtype : results[i].front().tensor.dtype();
    c.set_value(i, RtValue::sequence(std::move(results[i]), dtype));
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SequenceMap) = {
    .name = "SequenceMap",
    .min_version = 17,
    .min_inputs = 1,
    .max_inputs = kVariadic,
    .max_outputs = kVariadic,
    .infer = &infer,
    .reference = &reference,
    .flags = kControlFlow | kDataDependent,
    .subgraphs = {"body"},
};

}  // namespace cameo::ops
