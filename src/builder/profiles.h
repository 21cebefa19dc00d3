// Checks the shape ranges that a plan is built for.
#pragma once

#include <vector>

#include "cameo/profile.h"
#include "ir/graph.h"

namespace cameo::builder {

// The profiles with ranges checked against the model's inputs: names, ranks, fixed extents, min <= opt <= max, and
// that extents which carry the same symbol have the same range. Errors: kInvalidArgument, naming input and dimension.
Result<std::vector<Profile>> check_profiles(const ir::Graph& graph, const std::vector<Profile>& profiles);

}  // namespace cameo::builder
