// Reshape (ai.onnx 1, 5, 13, 14, 19, 21, 23, 24, 25): the same elements under other extents. One extent may be -1 and
// follows from the others; 0 copies the extent of the input at its place, unless allowzero (14) makes it a real zero.
// Version 1 has the shape as an attribute. Where 0 copies an extent of 0, -1 is worked out from the remaining extents.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct ReshapeAttrs : ir::AttrsOf<ReshapeAttrs> {
  std::vector<int64_t> shape;  // version 1
  std::vector<int64_t> consumed_inputs;
  int64_t allowzero = 0;
  void visit(ir::AttrVisitor& v) override {
    v("shape", shape);
    v("consumed_inputs", consumed_inputs);
    v("allowzero", allowzero);
  }
};

// Finds the extents to infer and those to copy. `in` is null when the rank of the input is not known.
Result<ir::Shape> resolve(const ir::Shape* in, ir::Shape target, bool allow_zero) {
  const ir::Shape asked = target;
  constexpr size_t kNone = SIZE_MAX;
  size_t inferred = kNone;
  size_t unknown = 0;
  bool zero = false;
  ir::Shape left = in != nullptr ? *in : ir::Shape{};  // extents that the output has to hold
  ir::Shape rest;                                      // extents of the output known to hold them
  for (size_t i = 0; i < target.size(); ++i) {
    ir::Dim& d = target[i];
    if (d.is(-1)) {
      if (inferred != kNone) return error(ErrorCode::kInvalidInput, "the shape {} has more than one -1", ir::to_string(asked));
      inferred = i;
    } else if (d.is_const() && d.value() < -1) {
      return error(ErrorCode::kInvalidInput, "the shape {} has the extent {}; allowed are -1, 0 and more", ir::to_string(asked), d.value());
    } else if (d.is(0) && !allow_zero) {
      if (in != nullptr && i >= in->size())
        return error(ErrorCode::kInvalidInput, "entry {} of the shape {} is 0 and copies an extent, but the input has rank {}", i,
                     ir::to_string(asked), in->size());
      d = in != nullptr ? (*in)[i] : ir::Dim::unknown();
      if (in != nullptr) left[i] = 1;
    } else {
      zero |= d.is(0);
      unknown += d.is_unknown();
      rest.push_back(d);
    }
  }
  if (zero && inferred != kNone) return error(ErrorCode::kInvalidInput, "the shape {} has -1 beside a zero extent", ir::to_string(asked));
  if (in == nullptr) {
    if (inferred != kNone) target[inferred] = ir::Dim::unknown();
    return target;
  }
  // A single extent that nothing is known of follows from the others just as -1 does.
  if (inferred == kNone && unknown == 1)
    for (size_t i = 0; i < target.size(); ++i)
      if (asked[i].is_unknown()) inferred = i;
  if (inferred != kNone) {
    for (ir::Dim& r : rest)
      for (ir::Dim& l : left)
        if (r == l && !r.is(0)) r = l = 1;
    if (asked[inferred].is_unknown()) {
      for (ir::Dim& r : rest)
        if (r.is_unknown()) r = 1;
    }
    const ir::Dim total = ir::num_elements(left), others = ir::num_elements(rest);
    if (total.is_const() && others.is_const() && (others.value() == 0 || total.value() % others.value() != 0))
      return error(ErrorCode::kInvalidInput, "a tensor of shape {} cannot be reshaped to {}", ir::to_string(*in), ir::to_string(asked));
    target[inferred] = floor_div(total, others);
  }
  if (ir::is_static(*in) && ir::is_static(target) && !(ir::num_elements(*in) == ir::num_elements(target)))
    return error(ErrorCode::kInvalidInput, "a tensor of shape {} cannot be reshaped to {}: {} elements against {}", ir::to_string(*in),
                 ir::to_string(asked), ir::num_elements(*in).to_string(), ir::num_elements(target).to_string());
  return target;
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ReshapeAttrs>();
  std::optional<ir::Shape> target;
  if (c.version() < 5) {
    target.emplace(attrs.shape.begin(), attrs.shape.end());
  } else {
    if (!c.has_input(1)) return error(ErrorCode::kInvalidModel, "lacks its input 1, the shape");
    if (c.shape(1) && c.shape(1)->size() > 1) CAMEO_TRY(check_rank(c, 1, 1, "the shape"));
    target = c.values(1);
    const auto length = list_length(c, 1);
    if (!target && length && *length >= 0 && *length <= static_cast<int64_t>(kMaxRank)) target.emplace(*length);
    if (length && *length > static_cast<int64_t>(kMaxRank))
      return error(ErrorCode::kUnsupported, "the shape has {} extents; at most {} are supported", *length, kMaxRank);
  }
  if (!target) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  if (target->size() > kMaxRank)
    return error(ErrorCode::kUnsupported, "the shape has {} extents; at most {} are supported", target->size(), kMaxRank);
  CAMEO_ASSIGN(ir::Shape shape,
               resolve(c.shape(0) ? &*c.shape(0) : nullptr, std::move(*target), attrs.allowzero != 0 && c.version() >= 14));
  const size_t rank = shape.size();
  c.set_output(0, c.dtype(0), std::move(shape));
  if (auto values = c.values(0); values && rank <= 1) c.set_values(0, std::move(*values));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Reshape) = {
    .name = "Reshape",
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReshapeAttrs>,
    .infer = &infer,
    .reference = &copy_input,
    .flags = kView,
};

}  // namespace cameo::ops
