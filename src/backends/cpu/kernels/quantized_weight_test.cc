// Kernels for weights of few bits against plain loops, over odd sizes, with sentinels.
#include "backends/cpu/kernels/quantized_weight.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backends/cpu/kernels/weight_rounding.h"
#include "base/numeric.h"
#include "ops/cameo_quantized_weight_matmul.h"
#include "runtime/executor.h"
#include "tactics/tactic.h"

namespace cameo::cpu {
namespace {

using ops::QuantizedWeightAttrs;
using ops::QuantizedWeightTensors;

constexpr float kSentinel = 12345.f;

struct Table {
  const char* name;
  const QuantizedWeightKernels* kernels;
  bool split;
};
std::vector<Table> tables() {
  std::vector<Table> all = {{"portable", &portable::quantized_weight_kernels, false}};
#if defined(__x86_64__)
  if (current_isa() >= Isa::kAvx2) all.push_back({"avx2", &avx2::quantized_weight_kernels, false});
  if (current_isa() >= Isa::kAvx512) all.push_back({"avx512", &avx512::quantized_weight_kernels, false});
  if (has_vnni()) all.push_back({"vnni", &avx512::quantized_weight_kernels, true});
#endif
  return all;
}

struct Weight {
  QuantizedWeightAttrs attrs;
  QuantizedWeightTensors tensors;
};

// Random codes, the extremes among them.
Weight random_weight(int64_t bits, int64_t k, int64_t n, int64_t group_size, bool zeros, bool half_scales, bool bfloat16 = false) {
  std::mt19937 random(static_cast<uint32_t>(bits * 1000 + k * 31 + n));
  Weight w;
  w.attrs.bits = bits;
  w.attrs.k = k;
  w.attrs.n = n;
  w.attrs.group_size = group_size;
  if (bits == 16) {
    w.tensors.values = Tensor::allocate(bfloat16 ? DType::kBfloat16 : DType::kFloat16, w.attrs.value_dims()).value();
    for (int64_t i = 0; i < w.tensors.values.num_elements(); ++i) {
      const float v = i % 7 == 0 ? 1e-6f * static_cast<float>(random() % 9) : static_cast<float>(random() % 2001) / 1000.f - 1.f;
      if (bfloat16)
        w.tensors.values.data<Bfloat16>()[i] = Bfloat16(v);
      else
        w.tensors.values.data<Float16>()[i] = Float16(v);
    }
    return w;
  }
  w.tensors.values = ops::pack_codes(w.attrs, [&](int64_t, int64_t) {
                       const auto code = static_cast<uint8_t>(random() % (bits == 8 ? 256 : 16));
                       return random() % 5 == 0 ? static_cast<uint8_t>(random() % 2 != 0 ? 0 : bits == 8 ? 255 : 15) : code;
                     }).value();
  w.tensors.scales = Tensor::allocate(half_scales ? DType::kFloat16 : DType::kFloat32, w.attrs.scale_dims()).value();
  for (int64_t i = 0; i < w.tensors.scales.num_elements(); ++i) {
    const float s = (static_cast<float>(random() % 200) - 100) / 1000.f;
    if (half_scales)
      w.tensors.scales.data<Float16>()[i] = Float16(s);
    else
      w.tensors.scales.data<float>()[i] = s;
  }
  if (zeros) {
    w.tensors.zeros = Tensor::allocate(DType::kUint8, w.attrs.scale_dims()).value();
    for (uint8_t& z : w.tensors.zeros.span<uint8_t>()) z = static_cast<uint8_t>(random() % (bits == 8 ? 256 : 16));
  }
  return w;
}

// The same weight with offsets in place of zero points.
Weight with_offsets(Weight w) {
  const DType type = w.tensors.scales.dtype();
  w.tensors.zeros = Tensor::allocate(type, w.attrs.scale_dims()).value();
  for (int64_t i = 0; i < w.tensors.zeros.num_elements(); ++i) {
    const float offset = static_cast<float>(i * 37 % 101) / 64.f - 0.8f;
    if (type == DType::kFloat16)
      w.tensors.zeros.data<Float16>()[i] = Float16(offset);
    else
      w.tensors.zeros.data<float>()[i] = offset;
  }
  return w;
}

// y = A · W with epilogue Relu(y + bias), as a graph with the tactic or the reference; splits where there are two parts.
std::vector<float> run_node(const Weight& w, const Tensor& a, bool tactic, bool epilogue, const std::vector<int64_t>& splits) {
  ir::Graph graph;
  auto attrs = std::make_shared<ops::CameoQuantizedWeightMatMulAttrs>();
  static_cast<QuantizedWeightAttrs&>(*attrs) = w.attrs;
  attrs->splits = splits;
  ir::Node node;
  node.op = ops::find_op("ai.cameo", "QuantizedWeightMatMul");
  node.version = 1;
  node.name = "product";
  graph.inputs = {graph.add_value("a", ir::Type::tensor(DType::kFloat32, ir::to_shape(a.dims())))};
  const auto constant = [&](const char* name, const Tensor& t) { return t.defined() ? graph.add_constant(name, t) : ir::kNoValue; };
  node.inputs = {graph.inputs[0], constant("values", w.tensors.values), constant("scales", w.tensors.scales),
                 constant("zeros", w.tensors.zeros)};
  if (epilogue) {
    Tensor bias = Tensor::allocate(DType::kFloat32, {w.attrs.n}).value();
    for (int64_t i = 0; i < w.attrs.n; ++i) bias.data<float>()[i] = static_cast<float>(i % 5) - 2;
    node.inputs.push_back(graph.add_constant("bias", bias));
    attrs->program = {0, 0, 1, 0, 24, 2, 0, 0};
  }
  node.attrs = attrs;
  for (size_t i = 0; i < std::max<size_t>(1, splits.size()); ++i) node.outputs.push_back(graph.add_value("y"));
  graph.outputs = node.outputs;
  graph.nodes.push_back(std::move(node));
  EXPECT_TRUE(ir::infer_types(graph).ok());
  if (tactic) {
    EXPECT_TRUE(tactics::select_tactics(graph).ok());
    EXPECT_EQ(graph.nodes[0].kernel, "quantized_weight_matmul");
  }
  std::vector<std::vector<float>> memory;
  std::vector<runtime::Executor::OutputBinding> bindings;
  const int64_t rows = a.dim(0);
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const auto count = static_cast<size_t>(rows * (splits.empty() ? w.attrs.n : splits[i]));
    memory.emplace_back(count + 128, kSentinel);
    bindings.push_back({memory.back().data() + 64, count * sizeof(float)});
  }
  runtime::ExecutionState state(default_allocator());
  runtime::Executor executor(graph, state);
  const ops::RtValue input = ops::RtValue::of(a);
  std::vector<ops::RtValue> outputs(graph.outputs.size());
  const Status status = executor.run({&input, 1}, bindings, outputs);
  EXPECT_TRUE(status.ok()) << status.error().message();
  std::vector<float> all;
  for (const auto& m : memory) {
    for (size_t i = 0; i < 64; ++i) {
      EXPECT_EQ(m[i], kSentinel) << "written before the output";
      EXPECT_EQ(m[m.size() - 1 - i], kSentinel) << "written after the output";
    }
    all.insert(all.end(), m.begin() + 64, m.end() - 64);
  }
  return all;
}

Tensor random_rows(int64_t rows, int64_t k) {
  Tensor a = Tensor::allocate(DType::kFloat32, {rows, k}).value();
  std::mt19937 random(7);
  for (float& v : a.span<float>()) v = static_cast<float>(random() % 2001) / 1000.f - 1.f;
  return a;
}

void check_kernels(const Weight& w, int64_t rows) {
  const QuantizedWeightAttrs& attrs = w.attrs;
  const Tensor a = random_rows(rows, attrs.k);
  const int64_t panels = attrs.panels(), ldy = panels * 16;
  std::vector<double> want(static_cast<size_t>(rows * attrs.n), 0), magnitude(want.size(), 0);
  for (int64_t c = 0; c < attrs.n; ++c)
    for (int64_t k = 0; k < attrs.k; ++k) {
      const double v = ops::dequantized(attrs, w.tensors, k, c);
      for (int64_t r = 0; r < rows; ++r) {
        want[static_cast<size_t>(r * attrs.n + c)] += v * a.data<float>()[r * attrs.k + k];
        magnitude[static_cast<size_t>(r * attrs.n + c)] += std::fabs(v);
      }
    }
  for (const Table& table : tables()) {
    if (table.split && attrs.bits == 16) continue;
    QuantizedWeightProduct p = {};
    p.w = {static_cast<const uint8_t*>(w.tensors.values.raw()),
           w.tensors.scales.raw(),
           w.tensors.zeros.dtype() == DType::kUint8 ? w.tensors.zeros.data<uint8_t>() : nullptr,
           w.tensors.zeros.defined() && w.tensors.zeros.dtype() != DType::kUint8 ? w.tensors.zeros.raw() : nullptr,
           w.tensors.scales.dtype() == DType::kFloat16,
           w.tensors.values.dtype() == DType::kBfloat16,
           static_cast<int>(attrs.bits),
           attrs.k,
           attrs.group(),
           attrs.groups()};
    p.a = a.data<float>();
    p.lda = attrs.k;
    p.last_row = rows;
    p.last_panel = panels;
    std::vector<float> y(static_cast<size_t>(rows * ldy) + 128, kSentinel), buffer(kDequantizedRows * 16);
    p.y = y.data() + 64;
    p.ldy = ldy;
    p.buffer = buffer.data();
    const int64_t depth = (attrs.k + 15) / 16 * 16;
    std::vector<int8_t> values(static_cast<size_t>(rows * depth * 2) + 64, 99);
    std::vector<int32_t> sums(static_cast<size_t>(rows * attrs.groups() * 2));
    std::vector<float> scales(static_cast<size_t>(rows));
    p.split = {values.data(), sums.data(), scales.data(), rows, depth, split_unit(p.w)};
    for (int64_t r = 0; table.split && r < rows; ++r)
      ASSERT_TRUE(table.kernels->split_row(p.a + r * attrs.k, attrs.k, attrs.group(), p.split, r));
    (table.split ? table.kernels->multiply_split : table.kernels->multiply_float)(p);
    for (size_t i = 0; i < 64; ++i) {
      ASSERT_EQ(y[i], kSentinel);
      ASSERT_EQ(y[y.size() - 1 - i], kSentinel);
      ASSERT_EQ(values[values.size() - 1 - i], 99);
    }
    // Activations of 16 bits are off by half a unit of 1 / 32639 at most.
    const double tolerance = table.split ? 0.51 / 32639 + 1e-6 : 2e-6;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < attrs.n; ++c) {
        const auto i = static_cast<size_t>(r * attrs.n + c);
        ASSERT_NEAR(p.y[r * ldy + c], want[i], tolerance * magnitude[i] + 1e-6)
            << table.name << " bits " << attrs.bits << " " << rows << "x" << attrs.k << "x" << attrs.n << " group " << attrs.group_size
            << " at " << r << "," << c;
      }
  }
}

