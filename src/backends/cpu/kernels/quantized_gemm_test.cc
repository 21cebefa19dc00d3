// Products of bytes against plain loops and reference operators, over odd sizes, extremes and all instruction sets.
#include "backends/cpu/kernels/quantized_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/numeric.h"
#include "ops/cameo_quantized.h"
#include "runtime/executor.h"
#include "tactics/tactic.h"

namespace cameo::cpu {
namespace {

struct Table {
  const char* name;
  const QuantizedGemmKernels* kernels;
  void (*multiply)(const QuantizedGemm&, int64_t, int64_t, int64_t);
};
std::vector<Table> tables() {
  std::vector<Table> all = {{"portable", &portable::quantized_gemm_kernels, portable::quantized_gemm_kernels.multiply}};
#if defined(__x86_64__)
  if (current_isa() >= Isa::kAvx2) all.push_back({"avx2", &avx2::quantized_gemm_kernels, avx2::quantized_gemm_kernels.multiply});
  if (current_isa() >= Isa::kAvx512) all.push_back({"avx512", &avx512::quantized_gemm_kernels, avx512::quantized_gemm_kernels.multiply});
  if (current_isa() >= Isa::kAvx2 && quantized_vnni(Isa::kAvx2))
    all.push_back({"avx-vnni", &avx2::quantized_gemm_kernels, avx2::quantized_gemm_kernels.multiply_vnni});
  if (current_isa() >= Isa::kAvx512 && quantized_vnni(Isa::kAvx512))
    all.push_back({"vnni", &avx512::quantized_gemm_kernels, avx512::quantized_gemm_kernels.multiply_vnni});
#endif
  return all;
}

// Bytes with many extremes.
uint8_t random_byte(std::mt19937& random) {
  const uint32_t r = random();
  return r % 4 == 0 ? (r >> 8) % 2 == 0 ? 255 : 0 : static_cast<uint8_t>(r >> 16);
}
int8_t random_weight(std::mt19937& random) {
  const uint32_t r = random();
  return r % 4 == 0 ? (r >> 8) % 2 == 0 ? -128 : 127 : static_cast<int8_t>(r >> 16);
}

TEST(QuantizedGemm, ProductsAreExactOnEveryInstructionSet) {
  std::mt19937 random(1);
  for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 17})
    for (int64_t panels : {1, 2, 3, 4, 5, 9})
      for (int64_t taps : {1, 3})
        for (int64_t depth : {4, 8, 36}) {
          const int64_t k = taps * depth, ldc = panels * 16 + 16;
          std::vector<uint8_t> a(static_cast<size_t>(rows * k));
          std::vector<int8_t> b(static_cast<size_t>(panels * k * 16));
          std::vector<int32_t> start(static_cast<size_t>(panels * 16));
          for (auto& x : a) x = random_byte(random);
          for (auto& x : b) x = random_weight(random);
          for (auto& x : start) x = static_cast<int32_t>(random());
          std::vector<const uint8_t*> pointers;
          for (int64_t t = 0; t < taps; ++t)
            for (int64_t r = 0; r < rows; ++r) pointers.push_back(a.data() + (r * taps + t) * depth);
          for (const Table& table : tables()) {
            std::vector<int32_t> c(static_cast<size_t>(rows * ldc) + 32, 77);
            table.multiply({pointers.data(), rows, taps, depth, b.data(), start.data(), c.data() + 16, ldc}, rows, 0, panels);
            for (int64_t r = 0; r < rows; ++r)
              for (int64_t j = 0; j < ldc; ++j) {
                uint32_t want = 77;
                if (j < panels * 16) {
                  want = static_cast<uint32_t>(start[static_cast<size_t>(j)]);
                  for (int64_t i = 0; i < k; ++i)
                    want += static_cast<uint32_t>(int{a[static_cast<size_t>(r * k + i)]} * ops::packed_weight(b.data(), k, i, j));
                }
                ASSERT_EQ(c[static_cast<size_t>(16 + r * ldc + j)], static_cast<int32_t>(want))
                    << table.name << " " << rows << "x" << k << "x" << panels * 16 << " at " << r << "," << j;
              }
          }
        }
}

