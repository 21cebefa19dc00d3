// MatMul, Gemm and ai.cameo.MatMul of float32 where both sides come at run time (attention), or where the weights are large
// and transposed (a tied embedding).
//
// Variants, by the number of rows of A that share a matrix B:
//   few rows, B transposed      dot products with the rows of B where they lie
//   up to a block of rows       tiles over B where it lies; only its last, incomplete panel is packed
//   more rows, or transposed    each task packs a range of columns of B into its scratch and multiplies all rows by it
//   ... and few columns         B is packed first, by all threads, and the rows are then split over them
#include <algorithm>

#include "backends/cpu/kernels/matmul_f32_node.h"
#include "base/thread_pool.h"
#include "ops/cameo_pointwise.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

using cpu::GemmEpilogue;
using cpu::GemmF32;
using cpu::kGemmScratch;
using cpu::kPanelColumns;
using cpu::MatMulF32Node;

constexpr int64_t kMaxDotRows = 24, kMaxInPlaceRows = cpu::kGemmBlockRows;
// Floats of B that one task packs at once: with A's block they fit the L2 cache.
constexpr int64_t kPackedFloats = int64_t{1} << 17;
// Columns that are dealt out together: a group of panels.
constexpr int64_t kGroup = 4 * kPanelColumns;

enum class Variant { kDots, kInPlace, kPack };

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) { return cpu::supports_matmul_f32(node, facts); }

// One output of the node, or of one split.
class Product {
 public:
  Product(const MatMulF32Node& node, const MatMulF32Node::Part& part, const float* b) : node_(node), part_(part) {
    const auto& form = node.form();
    b_ = b + part.begin * (form.trans_b ? node.depth : 1);
    matrix_ = node.depth * node.columns;
    variant_ = form.trans_b && !form.trans_a && node.rows <= kMaxDotRows ? Variant::kDots
               : !form.trans_b && node.rows <= kMaxInPlaceRows           ? Variant::kInPlace
                                                                         : Variant::kPack;
  }

  Status run(ops::KernelContext& c) {
    ThreadPool& pool = c.threads();
    const int64_t groups = ceil_div(part_.columns, kGroup), depth = std::max<int64_t>(node_.depth, 1);
    const int64_t cost = cpu::gemm_cost(node_.rows, node_.depth, part_.columns);
    const int64_t fitting = variant_ == Variant::kPack ? std::max<int64_t>(kPackedFloats / (depth * kGroup), 1) : groups;
    const bool parallel = pool.size() > 1 && cost >= cpu::kMinParallelCost / node_.outer;
    // Ranges of columns: as many as the threads need, and no larger than what fits.
    int64_t ranges = ceil_div(groups, fitting);
    if (variant_ == Variant::kPack && parallel && node_.outer == 1 && ranges < 3 * pool.size()) return pack_first(c);
    if (parallel) ranges = std::max(ranges, std::min(ceil_div(int64_t{6} * pool.size(), node_.outer), cost / cpu::kMinParallelCost));
    ranges = std::clamp<int64_t>(ranges, 1, groups);

    const int64_t packed = (variant_ == Variant::kPack ? ceil_div(groups, ranges) * kGroup : kPanelColumns) * node_.depth;
    const int64_t size = kGemmScratch + packed;
    float* scratch = variant_ == Variant::kDots ? nullptr : c.scratch<float>(pool.size() * size).data();
    const auto task = [&](int64_t index, int worker) {
      const int64_t range = index % ranges;
      const int64_t begin = groups * range / ranges * kGroup;
      const int64_t end = std::min(groups * (range + 1) / ranges * kGroup, part_.columns);
      multiply(index / ranges, begin, end, scratch + (scratch != nullptr ? worker * size : 0));
    };
    if (parallel) {
      pool.parallel_for(node_.outer * ranges, task);
    } else {
      for (int64_t i = 0; i < node_.outer * ranges; ++i) task(i, 0);
    }
    return c.check_cancelled();
  }

