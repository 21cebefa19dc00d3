// MatMul, Gemm and ai.cameo.MatMul of float32 by constant weights, which are packed when the plan is built
// (gemm_f32.h): [matrices of B][splits][ceil(columns / 16)][depth][16].
#include <algorithm>

#include "backends/cpu/kernels/matmul_f32_node.h"
#include "base/thread_pool.h"
#include "ops/cameo_pointwise.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

using cpu::kPanelColumns;

// Weights that large are read where they lie if their rows run along the depth (matmul_f32): packing would not make that
// faster, and embeddings, which Gather reads as well, would be in memory twice.
constexpr int64_t kLargeElements = int64_t{1} << 23;

int64_t num_panels(int64_t columns) { return (columns + kPanelColumns - 1) / kPanelColumns; }

// Panels of one matrix.
int64_t panels_of(const cpu::MatMulForm& form, int64_t columns) {
  if (form.splits.empty()) return num_panels(columns);
  int64_t panels = 0;
  for (int64_t n : form.splits) panels += num_panels(n);
  return panels;
}

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  CAMEO_TRY(cpu::supports_matmul_f32(node, facts));
  const Tensor& b = facts[node.inputs[1]].constant;
  if (!b.defined()) return refuse("the right side is not constant");
  if (cpu::matmul_form(node).trans_b && b.num_elements() > kLargeElements)
    return refuse("the right side is large and transposed: matmul_f32 reads it in place");
  return {};
}

Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  const cpu::MatMulForm form = cpu::matmul_form(node);
  const Tensor& b = facts[node.inputs[1]].constant;
  Dims dims = b.dims();
  if (dims.rank() == 1) dims.insert(1, 1);
  const size_t rank = dims.rank();
  const int64_t depth = dims[rank - (form.trans_b ? 1 : 2)], columns = dims[rank - (form.trans_b ? 2 : 1)];
  const int64_t matrices = Dims(dims.span().first(rank - 2)).num_elements();
  CAMEO_ASSIGN(Tensor packed, Tensor::allocate(DType::kFloat32, {matrices, panels_of(form, columns), depth, kPanelColumns}));
  const int64_t row_stride = form.trans_b ? 1 : columns, column_stride = form.trans_b ? depth : 1;
  float* to = packed.data<float>();
  for (int64_t i = 0; i < matrices; ++i) {
    const float* from = b.data<float>() + i * depth * columns;
    const auto pack = [&](int64_t n) {
      cpu::gemm_f32_kernels().pack_panels(from, row_stride, column_stride, depth, n, to);
      from += n * column_stride;
      to += num_panels(n) * depth * kPanelColumns;
    };
    if (form.splits.empty()) pack(columns);
    for (int64_t n : form.splits) pack(n);
  }
  std::vector<Tensor> result;
  result.push_back(std::move(packed));
  return result;
}

Status run(ops::KernelContext& c) {
  cpu::MatMulF32Node node;
  CAMEO_TRY(node.init(c));
  const auto& tensors = c.node().packed;
  const int64_t matrix = panels_of(node.form(), node.columns) * node.depth * kPanelColumns;
  if (tensors.size() != 1 || tensors[0].dtype() != DType::kFloat32 || tensors[0].num_elements() != node.num_b * matrix)
    return error(ErrorCode::kInvalidPlan, "the packed weights do not fit a right side of {}", c.input(1).dims().to_string());
  const float* packed = tensors[0].data<float>();
  ThreadPool& pool = c.threads();
  const bool by_product = node.outer >= 2 * pool.size();
  int64_t scratch_size = 0;
  for (size_t i = 0; i < node.num_parts(); ++i) {
    const int64_t columns = node.part(c, i).columns;
    scratch_size =
        std::max(scratch_size, by_product ? pool.size() * cpu::kGemmScratch : cpu::gemm_f32_scratch(pool, node.rows, node.depth, columns));
  }
  float* scratch = c.scratch<float>(scratch_size).data();
  for (size_t i = 0; i < node.num_parts(); ++i) {
    const auto part = node.part(c, i);
    const float* panels = packed;
    packed += num_panels(part.columns) * node.depth * kPanelColumns;
    if (part.c == nullptr) continue;
    const auto product = [&](int64_t index, cpu::GemmEpilogue& epilogue) {
      cpu::GemmF32 gemm = node.product(part, index, epilogue);
      gemm.b = panels + node.b_index(index) * matrix;
      gemm.b_panel = node.depth * kPanelColumns;
      return gemm;
    };
    if (by_product) {
      pool.parallel_for(node.outer, [&](int64_t index, int worker) {
        cpu::GemmEpilogue epilogue;
        cpu::gemm_f32_serial(product(index, epilogue), node.rows, 0, num_panels(part.columns), scratch + worker * cpu::kGemmScratch);
      });
      continue;
    }
    for (int64_t index = 0; index < node.outer; ++index) {
      CAMEO_TRY(c.check_cancelled());
      cpu::GemmEpilogue epilogue;
      cpu::gemm_f32(pool, product(index, epilogue), node.rows, scratch);
    }
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(matmul_f32_packed) = {
    .name = "matmul_f32_packed",
    .op = "MatMul",
    .supports = &supports,
    .prepack = &prepack,
    .packed_inputs = 1 << 1,
    .run = &run,
};

CAMEO_DEFINE_TACTIC(gemm_f32_packed) = {
    .name = "gemm_f32_packed",
    .op = "Gemm",
    .supports = &supports,
    .prepack = &prepack,
    .packed_inputs = 1 << 1,
    .run = &run,
};

CAMEO_DEFINE_TACTIC(cameo_matmul_f32_packed) = {
    .name = "cameo_matmul_f32_packed",
    .op = "MatMul",
    .domain = ops::kCameoDomain,
    .supports = &supports,
    .prepack = &prepack,
    .packed_inputs = 1 << 1,
    .run = &run,
};

}  // namespace cameo::tactics
