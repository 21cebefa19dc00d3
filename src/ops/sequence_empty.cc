// SequenceEmpty (ai.onnx 11): a sequence without elements, for tensors of the type `dtype` (default float32).
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

struct SequenceEmptyAttrs : ir::AttrsOf<SequenceEmptyAttrs> {
  int64_t dtype = static_cast<int64_t>(DType::kFloat32);
  void visit(ir::AttrVisitor& v) override { v("dtype", dtype); }
};

Status infer(InferContext& c) {
  const int64_t dtype = c.attrs<SequenceEmptyAttrs>().dtype;
  if (!is_valid_dtype(dtype)) return error(ErrorCode::kInvalidModel, "dtype is {}, which names no element type", dtype);
  c.set_output(0, ir::Type::sequence(ir::Type::tensor(static_cast<DType>(dtype))));
  return {};
}

Status reference(KernelContext& c) {
  c.set_value(0, RtValue::sequence({}, static_cast<DType>(c.attrs<SequenceEmptyAttrs>().dtype)));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SequenceEmpty) = {
    .name = "SequenceEmpty",
    .min_version = 11,
    .min_inputs = 0,
    .max_inputs = 0,
    .make_attrs = &ir::make_attrs<SequenceEmptyAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