TEST(QuantizedWeight, KernelsAgreeWithPlainLoops) {
  for (int64_t bits : {4, 8, 16})
    for (int64_t k : {1, 3, 4, 5, 8, 15, 16, 17, 33, 64, 96, 100, 260, 515})
      for (int64_t n : {1, 15, 16, 17, 40}) {
        check_kernels(random_weight(bits, k, n, 0, false, false), 1 + (k + n) % 4);
        check_kernels(random_weight(bits, k, n, 0, true, false, true), 3);
        if (bits != 16) check_kernels(random_weight(bits, k, n, 32, k % 2 == 0, k % 3 == 0), 2 + k % 3);
      }
}

TEST(QuantizedWeight, KernelsTakeEveryNumberOfRows) {
  for (int64_t bits : {4, 8, 16})
    for (int64_t rows = 1; rows <= 33; ++rows) check_kernels(random_weight(bits, 40, 20, bits == 16 ? 0 : 16, true, true), rows);
}

TEST(QuantizedWeight, KernelsTakeOffsets) {
  for (int64_t bits : {4, 8})
    for (int64_t k : {16, 31, 64, 96, 260})
      for (int64_t rows : {1, 2, 5, 8, 13}) {
        check_kernels(with_offsets(random_weight(bits, k, 20, 32, false, true)), rows);
        check_kernels(with_offsets(random_weight(bits, k, 33, 0, false, false)), rows);
      }
  const Weight w = with_offsets(random_weight(4, 96, 40, 32, false, true));
  const Tensor a = random_rows(3, 96);
  const auto want = run_node(w, a, false, true, {}), got = run_node(w, a, true, true, {});
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 5e-3) << i;
}

