// Products and convolutions of quantised values, on the operators that run them.
#pragma once

#include "cameo/builder.h"
#include "passes/pass.h"

namespace cameo::passes {

// Turns ai.cameo.MatMul and ai.cameo.Conv
//  - of a dequantised tensor of 8 bits by a dequantised constant of 8 bits into ai.cameo.QuantizedMatMul and QuantizedConv, which
//    also take in the QuantizeLinear that alone reads their result, and read residuals of 8 bits as they are;
//  - of a float tensor by a dequantised constant of 4 or 8 bits (MatMul alone) into ai.cameo.QuantizedWeightMatMul.
// What is left of dequantised constants becomes float. The graph is to be optimised already; results differ by rounding. The
// report's notes say what stands in the way of the others.
// Largest elements are taken of bytes where only those are read: QuantizeLinear behind an ai.cameo.MaxPool goes before it.
Status lower_quantized(ir::Graph& graph, PassReport& report);

}  // namespace cameo::passes
