// HammingWindow (ai.onnx 17): y[n] = 25/46 - 21/46 cos(2 pi n / N),
// where N is the number of samples, or one less when periodic = 0.
#include "ops/signal_window.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) { return signal_window(c, 25.0 / 46, 21.0 / 46, 0); }

}  // namespace

CAMEO_DEFINE_OP(HammingWindow) = {
    .name = "HammingWindow",
    .min_version = 17,
    .input_types = {kIndexTypes},
    .make_attrs = &ir::make_attrs<SignalWindowAttrs>,
    .infer = &infer_signal_window,
    .reference = &reference,
};

}  // namespace cameo::ops
