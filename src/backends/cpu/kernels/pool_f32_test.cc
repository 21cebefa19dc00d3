#include "backends/cpu/kernels/kernel_test.h"
#include "ops/cameo_pool.h"

namespace cameo::tactics {
namespace {

TEST(PoolF32Kernels, WindowsOfAllKinds) {
  int64_t i = 0;
  for (int64_t channels : {1, 3, 16, 17, 33, 64, 65, 130})
    for (int64_t kernel : {1, 2, 3, 5})
      for (int64_t stride : {1, 2, 3}) {
        const int64_t dilation = 1 + i % 3 / 2, pad = std::min<int64_t>(i % 3, kernel / 2), ceil = i % 2;
        const int64_t span = (kernel - 1) * dilation + 1, height = span + i % 4, width = span + i % 7;
        ++i;
        const Tensor x = i % 4 == 0 ? special_floats({2, height, width, channels}, 1) : random_floats({2, height, width, channels}, 1);
        for (const char* op : {"MaxPool", "AveragePool"}) {
          NodeTest test(ops::kCameoDomain, op, 1);
          test.set("kernel_shape", {kernel, kernel}).set("strides", {stride, stride}).set("dilations", {dilation, dilation});
          test.set("pads", {pad, 0, 0, pad}).set("ceil_mode", static_cast<int>(ceil)).input(x);
          if (op[0] == 'A') test.set("count_include_pad", static_cast<int>(i % 2));
          ASSERT_NO_FATAL_FAILURE(test.expect_same(op[0] == 'A' ? "average_pool_f32" : "max_pool_f32"));
        }
      }
}

TEST(PoolF32Kernels, OneAxisAndNoElements) {
  for (const Dims& dims : {Dims{2, 9, 20}, Dims{0, 9, 20}, Dims{1, 9, 0}}) {
    const Tensor x = random_floats(dims, 1);
    NodeTest(ops::kCameoDomain, "MaxPool", 1)
        .set("kernel_shape", {3})
        .set("strides", {2})
        .set("pads", {1, 1})
        .input(x)
        .expect_same("max_pool_f32");
    NodeTest(ops::kCameoDomain, "AveragePool", 1).set("kernel_shape", {3}).set("pads", {1, 1}).input(x).expect_same("average_pool_f32");
  }
}

TEST(PoolF32Kernels, LargeEnoughToBeSplit) {
  const Tensor x = random_floats({1, 64, 61, 64}, 1);
  NodeTest(ops::kCameoDomain, "MaxPool", 1)
      .set("kernel_shape", {3, 3})
      .set("strides", {2, 2})
      .set("pads", {1, 1, 1, 1})
      .input(x)
      .expect_same("max_pool_f32");
  NodeTest(ops::kCameoDomain, "AveragePool", 1)
      .set("kernel_shape", {3, 3})
      .set("pads", {1, 1, 1, 1})
      .input(x)
      .expect_same("average_pool_f32");
}

TEST(PoolF32Kernels, MeanOverPixels) {
  for (const Dims& dims : {Dims{2, 7, 5, 33}, Dims{1, 60, 60, 17}, Dims{1, 7, 7, 1280}, Dims{3, 1, 1, 16}, Dims{1, 120, 2, 80}})
    for (int64_t keep : {0, 1}) {
      const Tensor x = random_floats(dims, 1);
      NodeTest("", "ReduceMean", 13)
          .set("axes", {1, 2})
          .set("keepdims", static_cast<int>(keep))
          .input(x)
          .expect_same("reduce_mean_f32_pixels");
      NodeTest("", "ReduceMean", 18)
          .set("keepdims", 1)
          .input(x)
          .constant(Tensor::of<int64_t>({2}, {-3, -2}))
          .expect_same("reduce_mean_f32_pixels");
      NodeTest("", "ReduceMean", 18).input(x).constant(Tensor::of<int64_t>({1}, {0})).expect_same("reduce_mean_f32_pixels");
    }
  NodeTest("", "ReduceMean", 13).set("axes", {1, 2}).input(special_floats({1, 9, 9, 20}, 1)).expect_same("reduce_mean_f32_pixels");
  NodeTest("", "ReduceMean", 13).set("axes", {1, 2}).input(random_floats({0, 3, 3, 5}, 1)).expect_same("reduce_mean_f32_pixels");
  EXPECT_EQ(NodeTest("", "ReduceMean", 13).set("axes", {1, -1}).input(random_floats({1, 3, 4}, 1)).refusal("reduce_mean_f32_pixels"),
            "the last axis is reduced, or may be");
}

}  // namespace
}  // namespace cameo::tactics
