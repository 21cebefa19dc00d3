// Weights that a model brings in 4 or 8 bits.
#pragma once

#include "passes/pass.h"

namespace cameo::passes {

// Turns the ai.cameo.MatMul at that index, whose right side is a dequantised constant, into ai.cameo.QuantizedWeightMatMul: codes of
// 4 or 8 bits with a scale for all, for each column, or for blocks of rows. Gives the index of the new node; the error is the
// reason why not.
Result<uint32_t> lower_weight(Editor& editor, uint32_t index);

// The same for com.microsoft's MatMulNBits with constant weights.
Result<uint32_t> lower_n_bits(Editor& editor, uint32_t index);

}  // namespace cameo::passes