TEST(QuantizedWeight, SumsOfExtremesDoNotOverflow) {
  Weight w = random_weight(8, 65536, 1, 0, false, false);
  std::fill_n(w.tensors.values.data<uint8_t>(), w.tensors.values.num_elements(), uint8_t{255});
  std::fill_n(w.tensors.scales.data<float>(), 16, 1.f);
  Tensor a = Tensor::allocate(DType::kFloat32, {1, 65536}).value();
  for (float extreme : {1.f, -1.f}) {
    std::fill_n(a.data<float>(), 65536, extreme);
    const auto got = run_node(w, a, true, false, {});
    EXPECT_NEAR(got[0], extreme * 127 * 65536, 127 * 65536 * 1e-5);
  }
}

TEST(QuantizedWeight, TacticAgreesWithTheReference) {
  for (int64_t bits : {4, 8, 16})
    for (int64_t rows : {1, 2, 9, 70, 130}) {
      const Weight w = random_weight(bits, 100, 300, bits == 4 ? 32 : 0, false, true);
      const Tensor a = random_rows(rows, 100);
      for (const std::vector<int64_t>& splits : {std::vector<int64_t>{}, std::vector<int64_t>{100, 7, 193}}) {
        const auto want = run_node(w, a, false, true, splits), got = run_node(w, a, true, true, splits);
        ASSERT_EQ(want.size(), got.size());
        for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 5e-3) << "bits " << bits << " rows " << rows << " at " << i;
        EXPECT_EQ(got, run_node(w, a, true, true, splits));
      }
    }
}

