// Concat (ai.onnx 1, 4, 11, 13): joins tensors along an axis; their other extents must agree. Version 1 has 1 as the
// default axis, later versions have none.
#include "ops/move.h"
#include "ops/move_attrs.h"

namespace cameo::ops {
namespace {

// The elements of the output when every input is a list of known length.
void join_values(InferContext& c) {
  ir::Shape all;
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    if (auto values = c.values(i)) {
      all.insert(all.end(), values->begin(), values->end());
    } else {
      const auto length = list_length(c, i);
      if (!length || *length < 0 || *length > 1024) return;
      all.resize(all.size() + static_cast<size_t>(*length));
    }
  }
  c.set_values(0, std::move(all));
}

Status infer(InferContext& c) {
  const auto& attribute = c.attrs<ConcatAttrs>().axis;
  if (!attribute && c.version() >= 4) return error(ErrorCode::kInvalidModel, "lacks the attribute axis");
  DType dtype = DType::kUndefined;
  const ir::Shape* first = nullptr;
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    if (!c.has_input(i)) return error(ErrorCode::kInvalidModel, "lacks its input {}", i);
    CAMEO_TRY(check_same_dtype(c, {0, i}));
    if (dtype == DType::kUndefined) dtype = c.dtype(i);
    if (first == nullptr && c.shape(i)) first = &*c.shape(i);
  }
  if (first == nullptr) {
    c.set_output(0, ir::Type::tensor(dtype));
    return {};
  }
  CAMEO_ASSIGN(const size_t axis, normalize_axis(attribute.value_or(1), first->size()));
  ir::Shape out = *first;
  out[axis] = 0;
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    if (!c.shape(i)) {
      out[axis] = ir::Dim::unknown();
      continue;
    }
    const ir::Shape& shape = *c.shape(i);
    if (shape.size() != out.size())
      return error(ErrorCode::kInvalidInput, "inputs of shapes {} and {} have different ranks", ir::to_string(*first),
                   ir::to_string(shape));
    for (size_t d = 0; d < out.size(); ++d) {
      if (d == axis) {
        out[d] = out[d] + shape[d];
      } else {
        auto both = agree(out[d], shape[d], "extents beside the axis");
        if (!both.ok())
          return error(ErrorCode::kInvalidInput, "inputs of shapes {} and {} cannot be joined along axis {}: {}", ir::to_string(*first),
                       ir::to_string(shape), axis, both.error().message());
        out[d] = *both;
      }
    }
  }
  const bool list = out.size() == 1 && (dtype == DType::kInt64 || dtype == DType::kInt32);
  c.set_output(0, dtype, std::move(out));
  if (list) join_values(c);
  return {};
}

Status reference(KernelContext& c) {
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  CAMEO_ASSIGN(const size_t axis, normalize_axis(c.attrs<ConcatAttrs>().axis.value_or(1), y.rank()));
  const int64_t outer = product(y.dims(), 0, axis), row = product(y.dims(), axis, y.rank());
  int64_t offset = 0;
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    const Tensor& x = c.input(i);
    const int64_t block = product(x.dims(), axis, x.rank());
    copy_strided(y.dtype(), {outer, block}, x.raw(), {block, 1}, address(y, offset), {row, 1});
    offset += block;
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Concat) = {
    .name = "Concat",
    .max_inputs = kVariadic,
    .make_attrs = &ir::make_attrs<ConcatAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
