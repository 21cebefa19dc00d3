// NonMaxSuppression (ai.onnx 10, 11): for each batch and class, boxes in the order of falling scores are kept unless their
// intersection over union with one kept before exceeds iou_threshold. Output: int64[kept, 3] of batch, class and box.
// boxes are [batches, boxes, 4], as two corners (y, x, y, x) or, with center_point_box, as (x, y, width, height); scores are
// [batches, classes, boxes]. Scores that are not above score_threshold, if given, and NaN scores are left out.
#include "ops/non_max_suppression.h"

#include "ops/move.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_TRY(check_rank(c, 0, 3, "boxes"));
  CAMEO_TRY(check_rank(c, 1, 3, "scores"));
  if (c.shape(0)) CAMEO_TRY(agree(4, (*c.shape(0))[2], "the last extent of boxes"));
  if (c.shape(0) && c.shape(1)) {
    CAMEO_TRY(agree((*c.shape(0))[0], (*c.shape(1))[0], "the batches of scores"));
    CAMEO_TRY(agree((*c.shape(0))[1], (*c.shape(1))[2], "the last extent of scores"));
  }
  c.set_output(0, DType::kInt64, {ir::Dim::unknown(), 3});
  return {};
}

Status reference(KernelContext& c) {
  const Tensor &boxes = c.input(0), &scores = c.input(1);
  const int64_t batches = boxes.dim(0), n = boxes.dim(1), classes = scores.dim(1);
  const int64_t limit = std::clamp<int64_t>(optional_scalar<int64_t>(c, 2).value_or(0), 0, n);
  const float iou_threshold = optional_scalar<float>(c, 3).value_or(0.f);
  if (!(iou_threshold >= 0 && iou_threshold <= 1))
    return error(ErrorCode::kInvalidInput, "iou_threshold is {}; allowed are 0 to 1", iou_threshold);
  const auto score_threshold = optional_scalar<float>(c, 4);
  const bool center = c.attrs<NonMaxSuppressionAttrs>().center_point_box != 0;

  struct Kept {
    int64_t batch, group, box;
  };
  std::vector<Kept> all;
  const auto box = c.scratch<Box>(n);
  const auto order = c.scratch<int64_t>(n), kept = c.scratch<int64_t>(limit);
  for (int64_t b = 0; b < batches && limit > 0; ++b) {
    for (int64_t i = 0; i < n; ++i) box[static_cast<size_t>(i)] = box_of(boxes.data<float>() + (b * n + i) * 4, center);
    for (int64_t group = 0; group < classes; ++group) {
      CAMEO_TRY(c.check_cancelled());
      const float* score = scores.data<float>() + (b * classes + group) * n;
      size_t candidates = 0, count = 0;
      for (int64_t i = 0; i < n; ++i)
        if (score_threshold ? score[i] > *score_threshold : !std::isnan(score[i])) order[candidates++] = i;
      std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(candidates),
                [&](int64_t p, int64_t q) { return score[p] != score[q] ? score[p] > score[q] : p < q; });
      for (size_t i = 0; i < candidates && count < static_cast<size_t>(limit); ++i) {
        const Box& next = box[static_cast<size_t>(order[i])];
        const bool suppressed = std::any_of(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(count),
                                            [&](int64_t k) { return overlaps(next, box[static_cast<size_t>(k)], iou_threshold); });
        if (suppressed) continue;
        kept[count++] = order[i];
        all.push_back({b, group, order[i]});
      }
    }
  }
  CAMEO_TRY(c.allocate_output(0, DType::kInt64, {static_cast<int64_t>(all.size()), 3}));
  int64_t* to = c.output(0).data<int64_t>();
  for (const Kept& k : all) {
    *to++ = k.batch;
    *to++ = k.group;
    *to++ = k.box;
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(NonMaxSuppression) = {
    .name = "NonMaxSuppression",
    .min_version = 10,
    .min_inputs = 2,
    .max_inputs = 5,
    .input_types = {{DType::kFloat32}, {DType::kFloat32}, {DType::kInt64}, {DType::kFloat32}, {DType::kFloat32}},
    .make_attrs = &ir::make_attrs<NonMaxSuppressionAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
