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
  if (node.outer == 0 || node.rows == 0) return {};
  ThreadPool& pool = c.threads();

  // The parts of one product that somebody wants, kMaxParts at a time.
  constexpr size_t kMaxParts = 4;
  struct Parts {
    cpu::GemmF32 gemm[kMaxParts];
    cpu::GemmEpilogue epilogues[kMaxParts];
    size_t count = 0;
    std::span<const cpu::GemmF32> span() const { return {gemm, count}; }
  };
  const float* panels = tensors[0].data<float>();
  for (size_t first = 0; first < node.num_parts(); first += kMaxParts) {
    const size_t last = std::min(first + kMaxParts, node.num_parts());
    const auto make_parts = [&](int64_t index, Parts& parts) {
      const float* b = panels + node.b_index(index) * matrix;
      for (size_t i = first; i < last; ++i) {
        const auto part = node.part(c, i);
        if (part.c != nullptr) {
          cpu::GemmF32& gemm = parts.gemm[parts.count];
          gemm = node.product(part, index, parts.epilogues[parts.count]);
          gemm.b = b;
          gemm.b_panel = node.depth * kPanelColumns;
          ++parts.count;
        }
        b += num_panels(part.columns) * node.depth * kPanelColumns;
      }
    };
    if (node.outer >= 2 * pool.size()) {
      float* scratch = c.scratch<float>(pool.size() * cpu::kGemmScratch).data();
      pool.parallel_for(node.outer, [&](int64_t index, int worker) {
        Parts parts;
        make_parts(index, parts);
        for (const cpu::GemmF32& gemm : parts.span())
          cpu::gemm_f32_serial(gemm, node.rows, 0, num_panels(gemm.columns), scratch + worker * cpu::kGemmScratch);
      });
    } else {
      float* scratch = nullptr;
      for (int64_t index = 0; index < node.outer; ++index) {
        CAMEO_TRY(c.check_cancelled());
        Parts parts;
        make_parts(index, parts);
        if (parts.count == 0) break;
        if (scratch == nullptr) scratch = c.scratch<float>(cpu::gemm_f32_scratch(pool, parts.span(), node.rows)).data();
        cpu::gemm_f32(pool, parts.span(), node.rows, scratch);
      }
    }
    for (size_t i = first; i < last; ++i) panels += num_panels(node.part(c, i).columns) * node.depth * kPanelColumns;
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