TEST(QuantizedGemm, BytesAndFloats) {
  std::vector<float> floats = {0,        0.5f,      1.5f, 2.5f,   -0.5f,  -1.5f,  1e30f,  -1e30f,
                               INFINITY, -INFINITY, NAN,  127.5f, 128.5f, 254.5f, 255.5f, -3};
  while (floats.size() < 37) floats.push_back(static_cast<float>(floats.size()) * 3.3f - 60);
  for (const Table& table : tables())
    for (ByteType type : {ByteType::kUint8, ByteType::kInt8})
      for (float zero : {0.f, 3.f, 127.f}) {
        std::vector<uint8_t> bytes(floats.size() + 2, 99);
        table.kernels->to_bytes({bytes.data() + 1, type, floats.data(), 1, zero, static_cast<int64_t>(floats.size())});
        EXPECT_EQ(bytes.front(), 99);
        EXPECT_EQ(bytes.back(), 99);
        const float low = type == ByteType::kUint8 ? 0.f : -128.f;
        std::vector<float> back(floats.size());
        table.kernels->to_floats({bytes.data() + 1, type, back.data(), 0.25f, zero, static_cast<int64_t>(back.size())});
        for (size_t i = 0; i < floats.size(); ++i) {
          const float want = std::isnan(floats[i]) ? low : std::clamp(std::nearbyint(floats[i]) + zero, low, low + 255);
          const float code = type == ByteType::kUint8 ? bytes[i + 1] : static_cast<int8_t>(bytes[i + 1]);
          EXPECT_EQ(code, want) << table.name << " " << floats[i] << " zero " << zero;
          EXPECT_EQ(back[i], (code - zero) * 0.25f);
        }
      }
}

// Scales are powers of two, so that all is exact.
TEST(QuantizedGemm, FinishedSums) {
  std::mt19937 random(3);
  struct Bounds {
    float low, high;
  };
  for (int64_t count : {1, 7, 16, 63, 64, 70, 130, 200})
    for (ByteType residual_type : {ByteType::kNone, ByteType::kUint8, ByteType::kInt8, ByteType::kFloat})
      for (ByteType y_type : {ByteType::kUint8, ByteType::kInt8, ByteType::kFloat})
        for (const Bounds bounds : {Bounds{-INFINITY, INFINITY}, Bounds{0, INFINITY}, Bounds{-1.5f, 6.25f}}) {
          const int64_t rows = 3, stride = count + 5;
          const int32_t zero = y_type == ByteType::kInt8 ? -3 : 7;
          const float least =
              y_type == ByteType::kFloat ? -INFINITY : (y_type == ByteType::kUint8 ? 0.f : -128.f) - static_cast<float>(zero);
          const float low = std::max(bounds.low, least), high = std::min(bounds.high, y_type == ByteType::kFloat ? INFINITY : least + 255);
          std::vector<int32_t> acc(static_cast<size_t>(rows * stride));
          std::vector<float> scales(static_cast<size_t>(count), 0.25f), bias(scales.size()), floats(acc.size());
          std::vector<uint8_t> bytes(acc.size());
          for (auto& x : acc)
            x = random() % 8 == 0 ? static_cast<int32_t>(random()) >> 8 << 8 : static_cast<int32_t>(random() % 2048) - 1024;
          for (auto& x : bias) x = static_cast<float>(random() % 64) / 2;
          bias[0] = NAN;
          if (count > 5) bias[5] = INFINITY;
          for (auto& x : bytes) x = random_byte(random);
          for (auto& x : floats) x = static_cast<float>(random() % 256) / 4;
          const void* residual = residual_type == ByteType::kFloat ? static_cast<const void*>(floats.data()) : bytes.data();
          const int64_t size = y_type == ByteType::kFloat ? 4 : 1;
          for (const Table& table : tables()) {
            std::vector<uint8_t> y(static_cast<size_t>(rows * stride * size), 99);
            table.kernels->finish({acc.data(), scales.data(), bias.data(), residual_type == ByteType::kNone ? nullptr : residual,
                                   residual_type, 0.5f, low, high, y.data(), y_type, zero, count, rows, stride, stride, stride});
            for (int64_t i = 0; i < rows * stride; ++i) {
              const auto at = static_cast<size_t>(i), column = static_cast<size_t>(i % stride);
              float got = y_type == ByteType::kUint8 ? y[at] : static_cast<int8_t>(y[at]);
              if (y_type == ByteType::kFloat) std::memcpy(&got, &y[4 * at], 4);
              if (i % stride >= count) {
                float untouched = 99;
                if (y_type == ByteType::kFloat) std::memset(&untouched, 99, 4);
                ASSERT_EQ(got, untouched);
                continue;
              }
              float want = static_cast<float>(acc[at]) * scales[column] + bias[column];
              if (residual_type == ByteType::kFloat) want += floats[at] / 2;
              if (residual_type == ByteType::kUint8) want += bytes[at] / 2.f;
              if (residual_type == ByteType::kInt8) want += static_cast<int8_t>(bytes[at]) / 2.f;
              want = want > low ? std::min(want, high) : low;
              if (y_type != ByteType::kFloat) want = std::nearbyint(want) + static_cast<float>(zero);
              ASSERT_EQ(got, want) << table.name << " count " << count << " at " << i << " low " << low << " high " << high;
            }
          }
        }
}

