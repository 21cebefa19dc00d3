#include <array>
#include <functional>

#include "backends/cpu/kernels/kernel_test.h"
#include "backends/cpu/kernels/pointwise.h"
#include "ops/pointwise_program.h"

namespace cameo::tactics {
namespace {

using ops::PointInstruction;
using ops::PointOp;

constexpr PointOp kAllOps[] = {
    PointOp::kAdd,      PointOp::kSub,        PointOp::kMul,    PointOp::kDiv,         PointOp::kMin,   PointOp::kMax,       PointOp::kPow,
    PointOp::kNeg,      PointOp::kAbs,        PointOp::kSqrt,   PointOp::kExp,         PointOp::kLog,   PointOp::kErf,       PointOp::kTanh,
    PointOp::kSigmoid,  PointOp::kRelu,       PointOp::kGelu,   PointOp::kGeluTanh,    PointOp::kSwish, PointOp::kHardSwish, PointOp::kMish,
    PointOp::kSoftplus, PointOp::kReciprocal, PointOp::kSquare, PointOp::kFloor,       PointOp::kCeil,  PointOp::kSin,       PointOp::kCos,
    PointOp::kClip,     PointOp::kFma,        PointOp::kLeaky,  PointOp::kHardSigmoid, PointOp::kElu};

struct Set {
  const char* name;
  const cpu::PointwiseKernels& kernels;
};
// What this machine can run.
std::vector<Set> kernel_sets() {
  std::vector<Set> sets = {{"portable", cpu::portable::pointwise_kernels}};
#if defined(__x86_64__)
  if (cpu::current_isa() >= cpu::Isa::kAvx2) sets.push_back({"avx2", cpu::avx2::pointwise_kernels});
  if (cpu::current_isa() >= cpu::Isa::kAvx512) sets.push_back({"avx512", cpu::avx512::pointwise_kernels});
#endif
  return sets;
}

// One operation over three rows of inputs against the reference.
void expect_operation(const Set& set, PointOp op, const Tensor& a, const Tensor& b, const Tensor& c, std::array<uint8_t, 3> steps,
                      double absolute, double relative) {
  const int n = ops::num_operands(op);
  ops::PointProgram program = {n, {{op, 0, static_cast<int16_t>(n > 1 ? 1 : 0), static_cast<int16_t>(n > 2 ? 2 : 0)}}, {}};
  const Tensor x[3] = {guarded(a), guarded(b), guarded(c)};
  const float* inputs[3] = {x[0].data<float>(), x[1].data<float>(), x[2].data<float>()};
  const int64_t count = a.num_elements();
  const GuardedMemory y(static_cast<size_t>(count) * sizeof(float));
  auto* output = reinterpret_cast<float*>(y.data());
  set.kernels.run_row({program.code.data(), 1, n, nullptr, inputs, steps.data(), output, count});
  ASSERT_NO_FATAL_FAILURE(y.expect_untouched());
  for (int64_t i = 0; i < count; ++i) {
    const float operands[3] = {inputs[0][steps[0] * i], inputs[1][steps[1] * i], inputs[2][steps[2] * i]};
    const double want = ops::evaluate(program, operands), got = output[i];
    const bool same = std::isnan(want)   ? std::isnan(got)
                      : std::isinf(want) ? got == want
                                         : std::fabs(got - want) <= absolute + relative * std::fabs(want);
    ASSERT_TRUE(same) << set.name << " " << ops::name_of(op) << "(" << operands[0] << ", " << operands[1] << ", " << operands[2] << ") is "
                      << got << ", not " << want << " (element " << i << " of " << count << ")";
  }
}

// Errors of the vector kernels and of the reference together.
double tolerance(PointOp op) {
  switch (op) {
    case PointOp::kErf:
    case PointOp::kGelu:
    case PointOp::kGeluTanh:
    case PointOp::kMish:
      return 1e-6;
    default:
      return 4e-7;
  }
}

TEST(PointwiseKernels, OddSizesAndSpecialValues) {
  for (const Set& set : kernel_sets())
    for (PointOp op : kAllOps)
      for (int64_t count = 1; count <= 35; ++count)
        for (std::array<uint8_t, 3> steps : {std::array<uint8_t, 3>{1, 1, 1}, {1, 0, 0}, {0, 1, 1}, {1, 1, 0}, {0, 0, 0}}) {
          const auto seed = static_cast<uint32_t>(count);
          ASSERT_NO_FATAL_FAILURE(expect_operation(set, op, special_floats({count}, seed), special_floats({count}, seed + 1),
                                                   special_floats({count}, seed + 2), steps, 4e-7, tolerance(op)));
        }
}

TEST(PointwiseKernels, SweepsAgainstTheCLibrary) {
  // Every 2^14th float, positive and negative.
  Tensor x = Tensor::allocate(DType::kFloat32, {2 * (0x7f800000 >> 14)}).value();
  for (uint32_t i = 0; i < x.num_elements(); ++i) {
    const uint32_t bits = ((i >> 1 << 14) + 0x5a5) | (i & 1) << 31;
    std::memcpy(x.data<float>() + i, &bits, 4);
  }
  const Tensor one = Tensor::of<float>({1}, {1.25f});
  for (const Set& set : kernel_sets())
    for (PointOp op : kAllOps) ASSERT_NO_FATAL_FAILURE(expect_operation(set, op, x, one, one, {1, 0, 0}, tolerance(op), tolerance(op)));
}

TEST(PointwiseKernels, FrequentPowers) {
  const Tensor x = special_floats({100}, 1);
  for (const Set& set : kernel_sets())
    for (float exponent : {2.f, 3.f, 1.f, -1.f, 0.5f, -0.5f, 0.f, 2.5f, -2.f})
      ASSERT_NO_FATAL_FAILURE(expect_operation(set, PointOp::kPow, x, Tensor::of<float>({1}, {exponent}), x, {1, 0, 0}, 0, 4e-7));
}

// Random programs on tiles of random strides.
TEST(PointwiseKernels, ProgramsOnTiles) {
  std::mt19937 random(7);
  const auto pick = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  constexpr PointOp kTame[] = {PointOp::kAdd,     PointOp::kSub,  PointOp::kMin, PointOp::kMax, PointOp::kRelu,
                               PointOp::kSigmoid, PointOp::kClip, PointOp::kAbs, PointOp::kNeg};
  for (int round = 0; round < 300; ++round) {
    ops::PointProgram program;
    program.num_inputs = static_cast<int>(1 + pick(4));
    program.constants = {0.5f, -1.f};
    const int64_t length = round % 10 == 0 ? ops::kMaxPointInstructions : 1 + pick(9);
    for (int64_t i = 0; i < length; ++i) {
      const auto operand = [&] { return static_cast<int16_t>(pick(program.num_inputs + i + 2) - 2); };
      program.code.push_back({kTame[pick(std::size(kTame))], operand(), operand(), operand()});
    }
    const int64_t rows = 1 + pick(5), columns = 1 + pick(round % 4 == 0 ? 3000 : 40), output_stride = columns + pick(2) * pick(5);
    const auto inputs = static_cast<size_t>(program.num_inputs);
    std::vector<Tensor> tensors;
    std::vector<const float*> data;
    std::vector<int64_t> strides;
    std::vector<uint8_t> steps;
    for (size_t i = 0; i < inputs; ++i) {
      steps.push_back(static_cast<uint8_t>(pick(2)));
      strides.push_back(pick(3) == 0 ? 0 : steps[i] ? columns + pick(2) : 1);
      tensors.push_back(guarded(random_floats({(rows - 1) * strides[i] + (steps[i] ? columns : 1)}, static_cast<uint32_t>(round), 3.f)));
      data.push_back(tensors[i].data<float>());
    }
    for (const Set& set : kernel_sets()) {
      const GuardedMemory y(static_cast<size_t>((rows - 1) * output_stride + columns) * sizeof(float));
      auto* output = reinterpret_cast<float*>(y.data());
      set.kernels.run_tile({program.code.data(), static_cast<int>(length), program.num_inputs, program.constants.data(), data.data(),
                            strides.data(), steps.data(), output, output_stride, rows, columns});
      y.expect_untouched();
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < columns; ++j) {
          float x[16];
          for (size_t i = 0; i < inputs; ++i) x[i] = data[i][r * strides[i] + steps[i] * j];
          const float want = ops::evaluate(program, x);
          ASSERT_NEAR(output[r * output_stride + j], want, 2e-6 * (1 + std::fabs(want))) << set.name << " " << to_string(program);
        }
    }
  }
}

Tensor zeros(const Dims& dims) { return Tensor::allocate(DType::kFloat32, dims).value(); }

TEST(PointwiseKernels, TacticBroadcasts) {
  struct Case {
    Dims a, b;
  };
  for (const auto& [a, b] : {Case{{}, {}},
                             {{7}, {7}},
                             {{2, 3, 5}, {5}},
                             {{2, 3, 5}, {3, 1}},
                             {{2, 1, 5}, {1, 4, 1}},
                             {{3, 1}, {1, 33}},
                             {{1, 64, 9, 31}, {64, 1, 1}},
                             {{0, 3}, {3}},
                             {{4, 1}, {0}},
                             {{2, 1, 3, 1, 2}, {5, 1, 4, 1}},
                             {{100, 1000}, {1000}},
                             {{1, 300000}, {1}},
                             {{3, 40000}, {3, 1}},
                             {{1, 2, 1, 2, 1, 2, 1, 2}, {2, 1, 2, 1, 2, 1, 2, 1}}}) {
    NodeTest("", "Add", 14).input(random_floats(a, 1)).input(random_floats(b, 2)).expect_same("add_f32", 0, 0);
    NodeTest("", "Sub", 14).input(random_floats(b, 1)).input(random_floats(a, 2)).expect_same("sub_f32", 0, 0);
    NodeTest("ai.cameo", "Pointwise", 1)
        .set("program", {49, 0, 1, -1, 23, 2, 0, 0, 2, 3, 1, 0})
        .set("constants", std::vector<float>{0.25f})
        .input(random_floats(a, 1))
        .input(random_floats(b, 2))
        .expect_same("pointwise_f32");
  }
  NodeTest("ai.cameo", "Pointwise", 1).input(special_floats({77}, 1)).expect_same("pointwise_f32", 0, 0);
  NodeTest("", "Max", 13)
      .input(special_floats({5, 77}, 1))
      .input(special_floats({77}, 2))
      .input(special_floats({5, 1}, 3))
      .expect_same("max_f32", 0, 0);
  NodeTest("", "Min", 13).input(special_floats({5, 77}, 1)).expect_same("min_f32", 0, 0);
  NodeTest("", "Exp", 13).input(special_floats({50001}, 1)).expect_same("exp_f32", 2e-7, 0);
}

TEST(PointwiseKernels, TacticRefuses) {
  EXPECT_NE(NodeTest("", "Add", 14).input(Tensor::of<int64_t>({1}, {1})).input(Tensor::of<int64_t>({1}, {1})).refusal("add_f32"), "");
  EXPECT_NE(NodeTest("", "Add", 6).input(zeros({2})).input(zeros({2})).refusal("add_f32"), "");
  EXPECT_NE(NodeTest("", "Neg", 13).input(zeros(Dims(9, 1))).refusal("neg_f32"), "");
}

}  // namespace
}  // namespace cameo::tactics
