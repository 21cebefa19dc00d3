// Tests of fusions: like optimised() of pass_test.h, but results may differ in rounding.
#pragma once

#include "passes/pass_test.h"

namespace cameo::passes {

// Runs these passes with verification on and checks, at the given symbols, that names of inputs and outputs stay, that the outputs
// for the same random inputs (about -2 to 2; masks and ids as their types have them) are off by at most `tolerance` of the largest
// magnitude, and that a second run changes nothing. `notes` gets what the passes refused and why.
ir::Graph fused(const ir::Graph& graph, const std::vector<std::string>& passes, const std::vector<Symbols>& symbols = {{}},
                double tolerance = 2e-6, std::string* notes = nullptr);

}  // namespace cameo::passes
