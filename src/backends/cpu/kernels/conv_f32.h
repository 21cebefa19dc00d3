// What the float32 convolutions share: the node's numbers, checked, and what its epilogue comes to. They serve ai.cameo.Conv
// and ai.onnx Conv with constant weights over one or two spatial axes.
#pragma once

#include "backends/cpu/kernels/panel_gemm_f32.h"
#include "ops/op.h"
#include "ops/pointwise_program.h"
#include "tactics/tactic.h"

namespace cameo::cpu {

// A convolution of channels-last images; one spatial axis has height 1.
struct ConvProblem {
  const float* x = nullptr;                                         // [batch, in_height, in_width, group * in_channels]
  float* y = nullptr;                                               // [batch, out_height, out_width, group * out_channels]
  int64_t batch = 0, group = 1, in_channels = 0, out_channels = 0;  // channels of one group
  int64_t in_height = 1, in_width = 1, out_height = 1, out_width = 1;
  int64_t kernel_height = 1, kernel_width = 1, stride_height = 1, stride_width = 1, dilation_height = 1, dilation_width = 1;
  int64_t pad_top = 0, pad_left = 0;
  TileEpilogue epilogue;  // with bias and residual from the first channel and row on

  int64_t taps() const { return kernel_height * kernel_width; }
  int64_t rows() const { return batch * out_height * out_width; }  // output pixels
  int64_t all_in_channels() const { return group * in_channels; }
  int64_t all_out_channels() const { return group * out_channels; }
  bool is_depthwise() const { return in_channels == 1 && out_channels == 1; }
  // Every output pixel is a product of the weights with the input pixel of the same number.
  bool is_plain_product() const;
  WindowRows window_rows(int64_t group_index) const;
};

// Whether a convolution tactic can take the node: its types, rank, and constant weights; the error says why not. The attributes
// and extents that are known are in `problem`; extents that are not are 0.
Status check_conv(const ir::Node& node, std::span<const ops::Fact> facts, ConvProblem* problem);

// Runs `kernel` on the node's problem, channels-last whatever the node's layout is, and then what is left of the epilogue.
// The kernel applies problem.epilogue. Fails where types or extents do not fit together, or where the packed weights
// are not packed_elements(problem) floats.
Status run_conv(ops::KernelContext& c, int64_t (*packed_elements)(const ConvProblem&),
                Status (*kernel)(ops::KernelContext&, const ConvProblem&, const float* packed));

// to[n][j][i] = from[n][i][j], by all threads.
void transpose_images(ops::KernelContext& c, const float* from, int64_t batch, int64_t rows, int64_t columns, float* to);

// The weights of the node, [M, C / group, k...].
inline const Tensor& conv_weights(const ir::Node& node, std::span<const ops::Fact> facts) { return facts[node.inputs[1]].constant; }

}  // namespace cameo::cpu
