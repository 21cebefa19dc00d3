// StringConcat (ai.onnx 20): joins strings element by element, with broadcasting.
#include <string>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  map_binary<std::string, std::string>(c.input(0), c.input(1), c.output(0),
                                       [](const std::string& x, const std::string& y) { return x + y; });
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(StringConcat) = {
    .name = "StringConcat",
    .min_version = 20,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kStringType},
    .infer = &infer_broadcast,
    .reference = &reference,
};

}  // namespace cameo::ops
