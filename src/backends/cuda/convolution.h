// Convolutions by cuDNN's graph interface.
#pragma once

#include "backends/cuda/step.h"

namespace cameo::cuda {

// y = act(conv(x, w) + addend + bias). Extents in the order N, C, spatial…, whatever the layout.
struct Convolution {
  Operand x, w, y;
  Dims x_dims, w_dims, y_dims;  // w: [M, C / group, kernel…]
  bool channels_last = false;   // x, y: [N, spatial…, C]; w: [M, kernel…, C / group]
  int64_t group = 1;
  std::vector<int64_t> strides, dilations, pads_begin, pads_end;
  Operand bias;    // [M], of y's type; or none
  Operand addend;  // as y; or none
  bool relu = false;
};

// The convolution as an operation, for the caller to add; the fastest of several plans is measured. With `microseconds`, its
// time. Error kUnsupported: cuDNN has none for it; try with less behind the convolution, or do it otherwise.
Result<std::unique_ptr<Operation>> make_convolution(StepBuilder& b, const Convolution& convolution, double* microseconds = nullptr);
// Adds it to the step.
Status add_convolution(StepBuilder& b, const Convolution& convolution);

}  // namespace cameo::cuda