TEST(QuantizedWeight, RowsWithNanInfinityAndTinyNumbers) {
  const Weight w = random_weight(8, 48, 20, 0, false, false);
  for (float special : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e-38f, 0.f}) {
    Tensor a = random_rows(3, 48);
    if (special < 1)
      for (float& v : a.span<float>()) v = special;
    else
      a.data<float>()[50] = special;
    const auto want = run_node(w, a, false, false, {}), got = run_node(w, a, true, false, {});
    for (size_t i = 0; i < want.size(); ++i)
      if (std::isnan(want[i]))
        EXPECT_TRUE(std::isnan(got[i]));
      else if (std::isinf(want[i]))
        EXPECT_EQ(got[i], want[i]);
      else
        EXPECT_NEAR(got[i], want[i], special < 1 ? 1e-3 * special : 1e-3);
  }
}

TEST(QuantizedWeight, NothingToDo) {
  EXPECT_TRUE(run_node(random_weight(8, 16, 0, 0, false, false), random_rows(2, 16), true, false, {}).empty());
  EXPECT_TRUE(run_node(random_weight(4, 16, 5, 0, false, false), random_rows(0, 16), true, false, {}).empty());
  // Without depth there is the epilogue alone.
  const std::vector<float> bias = {0, 0, 0, 0, 0, 0};
  EXPECT_EQ(run_node(random_weight(8, 0, 3, 0, false, false), Tensor::allocate(DType::kFloat32, {2, 0}).value(), true, true, {}), bias);
}

TEST(WeightRounding, IsTheSameOnEveryInstructionSetAndNearTheBest) {
  std::vector<float> weights(32 * 16);
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (float& w : weights) w = normal(random);
  for (int c = 0; c < 32; ++c) weights[static_cast<size_t>(c * 16 + 5)] = 0;  // a column of zeros
  for (int bits : {4, 8}) {
    std::vector<const WeightRoundingKernels*> all = {&portable::weight_rounding_kernels};
#if defined(__x86_64__)
    if (current_isa() >= Isa::kAvx2) all.push_back(&avx2::weight_rounding_kernels);
    if (current_isa() >= Isa::kAvx512) all.push_back(&avx512::weight_rounding_kernels);
#endif
    for (const auto* kernels : all) {
      std::vector<float> scales(16);
      std::vector<uint8_t> codes(32 * 16);
      kernels->choose_scales({weights.data(), 32, bits, nullptr, scales.data()});
      kernels->round({weights.data(), 32, bits, codes.data(), scales.data()});
      const int zero = bits == 4 ? 8 : 128;
      for (size_t c = 0; c < 16; ++c) {
        double error = 0, plain_error = 0, largest = 0, square = 0;
        for (size_t r = 0; r < 32; ++r) largest = std::max(largest, std::fabs(static_cast<double>(weights[r * 16 + c])));
        for (size_t r = 0; r < 32; ++r) {
          const double w = weights[r * 16 + c], step = bits == 4 ? largest / 7 : largest / 127;
          error += std::pow(w - (codes[r * 16 + c] - zero) * scales[c], 2);
          plain_error += step == 0 ? 0 : std::pow(w - std::nearbyint(w / step) * step, 2);
          square += w * w;
        }
        EXPECT_LE(error, plain_error * 1.0001 + 1e-9) << bits << " bits, column " << c;
        EXPECT_LE(error, square * (bits == 4 ? 0.02 : 1e-4));
      }
    }
  }
}

}  // namespace
}  // namespace cameo::cpu
