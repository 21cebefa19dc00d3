#include "ops/quantize.h"

#include "ops/shapes.h"

namespace cameo::ops {

Result<QuantLayout> quant_layout(const Dims& x, const Dims& scale, int64_t axis, int64_t block_size) {
  QuantLayout q;
  if (scale.num_elements() == 1 && (scale.rank() <= 1 || block_size == 0)) {
    q.length = x.num_elements();
    return q;
  }
  CAMEO_ASSIGN(const size_t a, normalize_axis(axis, x.rank()));
  q.length = x[a];
  for (size_t i = 0; i < x.rank(); ++i)
    if (i != a) (i < a ? q.outer : q.inner) *= x[i];
  if (block_size == 0) {
    if (scale.rank() != 1 || scale[0] != q.length)
      return error(ErrorCode::kInvalidInput,
                   "the scale has shape {}, but for axis {} of an input of shape {} it must be a scalar or have {} elements",
                   scale.to_string(), a, x.to_string(), q.length);
    q.block_step = 1;
    return q;
  }
  bool fits = scale.rank() == x.rank();
  const int64_t blocks = q.length / block_size + (q.length % block_size != 0 ? 1 : 0);
  for (size_t i = 0; fits && i < x.rank(); ++i) fits = scale[i] == (i == a ? blocks : x[i]);
  if (!fits)
    return error(ErrorCode::kInvalidInput, "the scale has shape {}, which does not give an input of shape {} blocks of {} along axis {}",
                 scale.to_string(), x.to_string(), block_size, a);
  q.block = block_size;
  q.inner_step = 1;
  q.block_step = q.inner;
  q.outer_step = scale[a] * q.inner;
  return q;
}

Status infer_quant_layout(InferContext& c, int64_t axis, int64_t block_size) {
  if (block_size < 0) return error(ErrorCode::kInvalidModel, "block_size is {}; it must be positive, or 0 for no blocks", block_size);
  if (c.has_input(2) && c.shape(1) && c.shape(2)) {
    const auto scale = ir::to_dims(*c.shape(1)), zero = ir::to_dims(*c.shape(2));
    const bool single = scale && zero && scale->num_elements() == 1 && zero->num_elements() == 1;
    if (scale && zero && !single && !(*scale == *zero))
      return error(ErrorCode::kInvalidModel, "the zero point has shape {}, but the scale {}", zero->to_string(), scale->to_string());
  }
  if (!c.shape(0) || !c.shape(1)) return {};
  const auto x = ir::to_dims(*c.shape(0)), scale = ir::to_dims(*c.shape(1));
  if (x && scale) CAMEO_TRY(quant_layout(*x, *scale, axis, block_size));
  return {};
}

}  // namespace cameo::ops
