// The ways to run a model on values of any kind. Outputs come in the order of `output_names`.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ops/op.h"

namespace cameo::conformance {

using NamedValue = std::pair<std::string, ops::RtValue>;

// The way of every user: builds a plan, with each pass verified, loads it, and runs it twice in one context; the second
// run, whose memory has been used before, must give what the first gave. `repeatable` false leaves out the comparison. What a device
// lacks is an error (kUnsupported) unless it may run on the CPU.
Result<std::vector<ops::RtValue>> run_plan(const std::string& model_path, std::span<const NamedValue> inputs,
                                           std::span<const std::string> output_names, bool repeatable, const std::string& device = "cpu",
                                           bool cpu_fallback = false);

// Imports the model and evaluates its graph node by node with the reference implementations: no passes, no plan.
Result<std::vector<ops::RtValue>> run_reference(const std::string& model_path, std::span<const NamedValue> inputs,
                                                std::span<const std::string> output_names);

}  // namespace cameo::conformance