TEST(QuantizedGemm, BytesWithAScaleAnElement) {
  for (const Table& table : tables())
    for (int64_t count : {1, 7, 16, 33, 70}) {
      std::vector<float> floats(static_cast<size_t>(count)), scales(floats.size());
      for (size_t i = 0; i < floats.size(); ++i) {
        floats[i] = static_cast<float>(i) * 1.7f - 30;
        scales[i] = 0.1f + static_cast<float>(i % 5);
      }
      std::vector<uint8_t> bytes(floats.size() + 1, 99);
      table.kernels->to_bytes({bytes.data(), ByteType::kUint8, floats.data(), 1, 100, count, scales.data()});
      EXPECT_EQ(bytes.back(), 99);
      for (size_t i = 0; i < floats.size(); ++i)
        EXPECT_EQ(bytes[i], std::clamp(std::nearbyint(floats[i] / scales[i]) + 100.f, 0.f, 255.f)) << table.name << " " << i;
    }
}

TEST(QuantizedGemm, DepthwiseIsExact) {
  std::mt19937 random(5);
  for (int64_t channels : {1, 7, 16, 17, 40}) {
    std::vector<uint8_t> x(static_cast<size_t>(9 * channels));
    std::vector<int8_t> w(x.size());
    std::vector<int32_t> start(static_cast<size_t>(channels), -5);
    for (auto& v : x) v = random_byte(random);
    for (auto& v : w) v = random_weight(random);
    std::vector<const uint8_t*> rows;
    for (int64_t t = 0; t < 9; ++t) rows.push_back(x.data() + t * channels);
    for (const Table& table : tables()) {
      std::vector<int32_t> acc(static_cast<size_t>(channels) + 1, 77);
      table.kernels->depthwise(rows.data(), 9, w.data(), start.data(), channels, acc.data());
      EXPECT_EQ(acc.back(), 77);
      for (int64_t j = 0; j < channels; ++j) {
        int32_t want = -5;
        for (int64_t t = 0; t < 9; ++t) want += x[static_cast<size_t>(t * channels + j)] * w[static_cast<size_t>(t * channels + j)];
        EXPECT_EQ(acc[static_cast<size_t>(j)], want) << table.name;
      }
    }
  }
}

// ---- operators ----

Tensor random_tensor(DType type, const Dims& dims, uint32_t seed) {
  Tensor t = Tensor::allocate(type, dims).value();
  std::mt19937 random(seed);
  for (int64_t i = 0; i < t.num_elements(); ++i)
    if (type == DType::kFloat32)
      t.data<float>()[i] = static_cast<float>(random() % 2001) / 1000.f - 1.f;
    else
      t.data<uint8_t>()[i] = random_byte(random);
  return t;
}

// Runs one node whose inputs but the first are constants, with its tactic or the reference; memory around the output is checked.
std::vector<float> run(const char* op, std::shared_ptr<ir::Attrs> attrs, const std::vector<Tensor>& inputs, bool tactic) {
  ir::Graph graph;
  ir::Node node;
  node.op = ops::find_op("ai.cameo", op);
  node.version = 1;
  node.name = op;
  node.attrs = std::move(attrs);
  graph.inputs = {graph.add_value("x", ir::Type::tensor(inputs[0].dtype(), ir::to_shape(inputs[0].dims())))};
  node.inputs = {graph.inputs[0]};
  for (size_t i = 1; i < inputs.size(); ++i) node.inputs.push_back(graph.add_constant("c", inputs[i]));
  graph.outputs = {graph.add_value("y")};
  node.outputs = graph.outputs;
  graph.nodes.push_back(std::move(node));
  const Status typed = ir::infer_types(graph);
  EXPECT_TRUE(typed.ok()) << typed.error().message();
  if (!typed.ok()) return {};
  if (tactic) {
    EXPECT_TRUE(tactics::select_tactics(graph).ok());
    EXPECT_NE(graph.nodes[0].kernel, "");
  }
  const ir::Type& type = graph.value(graph.outputs[0]).type;
  const auto count = static_cast<size_t>(ir::to_dims(*type.shape)->num_elements());
  const size_t bytes = count * dtype_size(type.dtype);
  std::vector<uint8_t> memory(bytes + 128, 99);
  runtime::ExecutionState state(default_allocator());
  runtime::Executor executor(graph, state);
  const ops::RtValue input = ops::RtValue::of(inputs[0]);
  const runtime::Executor::OutputBinding binding{memory.data() + 64, bytes};
  ops::RtValue output;
  const Status status = executor.run({&input, 1}, {&binding, 1}, {&output, 1});
  EXPECT_TRUE(status.ok()) << status.error().message();
  for (size_t i = 0; i < 64; ++i) EXPECT_TRUE(memory[i] == 99 && memory[bytes + 64 + i] == 99) << "written outside the output";
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i)
    if (type.dtype == DType::kFloat32)
      std::memcpy(&values[i], memory.data() + 64 + i * 4, 4);
    else
      values[i] = type.dtype == DType::kUint8 ? memory[64 + i] : static_cast<int8_t>(memory[64 + i]);
  return values;
}

