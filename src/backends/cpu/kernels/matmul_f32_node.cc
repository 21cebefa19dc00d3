#include "backends/cpu/kernels/matmul_f32_node.h"

#include <algorithm>

#include "ops/cameo_matmul.h"
#include "ops/gemm_attrs.h"
#include "ops/shapes.h"
#include "tactics/tactic.h"

namespace cameo::cpu {
namespace {

using ops::PointOp;

constexpr int64_t code(PointOp op) { return static_cast<int64_t>(op); }
// beta * C + product, for beta 1 and others
constexpr int64_t kAddC[] = {code(PointOp::kAdd), 0, 1, 0};
constexpr int64_t kAddScaledC[] = {code(PointOp::kMul), 1, -1, 0, code(PointOp::kAdd), 0, 2, 0};

// The strides with which an operand is read along axes [first, rank - 1) of the output, as those of a GemmOperand. Not all
// broadcasts have this form.
bool collapse(const Dims& strides, const Dims& dims, size_t first, GemmOperand& operand) {
  struct Group {
    int64_t count, stride;
  } groups[2];
  int num_groups = 0;
  for (size_t axis = dims.rank() - 1; axis-- > first;) {
    if (dims[axis] == 1) continue;
    Group* last = num_groups > 0 ? &groups[num_groups - 1] : nullptr;
    if (last != nullptr && strides[axis] == last->stride * last->count) {
      last->count *= dims[axis];
    } else {
      if (num_groups == 2) return false;
      groups[num_groups++] = {dims[axis], strides[axis]};
    }
  }
  operand.row_stride = num_groups > 0 ? groups[0].stride : 0;
  operand.rows_per_step = num_groups > 1 ? groups[0].count : INT64_MAX;
  operand.step_stride = num_groups > 1 ? groups[1].stride : 0;
  return true;
}

}  // namespace

MatMulForm matmul_form(const ir::Node& node) {
  MatMulForm form;
  if (node.op->domain == ops::kCameoDomain) {
    const auto& attrs = node.attrs_as<ops::CameoMatMulAttrs>();
    form = {attrs.trans_a != 0, attrs.trans_b != 0, attrs.alpha, attrs.program, attrs.constants, attrs.splits, node.inputs.size() - 2};
  } else if (node.op->name == "Gemm") {
    const auto& attrs = node.attrs_as<ops::GemmAttrs>();
    form = {attrs.trans_a != 0, attrs.trans_b != 0, attrs.alpha, {}, {}, {}, 0};
    if (node.inputs.size() > 2 && node.inputs[2] != ir::kNoValue && attrs.beta != 0) {
      form.num_operands = 1;
      form.program = attrs.beta == 1 ? std::span<const int64_t>(kAddC) : kAddScaledC;
      form.constants = {&attrs.beta, 1};
    }
  }
  return form;
}

Status supports_matmul_f32(const ir::Node& node, std::span<const ops::Fact> facts) {
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == ir::kNoValue) continue;
    const ir::Type& type = facts[node.inputs[i]].type;
    if (type.dtype != DType::kFloat32) return tactics::refuse("an input is not float32");
    if (!type.shape || type.shape->size() > 8) return tactics::refuse("an input has no known rank of at most 8");
  }
  return {};
}

bool MatMulF32Node::set_operands(ops::KernelContext& context, const Dims& dims, size_t first_row_axis, GemmOperand* operands) {
  for (size_t i = 0; i < form_.num_operands; ++i) {
    const Tensor& operand = context.input(2 + i);
    const Dims strides = ops::broadcast_strides(operand.dims(), dims);
    GemmOperand& out = operands[i];
    out.data = operand.data<float>();
    out.by_column = strides[dims.rank() - 1] != 0;
    if (!collapse(strides, dims, first_row_axis, out)) return false;
    std::copy_n(strides.begin(), first_row_axis, operand_steps_[i]);
  }
  return true;
}

