// Split (ai.onnx 1, 2, 11, 13, 18): cuts a tensor along an axis. The lengths are an attribute before version 13 (in 1 also
// an input) and an input from it on; without them the parts are equal, and from version 18 on the last one may be smaller.
#include "ops/move.h"
#include "ops/move_attrs.h"

namespace cameo::ops {
namespace {

// The lengths of the parts; unknown ones where they depend on values that are not known.
Result<ir::Shape> lengths_of(InferContext& c, const ir::Dim& extent) {
  const auto& attrs = c.attrs<SplitAttrs>();
  const size_t n = c.num_outputs();
  if (attrs.num_outputs && *attrs.num_outputs != static_cast<int64_t>(n))
    return error(ErrorCode::kInvalidModel, "num_outputs is {}, but there are {} outputs", *attrs.num_outputs, n);
  std::optional<ir::Shape> lengths;
  if (c.has_input(1)) {
    CAMEO_TRY(check_rank(c, 1, 1, "split"));
    lengths = c.values(1);
    if (const auto known = lengths ? std::nullopt : c.ints(1)) lengths.emplace(known->begin(), known->end());
    if (!lengths) return ir::Shape(n);
  } else if (attrs.split && c.version() < 13) {
    lengths.emplace(attrs.split->begin(), attrs.split->end());
  }
  if (!lengths) {
    const ir::Dim parts = static_cast<int64_t>(n);
    if (extent.is_const() && c.version() < 18 && extent.value() % parts.value() != 0)
      return error(ErrorCode::kInvalidInput, "an extent of {} cannot be split into {} equal parts", extent.value(), n);
    lengths.emplace(n, ceil_div(extent, parts));
    if (c.version() >= 18) lengths->back() = extent - (parts - ir::Dim(1)) * lengths->back();
    if (lengths->back().is_const() && lengths->back().value() < 0)
      return error(ErrorCode::kInvalidInput, "an extent of {} cannot be split into {} parts of {}", extent.to_string(), n,
                   lengths->front().to_string());
    return *lengths;
  }
  if (lengths->size() != n) return error(ErrorCode::kInvalidModel, "split has {} lengths, but there are {} outputs", lengths->size(), n);
  ir::Dim sum = 0;
  for (const ir::Dim& length : *lengths) {
    if (length.is_const() && length.value() < 0) return error(ErrorCode::kInvalidInput, "split has the negative length {}", length.value());
    sum = sum + length;
  }
  if (ir::is_static(*lengths) && extent.is_const() && !(sum == extent))
    return error(ErrorCode::kInvalidInput, "split is {}, which adds up to {}, but the extent is {}", ir::to_string(*lengths),
                 sum.to_string(), extent.value());
  return *lengths;
}

Status infer(InferContext& c) {
  if (!c.shape(0)) {
    for (size_t i = 0; i < c.num_outputs(); ++i) c.set_output(i, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const ir::Shape& in = *c.shape(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(c.attrs<SplitAttrs>().axis, in.size()));
  CAMEO_ASSIGN(const ir::Shape lengths, lengths_of(c, in[axis]));
  const auto values = in.size() == 1 && ir::is_static(lengths) ? c.values(0) : std::nullopt;
  int64_t first = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    ir::Shape out = in;
    out[axis] = lengths[i];
    c.set_output(i, c.dtype(0), std::move(out));
    if (!values) continue;
    const auto begin = values->begin() + first;
    first += lengths[i].value();
    if (first > static_cast<int64_t>(values->size())) return {};
    c.set_values(i, ir::Shape(begin, begin + lengths[i].value()));
  }
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  if (x.num_elements() == 0) return {};
  CAMEO_ASSIGN(const size_t axis, normalize_axis(c.attrs<SplitAttrs>().axis, x.rank()));
  const int64_t outer = product(x.dims(), 0, axis), inner = product(x.dims(), axis + 1, x.rank()), row = x.dim(axis) * inner;
  int64_t offset = 0;
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    // An output that nobody reads still takes its length.
    int64_t length = 0;
    if (c.has_output(i)) {
      Tensor& y = c.output(i);
      length = y.dim(axis);
      copy_strided(x.dtype(), {outer, length * inner}, address(x, offset), {row, 1}, y.raw(), {length * inner, 1});
    } else if (c.has_input(1)) {
      length = c.input(1).data<int64_t>()[i];
    } else if (const auto& split = c.attrs<SplitAttrs>().split; split && c.version() < 13) {
      length = (*split)[i];
    } else {
      const auto n = static_cast<int64_t>(c.num_outputs());
      length = (x.dim(axis) + n - 1) / n;
    }
    offset += length * inner;
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Split) = {
    .name = "Split",
    .max_inputs = 2,
    .max_outputs = kVariadic,
    .input_types = {kAllTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<SplitAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
