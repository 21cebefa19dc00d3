// DynamicQuantizeLinear (ai.onnx 11): x quantized to uint8 with a scale and a zero point made from its range, which always
// holds 0: scale = (max - min) / 255 (1 / 255 where all are 0), zero_point = round(-min / scale),
// y = round(x / scale) + zero_point, everything kept in [0, 255]. Halves go to even.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/op.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  ir::Type output = c.input(0);
  output.kind = ir::Type::Kind::kTensor;
  output.dtype = DType::kUint8;
  c.set_output(0, std::move(output));
  c.set_output(1, DType::kFloat32, {});
  c.set_output(2, DType::kUint8, {});
  return {};
}

Status reference(KernelContext& c) {
  const auto x = c.input(0).span<float>();
  float least = 0, most = 0;
  for (float v : x) {
    least = std::min(least, v);
    most = std::max(most, v);
  }
  const float scale = (most == least ? 1.f : most - least) / 255.f;
  const auto to_uint8 = [](float v) { return static_cast<uint8_t>(v > 0 ? std::min(v, 255.f) : 0.f); };
  const uint8_t zero = to_uint8(std::nearbyint(-least / scale));
  if (c.has_output(0)) {
    uint8_t* y = c.output(0).data<uint8_t>();
    for (size_t i = 0; i < x.size(); ++i) y[i] = to_uint8(std::nearbyint(x[i] / scale) + static_cast<float>(zero));
  }
  if (c.has_output(1)) *c.output(1).data<float>() = scale;
  if (c.has_output(2)) *c.output(2).data<uint8_t>() = zero;
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(DynamicQuantizeLinear) = {
    .name = "DynamicQuantizeLinear",
    .min_version = 11,
    .min_outputs = 3,
    .max_outputs = 3,
    .input_types = {{DType::kFloat32}},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
