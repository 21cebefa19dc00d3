// Products and convolutions of many rows in 16 bits by kernels/wide_product.h: choices beside those of kernels/tile_gemm.h.
#pragma once

#include "backends/cuda/kernels/wide_product.h"
#include "backends/cuda/tile_products.h"

namespace cameo::cuda {

// The weight [n, k] in the order of wide_weight_offset().
Result<Operand> wide_weight(StepBuilder& b, const TileProblem& problem);
// Why the variant cannot do the problem, whose addresses `args` has; null: it can.
const char* wide_refusal(const TileProblem& problem, const TileGemmArgs& args, int variant, const DeviceTraits& traits);
// Whether it may be the fastest choice.
bool wide_promising(const TileGemmArgs& args, int variant, const DeviceTraits& traits);

}  // namespace cameo::cuda
