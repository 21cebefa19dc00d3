// If (ai.onnx 1, 11, 13, 16, 19, 21, 23, 24, 25): runs one of two subgraphs and gives its outputs; the other is not looked at.
// Later versions add types (sequences, optionals) and allow the branches' shapes to differ.
#include "ops/op.h"

namespace cameo::ops {
namespace {

constexpr size_t kThen = 0, kElse = 1;

Result<bool> condition_of(const Tensor& t) {
  if (t.num_elements() != 1)
    return error(ErrorCode::kInvalidInput, "the condition has shape {}; it must be one bool", t.dims().to_string());
  return t.data<bool>()[0];
}

Status infer(InferContext& c) {
  for (const ir::Subgraph& branch : c.node().subgraphs)
    if (branch.graph->outputs.size() != c.num_outputs())
      return error(ErrorCode::kInvalidModel, "{} has {} outputs, the node {}", branch.attribute, branch.graph->outputs.size(),
                   c.num_outputs());
  if (const Tensor* condition = c.constant(0)) {
    CAMEO_ASSIGN(const bool taken, condition_of(*condition));
    auto types = c.infer_subgraph(taken ? kThen : kElse, {});
    if (!types.ok()) return std::move(types).error().in(taken ? "then_branch" : "else_branch");
    for (size_t i = 0; i < c.num_outputs(); ++i) c.set_output(i, std::move((*types)[i]));
    return {};
  }
  auto a = c.infer_subgraph(kThen, {}), b = c.infer_subgraph(kElse, {});
  // A branch that the shapes at hand do not allow is one that will not be taken (exporters write an If to squeeze an extent of 1).
  const auto rules_itself_out = [](const auto& types) {
    return !types.ok() && (types.error().code() == ErrorCode::kInvalidModel || types.error().code() == ErrorCode::kInvalidInput);
  };
  if (!a.ok() && (!rules_itself_out(a) || !b.ok())) return std::move(a).error().in("then_branch");
  if (!b.ok() && !rules_itself_out(b)) return std::move(b).error().in("else_branch");
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    if (!a.ok() || !b.ok()) {
      c.set_output(i, (a.ok() ? *a : *b)[i]);
      continue;
    }
    const ir::Type &x = (*a)[i], &y = (*b)[i];
    if (x.is_tensor() && y.is_tensor() && x.dtype != DType::kUndefined && y.dtype != DType::kUndefined && x.dtype != y.dtype)
      return error(ErrorCode::kInvalidModel, "output {} is {} in then_branch and {} in else_branch", i, x.to_string(), y.to_string());
    c.set_output(i, ir::join(x, y));
  }
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const bool taken, condition_of(c.input(0)));
  auto outputs = c.run_subgraph(taken ? kThen : kElse, {});
  if (!outputs.ok()) return std::move(outputs).error().in(taken ? "then_branch" : "else_branch");
  for (size_t i = 0; i < c.num_outputs(); ++i)
    if (c.has_output(i)) c.set_value(i, std::move((*outputs)[i]));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(If) = {
    .name = "If",
    .max_outputs = kVariadic,
    .input_types = {kBoolType},
    .infer = &infer,
    .reference = &reference,
    .flags = kControlFlow | kDataDependent,
    .subgraphs = {"then_branch", "else_branch"},
};

}  // namespace cameo::ops
