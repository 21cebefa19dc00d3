// QuantizeLinear and DequantizeLinear between float32 and 8 bits with one scale for the whole tensor.
#include <algorithm>
#include <cmath>

#include "backends/cpu/kernels/quantized_gemm.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

bool is_byte(DType type) { return type == DType::kUint8 || type == DType::kInt8; }

bool one_element(const ir::Type& type) {
  return type.shape && std::ranges::all_of(*type.shape, [](const ir::Dim& d) { return d.is(1); });
}

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  const bool quantizes = node.op->name == "QuantizeLinear";
  const ir::Type &x = facts[node.inputs[0]].type, &y = facts[node.outputs[0]].type, &scale = facts[node.inputs[1]].type;
  if ((quantizes ? x : y).dtype != DType::kFloat32 || !is_byte((quantizes ? y : x).dtype))
    return refuse("it is not between float32 and 8 bits");
  if (scale.dtype != DType::kFloat32 || !one_element(scale)) return refuse("it has not one float32 scale for all elements");
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

Status run(ops::KernelContext& c) {
  const bool quantizes = c.node().op->name == "QuantizeLinear";
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
