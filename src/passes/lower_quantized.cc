#include "passes/lower_quantized.h"

#include <algorithm>
#include <chrono>

#include "ops/cameo_conv.h"
#include "ops/cameo_matmul.h"
#include "ops/cameo_quantized.h"
#include "ops/channels_last.h"
#include "ops/evaluate.h"
#include "passes/program_builder.h"
#include "passes/quantization.h"
#include "passes/quantized_weights.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

class Lowering {
 public:
  Lowering(Editor& editor, PassReport& report) : editor_(editor), report_(report) {}

  // QuantizeLinear of a MaxPool's result as MaxPool of a QuantizeLinear's: rounding keeps the order.
  Status swap_pools() {
    for (uint32_t pool = editor_.first(); pool != Editor::kEnd; pool = editor_.next(pool)) {
      if (!editor_.alive(pool) || !is_cameo(editor_.node(pool), "MaxPool")) continue;
      const ir::Node& node = editor_.node(pool);
      const int64_t quantizer = sole_quantizer(node.outputs[0]);
      if (quantizer < 0 || editor_.uses(node.inputs[0]) != 1 || editor_.is_output(node.inputs[0])) continue;
      const auto root = static_cast<uint32_t>(quantizer);
      Patch patch(editor_);
      ir::Node q = editor_.node(root), largest = node;
      const ir::ValueId replaced = q.outputs[0];
      q.inputs[0] = node.inputs[0];
      q.outputs = {0};
      largest.inputs = {patch.node(std::move(q))[0]};
      largest.outputs = {0};
      patch.replace(replaced, patch.node(std::move(largest))[0]);
      auto applied = editor_.apply(std::move(patch), root, std::vector<uint32_t>{root, pool});
      if (!applied.ok()) return std::move(applied).error();
      ++report_.changes;
    }
    return {};
  }