Status MatMulF32Node::init(ops::KernelContext& context) {
  form_ = matmul_form(context.node());
  const Tensor &a = context.input(0), &b = context.input(1);
  const auto bad = [&] {
    return error(ErrorCode::kInvalidPlan, "the kernel does not fit its node: A is {} {}, B is {} {}", dtype_name(a.dtype()),
                 a.dims().to_string(), dtype_name(b.dtype()), b.dims().to_string());
  };
  if (a.dtype() != DType::kFloat32 || b.dtype() != DType::kFloat32 || a.rank() == 0 || b.rank() == 0) return bad();
  if (a.rank() > kMaxRank || b.rank() > kMaxRank || form_.num_operands >= kMaxGemmOperands) return bad();

  // Both as stacks of matrices; a vector is a row on the left and a column on the right.
  Dims da = a.dims(), db = b.dims();
  if (da.rank() == 1) da.insert(0, 1);
  if (db.rank() == 1) db.insert(1, 1);
  const size_t ra = da.rank(), rb = db.rank(), rank = std::max(ra, rb);
  const int64_t m = da[ra - (form_.trans_a ? 1 : 2)];
  depth = da[ra - (form_.trans_a ? 2 : 1)];
  columns = db[rb - (form_.trans_b ? 2 : 1)];
  if (db[rb - (form_.trans_b ? 1 : 2)] != depth) return bad();
  const Dims batch_a(da.span().first(ra - 2)), batch_b(db.span().first(rb - 2));
  Dims dims(rank, 1);
  for (size_t i = 0; i + 2 < rank; ++i) {
    const int64_t x = i + ra < rank ? 1 : da[i + ra - rank], y = i + rb < rank ? 1 : db[i + rb - rank];
    if (x != y && x != 1 && y != 1) return bad();
    dims[i] = x == 1 ? y : x;
  }
  const Dims batch(dims.span().first(rank - 2));
  dims[rank - 2] = m;
  dims[rank - 1] = columns;
  num_b = batch_b.num_elements();

  // Operands and outputs.
  for (size_t i = 0; i < form_.num_operands; ++i) {
    const Tensor& operand = context.input(2 + i);
    bool fits = operand.dtype() == DType::kFloat32 && operand.rank() <= rank;
    for (size_t axis = 0; fits && axis < operand.rank(); ++axis) {
      const int64_t extent = operand.dim(axis);
      fits = extent == 1 || extent == dims[axis + rank - operand.rank()];
    }
    if (!fits) return error(ErrorCode::kInvalidPlan, "the kernel does not fit its node: operand {} is {}", i, operand.dims().to_string());
  }
  int64_t split_columns = 0;
  for (int64_t n : form_.splits) {
    if (n < 0 || n > columns) return bad();
    split_columns += n;
  }
  if (context.num_outputs() != num_parts() || (!form_.splits.empty() && split_columns != columns)) return bad();
  const int64_t all_rows = batch.num_elements() * m;
  for (size_t i = 0; i < num_parts(); ++i) {
    if (!context.has_output(i)) continue;
    const Tensor& y = context.output(i);
    if (y.dtype() != DType::kFloat32 || y.num_elements() != all_rows * (form_.splits.empty() ? columns : form_.splits[i])) return bad();
  }

  // How many of the leading axes remain outside of the product.
  a_ = a.data<float>();
  a_row_stride_ = form_.trans_a ? 1 : depth;
  a_step_ = form_.trans_a ? m : 1;
  const Dims strides_a = ops::broadcast_strides(batch_a, batch), strides_b = ops::broadcast_strides(batch_b, batch);
  size_t first = rank - 2;
  int64_t inner = 1;  // matrices that are rows of one product
  while (first > 0 && !form_.trans_a) {
    const size_t axis = first - 1;
    if (batch[axis] != 1 && (strides_b[axis] != 0 || strides_a[axis] != inner)) break;
    first = axis;
    inner *= batch[axis];
  }
  GemmOperand operands[kMaxGemmOperands];
  while (!set_operands(context, dims, first, operands)) inner /= std::max<int64_t>(batch[first++], 1);
  rows = m;
  for (size_t axis = first; axis < batch.rank(); ++axis) rows *= batch[axis];
  outer = 1;
  outer_rank_ = first;
  for (size_t axis = 0; axis < first; ++axis) {
    outer *= batch[axis];
    outer_dims_[axis] = batch[axis];
    a_steps_[axis] = strides_a[axis] * m * depth;
    b_steps_[axis] = strides_b[axis];
  }

  const int num_inputs = static_cast<int>(form_.num_operands) + 1;
  CAMEO_ASSIGN(const int count, ops::decode_point_program(num_inputs, form_.program, form_.constants, code_));
  epilogue_ = gemm_epilogue({code_, static_cast<size_t>(count)}, form_.constants, {operands, form_.num_operands}, form_.alpha);
  return {};
}

int64_t MatMulF32Node::offset(int64_t index, const Steps& steps) const {
  int64_t at = 0;
  for (size_t axis = outer_rank_; axis-- > 0; index /= outer_dims_[axis]) at += index % outer_dims_[axis] * steps[axis];
  return at;
}

MatMulF32Node::Part MatMulF32Node::part(ops::KernelContext& context, size_t i) const {
  Part part{context.has_output(i) ? context.output(i).data<float>() : nullptr, 0, columns};
  if (!form_.splits.empty()) {
    for (size_t k = 0; k < i; ++k) part.begin += form_.splits[k];
    part.columns = form_.splits[i];
  }
  return part;
}

GemmF32 MatMulF32Node::product(const Part& part, int64_t index, GemmEpilogue& epilogue) const {
  GemmF32 gemm;
  gemm.a = a_ + offset(index, a_steps_);
  gemm.a_row_stride = a_row_stride_;
  gemm.a_step = a_step_;
  gemm.depth = depth;
  gemm.columns = part.columns;
  gemm.c = part.c + index * rows * part.columns;
  gemm.c_stride = part.columns;
  if (form_.program.empty() && form_.alpha == 1) return gemm;
  epilogue = epilogue_;
  for (int i = 0; i < epilogue.num_operands; ++i) {
    GemmOperand& operand = epilogue.operands[i];
    operand.data += offset(index, operand_steps_[i]) + (operand.by_column ? part.begin : 0);
  }
  gemm.epilogue = &epilogue;
  return gemm;
}

}  // namespace cameo::cpu
