// What the tactics of ai.cameo.QuantizedMatMul and ai.cameo.QuantizedConv share: tiles of output rows by panels of the weight, from
// the sums to the bytes or floats of the output.
#pragma once

#include "ops/cameo_quantized.h"
#include "tactics/tactic.h"

namespace cameo::cpu {

// Where the rows of the left side lie. The data are uint8.
class QuantizedRows {
 public:
  int64_t taps = 1, depth = 0;  // bytes that the product reads at each tap of a row: a multiple of 4
  int64_t pack_bytes = 0;       // memory that locate() wants, per row
  // Points pointers[t * count + i] to tap t of row first + i, in memory of its own or in `pack`.
  virtual void locate(int64_t first, int64_t count, const uint8_t** pointers, uint8_t* pack) const = 0;

 protected:
  ~QuantizedRows() = default;
};

// int32 sums of the columns of W ([panels * 16], or [n] of a depthwise one), which the tactics keep packed.
Result<std::vector<Tensor>> column_sums(const Tensor& w, int64_t k, int64_t n, bool depthwise);

// The node's left side as uint8: itself, or a copy with 128 added, and its zero point with it.
struct QuantizedInput {
  const uint8_t* data;
  int32_t zero;
};
QuantizedInput quantized_input(ops::KernelContext& context, int64_t zero);

// Runs the node: `rows` rows of n columns by the packed weight w. It and w_scale have been checked, the packed sums are checked here.
Status run_quantized(ops::KernelContext& context, const ops::QuantizedAttrs& attrs, const Tensor& w, int64_t rows, int32_t x_zero,
                     bool depthwise, const QuantizedRows& source);

}  // namespace cameo::cpu
