// BitShift (ai.onnx 11, 28): x shifted by y bits, with broadcasting. Version 28 added signed integers: the right shift then
// copies the sign bit. A shift that is negative or not below the number of bits leaves nothing but that fill.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct BitShiftAttrs : ir::AttrsOf<BitShiftAttrs> {
  std::string direction;
  void visit(ir::AttrVisitor& v) override { v("direction", direction); }
};

Status infer(InferContext& c) {
  const std::string& direction = c.attrs<BitShiftAttrs>().direction;
  if (direction != "LEFT" && direction != "RIGHT")
    return error(ErrorCode::kInvalidModel, "direction is '{}'; it must be LEFT or RIGHT", direction);
  return infer_broadcast(c);
}

Status reference(KernelContext& c) {
  const bool left = c.attrs<BitShiftAttrs>().direction == "LEFT";
  return dispatch_integers(c.input(0).dtype(), "BitShift", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    constexpr int kBits = 8 * sizeof(T);
    const auto fits = [](T y) { return !(y < 0) && static_cast<uint64_t>(y) < kBits; };
    if (left)
      map_binary<T, T>(c.input(0), c.input(1), c.output(0),
                       [fits](T x, T y) { return fits(y) ? static_cast<T>(static_cast<uint64_t>(x) << y) : T{0}; });
    else
      map_binary<T, T>(c.input(0), c.input(1), c.output(0), [fits](T x, T y) { return static_cast<T>(fits(y) ? x >> y : x < 0 ? -1 : 0); });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(BitShift) = {
    .name = "BitShift",
    .min_version = 11,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kIntegerTypes},
    .make_attrs = &ir::make_attrs<BitShiftAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
