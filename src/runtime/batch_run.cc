#include "runtime/batch_run.h"

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "ops/value.h"

namespace cameo::runtime {
namespace {

using ops::RtValue;

// Rows of a part, 0 for the whole batch: as many as leave the intermediate tensors in the cache. Reading the weights again for
// each part must cost less than what the tensors would to and from memory.
int64_t rows_of_part(const Specialization& whole, int64_t batch, size_t weight_bytes, size_t cache) {
  if (batch < 2 || !whole.complete) return 0;
  // The weights of the layer at work need some of the cache.
  const double budget = 0.625 * static_cast<double>(cache), arena = static_cast<double>(whole.arena_bytes);
  if (arena <= budget) return 0;
  const auto fitting = std::max<int64_t>(static_cast<int64_t>(budget / arena * static_cast<double>(batch)), 1);
  const int64_t parts = (batch + fitting - 1) / fitting;
  const double again = static_cast<double>(parts - 1) * static_cast<double>(weight_bytes);
  if (again > 2.0 * static_cast<double>(whole.without_reuse)) return 0;
  return (batch + parts - 1) / parts;
}

}  // namespace

size_t cache_bytes() {
  static const size_t bytes = [] {
    // Per cache; sysconf() adds up those of all cores on some machines.
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
    size_t kilobytes = 0;
    char unit = 0;
    if (file >> kilobytes >> unit && unit == 'K' && kilobytes > 0 && kilobytes < (size_t{1} << 22)) return kilobytes << 10;
    return size_t{16} << 20;
  }();
  return bytes;
}

BatchRun::BatchRun(const ir::Graph& graph, std::string_view batch, size_t weight_bytes, Executor& executor, Allocator& allocator,
                   size_t cache)
    : graph_(graph), weight_bytes_(weight_bytes), executor_(executor), cache_(cache), has_rows_(graph.inputs.size(), 0) {
  if (batch.empty()) return;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const ir::Type& type = graph.value(graph.inputs[i]).type;
    has_rows_[i] = type.is_tensor() && type.shape && !type.shape->empty() && type.shape->front().symbol_name() == batch;
    splits_ |= has_rows_[i] != 0;
  }
  for (size_t k = 0; k < graph.outputs.size(); ++k) memory_.emplace_back(allocator);
  inputs_.resize(graph.inputs.size());
  outputs_.resize(graph.outputs.size());
  bindings_.resize(graph.outputs.size());
}

std::vector<ops::Fact> BatchRun::part_of(std::span<const ops::Fact> inputs) const {
  std::vector<ops::Fact> part(inputs.begin(), inputs.end());
  for (size_t i = 0; i < part.size(); ++i)
    if (has_rows_[i]) part[i].type.shape->front() = parts_.rows;
  return part;
}

// Decides how inputs of these types are run.
Status BatchRun::plan(std::span<const ops::Fact> inputs) {
  parts_ = {};
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto dims = inputs[i].type.is_tensor() && inputs[i].type.shape ? ir::to_dims(*inputs[i].type.shape) : std::nullopt;
    parts_.input_dims.push_back(dims.value_or(Dims()));
    if (has_rows_[i] && dims && dims->size() > 0) parts_.batch = (*dims)[0];
  }
  CAMEO_ASSIGN(const Specialization* whole, executor_.specialization(inputs));
  int64_t rows = rows_of_part(*whole, parts_.batch, weight_bytes_, cache_);
  for (size_t k = 0; k < graph_.outputs.size() && rows > 0; ++k) {
    const auto& value = whole->values[graph_.outputs[k]];
    const size_t bytes = static_cast<size_t>(value.dims.num_elements()) * dtype_size(value.dtype);
    if (value.place != Specialization::Place::kOutput || value.dims.empty() || value.dims[0] % parts_.batch != 0) rows = 0;
    parts_.row_bytes.push_back(bytes / static_cast<size_t>(parts_.batch));
    parts_.dtypes.push_back(value.dtype);
    parts_.output_dims.push_back(value.dims);
  }
  parts_.rows = rows;
  return {};
}

Result<const Specialization*> BatchRun::specialization_used(std::span<const ops::Fact> inputs) {
  if (splits_) {
    CAMEO_TRY(plan(inputs));
    if (parts_.rows > 0) {
      CAMEO_ASSIGN(const Specialization* part, executor_.specialization(part_of(inputs)));
      return part;
    }
  }
  CAMEO_ASSIGN(const Specialization* whole, executor_.specialization(inputs));
  return whole;
}

Status BatchRun::run(std::span<const RtValue> inputs, std::span<const Executor::OutputBinding> bindings, std::span<RtValue> outputs) {
  if (!splits_) return executor_.run(inputs, bindings, outputs);
  bool known = parts_.input_dims.size() == inputs.size();
  for (size_t i = 0; i < inputs.size() && known; ++i) known = !inputs[i].is_tensor() || inputs[i].tensor.dims() == parts_.input_dims[i];
  if (!known) {
    std::vector<ops::Fact> facts;
    for (const RtValue& input : inputs) facts.push_back(ops::Fact::of(ops::type_of(input)));
    CAMEO_TRY(plan(facts));
  }
  if (parts_.rows == 0) return executor_.run(inputs, bindings, outputs);

  for (size_t k = 0; k < outputs.size(); ++k) {
    const size_t bytes = parts_.row_bytes[k] * static_cast<size_t>(parts_.batch);
    const auto binding = k < bindings.size() ? bindings[k] : Executor::OutputBinding{};
    if (binding.data && binding.bytes < bytes)
      return error(ErrorCode::kInvalidInput, "output '{}' takes {} bytes at shape {}, the memory bound to it has {}",
                   graph_.value(graph_.outputs[k]).name, bytes, parts_.output_dims[k].to_string(), binding.bytes);
    if (!binding.data) memory_[k].reserve(bytes);
    outputs[k] = RtValue::of(Tensor::view(parts_.dtypes[k], parts_.output_dims[k], binding.data ? binding.data : memory_[k].data()));
  }
  for (int64_t row = 0; row < parts_.batch; row += parts_.rows) {
    const int64_t rows = std::min(parts_.rows, parts_.batch - row);
    for (size_t i = 0; i < inputs.size(); ++i) {
      inputs_[i] = inputs[i];
      if (!has_rows_[i]) continue;
      const Tensor& whole = inputs[i].tensor;
      Dims dims = whole.dims();
      dims[0] = rows;
      const size_t offset = whole.num_bytes() / static_cast<size_t>(parts_.batch) * static_cast<size_t>(row);
      inputs_[i] = RtValue::of(Tensor::view(whole.dtype(), dims, static_cast<std::byte*>(const_cast<void*>(whole.raw())) + offset));
    }
    for (size_t k = 0; k < outputs.size(); ++k)
      bindings_[k] = {static_cast<std::byte*>(outputs[k].tensor.raw()) + parts_.row_bytes[k] * static_cast<size_t>(row),
                      parts_.row_bytes[k] * static_cast<size_t>(rows)};
    CAMEO_TRY(executor_.run(inputs_, bindings_, outputs_));
    for (size_t k = 0; k < outputs.size(); ++k)
      if (!outputs_[k].is_tensor() || outputs_[k].tensor.num_bytes() != bindings_[k].bytes)
        return error(ErrorCode::kInvalidPlan, "output '{}' of a part of the batch is not a part of the output: the plan is damaged",
                     graph_.value(graph_.outputs[k]).name);
  }
  return {};
}

}  // namespace cameo::runtime
