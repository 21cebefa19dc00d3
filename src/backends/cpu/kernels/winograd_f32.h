// The transforms of Winograd's convolution by 3 x 3 windows with stride 1, of channels-last float32 images.
//
// F(M x M, 3 x 3): a tile of M x M outputs depends on (M + 2) x (M + 2) inputs d. With the interpolation points 0, +-a, +-b
// (M = 4; for M = 2: 0, +-1) and infinity,
//   y = A^T ((G g G^T) * (B^T d B)) A        (* element by element, summed over channels)
// where row p of G is (1, p, p^2) / product of (p - other points), A^T holds the powers of the points, and the rows of B^T are
// the polynomials that vanish at all other points (Cook and Toom). See Lavin and Gray, arXiv 1509.09308.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/panel_gemm_f32.h"
#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

// The points of M = 4. Reciprocal ones keep the powers of both about as large, which halves the error of 1 and 2.
inline constexpr double kWinogradA = 0.70710678118654752, kWinogradB = 1.41421356237309505;

// Tiles [first, first + count), numbered through all images row by row.
struct WinogradTiles {
  int64_t first, count;
  int64_t across, down;  // tiles of an image
};

struct WinogradInput {
  WinogradTiles tiles;
  const float* x;  // images [height, width, pixel_step], from the first channel on
  int64_t pixel_step, channels, height, width, pad_top, pad_left;
  // Element i of the transform of tile first + t goes to v[i * step + t * stride + channel], in whole vectors.
  float* v;
  int64_t step, stride;
};

struct WinogradOutput {
  WinogradTiles tiles;
  const float* m;  // as v above, for output channels
  int64_t step, stride;
  float* y;  // images [height, width, pixel_step], from the first channel on
  int64_t pixel_step, channels, height, width;
  TileEpilogue epilogue;  // with bias and residual from the first channel of y on
};

struct WinogradKernels {
  void (*input4)(const WinogradInput& in);
  void (*output4)(const WinogradOutput& out);
  void (*input2)(const WinogradInput& in);
  void (*output2)(const WinogradOutput& out);
};
CAMEO_ISA_TABLE(WinogradKernels, winograd_f32_kernels)

}  // namespace cameo::cpu
