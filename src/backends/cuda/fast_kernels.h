// The kernels of kernels/ as operations of a step. Each function says whether its kernel covers the case; if not, nothing was added.
#pragma once

#include "backends/cuda/kernels/norm.h"
#include "backends/cuda/kernels/skinny_gemm.h"
#include "backends/cuda/step.h"

namespace cameo::cuda {

inline DeviceTraits traits_of(const Device& device) {
  return {device.info().arch(), device.info().multiprocessors, device.info().shared_per_block};
}

// What weights of 8 or 4 bits have besides their values; see SkinnyGemmArgs.
struct SkinnyWeight {
  WeightFormat format = WeightFormat::kPlain;
  Operand values, scales, zeros;
  int32_t group = 0;
};

// A norm over the rows of x whose result, y, is wanted too.
struct JoinedNorm {
  NormKind kind = NormKind::kLayer;
  float epsilon = 1e-5f;
  Operand x, weight, bias, y;
};

// y = act(x W^T + bias) + residual for few rows; W is [n, k]. Absent operands are not present. With `norm`, x is that norm's
// result, which is made here.
bool try_skinny_gemm(StepBuilder& b, int64_t m, int64_t n, int64_t k, const Operand& x, const Operand& w, const Operand& bias,
                     Activation activation, const Operand& residual, const Operand& y, const SkinnyWeight& quantized = {},
                     const JoinedNorm* norm = nullptr);

// y = norm(x) * weight + bias over rows of `size`, and y * factor as 8-bit floats where `rounded` is present.
bool try_norm(StepBuilder& b, NormKind kind, int64_t rows, int64_t size, float epsilon, const Operand& x, const Operand& weight,
              const Operand& bias, const Operand& y, const Operand& rounded = {}, float factor = 1);

}  // namespace cameo::cuda
