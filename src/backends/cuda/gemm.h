// Matrix products by cublasLt.
#pragma once

#include "backends/cuda/step.h"

namespace cameo::cuda {

// y = act(alpha * A' · B' + addend + bias), row-major, for each of `batch` matrices.
struct Gemm {
  enum class Activation : uint8_t { kNone, kRelu, kGeluTanh };
  int64_t m = 0, n = 0, k = 0, batch = 1;
  Operand a, b, y;
  bool trans_a = false, trans_b = false;  // A is [k, m], B is [n, k]
  int64_t stride_a = 0, stride_b = 0;     // elements from one matrix to the next; y's are dense
  float alpha = 1;
  Operand bias;    // [n], of y's type; or none
  Operand addend;  // as y, of y's type; or none
  Activation activation = Activation::kNone;
};

// Whether cublasLt has products of elements of these types.
bool gemm_supports(DType operands, DType result);
// The product as an operation, for the caller to add. With `microseconds`, they are measured.
Result<std::unique_ptr<Operation>> make_gemm(StepBuilder& b, const Gemm& gemm, double* microseconds = nullptr);
// Adds the product to the step. The fastest of several algorithms is measured where the product is large enough to matter.
Status add_gemm(StepBuilder& b, const Gemm& gemm);

}  // namespace cameo::cuda
