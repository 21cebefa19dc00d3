#include "ops/signal_window.h"

#include <cmath>
#include <numbers>

#include "ops/scalars.h"

namespace cameo::ops {

Result<DType> number_type(int64_t output_datatype) {
  if (!is_valid_dtype(output_datatype) || !kNumericTypes.contains(static_cast<DType>(output_datatype)))
    return error(ErrorCode::kInvalidModel, "output_datatype is {}; it must name one of {}", output_datatype, kNumericTypes.to_string());
  return static_cast<DType>(output_datatype);
}

Status infer_signal_window(InferContext& c) {
  CAMEO_ASSIGN(const DType dtype, number_type(c.attrs<SignalWindowAttrs>().output_datatype));
  const auto size = c.values(0);
  if (size && size->size() != 1) return error(ErrorCode::kInvalidInput, "size has {} elements; it must be one number", size->size());
  const ir::Dim samples = size ? size->front() : ir::Dim::unknown();
  if (samples.is_const() && samples.value() < 0)
    return error(ErrorCode::kInvalidInput, "size is {}; it must not be negative", samples.value());
  c.set_output(0, dtype, {samples});
  return {};
}

Status signal_window(KernelContext& c, double a0, double a1, double a2) {
  Tensor& y = c.output(0);
  const int64_t samples = y.num_elements();
  const int64_t period = c.attrs<SignalWindowAttrs>().periodic ? samples : samples - 1;
  return dispatch_numbers(y.dtype(), "a window", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < samples; ++n) {
      // A symmetric window of one sample is its middle.
      const double turn = period == 0 ? std::numbers::pi : 2 * std::numbers::pi * static_cast<double>(n) / static_cast<double>(period);
      const double value = a0 - a1 * std::cos(turn) + a2 * std::cos(2 * turn);
      y.data<T>()[n] = static_cast<T>(static_cast<compute_t<T>>(value));
    }
    return {};
  });
}

}  // namespace cameo::ops
