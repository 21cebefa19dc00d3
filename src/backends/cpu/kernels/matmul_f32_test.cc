// The tactics for float32 matrix products against the reference.
#include "backends/cpu/kernels/gemm_f32.h"
#include "backends/cpu/kernels/kernel_test.h"
#include "ops/pointwise_program.h"

namespace cameo::tactics {
namespace {

using ops::PointOp;

struct Product {
  Dims a, b;
  bool trans_a = false, trans_b = false;
};

NodeTest cameo_matmul(const Product& p, bool constant, float alpha = 1) {
  NodeTest test("ai.cameo", "MatMul", 1);
  test.set("trans_a", p.trans_a ? 1 : 0).set("trans_b", p.trans_b ? 1 : 0).set("alpha", AttrSetter::Value(alpha));
  test.input(random_floats(p.a, 1));
  const Tensor b = random_floats(p.b, 2);
  return std::move(constant ? test.constant(b) : test.input(b));
}

void set_program(NodeTest& test, const ops::PointProgram& program) {
  test.set("program", AttrSetter::Value(ops::encode(program))).set("constants", AttrSetter::Value(program.constants));
}

TEST(MatMulF32Kernels, OddSizes) {
  for (int64_t rows : {1, 2, 3, 5, 7, 8, 10, 15, 17, 29})
    for (int64_t columns : {1, 15, 16, 17, 33, 64, 65, 130})
      for (int64_t depth : {0, 1, 2, 17, 64, 257}) {
        const double absolute = 2e-6 * static_cast<double>(depth + 1);
        for (bool trans_a : {false, true})
          for (bool trans_b : {false, true}) {
            const Product p{trans_a ? Dims{depth, rows} : Dims{rows, depth}, trans_b ? Dims{columns, depth} : Dims{depth, columns}, trans_a,
                            trans_b};
            if (trans_a && rows > 8) continue;
            ASSERT_NO_FATAL_FAILURE(cameo_matmul(p, true).expect_same("cameo_matmul_f32_packed", 1e-5, absolute));
            ASSERT_NO_FATAL_FAILURE(cameo_matmul(p, false).expect_same("cameo_matmul_f32", 1e-5, absolute));
          }
      }
}

TEST(MatMulF32Kernels, LargeEnoughForAllVariants) {
  const Product products[] = {
      {{200, 300}, {300, 200}},
      {{400, 70}, {70, 24}},
      {{3, 700}, {700, 1000}},
      {{20, 600}, {700, 600}, 0, 1},
      {{5, 600}, {700, 600}, 0, 1},
      {{600, 30}, {600, 170}, 1, 0},
      {{1, 1100}, {1100, 515}},
      {{1, 1100}, {515, 1100}, 0, 1},
      {{12, 64, 50}, {12, 50, 48}},
      {{12, 50, 64}, {12, 48, 64}, 0, 1},
      {{2, 3, 70, 20}, {3, 20, 100}},
      {{2, 1, 70, 20}, {3, 20, 33}},
      {{2, 3, 5, 20}, {20, 33}},
      {{3, 5, 20}, {1, 20, 33}},
      {{5, 20}, {4, 20, 33}},
      {{3, 20, 5}, {20, 33}, 1, 0},
      {{64, 1, 40}, {64, 40, 130}},
      {{64, 1, 40}, {64, 130, 40}, 0, 1},
      {{0, 5}, {5, 7}},
      {{5, 5}, {5, 0}},
      {{0, 4, 5}, {5, 7}},
  };
  for (const Product& p : products) {
    ASSERT_NO_FATAL_FAILURE(cameo_matmul(p, true, 0.5f).expect_same("cameo_matmul_f32_packed", 1e-5, 1e-3));
    ASSERT_NO_FATAL_FAILURE(cameo_matmul(p, false, 0.5f).expect_same("cameo_matmul_f32", 1e-5, 1e-3));
  }
}

TEST(MatMulF32Kernels, OnnxMatMulWithVectors) {
  const std::pair<Dims, Dims> shapes[] = {{{7}, {7, 20}},   {{3, 7}, {7}},    {{7}, {7}},
                                          {{2, 3, 7}, {7}}, {{7}, {4, 7, 5}}, {{3, 4, 7}, {3, 7, 20}}};
  for (const auto& [a, b] : shapes) {
    NodeTest constant("", "MatMul", 13), input("", "MatMul", 13);
    ASSERT_NO_FATAL_FAILURE(constant.input(random_floats(a, 1)).constant(random_floats(b, 2)).expect_same("matmul_f32_packed"));
    ASSERT_NO_FATAL_FAILURE(input.input(random_floats(a, 1)).input(random_floats(b, 2)).expect_same("matmul_f32"));
  }
}

TEST(MatMulF32Kernels, Gemm) {
  for (float beta : {1.f, 0.f, 0.25f})
    for (const Dims& c : {Dims{33}, Dims{5, 33}, Dims{5, 1}, Dims{1}, Dims{}})
      for (int trans : {0, 1, 2, 3}) {
        for (bool constant : {true, false}) {
          NodeTest test("", "Gemm", 13);
          test.set("alpha", AttrSetter::Value(2.f)).set("beta", AttrSetter::Value(beta)).set("transA", trans & 1).set("transB", trans >> 1);
          const Dims a = trans & 1 ? Dims{20, 5} : Dims{5, 20}, b = trans & 2 ? Dims{33, 20} : Dims{20, 33};
          test.input(random_floats(a, 1));
          constant ? test.constant(random_floats(b, 2)) : test.input(random_floats(b, 2));
          test.input(random_floats(c, 3));
          ASSERT_NO_FATAL_FAILURE(test.expect_same(constant ? "gemm_f32_packed" : "gemm_f32", 1e-5, 1e-5));
        }
      }
  NodeTest without_c("", "Gemm", 13);
  ASSERT_NO_FATAL_FAILURE(without_c.input(random_floats({3, 4}, 1)).constant(random_floats({4, 5}, 2)).expect_same("gemm_f32_packed"));
}

TEST(MatMulF32Kernels, Programs) {
  // x0 is the product, x1 and x2 the operands.
  const ops::PointProgram programs[] = {
      {3, {{PointOp::kAdd, 0, 1}, {PointOp::kAdd, 3, 2}}, {}},
      {3, {{PointOp::kAdd, 0, 1}, {PointOp::kAdd, 2, 3}, {PointOp::kRelu, 4}}, {}},
      {3, {{PointOp::kAdd, 0, 1}, {PointOp::kClip, 3, -1, -2}, {PointOp::kMul, 4, 2}}, {-0.25f, 0.5f}},
      {3, {{PointOp::kMul, 1, 0}, {PointOp::kSub, 2, 3}, {PointOp::kGelu, 4}}, {}},
      {3, {{PointOp::kSub, 0, 1}, {PointOp::kGeluTanh, 3}, {PointOp::kAdd, 4, 2}}, {}},
      {3, {{PointOp::kAdd, 0, 1}, {PointOp::kSwish, 3}, {PointOp::kMul, 4, 2}}, {}},
      {3, {{PointOp::kAdd, 0, 1}, {PointOp::kHardSwish, 3}, {PointOp::kSigmoid, 4}, {PointOp::kTanh, 5}, {PointOp::kAdd, 6, 2}}, {}},
      {3,
       {{PointOp::kAdd, 0, 1}, {PointOp::kHardSigmoid, 3, -1, -2}, {PointOp::kAdd, 4, -3}, {PointOp::kDiv, -3, 5}, {PointOp::kAdd, 6, 2}},
       {0.2f, 0.5f, 3.f}},
      {3, {{PointOp::kExp, 0}, {PointOp::kErf, 3}, {PointOp::kMish, 4}, {PointOp::kAdd, 5, 1}, {PointOp::kAdd, 6, 2}}, {}},
      // no chains
      {3, {{PointOp::kSigmoid, 0}, {PointOp::kMul, 0, 3}, {PointOp::kAdd, 4, 1}, {PointOp::kMax, 5, 2}}, {}},
      {3, {{PointOp::kAdd, 1, 2}, {PointOp::kMul, 0, 3}}, {}},
      {3, {{PointOp::kFma, 0, 1, 2}}, {}},
  };
  const Dims operand_dims[] = {{1}, {35}, {5, 1}, {5, 35}, {3, 5, 35}, {3, 1, 35}, {3, 1, 1}, {2, 1, 5, 1}, {2, 3, 5, 35}, {2, 1, 5, 35}};
  for (const ops::PointProgram& program : programs)
    for (const Dims& e1 : operand_dims)
      for (const Dims& e2 : operand_dims) {
        for (bool constant : {true, false}) {
          NodeTest test = cameo_matmul({{2, 3, 5, 20}, {20, 35}}, constant);
          test.input(random_floats(e1, 3)).input(random_floats(e2, 4));
          set_program(test, program);
          ASSERT_NO_FATAL_FAILURE(test.expect_same(constant ? "cameo_matmul_f32_packed" : "cameo_matmul_f32", 2e-5, 2e-5))
              << ops::to_string(program);
        }
      }
}

TEST(MatMulF32Kernels, ProgramsOnWholeTiles) {
  for (int64_t rows : {1, 14, 40})
    for (const Dims& bias : {Dims{64}, Dims{rows, 1}, Dims{rows, 64}}) {
      NodeTest test = cameo_matmul({{rows, 300}, {300, 64}}, true, 0.5f);
      test.input(random_floats(bias, 3)).input(random_floats({rows, 64}, 4));
      set_program(test, {3, {{PointOp::kAdd, 0, 1}, {PointOp::kAdd, 3, 2}, {PointOp::kClip, 4, -1, -2}}, {-1.f, 2.f}});
      ASSERT_NO_FATAL_FAILURE(test.expect_same("cameo_matmul_f32_packed", 1e-5, 1e-4));
    }
}

TEST(MatMulF32Kernels, Splits) {
  for (bool trans_b : {false, true})
    for (bool constant : {true, false})
      for (int64_t rows : {1, 6, 40}) {
        NodeTest test = cameo_matmul({{2, rows, 30}, trans_b ? Dims{69, 30} : Dims{30, 69}, false, trans_b}, constant);
        test.input(random_floats({69}, 3)).input(random_floats({rows, 69}, 4));
        set_program(test, {3, {{PointOp::kAdd, 0, 1}, {PointOp::kMul, 3, 2}}, {}});
        test.set("splits", {17, 32, 0, 20}).outputs({true, true, true, true});
        ASSERT_NO_FATAL_FAILURE(test.expect_same(constant ? "cameo_matmul_f32_packed" : "cameo_matmul_f32", 1e-5, 1e-5));
      }
  for (int64_t rows : {1, 16, 130}) {
    NodeTest many = cameo_matmul({{rows, 300}, {300, 620}}, true);
    many.input(random_floats({620}, 3));
    set_program(many, {2, {{PointOp::kAdd, 0, 1}}, {}});
    many.set("splits", {200, 70, 0, 130, 1, 200, 19}).outputs({true, true, true, false, true, true, true});
    ASSERT_NO_FATAL_FAILURE(many.expect_same("cameo_matmul_f32_packed", 1e-5, 1e-4));
  }
  NodeTest some = cameo_matmul({{3, 30}, {30, 40}}, true);
  some.set("splits", {17, 23}).outputs({false, true});
  ASSERT_NO_FATAL_FAILURE(some.expect_same("cameo_matmul_f32_packed"));
}

TEST(MatMulF32Kernels, SpecialValues) {
  for (bool trans_b : {false, true})
    for (bool constant : {true, false})
      for (int64_t rows : {1, 5, 20}) {
        const ops::PointProgram programs[] = {
            {1, {{PointOp::kRelu, 0}}, {}}, {1, {{PointOp::kClip, 0, -1, -2}}, {-1.f, 1.f}}, {1, {{PointOp::kGelu, 0}}, {}}};
        for (const auto& program : programs) {
          NodeTest test("ai.cameo", "MatMul", 1);
          test.set("trans_b", trans_b ? 1 : 0).input(special_floats({rows, 3}, 5));
          const Tensor b = random_floats(trans_b ? Dims{21, 3} : Dims{3, 21}, 6);
          constant ? test.constant(b) : test.input(b);
          set_program(test, program);
          ASSERT_NO_FATAL_FAILURE(test.expect_same(constant ? "cameo_matmul_f32_packed" : "cameo_matmul_f32", 1e-5, 1e-5))
              << ops::to_string(program);
        }
      }
}

TEST(MatMulF32Kernels, ARowHasTheSameBitsInAnyBatch) {
  const Tensor b = random_floats({600, 100}, 2), all = random_floats({40, 600}, 1);
  NodeTest together("ai.cameo", "MatMul", 1);
  const Tensor want = together.input(all).constant(b).run(find_tactic("cameo_matmul_f32_packed"), 2)[0];
  for (int64_t rows : {1, 4, 8, 13, 20}) {
    NodeTest some("ai.cameo", "MatMul", 1);
    const Tensor a = Tensor::view(DType::kFloat32, {rows, 600}, all.data<float>() + 5 * 600);
    const Tensor got = some.input(a).constant(b).run(find_tactic("cameo_matmul_f32_packed"))[0];
    EXPECT_EQ(std::memcmp(got.raw(), want.data<float>() + 5 * 100, got.num_bytes()), 0) << rows << " rows";
  }
}

TEST(MatMulF32Kernels, PackedWeightsOfTheWrongSizeAreAnError) {
  ir::Graph graph;
  ir::Node node;
  node.op = ops::find_op("", "MatMul");
  node.version = 13;
  node.attrs = node.op->make_attrs();
  graph.inputs = {graph.add_value("a", ir::Type::tensor(DType::kFloat32, {3, 8}))};
  node.inputs = {graph.inputs[0], graph.add_constant("b", random_floats({8, 20}, 2))};
  graph.outputs = {graph.add_value("y")};
  node.outputs = graph.outputs;
  graph.nodes.push_back(std::move(node));
  ASSERT_TRUE(ir::infer_types(graph).ok());
  ASSERT_TRUE(select_tactics(graph).ok());
  ASSERT_EQ(graph.nodes[0].kernel, "matmul_f32_packed");

  const auto expect_error = [](const ir::Graph& damaged) {
    runtime::ExecutionState state(default_allocator());
    runtime::Executor executor(damaged, state);
    const ops::RtValue input = ops::RtValue::of(random_floats({3, 8}, 1));
    float y[60];
    const runtime::Executor::OutputBinding binding{y, sizeof y};
    ops::RtValue output;
    EXPECT_FALSE(executor.run({&input, 1}, {&binding, 1}, {&output, 1}).ok());
  };
  ir::Graph damaged = graph;
  damaged.nodes[0].packed[0] = random_floats({1, 1, 8, 16}, 1);
  expect_error(damaged);
  damaged.nodes[0].packed.clear();
  expect_error(damaged);
  damaged = graph;
  damaged.nodes[0].kernel = "matmul_f32";  // reads what is no longer there
  expect_error(damaged);
}

}  // namespace
}  // namespace cameo::tactics
