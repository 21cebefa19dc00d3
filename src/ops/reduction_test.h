// What every Reduce operator is tested with; *_test.cc beside the operators give the values expected.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "ops/op_test.h"

namespace cameo::ops {

// Results over kReduced, in [3, 2, 2], and over small tensors.
struct ReductionResults {
  std::vector<float> last_axis;    // [3, 2, 1]
  std::vector<float> middle_axis;  // [3, 2]
  std::vector<float> outer_axes;   // [2]: all but the last
  double all_axes;                 // in double
  std::vector<float> no_axes;      // [2]: of {1, 4}, an element each
  std::vector<float> first_axis;   // [1, 2, 2]
  std::pair<double, double> half;  // of {1, 2} and of {3, 4} in float16
  float scalar;                    // of 2
  float empty;                     // of nothing
};

inline constexpr double kReduced[] = {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12};
inline constexpr double kReducedPositive[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

// The cases that all have, and `more` behind them.
inline std::vector<OpCase> reduction_cases(const double (&x)[12], const ReductionResults& want, std::initializer_list<OpCase> more) {
  const auto floats = [](const Dims& dims, const std::vector<float>& v) { return Tensor::of<float>(dims, std::span<const float>(v)); };
  const auto axes = [](std::initializer_list<int64_t> v) { return tensor<int64_t>({static_cast<int64_t>(v.size())}, v); };
  const Tensor cube = floats({3, 2, 2}, {x, x + 12});
  std::vector<OpCase> cases = {
      {.name = "last axis", .inputs = {cube, axes({-1})}, .outputs = {floats({3, 2, 1}, want.last_axis)}},
      {.name = "middle axis, dropped",
       .attributes = {{"keepdims", "0"}},
       .inputs = {cube, axes({1})},
       .outputs = {floats({3, 2}, want.middle_axis)}},
      {.name = "first and last axis",
       .attributes = {{"keepdims", "0"}},
       .inputs = {cube, axes({0, 2})},
       .outputs = {floats({2}, want.outer_axes)}},
      {.name = "all axes by default",
       .inputs = {Tensor::of<double>({3, 2, 2}, std::span<const double>(x))},
       .outputs = {tensor<double>({1, 1, 1}, {want.all_axes})}},
      {.name = "empty axes and noop",
       .attributes = {{"noop_with_empty_axes", "1"}},
       .inputs = {tensor<float>({2}, {1, 4}), axes({})},
       .outputs = {floats({2}, want.no_axes)}},
      {.name = "axes as attribute",
       .attributes = {{"axes", "[0]"}},
       .inputs = {cube},
       .outputs = {floats({1, 2, 2}, want.first_axis)},
       .version = 11},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {2, 2}, {1, 2, 3, 4}), axes({1})},
       .outputs = {numbers(DType::kFloat16, {2, 1}, {want.half.first, want.half.second})},
       .tolerance = 1e-2},
      {.name = "a scalar", .inputs = {tensor<float>({}, {2})}, .outputs = {tensor<float>({}, {want.scalar})}},
      {.name = "an empty set",
       .inputs = {tensor<float>({2, 0}, {}), axes({1})},
       .outputs = {tensor<float>({2, 1}, {want.empty, want.empty})}},
      {.name = "no output elements", .inputs = {tensor<float>({2, 0}, {}), axes({0})}, .outputs = {tensor<float>({1, 0}, {})}},
      {.name = "axis out of range", .inputs = {tensor<float>({2}, {1, 2}), axes({1})}, .error = "axes is 1"},
  };
  cases.insert(cases.end(), more);
  return cases;
}

}  // namespace cameo::ops
