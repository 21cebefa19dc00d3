// Checks that infer() functions share: types and extents of inputs that must agree with each other.
#pragma once

#include <initializer_list>
#include <string_view>

#include "ops/op.h"

namespace cameo::ops {

// The inputs listed that are present and of known type have one element type.
Status check_same_dtype(const InferContext& c, std::initializer_list<size_t> inputs);

// Input i, when present and of known rank, has that rank. `what` names it: "W".
Status check_rank(const InferContext& c, size_t i, size_t rank, std::string_view what);

// What is known of an extent when both hold; an error when the two contradict. `what` says what it is: "the channels of W".
Result<ir::Dim> agree(const ir::Dim& a, const ir::Dim& b, std::string_view what);

// Input i, when present and of known shape, has these extents, as far as both are known.
Status check_shape(const InferContext& c, size_t i, const ir::Shape& expected, std::string_view what);

// Input i, when present and of known shape, broadcasts to `shape` without changing it.
Status check_broadcasts_to(const InferContext& c, size_t i, const ir::Shape& shape, std::string_view what);

}  // namespace cameo::ops
