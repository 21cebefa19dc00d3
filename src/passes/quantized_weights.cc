#include "passes/quantized_weights.h"

#include "base/numeric.h"
#include "ops/cameo_matmul.h"
#include "ops/cameo_quantized_weight_matmul.h"
#include "ops/matmul_n_bits.h"
#include "ops/quantize.h"
#include "passes/program_builder.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

int code_at(const Tensor& t, int64_t i) {
  return t.dtype() == DType::kUint8 || t.dtype() == DType::kUint4 ? t.data<uint8_t>()[i] : t.data<int8_t>()[i];
}

float float_at(const Tensor& t, int64_t i) {
  return t.dtype() == DType::kFloat32 ? t.data<float>()[i] : static_cast<float>(t.data<Float16>()[i]);
}

Error refusal(std::string_view reason) { return error(ErrorCode::kUnsupported, "{}", reason); }

}  // namespace

Result<uint32_t> lower_weight(Editor& editor, uint32_t index) {
  const ir::Node& node = editor.node(index);
  const auto& old = node.attrs_as<ops::CameoMatMulAttrs>();
  const ir::Node* from = made_by(editor, node.inputs[1], "DequantizeLinear");
  if (from == nullptr || old.trans_a != 0) return refusal("its left side is transposed, or its weight is no dequantised constant");
  const Tensor *codes = editor.constant(from->inputs[0]), *scale = editor.constant(from->inputs[1]);
  const ir::ValueId zero_id = GraphView::input(*from, 2);
  const Tensor* zero = editor.constant(zero_id);
  if (codes == nullptr || codes->rank() != 2 || scale == nullptr || (zero_id != ir::kNoValue && zero == nullptr))
    return refusal("its weight is no matrix of constants");
  const DType type = codes->dtype();
  const bool four = type == DType::kInt4 || type == DType::kUint4;
  if (!four && type != DType::kInt8 && type != DType::kUint8) return refusal("its weight has neither 4 nor 8 bits");
  if (scale->dtype() != DType::kFloat32 && scale->dtype() != DType::kFloat16) return refusal("the scales of its weight are not float");

  const bool trans = old.trans_b != 0;
  const int64_t depth_axis = trans ? 1 : 0;
  int64_t axis = attr<int64_t>(*from, "axis").value_or(1);
  if (axis < 0) axis += 2;
  const int64_t block = attr<int64_t>(*from, "block_size").value_or(0);
  if (block != 0 && (axis != depth_axis || block % 16 != 0)) return refusal("the blocks of its weight are not of 16 rows or a multiple");
  if (block == 0 && scale->num_elements() != 1 && axis == depth_axis) return refusal("each row of its weight has a scale of its own");
  CAMEO_ASSIGN(const ops::QuantLayout layout, ops::quant_layout(codes->dims(), scale->dims(), axis, block));

  auto attrs = std::make_shared<ops::CameoQuantizedWeightMatMulAttrs>();
  attrs->bits = four ? 4 : 8;
  attrs->k = codes->dim(static_cast<size_t>(depth_axis));
  attrs->n = codes->dim(static_cast<size_t>(1 - depth_axis));
  attrs->group_size = block < attrs->k ? block : 0;
  static_cast<ops::ProgramAttrs&>(*attrs) = old;
  attrs->splits = old.splits;
  const int64_t k = attrs->k, n = attrs->n;
  // Signed codes move up by half of their range, and so do their zero points.
  const bool is_signed = type == DType::kInt4 || type == DType::kInt8;
  const int shift = is_signed ? (four ? 8 : 128) : 0;
  const auto place = [&](int64_t r, int64_t c) { return trans ? c * k + r : r * n + c; };
  CAMEO_ASSIGN(const Tensor values,
               ops::pack_codes(*attrs, [&](int64_t r, int64_t c) { return static_cast<uint8_t>(code_at(*codes, place(r, c)) + shift); }));
  CAMEO_ASSIGN(Tensor scales, Tensor::allocate(scale->dtype(), attrs->scale_dims()));
  CAMEO_ASSIGN(Tensor zeros, Tensor::allocate(DType::kUint8, attrs->scale_dims()));
  bool middle = true;
  for (int64_t c = 0; c < n; ++c)
    for (int64_t g = 0; g < attrs->groups(); ++g) {
      const int64_t at = place(g * attrs->group(), c), inner = at % layout.inner, rest = at / layout.inner;
      const int64_t from_at = scale->num_elements() == 1
                                  ? 0
                                  : rest / layout.length * layout.outer_step + rest % layout.length / layout.block * layout.block_step +
                                        inner * layout.inner_step;
      const int64_t to_at = ((c / 16) * attrs->groups() + g) * 16 + c % 16;
      if (scale->dtype() == DType::kFloat32)
        scales.data<float>()[to_at] = float_at(*scale, from_at) * old.alpha;
      else
        scales.data<Float16>()[to_at] = scale->data<Float16>()[from_at];
      zeros.data<uint8_t>()[to_at] = static_cast<uint8_t>((zero == nullptr ? 0 : code_at(*zero, from_at)) + shift);
      middle &= zeros.data<uint8_t>()[to_at] == (four ? 8 : 128);
    }
  if (old.alpha != 1 && scale->dtype() != DType::kFloat32) return refusal("the product is scaled");

  Patch patch(editor);
  std::vector<ir::ValueId> inputs = {node.inputs[0], patch.constant(values), patch.constant(scales),
                                     middle ? ir::kNoValue : patch.constant(zeros)};
  inputs.insert(inputs.end(), node.inputs.begin() + 2, node.inputs.end());
  while (inputs.back() == ir::kNoValue) inputs.pop_back();
  ir::Node made = cameo_node("QuantizedWeightMatMul", std::move(inputs), std::move(attrs), node.outputs.size());
  made.name = node.name;
  const std::vector<ir::ValueId> outputs = patch.node(std::move(made));
  for (size_t i = 0; i < outputs.size(); ++i)
    if (node.outputs[i] != ir::kNoValue) patch.replace(node.outputs[i], outputs[i]);
  return editor.apply(std::move(patch), index, std::vector<uint32_t>{index});
}

