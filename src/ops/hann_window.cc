// HannWindow (ai.onnx 17): y[n] = 0.5 - 0.5 cos(2 pi n / N),
// where N is the number of samples, or one less when periodic = 0.
#include "ops/signal_window.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) { return signal_window(c, 0.5, 0.5, 0); }

}  // namespace

CAMEO_DEFINE_OP(HannWindow) = {
    .name = "HannWindow",
    .min_version = 17,
    .input_types = {kIndexTypes},
    .make_attrs = &ir::make_attrs<SignalWindowAttrs>,
    .infer = &infer_signal_window,
    .reference = &reference,
};

}  // namespace cameo::ops
