// Products and convolutions of many rows in 16 bits by kernels/wide_product.h: choices beside those of kernels/tile_gemm.h.
#pragma once

#include "backends/cuda/kernels/wide_product.h"
#include "backends/cuda/tile_products.h"

namespace cameo::cuda {

WideProductArgs wide_args(const TileGemmArgs& args);
// Why the variant cannot do the problem, whose addresses `args` has; null: it can.
const char* wide_refusal(const TileProblem& problem, const TileGemmArgs& args, int variant, const DeviceTraits& traits);
// Whether it may be the fastest choice.
bool wide_promising(const TileGemmArgs& args, int variant, const DeviceTraits& traits);
Status add_wide_product(StepBuilder& b, const TileProblem& problem, const TileGemmArgs& args, int variant, const DeviceTraits& traits);

}  // namespace cameo::cuda
