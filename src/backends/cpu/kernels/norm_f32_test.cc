#include "backends/cpu/kernels/kernel_test.h"

namespace cameo::tactics {
namespace {

Tensor positive(const Dims& dims, uint32_t seed) {
  Tensor t = random_floats(dims, seed);
  for (float& f : t.span<float>()) f = std::fabs(f) + 0.1f;
  return t;
}

TEST(NormKernels, RowsOfAllSizes) {
  for (int64_t n = 1; n <= 70; ++n) {
    NodeTest("", "LayerNormalization", 17)
        .input(random_floats({3, n}, 1))
        .input(random_floats({n}, 2))
        .input(random_floats({n}, 3))
        .outputs({true, true, true})
        .expect_same("layer_norm_f32", 1e-5, 5e-6);
    NodeTest("", "RMSNormalization", 23)
        .input(random_floats({3, n}, 1))
        .input(random_floats({n}, 2))
        .expect_same("rms_norm_f32", 1e-5, 1e-6);
    NodeTest("", "Softmax", 13).input(random_floats({3, n}, 1, 5.f)).expect_same("softmax_f32", 1e-5, 1e-7);
    NodeTest("", "LogSoftmax", 13).input(random_floats({3, n}, 1, 5.f)).expect_same("log_softmax_f32", 1e-5, 2e-6);
    NodeTest("", "Softmax", 13).set("axis", 1).input(random_floats({2, 5, n}, 1, 5.f)).expect_same("softmax_f32", 1e-5, 1e-7);
    NodeTest("", "LogSoftmax", 13).set("axis", 0).input(random_floats({3, n}, 1, 5.f)).expect_same("log_softmax_f32", 1e-5, 2e-6);
    NodeTest("", "InstanceNormalization", 22)
        .input(random_floats({2, 3, n}, 1))
        .input(random_floats({3}, 2))
        .input(random_floats({3}, 3))
        .expect_same("instance_norm_f32", 1e-5, 5e-6);
    NodeTest("", "GroupNormalization", 21)
        .set("num_groups", 2)
        .input(random_floats({2, 6, n}, 1))
        .input(random_floats({6}, 2))
        .input(random_floats({6}, 3))
        .expect_same("group_norm_f32", 1e-5, 5e-6);
    NodeTest("", "GroupNormalization", 18)
        .set("num_groups", 2)
        .input(random_floats({2, 6, n}, 1))
        .input(random_floats({2}, 2))
        .input(random_floats({2}, 3))
        .expect_same("group_norm_f32", 1e-5, 5e-6);
    NodeTest("", "BatchNormalization", 15)
        .input(random_floats({2, 3, n}, 1))
        .input(random_floats({3}, 2))
        .input(random_floats({3}, 3))
        .input(random_floats({3}, 4))
        .input(positive({3}, 5))
        .expect_same("batch_norm_f32", 1e-5, 1e-6);
    if (HasFatalFailure()) return;
  }
}

TEST(NormKernels, AxesAndOtherForms) {
  const Tensor x = random_floats({4, 3, 5, 50}, 1);
  NodeTest("", "LayerNormalization", 17)
      .set("axis", 1)
      .input(x)
      .input(random_floats({3, 5, 50}, 2))
      .input(random_floats({3, 5, 50}, 3))
      .expect_same("layer_norm_f32", 1e-5, 5e-6);
  NodeTest("", "LayerNormalization", 17)
      .set("axis", -2)
      .input(x)
      .input(random_floats({1, 1, 5, 50}, 2))
      .expect_same("layer_norm_f32", 1e-5, 5e-6);
  // The reference takes what is no plain row.
  NodeTest("", "LayerNormalization", 17).set("axis", -2).input(x).input(random_floats({50}, 2)).expect_same("layer_norm_f32", 1e-5, 5e-6);
  NodeTest("", "LayerNormalization", 17)
      .set("stash_type", 16)
      .input(x)
      .input(random_floats({50}, 2))
      .outputs({true, true})
      .expect_same("layer_norm_f32", 1e-5, 5e-6);
  NodeTest("", "Softmax", 11).set("axis", 2).input(x).expect_same("softmax_f32", 1e-5, 1e-7);
  NodeTest("", "Softmax", 11).set("axis", 4).input(x).expect_same("softmax_f32", 1e-5, 1e-7);
  for (int axis : {-4, 1, 2, 3}) NodeTest("", "Softmax", 13).set("axis", axis).input(x).expect_same("softmax_f32", 1e-5, 1e-7);
  NodeTest("", "Softmax", 13).set("axis", 0).input(random_floats({0, 3}, 1)).expect_same("softmax_f32");
  NodeTest("", "LayerNormalization", 17).input(random_floats({3, 0}, 1)).input(random_floats({0}, 1)).expect_same("layer_norm_f32");
  NodeTest("", "InstanceNormalization", 22)
      .input(random_floats({2, 0, 3}, 1))
      .input(random_floats({0}, 2))
      .input(random_floats({0}, 3))
      .expect_same("instance_norm_f32");
}

TEST(NormKernels, LargeRowsOnThreads) {
  NodeTest("", "LayerNormalization", 17)
      .input(random_floats({67, 768}, 1))
      .input(random_floats({768}, 2))
      .input(random_floats({768}, 3))
      .expect_same("layer_norm_f32", 1e-5, 5e-6);
  NodeTest("", "Softmax", 13).input(random_floats({67, 768}, 1, 9.f)).expect_same("softmax_f32", 1e-5, 1e-8);
  NodeTest("", "InstanceNormalization", 22)
      .input(random_floats({1, 32, 1024}, 1))
      .input(random_floats({32}, 2))
      .input(random_floats({32}, 3))
      .expect_same("instance_norm_f32", 1e-5, 5e-6);
}

TEST(NormKernels, SpecialValues) {
  for (int64_t n : {1, 3, 16, 40}) {
    NodeTest("", "Softmax", 13).input(special_floats({20, n}, 1)).expect_same("softmax_f32", 1e-5, 1e-7);
    NodeTest("", "Softmax", 13).set("axis", 0).input(special_floats({5, n}, 1)).expect_same("softmax_f32", 1e-5, 1e-7);
    NodeTest("", "LogSoftmax", 13).input(special_floats({20, n}, 1)).expect_same("log_softmax_f32", 1e-5, 2e-6);
  }
  const float inf = std::numeric_limits<float>::infinity();
  for (float value : {std::nanf(""), inf, -inf}) {
    Tensor x = random_floats({2, 40}, 1);
    x.data<float>()[5] = value;
    NodeTest("", "LayerNormalization", 17).input(x).input(random_floats({40}, 2)).expect_same("layer_norm_f32", 1e-5, 5e-6);
    NodeTest("", "RMSNormalization", 23).input(x).input(random_floats({40}, 2)).expect_same("rms_norm_f32", 1e-5, 5e-6);
  }
}

}  // namespace
}  // namespace cameo::tactics
