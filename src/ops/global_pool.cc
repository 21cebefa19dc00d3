#include "ops/global_pool.h"

namespace cameo::ops {

Status infer_global_pool(InferContext& c) {
  ir::Type y = c.input(0);
  if (y.shape) {
    if (y.shape->size() < 2)
      return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 2 or more", ir::to_string(*y.shape));
    for (size_t a = 2; a < y.shape->size(); ++a) (*y.shape)[a] = 1;
  }
  c.set_output(0, std::move(y));
  return {};
}

}  // namespace cameo::ops
