// 8-bit products and convolutions in models that nobody quantised.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cameo/builder.h"
#include "passes/pass.h"

namespace cameo::passes {

// The values of a tensor, as far as calibration has seen them.
struct ValueRange {
  float min = 0, max = 0;
  float rms = 0;        // root of the mean square; 0: not known
  float vanishing = 0;  // share of the values other than zero that rounding to 255 steps of the range makes zero
  // The same of each position along the last axis, for what products read; else empty.
  std::vector<float> channel_min, channel_max, channel_rms;
};

// What an 8-bit product or convolution would be: a node of ai.cameo.MatMul or ai.cameo.Conv with a constant float32 weight.
bool is_int8_candidate(const GraphView& view, const ir::Node& node);

// The values that the candidates read, each once, and those that they make.
Result<std::vector<ir::ValueId>> int8_inputs(ir::Graph& graph);
Result<std::vector<ir::ValueId>> int8_candidates(ir::Graph& graph);
// Why a candidate keeps float32 all the same: its input has no range, or rounding would take too much of the result (outliers take up the
// range). Empty when it need not.
std::string int8_refusal(const ir::Graph& graph, const ir::Node& node, const std::map<std::string, ValueRange>& ranges);

// Has the candidates that `choose` wants, whose inputs have a range, read their input as uint8 and their weight as int8 with a scale an
// output channel: QuantizeLinear and DequantizeLinear are put around them, for lower_quantized(). Residuals of convolutions that are
// quantised in any case are read as bytes too. Where a product loses less by it, channels of its input are divided by factors that its
// weight is multiplied with ("SmoothQuant", arXiv 2211.10438). `symmetric`: ranges are widened to be symmetric about zero, which
// becomes code 128.
Status insert_qdq(ir::Graph& graph, const std::map<std::string, ValueRange>& ranges, bool symmetric,
                  const std::function<bool(const ir::Node&)>& choose, PassReport& report);

}  // namespace cameo::passes