 private:
  // Columns [begin, end) of one product; begin is a multiple of kGroup.
  void multiply(int64_t index, int64_t begin, int64_t end, float* scratch) const {
    GemmEpilogue epilogue;
    GemmF32 gemm = node_.product(part_, index, epilogue);
    const auto& kernels = cpu::gemm_f32_kernels();
    const float* b = b_ == nullptr ? nullptr : b_ + node_.b_index(index) * matrix_;
    const int64_t first = begin / kPanelColumns, last = ceil_div(end, kPanelColumns), whole = end / kPanelColumns;
    float* packed = scratch == nullptr ? nullptr : scratch + kGemmScratch;
    switch (variant_) {
      case Variant::kDots:
        gemm.b = b;
        gemm.b_panel = node_.depth;
        return kernels.multiply_rows(gemm, node_.rows, begin, end);
      case Variant::kInPlace:
        gemm.b = b;
        gemm.b_step = node_.columns;
        gemm.b_panel = kPanelColumns;
        kernels.multiply(gemm, 0, node_.rows, first, whole, nullptr, scratch);
        if (whole == last) return;
        kernels.pack_panels(b + whole * kPanelColumns, node_.columns, 1, node_.depth, end - whole * kPanelColumns, packed);
        gemm.b = packed;
        gemm.b_step = kPanelColumns;
        gemm.b_first_panel = whole;
        return kernels.multiply(gemm, 0, node_.rows, whole, last, nullptr, scratch);
      case Variant::kPack:
        pack(b, begin, end, packed);
        gemm.b = packed;
        gemm.b_panel = node_.depth * kPanelColumns;
        gemm.b_first_panel = first;
        return cpu::gemm_f32_serial(gemm, node_.rows, first, last, scratch);
    }
  }

  void pack(const float* b, int64_t begin, int64_t end, float* to) const {
    const bool trans = node_.form().trans_b;
    const int64_t row_stride = trans ? 1 : node_.columns, column_stride = trans ? node_.depth : 1;
    cpu::gemm_f32_kernels().pack_panels(b + begin * column_stride, row_stride, column_stride, node_.depth, end - begin, to);
  }

  Status pack_first(ops::KernelContext& c) const {
    ThreadPool& pool = c.threads();
    const int64_t panels = ceil_div(part_.columns, kPanelColumns), floats = node_.depth * kPanelColumns;
    float* packed = c.scratch<float>(panels * floats).data();
    pool.parallel_for(panels, [&](int64_t panel, int) {
      const int64_t begin = panel * kPanelColumns;
      pack(b_ + node_.b_index(0) * matrix_, begin, std::min(begin + kPanelColumns, part_.columns), packed + panel * floats);
    });
    GemmEpilogue epilogue;
    GemmF32 gemm = node_.product(part_, 0, epilogue);
    gemm.b = packed;
    gemm.b_panel = floats;
    const std::span<const GemmF32> parts(&gemm, 1);
    cpu::gemm_f32(pool, parts, node_.rows, c.scratch<float>(cpu::gemm_f32_scratch(pool, parts, node_.rows)).data());
    return c.check_cancelled();
  }

  const MatMulF32Node& node_;
  MatMulF32Node::Part part_;
  const float* b_;
  int64_t matrix_;
  Variant variant_;
};

Status run(ops::KernelContext& c) {
  MatMulF32Node node;
  CAMEO_TRY(node.init(c));
  const Tensor& b = c.input(1);
  if (b.data<float>() == nullptr && b.num_elements() > 0)
    return error(ErrorCode::kInvalidPlan, "the right side has no elements in the plan, but the kernel reads them");
  if (node.outer == 0 || node.rows == 0) return {};
  for (size_t i = 0; i < node.num_parts(); ++i) {
    const auto part = node.part(c, i);
    if (part.c == nullptr || part.columns == 0) continue;
    CAMEO_TRY(Product(node, part, b.data<float>()).run(c));
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(matmul_f32) = {
    .name = "matmul_f32",
    .op = "MatMul",
    .supports = &supports,
    .run = &run,
};

CAMEO_DEFINE_TACTIC(gemm_f32) = {
    .name = "gemm_f32",
    .op = "Gemm",
    .supports = &supports,
    .run = &run,
};

CAMEO_DEFINE_TACTIC(cameo_matmul_f32) = {
    .name = "cameo_matmul_f32",
    .op = "MatMul",
    .domain = ops::kCameoDomain,
    .supports = &supports,
    .run = &run,
};

}  // namespace cameo::tactics
