// AffineGrid (ai.onnx 20): sampling positions for GridSample. theta [N, 2, 3] and size (N, C, H, W) give [N, H, W, 2], theta
// [N, 3, 4] and (N, C, D, H, W) give [N, D, H, W, 3]: theta times (x, y, [z,] 1), where each coordinate runs from -1 to 1 over
// the centers of the outermost pixels (align_corners) or over their outer edges. Computed in double.
#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct AffineGridAttrs : ir::AttrsOf<AffineGridAttrs> {
  int64_t align_corners = 0;
  void visit(ir::AttrVisitor& v) override { v("align_corners", align_corners); }
};

Status infer(InferContext& c) {
  CAMEO_TRY(check_rank(c, 0, 3, "theta"));
  CAMEO_TRY(check_rank(c, 1, 1, "size"));
  const auto n = list_length(c, 1);
  if (n && *n != 4 && *n != 5) return error(ErrorCode::kInvalidInput, "size has {} extents; allowed are 4 and 5", *n);
  if (!n) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const int64_t spatial = *n - 2;
  const auto size = c.values(1);
  ir::Shape out(static_cast<size_t>(spatial) + 2);
  for (size_t i = 0; size && i < out.size() - 1; ++i) {
    out[i] = (*size)[i == 0 ? 0 : i + 1];
    if (out[i].is_const() && out[i].value() < 0) return error(ErrorCode::kInvalidInput, "size has the negative extent {}", out[i].value());
  }
  out.back() = spatial;
  CAMEO_TRY(check_shape(c, 0, {out[0], spatial, spatial + 1}, "theta"));
  if (c.shape(0) && !out[0].is_const()) out[0] = (*c.shape(0))[0];
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

double coordinate(int64_t i, int64_t extent, bool align_corners) {
  const auto at = static_cast<double>(i), n = static_cast<double>(extent);
  if (align_corners) return extent == 1 ? 0 : 2 * at / (n - 1) - 1;
  return (2 * at + 1) / n - 1;
}

Status reference(KernelContext& c) {
  const Tensor& theta = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  const bool align = c.attrs<AffineGridAttrs>().align_corners != 0;
  const int64_t spatial = theta.dim(1), points = product(y.dims(), 1, y.rank() - 1);
  return dispatch_floats(theta.dtype(), "AffineGrid", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    T* to = y.data<T>();
    for (int64_t b = 0; b < y.dim(0); ++b)
      for (int64_t p = 0; p < points; ++p) {
        double position[4] = {0, 0, 0, 0};
        int64_t rest = p;
        for (int64_t i = 0; i < spatial; ++i) {  // x runs fastest and comes first
          const int64_t extent = y.dim(static_cast<size_t>(spatial - i));
          position[i] = coordinate(rest % extent, extent, align);
          rest /= extent;
        }
        position[spatial] = 1;
        for (int64_t row = 0; row < spatial; ++row) {
          const T* weight = theta.data<T>() + (b * spatial + row) * (spatial + 1);
          double sum = 0;
          for (int64_t k = 0; k <= spatial; ++k) sum += static_cast<double>(static_cast<compute_t<T>>(weight[k])) * position[k];
          *to++ = static_cast<T>(sum);
        }
      }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(AffineGrid) = {
    .name = "AffineGrid",
    .min_version = 20,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kFloatTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<AffineGridAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
