#include <random>

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

TEST(PoolF32Kernels, LargestBytes) {
  int64_t i = 0;
  for (int64_t channels : {1, 3, 8, 17, 33, 64, 65, 75, 130})
    for (int64_t kernel : {1, 2, 3})
      for (DType type : {DType::kUint8, DType::kInt8}) {
        const int64_t dilation = 1 + i % 3 / 2, pad = std::min<int64_t>(i % 3, kernel / 2), span = (kernel - 1) * dilation + 1;
        Tensor x = Tensor::allocate(type, {2, span + i % 4, span + i % 7, channels}).value();
        ++i;
        std::mt19937 random(static_cast<uint32_t>(i));
        for (size_t k = 0; k < x.num_bytes(); ++k) x.data<uint8_t>()[k] = static_cast<uint8_t>(random() >> 9);
        NodeTest(ops::kCameoDomain, "MaxPool", 1)
            .set("kernel_shape", {kernel, kernel})
            .set("strides", {1 + i % 2, 1 + i % 3})
            .set("dilations", {dilation, dilation})
            .set("pads", {pad, 0, 0, pad})
            .input(x)
            .expect_same("max_pool_8bit", 0, 0);
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

}  // namespace
}  // namespace cameo::tactics