void compare(const char* op, const std::shared_ptr<ir::Attrs>& attrs, const std::vector<Tensor>& inputs, const std::string& what) {
  const auto want = run(op, attrs, inputs, false), got = run(op, attrs, inputs, true);
  ASSERT_EQ(want.size(), got.size());
  const bool bytes = static_cast<ops::QuantizedAttrs*>(dynamic_cast<ops::CameoQuantizedMatMulAttrs*>(attrs.get()))
                         ? static_cast<ops::CameoQuantizedMatMulAttrs&>(*attrs).y_type != 1
                         : static_cast<ops::CameoQuantizedConvAttrs&>(*attrs).y_type != 1;
  // Bytes may be rounded the other way where the value lies halfway.
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], bytes ? 1 : 1e-4 * (1 + std::fabs(want[i]))) << what << " at " << i;
  EXPECT_EQ(got, run(op, attrs, inputs, true));
}

// The forms that a node's end can take: {program, number of operands, residual as bytes, output type}.
struct Ending {
  std::vector<int64_t> program;
  std::vector<float> constants;
  bool bias = false, residual = false, byte_residual = false;
};
const Ending kEndings[] = {{},
                           {{0, 0, 1, 0, 24, 2, 0, 0}, {}, true},
                           {{0, 0, 1, 0, 0, 2, 3, 0, 24, 4, 0, 0}, {}, true, true},
                           {{0, 2, 0, 0, 0, 3, 1, 0, 48, 4, -1, -2}, {-1, 2}, true, true, true},
                           {{0, 0, 1, 0, 29, 2, 0, 0}, {}, true}};

template <class Attrs>
void set_ending(Attrs& attrs, const Ending& ending, int64_t y_type, const Dims& y, std::vector<Tensor>& inputs) {
  attrs.program = ending.program;
  attrs.constants = ending.constants;
  attrs.y_type = y_type;
  attrs.y_scale = 0.02f;
  attrs.y_zero = y_type == 2 ? 100 : -3;
  if (ending.bias) inputs.push_back(random_tensor(DType::kFloat32, {attrs.n}, 9));
  if (ending.residual) inputs.push_back(random_tensor(ending.byte_residual ? DType::kUint8 : DType::kFloat32, y, 10));
  if (ending.byte_residual) {
    attrs.operand_scales = {0, 0.01f};
    attrs.operand_zeros = {0, 7};
  }
}

TEST(QuantizedMatMul, TacticAgreesWithTheReference) {
  for (DType type : {DType::kUint8, DType::kInt8})
    for (int64_t rows : {1, 5, 50, 130})
      for (int64_t k : {1, 4, 7, 64})
        for (int64_t n : {1, 16, 33, 150})
          for (size_t e = 0; e < std::size(kEndings); ++e) {
            auto attrs = std::make_shared<ops::CameoQuantizedMatMulAttrs>();
            attrs->k = k;
            attrs->n = n;
            attrs->x_scale = 0.01f;
            attrs->x_zero = type == DType::kUint8 ? 120 : -5;
            std::mt19937 random(3);
            const Tensor w = ops::pack_int8(k, n, [&](int64_t, int64_t) { return random_weight(random); }).value();
            Tensor scale = random_tensor(DType::kFloat32, {n}, 4);
            for (float& s : scale.span<float>()) s *= 0.02f;
            std::vector<Tensor> inputs = {random_tensor(type, {rows, k}, 5), w, scale};
            set_ending(*attrs, kEndings[e], 1 + (rows + k + n) % 3, {rows, n}, inputs);
            compare("QuantizedMatMul", attrs, inputs, fmt::format("{} {}x{}x{} ending {}", dtype_name(type), rows, k, n, e));
          }
}

