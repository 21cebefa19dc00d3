// Products of rows of float32 with packed panels, the inner part of the convolutions.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

inline constexpr int64_t kPanelWidth = 16;  // columns of a packed panel: [ceil(columns / 16)][depth][16], zero padded

enum class Activation : int8_t { kNone, kClamp, kHardSwish, kSwish };

// What happens to a sum before it is stored: + bias[column], + residual[row][column], then the activation.
struct TileEpilogue {
  const float* bias = nullptr;
  const float* residual = nullptr;  // lies as the output does
  Activation activation = Activation::kNone;
  float low = 0, high = 0;  // of kClamp: min(max(x, low), high)
};

// c[rows x columns] (+)= a[rows x (segments * depth)] * b[(segments * depth) x columns]
struct PanelGemm {
  const float* a;
  int64_t lda;
  const float* b;      // the first panel, from its first row that is used on
  int64_t panel_step;  // floats from one panel to the next
  float* c;
  int64_t ldc;
  int64_t rows, columns, depth;
  int64_t segments = 1;                    // parts of a row of a,
  int64_t segment_step = 0;                // each `depth` long and so many floats after the one before it
  bool accumulate = false;                 // add to what c holds
  const TileEpilogue* epilogue = nullptr;  // with bias and residual from row 0 and column 0 of c on; null: none
  const float* next_b = nullptr;           // the first panel of a product of the same size that follows, to ask for it ahead
};

// Rows of windows laid out for a product: row i holds, tap by tap, the channels of the pixels under window first + i.
struct WindowRows {
  const float* x;      // channels-last images [batch, height, width, pixel_step], from the first channel that is used on
  int64_t pixel_step;  // channels of a pixel
  int64_t channels;    // that are used
  int64_t height, width, out_height, out_width;
  int64_t kernel_width;
  int64_t stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
};

struct PanelGemmKernels {
  // The sums run over the depth in order, whatever the tile that an element falls in.
  void (*multiply)(const PanelGemm& g);
  // The taps [first_tap, last_tap) of windows [first, first + rows), numbered through all images; row i goes to to + i * ld.
  // Taps in the padding give zeros.
  void (*gather)(const WindowRows& w, int64_t first, int64_t rows, int64_t first_tap, int64_t last_tap, float* to, int64_t ld);
  // to[j * ldt + i] = from[i * ldf + j] for i < rows, j < columns.
  void (*transpose)(const float* from, int64_t ldf, int64_t rows, int64_t columns, float* to, int64_t ldt);
};
CAMEO_ISA_TABLE(PanelGemmKernels, panel_gemm_kernels)

}  // namespace cameo::cpu
