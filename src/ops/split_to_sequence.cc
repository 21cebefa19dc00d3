// SplitToSequence (ai.onnx 11, 24): cuts a tensor along an axis into a sequence of tensors. `split` gives the length of each
// piece (one dimension), or of all pieces but a shorter last one (a scalar). Without it each piece has length 1, and
// keepdims = 0 drops the axis. Version 24 adds element types.
#include <algorithm>
#include <cstring>

#include "ops/dispatch.h"
#include "ops/sequence.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

// More pieces than this are only asked for by mistake: each takes a few hundred bytes.
constexpr int64_t kMaxPieces = 1 << 22;

struct SplitToSequenceAttrs : ir::AttrsOf<SplitToSequenceAttrs> {
  int64_t axis = 0;
  int64_t keepdims = 1;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("keepdims", keepdims);
  }
};

// Lengths of the pieces along an axis of `extent` elements.
Result<std::vector<int64_t>> piece_lengths(std::optional<std::vector<int64_t>> split, bool scalar, int64_t extent) {
  if (!split) split = {1}, scalar = true;
  if (!scalar) {
    int64_t sum = 0;
    for (int64_t length : *split)
      if (length < 0 || length > extent - sum)
        return error(ErrorCode::kInvalidInput, "split holds {} after {} of {} elements along the axis", length, sum, extent);
      else
        sum += length;
    if (sum != extent) return error(ErrorCode::kInvalidInput, "split adds up to {}; the axis has {} elements", sum, extent);
    return *std::move(split);
  }
  if (split->size() != 1 || (*split)[0] <= 0)
    return error(ErrorCode::kInvalidInput, "split is {}; the length of the pieces must be 1 or more", split->empty() ? 0 : (*split)[0]);
  const int64_t length = (*split)[0], count = extent / length + (extent % length != 0);
  if (count > kMaxPieces)
    return error(ErrorCode::kInvalidInput, "splitting {} elements into pieces of {} makes more than {} tensors", extent, length,
                 kMaxPieces);
  std::vector<int64_t> lengths(static_cast<size_t>(count), length);
  if (extent % length != 0) lengths.back() = extent % length;
  return lengths;
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<SplitToSequenceAttrs>();
  ir::Type element = ir::Type::tensor(c.dtype(0));
  if (c.shape(0)) {
    CAMEO_ASSIGN(const size_t axis, normalize_axis(a.axis, c.shape(0)->size()));
    element.shape = *c.shape(0);
    ir::Dim& extent = (*element.shape)[axis];
    if (!c.has_input(1)) {
      extent = 1;
      if (!a.keepdims) element.shape->erase(element.shape->begin() + static_cast<std::ptrdiff_t>(axis));
    } else {
      const auto split = c.ints(1);
      const bool even = split && !split->empty() && std::count(split->begin(), split->end(), split->front()) == std::ssize(*split);
      const bool divides = even && (split->size() > 1 || (split->front() > 0 && extent.is_const() && extent.value() % split->front() == 0));
      extent = divides ? ir::Dim(split->front()) : ir::Dim::unknown();
    }
  }
  c.set_output(0, ir::Type::sequence(std::move(element)));
  return {};
}

std::optional<std::vector<int64_t>> read_split(const KernelContext& c) {
  if (!c.has_input(1)) return std::nullopt;
  const Tensor& t = c.input(1);
  if (t.dtype() == DType::kInt64) return std::vector<int64_t>(t.span<int64_t>().begin(), t.span<int64_t>().end());
  return std::vector<int64_t>(t.span<int32_t>().begin(), t.span<int32_t>().end());
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<SplitToSequenceAttrs>();
  const Tensor& x = c.input(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(a.axis, x.rank()));
  if (c.has_input(1) && c.input(1).rank() > 1)
    return error(ErrorCode::kInvalidInput, "split has rank {}; it is a scalar or a list", c.input(1).rank());
  const bool scalar = c.has_input(1) && c.input(1).rank() == 0;
  CAMEO_ASSIGN(const std::vector<int64_t> lengths, piece_lengths(read_split(c), scalar, x.dim(axis)));
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < x.rank(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= x.dim(i);
  std::vector<RtValue> pieces;
  pieces.reserve(lengths.size());
  int64_t start = 0;
  for (int64_t length : lengths) {
    CAMEO_TRY(c.check_cancelled());
    Dims dims = x.dims();
    dims[axis] = length;
    CAMEO_ASSIGN(Tensor piece, Tensor::allocate(x.dtype(), dims));
    CAMEO_TRY(dispatch_storage(x.dtype(), "SplitToSequence", [&](auto tag) -> Status {
      using T = typename decltype(tag)::type;
      for (int64_t o = 0; o < outer; ++o)
        std::copy_n(x.data<T>() + (o * x.dim(axis) + start) * inner, length * inner, piece.data<T>() + o * length * inner);
      return {};
    }));
    if (!c.has_input(1) && !a.keepdims) {
      dims.erase(axis);
      piece = piece.reshaped(dims);
    }
    pieces.push_back(RtValue::of(std::move(piece)));
    start += length;
  }
  c.set_value(0, RtValue::sequence(std::move(pieces), x.dtype()));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SplitToSequence) = {
    .name = "SplitToSequence",
    .min_version = 11,
    .min_inputs = 1,
    .max_inputs = 2,
    .input_types = {kAllTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<SplitToSequenceAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
