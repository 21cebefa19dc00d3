// Matrix products on 8-bit floats (E4M3), as ai.cameo.Float8MatMul.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "passes/insert_qdq.h"

namespace cameo::passes {

// A node of ai.cameo.MatMul with a constant float32 matrix on its right, which float8e4m3fn can hold with a scale a column.
bool is_float8_candidate(const GraphView& view, const ir::Node& node);
// Their results.
Result<std::vector<ir::ValueId>> float8_candidates(ir::Graph& graph);

// Turns the candidates that `choose` wants into ai.cameo.Float8MatMul. An input with a range is rounded by one QuantizeLinear for all its
// readers, of 448 steps to the largest value seen; one without gets its scale in each run, from its largest value. Products whose operands
// a model quantised to float8e4m3fn itself are turned in any case. What a QuantizeLinear alone reads of a product's result is rounded by
// the product.
Status lower_float8(ir::Graph& graph, const std::map<std::string, ValueRange>& ranges, const std::function<bool(const ir::Node&)>& choose,
                    PassReport& report);

}  // namespace cameo::passes
