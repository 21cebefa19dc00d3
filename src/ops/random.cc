#include "ops/random.h"

#include "ops/move.h"

namespace cameo::ops {

Status infer_random(InferContext& c, int64_t dtype, const std::vector<int64_t>& shape) {
  CAMEO_ASSIGN(const DType type, dtype_of_attribute(dtype, kFloatTypes));
  CAMEO_TRY(Dims(shape).checked_num_elements());
  c.set_output(0, type, ir::Shape(shape.begin(), shape.end()));
  return {};
}

Status infer_random_like(InferContext& c, const std::optional<int64_t>& dtype) {
  DType type = c.dtype(0);
  if (dtype) {
    CAMEO_ASSIGN(type, dtype_of_attribute(*dtype, kFloatTypes));
  } else if (type != DType::kUndefined && !kFloatTypes.contains(type)) {
    return error(ErrorCode::kInvalidModel, "the input is {} and dtype is not given; random numbers need a float type", dtype_name(type));
  }
  c.set_output(0, tensor_type(type, c.shape(0)));
  return {};
}

}  // namespace cameo::ops
