// The ways to run a model on values of any kind.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ops/op.h"

namespace cameo::conformance {

using NamedValue = std::pair<std::string, ops::RtValue>;

// Imports the model and evaluates its graph node by node with the reference implementations: no passes, no plan.
// The outputs come in the order of `output_names`.
Result<std::vector<ops::RtValue>> run_reference(const std::string& model_path, std::span<const NamedValue> inputs,
                                                std::span<const std::string> output_names);

}  // namespace cameo::conformance
