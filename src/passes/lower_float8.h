// Matrix products and convolutions on 8-bit floats (E4M3), as ai.cameo.Float8MatMul and Float8Conv.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "passes/insert_qdq.h"

namespace cameo::passes {

// A node of ai.cameo.MatMul with a constant float32 matrix on its right, which float8e4m3fn can hold with a scale a column; or one of
// ai.cameo.Conv with the channels last, no groups, such a weight, and multiples of 16 channels.
bool is_float8_candidate(const GraphView& view, const ir::Node& node);
// Their results.
Result<std::vector<ir::ValueId>> float8_candidates(ir::Graph& graph);

// Turns the candidates that `choose` wants into ai.cameo.Float8MatMul and Float8Conv. An input with a range is rounded by one
// QuantizeLinear for all its readers, of 448 steps to the largest value seen; one without gets its scale in each run, from its largest
// value, or leaves a convolution as it is. Products and convolutions whose operands a model quantised to float8e4m3fn itself are turned in
// any case. What a QuantizeLinear alone reads of a result is rounded by what makes it.
Status lower_float8(ir::Graph& graph, const std::map<std::string, ValueRange>& ranges, const std::function<bool(const ir::Node&)>& choose,
                    PassReport& report);

}  // namespace cameo::passes
