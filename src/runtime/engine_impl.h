// What an Engine and its contexts share.
#pragma once

#include <map>

#include "cameo/engine.h"
#include "ops/infer.h"
#include "plan/content.h"
#include "runtime/backend.h"

namespace cameo {

struct Engine::Impl {
  plan::Content content;
  PlanInfo info;
  std::vector<TensorInfo> inputs, outputs;
  std::map<std::string, size_t, std::less<>> input_index, output_index;
  Logger* logger = nullptr;
  size_t weight_bytes = 0;
  std::unique_ptr<runtime::DeviceModel> device;  // null on the CPU

  // Position of a tensor; the error lists the names there are.
  Result<size_t> find_input(std::string_view name) const;
  Result<size_t> find_output(std::string_view name) const;

  // Whether a tensor of this type may be given as input `i`.
  Status check_input_type(size_t i, DType dtype) const;
  // Whether the shape fits what the model declares of input `i` (rank, fixed extents).
  Status check_input_shape(size_t i, const Dims& shape) const;
  // Whether shapes of all inputs agree on the model's symbols, and lie in a profile: in the one given, else in any.
  Status check_shapes(std::span<const Dims> shapes, std::optional<size_t> profile) const;
  // Whether all shapes lie in that profile; the error names tensor, dimension, value and range.
  Status check_profile(size_t profile, std::span<const Dims> shapes) const;

  std::vector<ops::Fact> facts_of(std::span<const Dims> shapes) const;
};

}  // namespace cameo
