// Models that other tools quantised are full of pairs that round a value to 8 bits and back: QuantizeLinear, DequantizeLinear. What
// a pair is for is the product or convolution behind it, which then reads bytes:
//  - a pair whose value no product or convolution with an 8-bit weight reads is taken out: the value keeps its float precision
//    (results come nearer to those of the model before it was quantised; values beyond the range of the pair are not cut), unless
//    types are to be those of the model;
//  - constants that are dequantised for anything else than such a weight become float.
#include <algorithm>

#include "ops/evaluate.h"
#include "passes/pass.h"
#include "passes/quantization.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

class Simplifier {
 public:
  explicit Simplifier(PassContext& context) : context_(context), editor_(context.editor) {}

  Status run() {
    users_.resize(editor_.graph().values.size());
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index))
      ir::for_each_use(editor_.node(index), [&](ir::ValueId id) { users_[id].push_back(index); });
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      if (!editor_.alive(index) || !editor_.node(index).op->domain.empty()) continue;
      const std::string_view name = editor_.node(index).op->name;
      if (name == "QuantizeLinear" && !context_.options.strongly_typed) take_out(index);
      if (name == "DequantizeLinear") CAMEO_TRY(fold(index));
    }
    return {};
  }

 private:
  std::span<const uint32_t> users(ir::ValueId id) const { return id < users_.size() ? std::span(users_[id]) : std::span<const uint32_t>(); }

  // Whether the node reads the value as the left side of a product, or the input of a convolution, by a weight of 8 bits.
  bool reads_bytes(const ir::Node& node, ir::ValueId id) const {
    if (node.op->name == "Transpose")
      return std::ranges::any_of(users(node.outputs[0]),
                                 [&](uint32_t user) { return editor_.alive(user) && reads_bytes(editor_.node(user), node.outputs[0]); });
    if (node.inputs.size() < 2 || node.inputs[0] != id || !is_dequantized_constant(editor_, node.inputs[1])) return false;
    // Also when the late passes have made them operators of our own.
    if (node.op->name == "Gemm") return attr<int64_t>(node, "transA").value_or(0) == 0;
    if (node.op->name == "MatMul") return attr<int64_t>(node, "trans_a").value_or(0) == 0;
    return node.op->name == "Conv";
  }

  void take_out(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    const auto quantization = tensor_quantization(editor_, node);
    if (!quantization) return;
    std::vector<uint32_t> pairs;
    for (uint32_t user : users(node.outputs[0])) {
      if (!editor_.alive(user) || editor_.node(user).op->name != "DequantizeLinear") continue;
      const ir::Node& back = editor_.node(user);
      if (tensor_quantization(editor_, back) != quantization) continue;
      // Where bytes are needed in any case, all read them: they are a quarter of the memory.
      for (uint32_t reader : users(back.outputs[0]))
        if (editor_.alive(reader) && reads_bytes(editor_.node(reader), back.outputs[0])) return;
      pairs.push_back(user);
    }
    for (uint32_t back : pairs) {
      const ir::ValueId from = editor_.node(back).outputs[0], to = node.inputs[0];
      if (!editor_.can_replace(from, to)) continue;
      for (uint32_t reader : users(from))
        if (to < users_.size()) users_[to].push_back(reader);
      editor_.replace(from, to);
      ++context_.report.changes;
    }
  }

  Status fold(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    std::vector<ops::RtValue> inputs;
    for (ir::ValueId id : node.inputs) {
      const Tensor* t = editor_.constant(id);
      if (t == nullptr && id != ir::kNoValue) return {};
      inputs.push_back(ops::RtValue::of(t == nullptr ? Tensor() : *t));
    }
    if (is_weight(node.outputs[0])) return {};
    const auto bytes = 4 * editor_.constant(node.inputs[0])->num_elements();
    if (bytes > (1 << 16) && bytes > context_.folding_budget_left) {
      context_.note(node, "as float it would go beyond the budget of constant folding");
      return {};
    }
    auto outputs = ops::evaluate_node(node, inputs, {}, {.check_cancelled = context_.options.check_cancelled});
    if (!outputs.ok()) return {};
    context_.folding_budget_left -= bytes;
    const std::vector<Tensor> folded = {(*outputs)[0].tensor};
    editor_.fold(index, folded);
    ++context_.report.changes;
    return {};
  }

  // Whether a product, or a convolution of bytes, reads the value as its weight.
  bool is_weight(ir::ValueId id) const {
    return std::ranges::any_of(users(id), [&](uint32_t user) {
      if (!editor_.alive(user)) return false;
      const ir::Node& node = editor_.node(user);
      if (node.op->name == "Transpose") return is_weight(node.outputs[0]);
      if (node.inputs.size() < 2 || node.inputs[1] != id) return false;
      if (node.op->name == "MatMul" || node.op->name == "Gemm") return true;
      if (node.op->name != "Conv") return false;
      ir::ValueId x = node.inputs[0];
      while (const ir::Node* transpose = made_by(editor_, x, "Transpose")) x = transpose->inputs[0];
      return made_by(editor_, x, "DequantizeLinear") != nullptr;
    });
  }

  PassContext& context_;
  Editor& editor_;
  std::vector<std::vector<uint32_t>> users_;  // of the values that there were at first; some may be gone
};

Status run(PassContext& context) { return Simplifier(context).run(); }

}  // namespace

CAMEO_DEFINE_PASS(simplify_qdq) = {
    .name = "simplify_qdq",
    .summary = "takes out QuantizeLinear and DequantizeLinear where no product or convolution needs bytes",
    .run = &run,
};

}  // namespace cameo::passes