TEST(QuantizedConv, TacticAgreesWithTheReference) {
  struct Shape {
    std::vector<int64_t> x, kernel, strides, dilations, pads;
    int64_t n, group;
  };
  const Shape kShapes[] = {
      {{1, 7, 9, 4}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 20, 1},
      {{2, 8, 8, 8}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 33, 1},
      {{1, 9, 9, 3}, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 2}, 17, 1},
      {{1, 12, 11, 6}, {3, 2}, {2, 1}, {2, 3}, {2, 0, 1, 3}, 16, 1},
      {{1, 10, 10, 20}, {3, 3}, {1, 2}, {1, 1}, {1, 1, 1, 1}, 20, 20},
      {{2, 13, 5}, {4}, {3}, {1}, {2, 1}, 7, 1},
      {{1, 4, 5, 6, 4}, {2, 3, 3}, {1, 1, 2}, {1, 1, 1}, {0, 1, 1, 1, 1, 1}, 18, 1},
      {{1, 3, 3, 4}, {3, 3}, {1, 1}, {4, 4}, {4, 4, 4, 4}, 16, 1},
      {{2, 5, 6, 4, 3}, {2, 3, 3}, {1, 2, 1}, {2, 1, 1}, {0, 1, 3, 2, 0, 1}, 18, 1},
      {{1, 2, 3, 1}, {3, 7}, {2, 3}, {1, 1}, {1, 6, 2, 5}, 5, 1},
      {{1, 2, 3, 8}, {3, 7}, {2, 3}, {1, 1}, {1, 6, 2, 5}, 5, 1},
      {{1, 2, 2, 3}, {2, 2}, {50, 50}, {1, 1}, {100, 100, 100, 100}, 5, 1},  // mostly padding
  };
  for (const Shape& s : kShapes)
    for (DType type : {DType::kUint8, DType::kInt8})
      for (size_t e = 0; e < std::size(kEndings); ++e) {
        auto attrs = std::make_shared<ops::CameoQuantizedConvAttrs>();
        attrs->kernel_shape = s.kernel;
        attrs->strides = s.strides;
        attrs->dilations = s.dilations;
        attrs->pads = s.pads;
        attrs->n = s.n;
        attrs->channels = s.x.back();
        attrs->group = s.group;
        attrs->x_scale = 0.01f;
        attrs->x_zero = type == DType::kUint8 ? 3 : -128;
        std::mt19937 random(3);
        const int64_t k = attrs->taps() * (s.group == 1 ? attrs->channels : 1);
        Tensor w = s.group == 1 ? ops::pack_int8(k, s.n, [&](int64_t, int64_t) { return random_weight(random); }).value()
                                : Tensor::allocate(DType::kInt8, {k, s.n}).value();
        if (s.group != 1)
          for (int8_t& v : w.span<int8_t>()) v = random_weight(random);
        std::vector<int64_t> y = s.x;
        y.back() = s.n;
        for (size_t a = 0; a < s.kernel.size(); ++a)
          y[a + 1] = (s.x[a + 1] + s.pads[a] + s.pads[a + s.kernel.size()] - (s.kernel[a] - 1) * s.dilations[a] - 1) / s.strides[a] + 1;
        Tensor scale = random_tensor(DType::kFloat32, {s.n}, 4);
        for (float& v : scale.span<float>()) v *= 0.02f;
        std::vector<Tensor> inputs = {random_tensor(type, Dims(std::span<const int64_t>(s.x)), 5), w, scale};
        set_ending(*attrs, kEndings[e], 1 + static_cast<int64_t>(e) % 3, Dims(std::span<const int64_t>(y)), inputs);
        compare("QuantizedConv", attrs, inputs, fmt::format("{} channels {} ending {}", dtype_name(type), attrs->channels, e));
      }
}

TEST(QuantizedMatMul, NothingToDo) {
  auto attrs = std::make_shared<ops::CameoQuantizedMatMulAttrs>();
  attrs->k = 4;
  attrs->n = 3;
  const Tensor w = ops::pack_int8(4, 3, [](int64_t, int64_t) { return int8_t{1}; }).value();
  EXPECT_TRUE(
      run("QuantizedMatMul", attrs, {random_tensor(DType::kUint8, {0, 4}, 1), w, random_tensor(DType::kFloat32, {3}, 1)}, true).empty());
}

}  // namespace
}  // namespace cameo::cpu
