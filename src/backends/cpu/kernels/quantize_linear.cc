// QuantizeLinear and DequantizeLinear between float32 and 8 bits with one scale for the whole tensor; QuantizeLinear also with one for
// each position along the last axis, and one zero point for all.
#include <algorithm>
#include <cmath>

#include "backends/cpu/kernels/quantized_gemm.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/quantize.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

bool is_byte(DType type) { return type == DType::kUint8 || type == DType::kInt8; }

bool one_element(const ir::Type& type) {
  return type.shape && std::ranges::all_of(*type.shape, [](const ir::Dim& d) { return d.is(1); });
}

// Whether each position along the last axis of x has a scale.
bool by_channel(const ops::QuantizeLinearAttrs& attrs, size_t rank) {
  return rank > 0 && attrs.block_size == 0 && attrs.precision == 0 && (attrs.axis == -1 || attrs.axis == static_cast<int64_t>(rank) - 1);
}

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  const bool quantizes = node.op->name == "QuantizeLinear";
  const ir::Type &x = facts[node.inputs[0]].type, &y = facts[node.outputs[0]].type, &scale = facts[node.inputs[1]].type;
  if ((quantizes ? x : y).dtype != DType::kFloat32 || !is_byte((quantizes ? y : x).dtype))
    return refuse("it is not between float32 and 8 bits");
  if (scale.dtype != DType::kFloat32) return refuse("its scales are not float32");
  if (one_element(scale)) return {};
  if (!quantizes || !x.shape || !scale.shape || scale.shape->size() != 1 ||
      !by_channel(node.attrs_as<ops::QuantizeLinearAttrs>(), x.shape->size()))
    return refuse("it has not one scale for all elements, or for each position along the last axis");
  return {};
}

// The rows of a node: its bytes, its floats, its parameters. Nothing where they do not fit together.
Result<cpu::ByteRow> row_of(ops::KernelContext& c, bool quantizes) {
  const Tensor &x = c.input(0), &y = c.output(0), &scale = c.input(1), &floats = quantizes ? x : y, &bytes = quantizes ? y : x;
  const bool has_zero = c.has_input(2);
  if (floats.dtype() != DType::kFloat32 || !is_byte(bytes.dtype()) || x.num_elements() != y.num_elements() || scale.num_elements() != 1 ||
      scale.dtype() != DType::kFloat32 || (has_zero && (c.input(2).num_elements() != 1 || c.input(2).dtype() != bytes.dtype())))
    return error(ErrorCode::kInvalidPlan, "the tensors do not fit a conversion between float32 and 8 bits");
  cpu::ByteRow row = {bytes.raw(),
                      bytes.dtype() == DType::kUint8 ? cpu::ByteType::kUint8 : cpu::ByteType::kInt8,
                      floats.data<float>(),
                      scale.data<float>()[0],
                      0,
                      x.num_elements()};
  if (has_zero)
    row.zero = bytes.dtype() == DType::kUint8 ? static_cast<float>(c.input(2).data<uint8_t>()[0])
                                              : static_cast<float>(c.input(2).data<int8_t>()[0]);
  return row;
}

// Rows of a tensor with a scale a column.
Status quantize_channels(ops::KernelContext& c) {
  const Tensor &x = c.input(0), &y = c.output(0), &scale = c.input(1), zero = c.has_input(2) ? c.input(2) : Tensor();
  const int64_t columns = scale.num_elements();
  if (x.dtype() != DType::kFloat32 || !is_byte(y.dtype()) || scale.dtype() != DType::kFloat32 || columns == 0 ||
      !by_channel(c.attrs<ops::QuantizeLinearAttrs>(), x.rank()) || x.dims().back() != columns || y.num_elements() != x.num_elements() ||
      (zero.defined() && (zero.dtype() != y.dtype() || zero.num_elements() != columns)))
    return c.node().op->reference(c);
  const auto code = [&](int64_t i) { return zero.defined() ? zero.data<uint8_t>()[i] : uint8_t{0}; };
  for (int64_t i = 0; i < columns; ++i)
    if (!std::isnormal(scale.data<float>()[i]) || code(i) != code(0)) return c.node().op->reference(c);
  const bool is_signed = y.dtype() == DType::kInt8;
  const float zero_point = is_signed ? static_cast<float>(static_cast<int8_t>(code(0))) : static_cast<float>(code(0));
  const int64_t rows = x.num_elements() / columns, step = std::max<int64_t>(1, (1 << 13) / columns);
  CAMEO_TRY(c.check_cancelled());
  c.threads().parallel_for((rows + step - 1) / step, [&](int64_t task, int) {
    for (int64_t r = task * step; r < std::min(rows, (task + 1) * step); ++r)
      cpu::quantized_gemm_kernels().to_bytes(
          {static_cast<uint8_t*>(y.raw()) + r * columns, is_signed ? cpu::ByteType::kInt8 : cpu::ByteType::kUint8,
           const_cast<float*>(x.data<float>()) + r * columns, 1, zero_point, columns, scale.data<float>()});
  });
  return {};
}

Status run(ops::KernelContext& c) {
  const bool quantizes = c.node().op->name == "QuantizeLinear";
  if (quantizes && c.input(1).num_elements() != 1) return quantize_channels(c);
  CAMEO_ASSIGN(const cpu::ByteRow row, row_of(c, quantizes));
  if (quantizes && !std::isnormal(row.scale)) return c.node().op->reference(c);
  const auto convert = quantizes ? cpu::quantized_gemm_kernels().to_bytes : cpu::quantized_gemm_kernels().to_floats;
  constexpr int64_t kStep = 1 << 14;
  CAMEO_TRY(c.check_cancelled());
  c.threads().parallel_for((row.count + kStep - 1) / kStep, [&](int64_t task, int) {
    cpu::ByteRow part = row;
    part.bytes = static_cast<uint8_t*>(row.bytes) + task * kStep;
    part.floats = row.floats + task * kStep;
    part.count = std::min(kStep, row.count - task * kStep);
    convert(part);
  });
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(quantize_linear_f32) = {
    .name = "quantize_linear_f32",
    .op = "QuantizeLinear",
    .supports = &supports,
    .run = &run,
};

CAMEO_DEFINE_TACTIC(dequantize_linear_f32) = {
    .name = "dequantize_linear_f32",
    .op = "DequantizeLinear",
    .supports = &supports,
    .run = &run,
};

}  // namespace cameo::tactics
