// ReverseSequence (ai.onnx 10, 28): for each batch b the first sequence_lens[b] steps come in reverse order, the others stay.
// batch_axis and time_axis are 0 and 1, one each.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct ReverseSequenceAttrs : ir::AttrsOf<ReverseSequenceAttrs> {
  int64_t batch_axis = 1, time_axis = 0;
  void visit(ir::AttrVisitor& v) override {
    v("batch_axis", batch_axis);
    v("time_axis", time_axis);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ReverseSequenceAttrs>();
  if (!((attrs.batch_axis == 0 && attrs.time_axis == 1) || (attrs.batch_axis == 1 && attrs.time_axis == 0)))
    return error(ErrorCode::kInvalidModel, "batch_axis is {} and time_axis {}; they must be 0 and 1, one each", attrs.batch_axis,
                 attrs.time_axis);
  c.set_output(0, c.input(0));
  CAMEO_TRY(check_rank(c, 1, 1, "sequence_lens"));
  if (!c.shape(0)) return {};
  if (c.shape(0)->size() < 2)
    return error(ErrorCode::kInvalidModel, "the input must have rank 2 or more, its shape is {}", ir::to_string(*c.shape(0)));
  if (c.shape(1)) CAMEO_TRY(agree((*c.shape(0))[static_cast<size_t>(attrs.batch_axis)], (*c.shape(1))[0], "the extent of sequence_lens"));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const bool batch_first = c.attrs<ReverseSequenceAttrs>().batch_axis == 0;
  const int64_t batch = x.dim(batch_first ? 0 : 1), time = x.dim(batch_first ? 1 : 0), inner = product(x.dims(), 2, x.rank());
  const int64_t batch_step = (batch_first ? time : 1) * inner, time_step = (batch_first ? 1 : batch) * inner;
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t length = c.input(1).data<int64_t>()[b];
    if (length < 0 || length > time)
      return error(ErrorCode::kInvalidInput, "sequence_lens[{}] is {}; allowed are 0 to {}", b, length, time);
    for (int64_t t = 0; t < time; ++t) {
      const int64_t from = t < length ? length - 1 - t : t;
      copy_elements(x.dtype(), address(x, b * batch_step + from * time_step), address(y, b * batch_step + t * time_step), inner);
    }
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(ReverseSequence) = {
    .name = "ReverseSequence",
    .min_version = 10,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReverseSequenceAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