Result<uint32_t> lower_n_bits(Editor& editor, uint32_t index) {
  const ir::Node& node = editor.node(index);
  const auto& old = node.attrs_as<ops::MatMulNBitsAttrs>();
  const ir::ValueId zero_id = GraphView::input(node, 3), bias = GraphView::input(node, 5);
  const Tensor *codes = editor.constant(node.inputs[1]), *scale = editor.constant(node.inputs[2]), *zero = editor.constant(zero_id);
  if (codes == nullptr || scale == nullptr || (zero_id != ir::kNoValue && zero == nullptr)) return refusal("its weight is not constant");
  CAMEO_TRY(old.check(codes->num_elements(), scale->num_elements(), zero == nullptr ? -1 : zero->num_elements()));
  auto attrs = std::make_shared<ops::CameoQuantizedWeightMatMulAttrs>();
  attrs->bits = old.bits;
  attrs->k = old.K;
  attrs->n = old.N;
  attrs->group_size = old.block_size < old.K ? old.block_size : 0;
  CAMEO_ASSIGN(const Tensor values,
               ops::pack_codes(*attrs, [&](int64_t r, int64_t c) { return static_cast<uint8_t>(old.code(codes->data<uint8_t>(), r, c)); }));
  CAMEO_ASSIGN(Tensor scales, Tensor::allocate(DType::kFloat32, attrs->scale_dims()));
  CAMEO_ASSIGN(Tensor zeros, Tensor::allocate(DType::kUint8, attrs->scale_dims()));
  for (int64_t c = 0; c < old.N; ++c)
    for (int64_t g = 0; g < attrs->groups(); ++g) {
      const int64_t at = (c / 16 * attrs->groups() + g) * 16 + c % 16;
      scales.data<float>()[at] = scale->data<float>()[c * old.blocks() + g];
      zeros.data<uint8_t>()[at] = static_cast<uint8_t>(old.zero(zero == nullptr ? nullptr : zero->data<uint8_t>(), g, c));
    }
  Patch patch(editor);
  std::vector<ir::ValueId> inputs = {node.inputs[0], patch.constant(values), patch.constant(scales)};
  if (zero != nullptr || bias != ir::kNoValue) inputs.push_back(zero == nullptr ? ir::kNoValue : patch.constant(zeros));
  if (bias != ir::kNoValue) {
    ops::PointProgram program;
    program.num_inputs = 2;
    program.code.push_back({ops::PointOp::kAdd, 0, 1, 0});
    static_cast<ops::ProgramAttrs&>(*attrs) = {ops::encode(program), program.constants};
    inputs.push_back(bias);
  }
  ir::Node made = cameo_node("QuantizedWeightMatMul", std::move(inputs), std::move(attrs));
  made.name = node.name;
  patch.replace(node.outputs[0], patch.node(std::move(made))[0]);
  return editor.apply(std::move(patch), index, std::vector<uint32_t>{index});
}

}  // namespace cameo::passes
