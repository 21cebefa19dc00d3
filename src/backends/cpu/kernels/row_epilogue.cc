#include "backends/cpu/kernels/row_epilogue.h"

#include <algorithm>

#include "base/error.h"
#include "ops/shapes.h"

namespace cameo::cpu {

Result<RowEpilogue> RowEpilogue::make(ops::KernelContext& c, const ops::ProgramAttrs& attrs, size_t first, const Dims& dims) {
  RowEpilogue e;
  const size_t count = 1 + c.num_inputs() - std::min(c.num_inputs(), first);
  CAMEO_ASSIGN(e.program_, attrs.decode(count));
  e.dims_ = dims;
  for (size_t i = 1; i < count; ++i) {
    const size_t input = first + i - 1;
    if (!c.has_input(input)) return error(ErrorCode::kInvalidPlan, "input {} is absent", input);
    const Tensor& t = c.input(input);
    bool fits = t.dtype() == DType::kFloat32 && t.rank() <= dims.rank();
    for (size_t axis = 0; fits && axis < t.rank(); ++axis) {
      const int64_t extent = dims[axis + dims.rank() - t.rank()];
      fits = t.dim(axis) == 1 || t.dim(axis) == extent;
    }
    if (!fits)
      return error(ErrorCode::kInvalidPlan, "input {} has shape {}, which does not broadcast to {}", input, t.dims().to_string(),
                   dims.to_string());
    e.operands_[i] = {t.data<float>(), ops::broadcast_strides(t.dims(), dims)};
    for (size_t axis = 0; axis + 1 < dims.rank(); ++axis) e.by_row_ |= e.operands_[i].strides[axis] != 0;
  }
  return e;
}

void RowEpilogue::run(int64_t row, int64_t column, int64_t count, float* y) const {
  if (program_.code.empty()) return;
  const float* inputs[ops::kMaxPointInputs] = {y};
  uint8_t steps[ops::kMaxPointInputs] = {1};
  for (int i = 1; i < program_.num_inputs; ++i) {
    const int64_t step = operands_[i].strides[dims_.rank() - 1];
    inputs[i] = operands_[i].data + column * step;
    steps[i] = static_cast<uint8_t>(step);
  }
  if (by_row_)
    for (size_t axis = dims_.rank() - 1; axis-- > 0;) {
      const int64_t index = row % dims_[axis];
      row /= dims_[axis];
      for (int i = 1; i < program_.num_inputs; ++i) inputs[i] += index * operands_[i].strides[axis];
    }
  pointwise_kernels().run_row({.code = program_.code.data(),
                               .num_instructions = static_cast<int>(program_.code.size()),
                               .num_inputs = program_.num_inputs,
                               .constants = program_.constants.data(),
                               .inputs = inputs,
                               .steps = steps,
                               .output = y,
                               .count = count});
}

}  // namespace cameo::cpu
