// Shape (ai.onnx 1, 13, 15, 19, 21, 23, 24, 25): the extents of a tensor as int64[rank]; from version 15 only those
// in [start, end), with negative positions counted from the rank and both clamped to it.
#include <algorithm>

#include "ops/move.h"

namespace cameo::ops {
namespace {

struct ShapeAttrs : ir::AttrsOf<ShapeAttrs> {
  int64_t start = 0;
  std::optional<int64_t> end;
  void visit(ir::AttrVisitor& v) override {
    v("start", start);
    v("end", end);
  }
};

struct Range {
  size_t first, count;
};

Range range_of(const ShapeAttrs& attrs, size_t rank) {
  const auto r = static_cast<int64_t>(rank);
  const auto clamp = [r](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + r : at, 0, r); };
  const int64_t first = clamp(attrs.start), last = attrs.end ? clamp(*attrs.end) : r;
  return {static_cast<size_t>(first), static_cast<size_t>(std::max<int64_t>(last - first, 0))};
}

Status infer(InferContext& c) {
  if (!c.shape(0)) {
    c.set_output(0, DType::kInt64, {ir::Dim::unknown()});
    return {};
  }
  const ir::Shape& shape = *c.shape(0);
  const Range range = range_of(c.attrs<ShapeAttrs>(), shape.size());
  c.set_output(0, DType::kInt64, {static_cast<int64_t>(range.count)});
  const auto first = shape.begin() + static_cast<std::ptrdiff_t>(range.first);
  c.set_values(0, ir::Shape(first, first + static_cast<std::ptrdiff_t>(range.count)));
  return {};
}

Status reference(KernelContext& c) {
  const Dims& dims = c.input(0).dims();
  const Range range = range_of(c.attrs<ShapeAttrs>(), dims.rank());
  std::copy_n(dims.data() + range.first, range.count, c.output(0).data<int64_t>());
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Shape) = {
    .name = "Shape",
    .make_attrs = &ir::make_attrs<ShapeAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
