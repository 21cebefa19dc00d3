// Products and convolutions in 16 bits by kernels/tile_gemm.h and kernels/wide_product.h, where those are measured to be faster than the
// libraries.
#pragma once

#include <functional>
#include <optional>

#include "backends/cuda/kernels/tile_gemm.h"
#include "backends/cuda/step.h"
#include "ops/pointwise_program.h"
#include "ops/window.h"

namespace cameo::cuda {

// What the kernel does of a program: a bias per column, an addend, an activation, an addend behind it, each optional.
struct TileEpilogue {
  size_t bias = 0, addend = 0;  // inputs of the node; 0: none
  TileActivation activation = TileActivation::kNone;
  bool addend_first = false;
};
// The whole program of a fused node (its inputs from 2 on) over rows y; none where the kernel lacks something.
std::optional<TileEpilogue> match_tile_epilogue(const StepBuilder& b, const ops::PointProgram& program, const Dims& y);

struct TileProblem {
  int64_t m = 0, n = 0, k = 0;
  Operand x, w, bias, addend, y;  // w: [n, k]; all of one 16-bit type
  TileActivation activation = TileActivation::kNone;
  bool addend_first = false;
  std::optional<TileWindow> window;  // of a convolution
  TileBehind behind;                 // of a convolution, with its x
  Operand x_behind;
  double before = 0;        // microseconds of what has to be done first
  size_t weight_input = 1;  // the constant input of the node that w is made of
};

// A convolution in one group over channels that are the last axis; extents with the channels first.
struct TileConvolution {
  Dims x, w, y;
  ops::Window window;
  // So few channels that the image is copied first, x of any type: to pixels of 4 channels, with margins, so that pieces of 16
  // bytes are neighbours of two pixels.
  bool few_channels() const { return window.rank == 2 && x[1] <= 4 && window.axes[1].stride % 2 == 0 && window.axes[1].dilation == 1; }
};
// Its windows; none where the kernel has not such ones.
std::optional<TileWindow> tile_window(const TileConvolution& c);
// The same as a problem for the kernel, or none, with the operation that copies the image added where that is needed.
Result<std::optional<TileProblem>> convolution_by_tiles(StepBuilder& b, const TileConvolution& c, const Operand& x, const Operand& w,
                                                        const Operand& y);

// For a convolution that has a shortcut: whether both can be one sum, and that as the step.
bool takes_shortcut(StepBuilder& b);
Status convolve_with_shortcut(StepBuilder& b);

// About what a kernel takes that reads and writes so many elements of 16 bits.
inline double pass_microseconds(int64_t elements) { return 2 + static_cast<double>(elements) * 4e-6 / 2.5; }

// Whether the kernel takes the problem, whatever the addresses of weights and bias.
bool tiles_take(Device& device, const TileProblem& problem);
// Adds the problem as an operation where the kernel takes it and is faster than `library`, which gives the microseconds of the
// other way; it is called at most once. Whether it was added.
Result<bool> try_tiles(StepBuilder& b, const TileProblem& problem, const std::function<Result<double>()>& library);

}  // namespace cameo::cuda
