// An ai.cameo.Pointwise that alone reads the result of an ai.cameo.MatMul or Conv becomes part of that one's epilogue: bias,
// activation, residual, gate. What else it reads is there by then, for nothing else depends on the result.
#include <algorithm>

#include "ops/cameo_conv.h"
#include "ops/cameo_matmul.h"
#include "passes/pass.h"
#include "passes/program_builder.h"

namespace cameo::passes {
namespace {

// The epilogue's attributes of a node that has one; null otherwise.
const ops::ProgramAttrs* epilogue_of(const ir::Node& node) {
  if (is_cameo(node, "Conv")) return &node.attrs_as<ops::CameoConvAttrs>();
  return is_cameo(node, "MatMul") ? &node.attrs_as<ops::CameoMatMulAttrs>() : nullptr;
}

std::shared_ptr<ir::Attrs> with_program(const ir::Node& node, const ops::PointProgram& program) {
  std::shared_ptr<ir::Attrs> attrs = node.attrs->clone();
  ops::ProgramAttrs& to = is_cameo(node, "Conv") ? static_cast<ops::ProgramAttrs&>(static_cast<ops::CameoConvAttrs&>(*attrs))
                                                 : static_cast<ops::CameoMatMulAttrs&>(*attrs);
  to.program = ops::encode(program);
  to.constants = program.constants;
  return attrs;
}

// Why the node cannot take the Pointwise in that reads its result; empty when it can.
std::string refusal(const GraphView& view, const ir::Node& pointwise, const ir::Node& producer, ir::ValueId y) {
  if (producer.outputs.size() != 1) return fmt::format("{} splits its result", producer.describe());
  if (pointwise.inputs.size() > 1 && !view.same_shape(y, pointwise.outputs[0])) return fmt::format("it may be larger than the result of {}", producer.describe());
  const auto here = static_cast<size_t>(std::ranges::count(pointwise.inputs, y));
  if (view.uses(y) != here) return fmt::format("the result of {} is also used elsewhere", producer.describe());
  return {};
}

class Merger {
 public:
  explicit Merger(PassContext& context) : context_(context), editor_(context.editor) {}

  Status run() {
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index))
      if (editor_.alive(index) && is_cameo(editor_.node(index), "Pointwise")) CAMEO_TRY(visit(index));
    return {};
  }

 private:
  Status visit(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    std::string reason;
    // The last operand first: of several products, the one that is made latest most often.
    for (size_t i = node.inputs.size(); i-- > 0;) {
      const int32_t at = editor_.producer_index(node.inputs[i]);
      if (at < 0 || epilogue_of(editor_.node(static_cast<size_t>(at))) == nullptr) continue;
      const ir::Node& producer = editor_.node(static_cast<size_t>(at));
      std::string why = refusal(editor_, node, producer, node.inputs[i]);
      if (why.empty()) {
        if (merge(index, static_cast<uint32_t>(at))) return {};
        why = "the program would have too many inputs or instructions";
      }
      reason = std::move(why);
    }
    if (!reason.empty()) context_.note(node, reason);
    return {};
  }

  bool merge(uint32_t index, uint32_t at) {
    const ir::Node &node = editor_.node(index), &producer = editor_.node(at);
    const std::span<const ir::ValueId> operands = std::span(producer.inputs).subspan(2);
    const auto before = epilogue_of(producer)->decode(operands.size() + 1);
    const auto after = node.attrs_as<ops::CameoPointwiseAttrs>().decode(node.inputs.size());
    if (!before.ok() || !after.ok()) return false;
    ProgramBuilder builder(editor_);
    builder.begin_epilogue(*before, operands, producer.outputs[0]);
    builder.add_program(*after, node.inputs, node.outputs[0]);
    const auto fused = builder.finish(node.outputs[0]);
    if (!fused) return false;
    ir::Node merged = producer;
    merged.attrs = with_program(producer, fused->program);
    merged.inputs.resize(2);
    merged.inputs.insert(merged.inputs.end(), fused->inputs.begin() + 1, fused->inputs.end());
    merged.outputs = {0};
    merged.sources.clear();
    Patch patch(editor_);
    patch.replace(node.outputs[0], patch.node(std::move(merged))[0]);
    const uint32_t matched[] = {at, index};
    auto applied = editor_.apply(std::move(patch), index, matched);
    if (!applied.ok()) return false;
    ++context_.report.changes;
    return true;
  }

  PassContext& context_;
  Editor& editor_;
};

Status run(PassContext& context) { return Merger(context).run(); }

}  // namespace

CAMEO_DEFINE_PASS(fuse_epilogue) = {
    .name = "fuse_epilogue",
    .summary = "computes bias, activation and residual where a product or convolution is written",
    .run = &run,
    .late = true,
};

}  // namespace cameo::passes
