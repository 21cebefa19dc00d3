#include "backends/cpu/kernels/kernel_test.h"

namespace cameo::tactics {
namespace {

TEST(ConvTransposeF32Kernels, WindowsOfAllKinds) {
  int64_t i = 0;
  for (int64_t kernel : {1, 2, 3, 4})
    for (int64_t stride : {1, 2, 3})
      for (int64_t dilation : {1, 2})
        for (int64_t group : {1, 2}) {
          const int64_t pad = i % 3 < kernel ? i % 3 : 0, channels = group * (1 + i % 19), outputs = 1 + i * 5 % 33;
          ++i;
          NodeTest test("", "ConvTranspose", 11);
          test.set("strides", {stride, stride}).set("dilations", {dilation, dilation}).set("group", static_cast<int>(group));
          test.set("pads", {pad, 0, 0, pad}).set("output_padding", {stride - 1, 0});
          test.input(random_floats({1 + i % 2, channels, 3 + i % 7, 4 + i % 9}, 1));
          test.constant(random_floats({channels, outputs, kernel, kernel}, 2));
          if (i % 4 != 0) test.constant(random_floats({outputs * group}, 3));
          ASSERT_NO_FATAL_FAILURE(test.expect_same("conv_transpose_f32", 1e-5, 1e-5));
        }
}

TEST(ConvTransposeF32Kernels, OneAxisLargeAndEmpty) {
  NodeTest("", "ConvTranspose", 11)
      .set("strides", {2})
      .set("pads", {1, 1})
      .input(random_floats({2, 20, 33}, 1))
      .constant(random_floats({20, 17, 4}, 2))
      .expect_same("conv_transpose_f32", 1e-5, 1e-5);
  NodeTest("", "ConvTranspose", 11)
      .set("strides", {2, 2})
      .input(random_floats({1, 32, 40, 40}, 1))
      .constant(random_floats({32, 16, 2, 2}, 2))
      .constant(random_floats({16}, 3))
      .expect_same("conv_transpose_f32", 1e-5, 1e-5);
  NodeTest("", "ConvTranspose", 11)
      .input(random_floats({0, 4, 3, 3}, 1))
      .constant(random_floats({4, 2, 2, 2}, 2))
      .expect_same("conv_transpose_f32");
}

}  // namespace
}  // namespace cameo::tactics