  Status run() {
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      if (!editor_.alive(index)) continue;
      const ir::Node& node = editor_.node(index);
      if (node.op->domain == "com.microsoft" && node.op->name == "MatMulNBits") {
        const auto lowered = lower_n_bits(editor_, index);
        if (lowered.ok())
          ++report_.changes;
        else
          report_.notes.push_back(fmt::format("{}: {}", editor_.node(index).describe(), lowered.error().message()));
        continue;
      }
      const bool is_product = is_cameo(node, "MatMul");
      if ((!is_product && !is_cameo(node, "Conv")) || !is_dequantized_constant(editor_, node.inputs[1])) continue;
      // Bytes are cheaper to transpose than floats.
      const ir::Node* transpose = made_by(editor_, node.inputs[0], "Transpose");
      const ir::Node* from = made_by(editor_, transpose == nullptr ? node.inputs[0] : transpose->inputs[0], "DequantizeLinear");
      const auto x = from == nullptr ? std::nullopt : tensor_quantization(editor_, *from);
      auto lowered =
          x ? lower(index, *from, transpose, *x) : Result<uint32_t>(error(ErrorCode::kUnsupported, "its input is not of 8 bits"));
      if (!lowered.ok() && is_product) {
        auto weights_only = lower_weight(editor_, index);
        if (weights_only.ok()) lowered = std::move(weights_only);
      }
      if (lowered.ok())
        ++report_.changes;
      else
        report_.notes.push_back(fmt::format("{}: {}", editor_.node(index).describe(), lowered.error().message()));
    }
    return fold_rest();
  }

 private:
  struct Lowered {
    std::shared_ptr<ir::Attrs> attrs;
    ops::QuantizedAttrs* common = nullptr;
    Tensor weight, scales;
    bool transposed = false;  // the node's tensors are channels-first
  };

  static Error refusal(std::string reason) { return error(ErrorCode::kUnsupported, "{}", reason); }

  static Result<Tensor> float_tensor(const std::vector<float>& values, float factor) {
    CAMEO_ASSIGN(Tensor t, Tensor::allocate(DType::kFloat32, {static_cast<int64_t>(values.size())}));
    for (size_t i = 0; i < values.size(); ++i) t.data<float>()[i] = values[i] * factor;
    return t;
  }

  Result<Lowered> lower_matmul(const ir::Node& node) {
    const auto& old = node.attrs_as<ops::CameoMatMulAttrs>();
    const auto& shape = editor_.shape(node.inputs[1]);
    if (old.trans_a != 0 || !old.splits.empty()) return refusal("its left side is transposed, or its result is split");
    if (!shape || shape->size() != 2) return refusal("its weight is no matrix");
    const bool trans = old.trans_b != 0;
    CAMEO_ASSIGN(const Int8Weight weight, int8_weight(editor_, node.inputs[1], trans ? 0 : 1));
    auto attrs = std::make_shared<ops::CameoQuantizedMatMulAttrs>();
    attrs->n = weight.codes.dim(trans ? 0 : 1);
    attrs->k = weight.codes.dim(trans ? 1 : 0);
    static_cast<ops::ProgramAttrs&>(*attrs) = old;
    Lowered result;
    result.common = attrs.get();
    const auto* w = weight.codes.data<int8_t>();
    CAMEO_ASSIGN(result.weight, ops::pack_int8(attrs->k, attrs->n,
                                               [&](int64_t k, int64_t j) { return trans ? w[j * attrs->k + k] : w[k * attrs->n + j]; }));
    CAMEO_ASSIGN(result.scales, float_tensor(weight.scales, old.alpha));
    result.attrs = std::move(attrs);
    return result;
  }

  Result<Lowered> lower_conv(const ir::Node& node) {
    const auto& old = node.attrs_as<ops::CameoConvAttrs>();
    CAMEO_ASSIGN(const Int8Weight weight, int8_weight(editor_, node.inputs[1], 0));
    const Dims& dims = weight.codes.dims();
    auto attrs = std::make_shared<ops::CameoQuantizedConvAttrs>();
    static_cast<ops::WindowAttrs&>(*attrs) = old;
    static_cast<ops::ProgramAttrs&>(*attrs) = old;
    attrs->kernel_shape.assign(dims.begin() + 2, dims.end());
    attrs->n = dims[0];
    attrs->group = old.group;
    attrs->channels = dims[1] * old.group;
    if (old.group != 1 && (dims[1] != 1 || attrs->n != old.group)) return refusal("it has groups, and is not depthwise");
    Lowered result;
    result.transposed = old.channels_last == 0;
    result.common = attrs.get();
    const int64_t taps = attrs->taps(), channels = dims[1], n = attrs->n;
    if (taps == 0) return refusal("its kernel is empty");
    const auto* w = weight.codes.data<int8_t>();
    if (attrs->depthwise()) {
      CAMEO_ASSIGN(result.weight, Tensor::allocate(DType::kInt8, {taps, n}));
      for (int64_t tap = 0; tap < taps; ++tap)
        for (int64_t j = 0; j < n; ++j) result.weight.data<int8_t>()[tap * n + j] = w[j * taps + tap];
    } else {
      CAMEO_ASSIGN(result.weight, ops::pack_int8(taps * channels, n, [&](int64_t k, int64_t j) {
                     return w[(j * channels + k % channels) * taps + k / channels];
                   }));
    }
    CAMEO_ASSIGN(result.scales, float_tensor(weight.scales, 1));
    result.attrs = std::move(attrs);
    return result;
  }

  // The operand as bytes, when it is a dequantised tensor of y's shape that the program only adds.
  std::optional<std::pair<ir::ValueId, TensorQuantization>> bytes_of(const ir::Node& node, size_t operand,
                                                                     const ops::PointProgram& program) {
    const ir::ValueId id = node.inputs[2 + operand];
    const ir::Node* from = made_by(editor_, id, "DequantizeLinear");
    const auto q = from == nullptr ? std::nullopt : tensor_quantization(editor_, *from);
    if (!q || !editor_.same_shape(id, node.outputs[0]) || editor_.constant(from->inputs[0]) != nullptr) return std::nullopt;
    int uses = 0;
    const int reg = static_cast<int>(operand) + 1;
    for (const ops::PointInstruction& step : program.code) {
      const bool adds = step.op == ops::PointOp::kAdd;
      if (!adds && step.op != ops::PointOp::kRelu && step.op != ops::PointOp::kClip) return std::nullopt;
      if (!adds && step.a == reg) return std::nullopt;
      uses += adds && (step.a == reg) + (step.b == reg);
    }
    if (uses != 1) return std::nullopt;
    return std::pair(from->inputs[0], *q);
  }

  // The QuantizeLinear that alone reads the value; -1 for none.
  int64_t sole_quantizer(ir::ValueId id) const {
    if (editor_.uses(id) != 1 || editor_.is_output(id)) return -1;
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      const ir::Node& node = editor_.node(index);
      if (editor_.alive(index) && std::ranges::find(node.inputs, id) != node.inputs.end())
        return node.inputs[0] == id && node.op->name == "QuantizeLinear" && tensor_quantization(editor_, node) ? int64_t{index} : -1;
    }
    return -1;
  }

  // Extents and order of an operand of a channels-first node for channels-last ones; only for constants a channel.
  Result<ir::ValueId> channels_last_operand(Patch& patch, ir::ValueId id, int64_t n) {
    const Tensor* t = editor_.constant(id);
    if (t == nullptr || (t->num_elements() != 1 && t->num_elements() != n)) return refusal("an operand of its epilogue is channels-first");
    return patch.constant(t->reshaped({t->num_elements()}));
  }

  Result<uint32_t> lower(uint32_t index, const ir::Node& from, const ir::Node* transpose, const TensorQuantization& x) {
    const ir::Node& node = editor_.node(index);
    Lowered lowered;
    if (is_cameo(node, "Conv")) {
      CAMEO_ASSIGN(lowered, lower_conv(node));
    } else {
      CAMEO_ASSIGN(lowered, lower_matmul(node));
    }
    ops::QuantizedAttrs& attrs = *lowered.common;
    attrs.x_scale = x.scale;
    attrs.x_zero = x.zero;
    const size_t operands = node.inputs.size() - 2;
    CAMEO_ASSIGN(const ops::PointProgram program, attrs.decode(operands + 1));
    Patch patch(editor_);
    ir::ValueId input = from.inputs[0];
    if (transpose != nullptr) {
      ir::Node of_bytes = *transpose;
      of_bytes.inputs = {input};
      of_bytes.outputs = {0};
      input = patch.node(std::move(of_bytes))[0];
    }
    const size_t rank = editor_.shape(node.inputs[0]) ? editor_.shape(node.inputs[0])->size() : 0;
    if (lowered.transposed) {
      if (rank < 3) return refusal("the rank of its input is not known");
      input = patch.node("Transpose", {input}, {{"perm", axes(rank, true)}});
    }
    std::vector<ir::ValueId> inputs = {input, patch.constant(lowered.weight), patch.constant(lowered.scales)};
    bool any_bytes = false;
    for (size_t i = 0; i < operands; ++i) {
      ir::ValueId id = node.inputs[2 + i];
      const auto bytes = lowered.transposed || any_bytes ? std::nullopt : bytes_of(node, i, program);
      if (bytes) id = bytes->first;
      if (lowered.transposed) {
        CAMEO_ASSIGN(id, channels_last_operand(patch, id, attrs.n));
      }
      attrs.operand_scales.push_back(bytes ? bytes->second.scale : 0);
      attrs.operand_zeros.push_back(bytes ? bytes->second.zero : 0);
      any_bytes |= bytes.has_value();
      inputs.push_back(id);
    }
    if (!any_bytes) {
      attrs.operand_scales.clear();
      attrs.operand_zeros.clear();
    }
    ir::ValueId replaced = node.outputs[0];
    std::vector<uint32_t> matched = {index};
    uint32_t root = index;
    if (const int64_t quantizer = sole_quantizer(replaced); quantizer >= 0) {
      root = static_cast<uint32_t>(quantizer);
      const ir::Node& q = editor_.node(root);
      const auto y = tensor_quantization(editor_, q);
      attrs.y_type = static_cast<int64_t>(y->type);
      attrs.y_scale = y->scale;
      attrs.y_zero = y->zero;
      replaced = q.outputs[0];
      matched = {root, index};
    }
    ir::Node made = cameo_node(is_cameo(node, "Conv") ? "QuantizedConv" : "QuantizedMatMul", std::move(inputs), std::move(lowered.attrs));
    made.name = node.name;
    ir::ValueId y = patch.node(std::move(made))[0];
    if (lowered.transposed) y = patch.node("Transpose", {y}, {{"perm", axes(rank, false)}});
    patch.replace(replaced, y);
    return editor_.apply(std::move(patch), root, matched);
  }

  static std::vector<int64_t> axes(size_t rank, bool to_last) {
    std::vector<int64_t> order(rank);
    for (size_t i = 0; i < rank; ++i) order[i] = static_cast<int64_t>(i);
    return to_last ? ops::channels_last(order) : ops::channels_first(order);
  }

  // Dequantised constants that are still there.
  Status fold_rest() {
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      if (!editor_.alive(index)) continue;
      const ir::Node& node = editor_.node(index);
      if (node.op->name != "DequantizeLinear" || editor_.constant(node.inputs[0]) == nullptr) continue;
      std::vector<ops::RtValue> inputs;
      for (ir::ValueId id : node.inputs)
        inputs.push_back(ops::RtValue::of(editor_.constant(id) == nullptr ? Tensor() : *editor_.constant(id)));
      auto outputs = ops::evaluate_node(node, inputs, {});
      if (!outputs.ok()) continue;
      const std::vector<Tensor> folded = {(*outputs)[0].tensor};
      editor_.fold(index, folded);
    }
    return {};
  }

  Editor& editor_;
  PassReport& report_;
};

}  // namespace

Status lower_quantized(ir::Graph& graph, PassReport& report) {
  report.name = "lower_quantized";
  const auto start = std::chrono::steady_clock::now();
  std::vector<ops::Fact> inputs;
  for (ir::ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
  CAMEO_ASSIGN(Editor editor, Editor::open(graph, inputs));
  Lowering lowering(editor, report);
  CAMEO_TRY(lowering.swap_pools());
  CAMEO_TRY(lowering.run());
  editor.drop_unused_values();
  CAMEO_TRY(editor.finish());
  CAMEO_TRY(ir::infer_types(graph));
  report.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return {};
}

}  // namespace cameo::passes
