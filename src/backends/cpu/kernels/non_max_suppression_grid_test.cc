#include "backends/cpu/kernels/kernel_test.h"

namespace cameo::tactics {
namespace {

void expect_same(const Tensor& boxes, const Tensor& scores, int64_t limit, float iou, std::optional<float> threshold, int center) {
  NodeTest test("", "NonMaxSuppression", 11);
  test.set("center_point_box", center)
      .input(boxes)
      .input(scores)
      .input(Tensor::of<int64_t>({1}, {limit}))
      .input(Tensor::of<float>({1}, {iou}));
  if (threshold) test.input(Tensor::of<float>({1}, {*threshold}));
  const Tactic* tactic = find_tactic("non_max_suppression_grid");
  const Tensor want = test.run(nullptr)[0], got = test.run(tactic)[0];
  ASSERT_EQ(want.dims(), got.dims());
  for (int64_t i = 0; i < want.num_elements(); ++i) ASSERT_EQ(want.data<int64_t>()[i], got.data<int64_t>()[i]) << "at " << i;
}

TEST(NonMaxSuppressionKernels, SameBoxesAsTheReference) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const int64_t batches = 1 + round % 2, n = round < 20 ? round : 1 + random() % 400, classes = 1 + round % 3;
    Tensor boxes = random_floats({batches, n, 4}, static_cast<uint32_t>(round), 10.f), scores = random_floats({batches, classes, n}, 5);
    for (int64_t i = 0; i < batches * n; ++i) {
      float* at = boxes.data<float>() + i * 4;
      // Groups that are far from each other, as detectors have them, and now and then a box over all.
      const float shift = static_cast<float>(random() % 5) * (round % 3 == 0 ? 1000.f : 3.f);
      for (int k = 0; k < 2; ++k) at[k + 2] = std::fabs(at[k + 2]) + (round % 2 ? 0.f : at[k]);
      for (int k = 0; k < 4; ++k) at[k] += round % 2 && k > 1 ? 0.f : shift;
      if (random() % 300 == 0) at[3] += 5000.f;
    }
    if (round % 10 == 9) boxes = special_floats({batches, n, 4}, static_cast<uint32_t>(round));
    if (round % 10 > 6) scores = special_floats({batches, classes, n}, static_cast<uint32_t>(round));
    expect_same(boxes, scores, round % 5 == 0 ? 7 : 10000, static_cast<float>(round % 4) / 3,
                round % 3 == 1 ? std::optional(0.25f) : std::nullopt, round % 2);
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
}

}  // namespace
}  // namespace cameo::tactics
