#include <algorithm>

#include "base/error.h"
#include "runtime/engine_impl.h"

namespace cameo {
namespace {

constexpr size_t kAlwaysVerified = size_t{64} << 20;

TensorInfo describe(const ir::Value& value) {
  TensorInfo info;
  info.name = value.name;
  info.type = value.type.to_string();
  const ir::Type* type = &value.type;
  info.is_tensor = type->is_tensor();
  while (type->element) type = type->element.get();
  info.dtype = type->dtype;
  info.has_rank = type->shape.has_value();
  if (type->shape)
    for (const ir::Dim& d : *type->shape) {
      DimInfo& dim = info.dims.emplace_back();
      if (d.is_const())
        dim.value = d.value();
      else if (!d.is_unknown())
        dim.symbol = d.to_string();
    }
  return info;
}

Result<size_t> find(const std::map<std::string, size_t, std::less<>>& index, std::string_view name, const char* what) {
  if (const auto it = index.find(name); it != index.end()) return it->second;
  std::string names;
  for (const auto& [known, i] : index) names += (names.empty() ? "'" : ", '") + known + "'";
  return error(ErrorCode::kInvalidArgument, "the model has no {} '{}'; it has {}", what, name, names.empty() ? "none" : names);
}

}  // namespace

Result<size_t> Engine::Impl::find_input(std::string_view name) const { return find(input_index, name, "input"); }
Result<size_t> Engine::Impl::find_output(std::string_view name) const { return find(output_index, name, "output"); }

Status Engine::Impl::check_input_type(size_t i, DType dtype) const {
  const TensorInfo& info = inputs[i];
  if (!info.is_tensor) return error(ErrorCode::kInvalidInput, "input '{}' is a {}, not a tensor", info.name, info.type);
  if (info.dtype != DType::kUndefined && dtype != info.dtype)
    return error(ErrorCode::kInvalidInput, "input '{}' has type {}, the model takes {}", info.name, dtype_name(dtype),
                 dtype_name(info.dtype));
  return {};
}

Status Engine::Impl::check_input_shape(size_t i, const Dims& shape) const {
  const TensorInfo& info = inputs[i];
  if (!info.is_tensor) return error(ErrorCode::kInvalidInput, "input '{}' is a {}; it has no shape", info.name, info.type);
  if (auto n = shape.checked_num_elements(); !n.ok()) return std::move(n).error().in("input '" + info.name + "'");
  if (!info.has_rank) return {};
  if (shape.rank() != info.dims.size())
    return error(ErrorCode::kInvalidInput, "input '{}' has rank {} (shape {}), the model takes {}", info.name, shape.rank(),
                 shape.to_string(), info.type);
  for (size_t d = 0; d < shape.rank(); ++d)
    if (info.dims[d].value >= 0 && shape[d] != info.dims[d].value)
      return error(ErrorCode::kInvalidInput, "dimension {} of input '{}' is {}, the model fixes it to {}", d, info.name, shape[d],
                   info.dims[d].value);
  return {};
}

Status Engine::Impl::check_profile(size_t profile, std::span<const Dims> shapes) const {
  for (const InputRange& range : content.profiles[profile].inputs) {
    const auto it = input_index.find(range.name);
    if (it == input_index.end()) continue;
    const Dims& shape = shapes[it->second];
    for (size_t d = 0; d < shape.rank() && d < range.min.rank(); ++d)
      if (shape[d] < range.min[d] || shape[d] > range.max[d])
        return error(ErrorCode::kInvalidInput,
                     "dimension {} of input '{}' is {}, profile {} allows {} to {}; build the plan with a wider profile (--min-shapes, "
                     "--max-shapes)",
                     d, range.name, shape[d], profile, range.min[d], range.max[d]);
  }
  return {};
}

Status Engine::Impl::check_shapes(std::span<const Dims> shapes, std::optional<size_t> profile) const {
  struct Binding {
    size_t input, dim;
  };
  std::map<std::string_view, Binding> symbols;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].is_tensor) continue;
    for (size_t d = 0; d < inputs[i].dims.size(); ++d) {
      const std::string& symbol = inputs[i].dims[d].symbol;
      if (symbol.empty()) continue;
      const auto [it, is_new] = symbols.emplace(symbol, Binding{i, d});
      const Binding& first = it->second;
      if (!is_new && shapes[first.input][first.dim] != shapes[i][d])
        return error(ErrorCode::kInvalidInput,
                     "dimension {} of input '{}' and dimension {} of input '{}' are both '{}' in the model, but {} and {} were given",
                     first.dim, inputs[first.input].name, d, inputs[i].name, symbol, shapes[first.input][first.dim], shapes[i][d]);
    }
  }
  if (content.profiles.empty()) return {};
  if (profile) return check_profile(*profile, shapes);
  Status first = check_profile(0, shapes);
  for (size_t p = 1; p < content.profiles.size() && !first.ok(); ++p)
    if (check_profile(p, shapes).ok()) return {};
  if (first.ok() || content.profiles.size() == 1) return first;
  return std::move(first).error().in(fmt::format("none of the plan's {} profiles holds the shapes", content.profiles.size()));
}

