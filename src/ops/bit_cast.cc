// BitCast (ai.onnx 26): the same bits as elements of the type `to`, which has as many bits.
#include <cstring>

#include "base/error.h"
#include "ops/op.h"

namespace cameo::ops {
namespace {

struct BitCastAttrs : ir::AttrsOf<BitCastAttrs> {
  int64_t to = 0;
  void visit(ir::AttrVisitor& v) override { v("to", to); }
};

Status infer(InferContext& c) {
  const int64_t to = c.attrs<BitCastAttrs>().to;
  if (!is_valid_dtype(to) || static_cast<DType>(to) == DType::kString)
    return error(ErrorCode::kInvalidModel, "to is {}, which is no element type that BitCast gives", to);
  ir::Type output = c.input(0);
  output.kind = ir::Type::Kind::kTensor;
  output.dtype = static_cast<DType>(to);
  if (c.dtype(0) != DType::kUndefined && dtype_bits(c.dtype(0)) != dtype_bits(output.dtype))
    return error(ErrorCode::kInvalidModel, "{} has {} bits, but the input is {} of {} bits", dtype_name(output.dtype),
                 dtype_bits(output.dtype), dtype_name(c.dtype(0)), dtype_bits(c.dtype(0)));
  c.set_output(0, std::move(output));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (x.num_elements() == 0) return {};
  std::memcpy(y.raw(), x.raw(), x.num_bytes());
  // The signed types of less than a byte are kept sign-extended, the others with zeros above.
  const int bits = dtype_bits(y.dtype());
  if (bits >= 8) return {};
  const bool extend = y.dtype() == DType::kInt4 || y.dtype() == DType::kInt2;
  for (uint8_t& code : y.span<uint8_t>()) {
    code &= (1 << bits) - 1;
    if (extend && (code >> (bits - 1))) code |= static_cast<uint8_t>(0xff << bits);
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(BitCast) = {
    .name = "BitCast",
    .min_version = 26,
    .input_types = {kNumericTypes | kFloat8Types | kSubByteTypes | kBoolType | kComplexTypes},
    .make_attrs = &ir::make_attrs<BitCastAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
