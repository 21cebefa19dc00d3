// ai.cameo.Pointwise (1): y = program(x0, …, xn-1), element by element, where the inputs broadcast to each other as NumPy
// has it. Rounding may differ from that of the operators that the program stands for; NaN and infinities come out the same.
#include "ops/cameo_pointwise.h"

#include "ops/checks.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

// y = program(inputs…) over the extents; strides with which each input is read in the order of y.
void run(const PointProgram& program, const Dims& dims, const float* const* inputs, const Dims* strides, float* y) {
  const int64_t size = dims.num_elements();
  if (size == 0) return;
  Dims index(dims.rank(), 0);
  const auto count = static_cast<size_t>(program.num_inputs);
  const float* at[kMaxPointInputs];
  std::copy_n(inputs, count, at);
  float elements[kMaxPointInputs];
  for (int64_t i = 0; i < size; ++i) {
    for (size_t k = 0; k < count; ++k) elements[k] = *at[k];
    y[i] = evaluate(program, elements);
    for (size_t axis = dims.rank(); axis-- > 0;) {
      const bool carries = ++index[axis] == dims[axis];
      for (size_t k = 0; k < count; ++k) at[k] += carries ? -strides[k][axis] * (dims[axis] - 1) : strides[k][axis];
      if (!carries) break;
      index[axis] = 0;
    }
  }
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<CameoPointwiseAttrs>();
  for (size_t i = 0; i < c.num_inputs(); ++i)
    if (!c.has_input(i)) return error(ErrorCode::kInvalidModel, "input {} is absent", i);
  CAMEO_TRY(attrs.decode(c.num_inputs()));
  return infer_broadcast(c);
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const PointProgram program, c.attrs<CameoPointwiseAttrs>().decode(c.num_inputs()));
  Tensor& y = c.output(0);
  const float* inputs[kMaxPointInputs];
  Dims strides[kMaxPointInputs];
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    inputs[i] = c.input(i).data<float>();
    strides[i] = broadcast_strides(c.input(i).dims(), y.dims());
  }
  run(program, y.dims(), inputs, strides, y.data<float>());
  return {};
}

}  // namespace

Result<PointProgram> ProgramAttrs::decode(size_t num_inputs) const {
  if (num_inputs > kMaxPointInputs)
    return error(ErrorCode::kInvalidModel, "the fused program has {} inputs; at most {} are allowed", num_inputs, kMaxPointInputs);
  if (program.empty() && num_inputs != 1)
    return error(ErrorCode::kInvalidModel, "the fused program has {} inputs, but no instruction", num_inputs);
  return decode_point_program(static_cast<int>(num_inputs), program, constants);
}

Status check_epilogue(const InferContext& c, const ProgramAttrs& attrs, size_t first, const std::optional<ir::Shape>& shape) {
  CAMEO_TRY(attrs.decode(1 + c.num_inputs() - std::min(c.num_inputs(), first)));
  for (size_t i = first; i < c.num_inputs(); ++i) {
    if (!c.has_input(i)) return error(ErrorCode::kInvalidModel, "input {} is absent", i);
    if (shape) CAMEO_TRY(check_broadcasts_to(c, i, *shape, fmt::format("input {}", i)));
  }
  return {};
}

Status apply_epilogue(KernelContext& c, const ProgramAttrs& attrs, size_t first, const Dims& dims, float* y) {
  if (attrs.program.empty()) return {};
  const size_t num_inputs = 1 + c.num_inputs() - std::min(c.num_inputs(), first);
  CAMEO_ASSIGN(const PointProgram program, attrs.decode(num_inputs));
  const float* inputs[kMaxPointInputs] = {y};
  Dims strides[kMaxPointInputs] = {strides_of(dims)};
  for (size_t i = 1; i < num_inputs; ++i) {
    const Tensor& operand = c.input(first + i - 1);
    inputs[i] = operand.data<float>();
    strides[i] = broadcast_strides(operand.dims(), dims);
  }
  run(program, dims, inputs, strides, y);
  return {};
}

CAMEO_DEFINE_OP(CameoPointwise) = {
    .name = "Pointwise",
    .domain = kCameoDomain,
    .max_version = 1,
    .max_inputs = kVariadic,
    .input_types = {{DType::kFloat32}},
    .make_attrs = &ir::make_attrs<CameoPointwiseAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