std::vector<ops::Fact> Engine::Impl::facts_of(std::span<const Dims> shapes) const {
  std::vector<ops::Fact> facts;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Type& declared = content.graph.value(content.graph.inputs[i]).type;
    facts.push_back(ops::Fact::of(inputs[i].is_tensor ? ir::Type::tensor(inputs[i].dtype, ir::to_shape(shapes[i])) : declared));
  }
  return facts;
}

Result<Engine> Engine::load(const std::string& path, const EngineOptions& options) {
  CAMEO_ASSIGN(const Plan plan, Plan::load(path));
  auto engine = load(plan, options);
  if (!engine.ok()) return std::move(engine).error().in(path);
  return engine;
}

Result<Engine> Engine::load(const Plan& plan, const EngineOptions& options) try {
  CAMEO_ASSIGN(PlanInfo info, cameo::plan_info(plan));
  auto impl = std::make_shared<Impl>();
  CAMEO_ASSIGN(impl->content, plan::read(plan, options.verify_weights.value_or(info.weight_bytes <= kAlwaysVerified)));
  impl->info = std::move(info);
  impl->logger = options.logger ? options.logger : &default_logger();
  const ir::Graph& graph = impl->content.graph;
  for (ir::ValueId id : graph.inputs) {
    impl->input_index.emplace(graph.value(id).name, impl->inputs.size());
    impl->inputs.push_back(describe(graph.value(id)));
  }
  for (size_t k = 0; k < graph.outputs.size(); ++k) {
    impl->output_index.emplace(graph.value(graph.outputs[k]).name, k);
    impl->outputs.push_back(describe(graph.value(graph.outputs[k])));
  }
  for (const ir::Value& v : graph.values)
    if (v.is_constant()) impl->weight_bytes += v.constant.num_bytes();
  if (impl->content.backend != "cpu") {
    CAMEO_ASSIGN(runtime::Backend * backend, runtime::find_backend(impl->content.backend));
    runtime::DeviceModelOptions device_options{.cpu_fallback = impl->content.cpu_fallback,
                                               .level = impl->content.tuning_level,
                                               .deterministic = impl->content.deterministic,
                                               .tuned_for = impl->content.tuned_for,
                                               .choices = impl->content.choices};
    CAMEO_ASSIGN(device_options.precision, runtime::precision_from_name(impl->content.precision));
    CAMEO_ASSIGN(impl->device, backend->load(graph, device_options, *impl->logger));
  }
  return Engine(std::move(impl));
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory to load the plan");
}

std::span<const TensorInfo> Engine::inputs() const { return impl_->inputs; }
std::span<const TensorInfo> Engine::outputs() const { return impl_->outputs; }
std::span<const Profile> Engine::profiles() const { return impl_->content.profiles; }
const PlanInfo& Engine::plan_info() const { return impl_->info; }

Result<MemoryForecast> Engine::memory_forecast(std::span<const Dims> input_shapes) const try {
  if (input_shapes.size() != impl_->inputs.size())
    return error(ErrorCode::kInvalidArgument, "the model has {} inputs, {} shapes were given", impl_->inputs.size(), input_shapes.size());
  for (size_t i = 0; i < input_shapes.size(); ++i)
    if (impl_->inputs[i].is_tensor) CAMEO_TRY(impl_->check_input_shape(i, input_shapes[i]));
  CAMEO_TRY(impl_->check_shapes(input_shapes, std::nullopt));
  CAMEO_ASSIGN(ExecutionContext context, create_context({.threads = 1}));
  for (size_t i = 0; i < input_shapes.size(); ++i)
    if (impl_->inputs[i].is_tensor) CAMEO_TRY(context.set_input_shape(impl_->inputs[i].name, input_shapes[i]));
  return context.memory_forecast();
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory to infer the model's shapes");
}

}  // namespace cameo
