// What the steps of ai.cameo.QuantizedMatMul and ai.cameo.QuantizedConv share.
#pragma once

#include "backends/cuda/ops/epilogue.h"
#include "backends/cuda/ops/windows.h"
#include "backends/cuda/quantized_operation.h"
#include "ops/cameo_quantized.h"

namespace cameo::cuda {

struct QuantizedProblem {
  int64_t n = 0, k = 0, rows = 0;  // k: rows of W, taps by channels
  float x_scale = 1, y_scale = 1;
  int64_t x_zero = 0, y_zero = 0;
  std::vector<float> operand_scales;
  std::vector<int64_t> operand_zeros;
  // A convolution; for a product none.
  bool convolves = false, depthwise = false;
  int64_t channels = 0, taps = 1;
  Dims x_spatial, y_spatial;
  ops::Window window;

  bool is_bytes(size_t operand) const { return operand < operand_scales.size() && operand_scales[operand] != 0; }
  // Rows of X are what W is multiplied by.
  bool plain_rows() const {
    bool plain = true;
    for (size_t a = 0; convolves && a < window.rank; ++a)
      plain &= window.axes[a].kernel == 1 && window.axes[a].stride == 1 && window.axes[a].begin == 0 && window.axes[a].end == 0;
    return plain;
  }
};

// The extents and numbers of a QuantizedConv, or a Float8Conv.
Result<QuantizedProblem> quantized_convolution(const Attributes& attrs, const Dims& x, const Dims& y);
// Scales, zero points and n.
QuantizedProblem quantized_numbers(const Attributes& attrs);
// The windows as kernels/quantized_product.h has them; false where it has none of that kind.
bool set_windows(QuantizedProductArgs& a, const QuantizedProblem& p);

// to [rows, width] = the windows of X as rows, with `value` of an element and `outside` where there is none, both of type `number`; the
// columns behind k are 0.
Status windows_as_rows(StepBuilder& b, const QuantizedProblem& p, const Operand& x, const Operand& to, const std::string& outside,
                       const std::function<std::string(const std::string&)>& value, const std::string& number = "int");
inline constexpr int64_t kMostWindowBytes = int64_t{1} << 30;  // that rows and their sums may take

// Where an element of packed W of k rows lies.
std::string packed_index(Source& s, int64_t k, const std::string& row, const std::string& column);

inline int64_t padded_columns(int64_t n) { return (n + kQuantizedColumns - 1) / kQuantizedColumns * kQuantizedColumns; }

// What the kernel's factors and addends hold besides the node's own.
struct QuantizedFactors {
  float unit = 1, offset = 0;
  size_t bias = 0;  // input of the node; 0: none
};

// What follows the sums, where that is a bias, an addend and an activation, as arguments and factors.
QuantizedFactors set_epilogue(QuantizedProductArgs& a, const QuantizedProblem& p, const LinearEpilogue& e, DType y);

// [columns] of input 2 * x_scale * unit, and of (bias - x_zero * x_scale * w_scale * (sum of the column of packed W)) * unit + offset.
Result<Operand> folded_scale(StepBuilder& b, const QuantizedProblem& p, const QuantizedFactors& f);
Result<Operand> folded_bias(StepBuilder& b, const QuantizedProblem& p, const QuantizedFactors& f);

// For a QuantizedConv that has a shortcut: whether both can be one sum, and that as the step.
bool takes_quantized_shortcut(StepBuilder& b);
Status quantized_with_shortcut(StepBuilder& b);
// For a QuantizedConv with a pool, whose image is rounded by the step: whether one kernel does all, and that as the step.
bool takes_quantized_pool(StepBuilder& b);
Status quantized_with_pool(StepBuilder& b);

}  // namespace cameo::cuda
