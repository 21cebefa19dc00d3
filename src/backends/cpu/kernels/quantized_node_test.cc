// The nodes of 8-bit graphs against their references: odd extents, zero rows, codes at the ends of their range, NaN and infinities.
#include "backends/cpu/kernels/kernel_test.h"
#include "ops/cameo_quantized.h"

namespace cameo::tactics {
namespace {

// All codes of a type, drawn evenly.
Tensor random_bytes(DType type, const Dims& dims, uint32_t seed) {
  Tensor t = Tensor::allocate(type, dims).value();
  std::mt19937 random(seed);
  auto* data = static_cast<uint8_t*>(t.raw());
  for (int64_t i = 0; i < t.num_elements(); ++i) data[i] = static_cast<uint8_t>(random());
  return t;
}

// Powers of two: products of scales and sums are then exact, and codes do not depend on the order of the operations.
Tensor scales(int64_t n) {
  Tensor t = Tensor::allocate(DType::kFloat32, {n}).value();
  for (int64_t i = 0; i < n; ++i) t.span<float>()[static_cast<size_t>(i)] = std::ldexp(1.f, static_cast<int>(-8 - i % 3));
  return t;
}

Tensor packed(int64_t rows, int64_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  return ops::pack_int8(rows, columns, [&](int64_t, int64_t) { return static_cast<int8_t>(static_cast<int>(random() % 255) - 127); })
      .value();
}

constexpr DType kBytes[] = {DType::kUint8, DType::kInt8};
constexpr int kOnnxType[] = {2, 3};  // of kBytes
constexpr int kZero[] = {131, -7};   // a zero point of each

// What follows the sums: nothing; a bias and Relu, to bytes; a bias, then a residual of bytes, to bytes.
NodeTest& finish(NodeTest& test, int kind, const Dims& out, size_t bytes) {
  using Floats = std::vector<float>;
  using Ints = std::vector<int64_t>;
  const int64_t n = out.back();
  if (kind == 0) return test;
  test.set("y_type", kOnnxType[bytes]).set("y_scale", AttrSetter::Value(2.f)).set("y_zero", kZero[bytes]);
  Tensor bias = random_bytes(DType::kInt8, {n}, 9), floats = Tensor::allocate(DType::kFloat32, {n}).value();
  for (int64_t i = 0; i < n; ++i) floats.span<float>()[static_cast<size_t>(i)] = static_cast<float>(bias.data<int8_t>()[i]) / 4;
  if (kind == 1) return test.set("program", Ints{0, 0, 1, 0, 24, 2, 0, 0}).constant(floats);
  test.set("program", Ints{0, 0, 1, 0, 0, 3, 2, 0}).set("operand_scales", Floats{0, 0.5f}).set("operand_zeros", Ints{0, 5});
  return test.constant(floats).input(random_bytes(kBytes[bytes], out, 10));
}

TEST(QuantizedKernels, MatMulOfOddExtents) {
  for (int64_t n = 1; n <= 33; ++n)
    for (const int64_t k : {1, 3, 4, 17, 64, 67})
      for (const int64_t rows : {0, 1, 2, 5, 13}) {
        const auto bytes = static_cast<size_t>((n + k) % 2);
        const int kind = static_cast<int>((n + rows) % 3);
        NodeTest test("ai.cameo", "QuantizedMatMul", 1);
        test.set("n", AttrSetter::Value(n))
            .set("k", AttrSetter::Value(k))
            .set("x_scale", AttrSetter::Value(0.5f))
            .set("x_zero", kZero[bytes]);
        test.input(random_bytes(kBytes[bytes], {rows, k}, 1)).constant(packed(k, n, 2)).constant(scales(n));
        ASSERT_NO_FATAL_FAILURE(finish(test, kind, {rows, n}, bytes).expect_same("quantized_matmul", 0, 0));
      }
}

void expect_conv(int64_t channels, int64_t n, int64_t side, int64_t kernel, int64_t stride, int64_t batch, bool depthwise) {
  const auto bytes = static_cast<size_t>((n + side) % 2);
  const int64_t pad = kernel / 2, out = (side + 2 * pad - kernel) / stride + 1, taps = kernel * kernel;
  NodeTest test("ai.cameo", "QuantizedConv", 1);
  test.set("kernel_shape", {kernel, kernel}).set("strides", {stride, stride}).set("pads", {pad, pad, pad, pad});
  test.set("channels", AttrSetter::Value(channels))
      .set("n", AttrSetter::Value(n))
      .set("group", AttrSetter::Value(depthwise ? channels : int64_t{1}));
  test.set("x_scale", AttrSetter::Value(0.5f)).set("x_zero", kZero[bytes]);
  test.input(random_bytes(kBytes[bytes], {batch, side, side, channels}, 3));
  test.constant(depthwise ? random_bytes(DType::kInt8, {taps, channels}, 4) : packed(taps * channels, n, 4)).constant(scales(n));
  finish(test, static_cast<int>((channels + side) % 3), {batch, out, out, n}, bytes).expect_same("quantized_conv", 0, 0);
}

TEST(QuantizedKernels, ConvOfOddExtents) {
  for (const int64_t channels : {1, 2, 3, 4, 7, 16, 19, 33})
    for (const int64_t n : {1, 5, 16, 17, 33})
      for (const int64_t kernel : {1, 3})
        for (const int64_t stride : {1, 2})
          ASSERT_NO_FATAL_FAILURE(expect_conv(channels, n, 5 + channels % 3, kernel, stride, n == 5 ? 0 : 1 + n % 2, false));
  ASSERT_NO_FATAL_FAILURE(expect_conv(3, 16, 20, 7, 2, 1, false));
}

TEST(QuantizedKernels, DepthwiseConvOfOddExtents) {
  for (int64_t channels = 2; channels <= 33; ++channels)
    for (const int64_t kernel : {3, 5})
      ASSERT_NO_FATAL_FAILURE(expect_conv(channels, channels, 6, kernel, 1 + channels % 2, channels % 8 == 7 ? 0 : 2, true));
}

TEST(QuantizedKernels, QuantizeLinear) {
  for (int64_t n = 0; n <= 66; ++n)
    for (size_t bytes = 0; bytes < 2; ++bytes) {
      const Tensor zero = random_bytes(kBytes[bytes], {}, 5), codes = random_bytes(kBytes[bytes], {3, n}, 6);
      const Tensor scale = Tensor::of<float>({}, {0.037f});
      for (const Tensor& x : {random_floats({3, n}, 7, 8.f), special_floats({3, n}, 8)}) {
        ASSERT_NO_FATAL_FAILURE(
            NodeTest("", "QuantizeLinear", 21).input(x).constant(scale).constant(zero).expect_same("quantize_linear_f32"));
        if (n == 0) continue;
        std::vector<uint8_t> same(static_cast<size_t>(n), static_cast<const uint8_t*>(zero.raw())[0]);
        Tensor zeros = Tensor::allocate(kBytes[bytes], {n}).value();
        std::memcpy(zeros.raw(), same.data(), same.size());
        ASSERT_NO_FATAL_FAILURE(NodeTest("", "QuantizeLinear", 21)
                                    .set("axis", -1)
                                    .input(x)
                                    .constant(scales(n))
                                    .constant(zeros)
                                    .expect_same("quantize_linear_f32"));
      }
      ASSERT_NO_FATAL_FAILURE(
          NodeTest("", "DequantizeLinear", 21).input(codes).constant(scale).constant(zero).expect_same("dequantize_linear_f32"));
    }
}

}  // namespace
}  // namespace cameo::tactics
