#include <string>
#include <vector>

#include "base/error.h"
#include "cameo/version.h"
#include "capi/error.h"
#include "capi/handles.h"

using cameo::ErrorCode;
using cameo::capi::done;
using cameo::capi::fail;
using cameo::capi::guarded;

struct cameo_engine {
  cameo::Engine engine;
};

struct cameo_context {
  cameo::ExecutionContext context;
  // Outputs handed out; they stay until the next run.
  std::vector<std::pair<std::string, cameo::Tensor>> outputs;

  cameo::Result<const cameo::Tensor*> output(const char* name) {
    for (const auto& [known, tensor] : outputs)
      if (known == name) return &tensor;
    CAMEO_ASSIGN(cameo::Tensor tensor, context.output(name));
    outputs.reserve(64);
    outputs.emplace_back(name, std::move(tensor));
    return &outputs.back().second;
  }
};

namespace cameo::capi {
namespace {

std::string& last_error() {
  thread_local std::string message;
  return message;
}

int32_t describe(std::span<const TensorInfo> tensors, size_t index, cameo_tensor_info* info) {
  if (!info) return fail(ErrorCode::kInvalidArgument, "info is null");
  if (index >= tensors.size())
    return fail(cameo::error(ErrorCode::kInvalidArgument, "tensor {} does not exist; there are {}", index, tensors.size()));
  const TensorInfo& t = tensors[index];
  *info = {t.name.c_str(), t.type.c_str(), static_cast<int32_t>(t.dtype),
           t.is_tensor && t.has_rank ? static_cast<int32_t>(t.dims.size()) : -1};
  return 0;
}

Result<Dims> to_dims(const int64_t* dims, size_t rank) {
  if (!dims && rank > 0) return cameo::error(ErrorCode::kInvalidArgument, "dims is null but the rank is {}", rank);
  if (rank > 1024) return cameo::error(ErrorCode::kInvalidArgument, "a rank of {} is not sensible", rank);
  return Dims(std::span<const int64_t>(dims, rank));
}

}  // namespace

int32_t fail(const Error& error) {
  last_error() = error.message();
  return static_cast<int32_t>(error.code());
}
int32_t fail(ErrorCode code, const char* message) { return fail(Error(code, message)); }

}  // namespace cameo::capi

#define CAMEO_REQUIRE(pointer) \
  if (!(pointer)) return fail(ErrorCode::kInvalidArgument, #pointer " is null")

extern "C" {

const char* cameo_version(void) { return cameo::version(); }
const char* cameo_last_error(void) { return cameo::capi::last_error().c_str(); }

int32_t cameo_plan_load(const char* path, cameo_plan** plan) {
  CAMEO_REQUIRE(path);
  CAMEO_REQUIRE(plan);
  return guarded([&] {
    auto loaded = cameo::Plan::load(path);
    if (!loaded.ok()) return fail(loaded.error());
    *plan = new cameo_plan{std::move(loaded).value()};
    return 0;
  });
}

int32_t cameo_plan_save(const cameo_plan* plan, const char* path) {
  CAMEO_REQUIRE(plan);
  CAMEO_REQUIRE(path);
  return guarded([&] { return done(plan->plan.save(path)); });
}

int32_t cameo_plan_data(const cameo_plan* plan, const void** data, size_t* size) {
  CAMEO_REQUIRE(plan);
  CAMEO_REQUIRE(data);
  CAMEO_REQUIRE(size);
  *data = plan->plan.bytes().data();
  *size = plan->plan.bytes().size();
  return 0;
}

void cameo_plan_free(cameo_plan* plan) { delete plan; }

int32_t cameo_engine_load(const cameo_plan* plan, cameo_engine** engine) {
  CAMEO_REQUIRE(plan);
  CAMEO_REQUIRE(engine);
  return guarded([&] {
    auto loaded = cameo::Engine::load(plan->plan);
    if (!loaded.ok()) return fail(loaded.error());
    *engine = new cameo_engine{std::move(loaded).value()};
    return 0;
  });
}

void cameo_engine_free(cameo_engine* engine) { delete engine; }

size_t cameo_engine_num_inputs(const cameo_engine* engine) { return engine ? engine->engine.inputs().size() : 0; }
size_t cameo_engine_num_outputs(const cameo_engine* engine) { return engine ? engine->engine.outputs().size() : 0; }

int32_t cameo_engine_input(const cameo_engine* engine, size_t index, cameo_tensor_info* info) {
  CAMEO_REQUIRE(engine);
  return cameo::capi::describe(engine->engine.inputs(), index, info);
}

int32_t cameo_engine_output(const cameo_engine* engine, size_t index, cameo_tensor_info* info) {
  CAMEO_REQUIRE(engine);
  return cameo::capi::describe(engine->engine.outputs(), index, info);
}

int32_t cameo_context_create(const cameo_engine* engine, cameo_context** context) {
  return cameo_context_create_with(engine, nullptr, context);
}

int32_t cameo_context_create_with(const cameo_engine* engine, const cameo_context_options* options, cameo_context** context) {
  CAMEO_REQUIRE(engine);
  CAMEO_REQUIRE(context);
  if (options && options->size != sizeof *options)
    return fail(ErrorCode::kInvalidArgument, "options->size is not that of this version; use CAMEO_CONTEXT_OPTIONS_INIT");
  return guarded([&] {
    auto created = engine->engine.create_context({.threads = options ? options->threads : 0});
    if (!created.ok()) return fail(created.error());
    *context = new cameo_context{std::move(created).value(), {}};
    return 0;
  });
}

void cameo_context_free(cameo_context* context) { delete context; }

int32_t cameo_context_set_profile(cameo_context* context, size_t index) {
  CAMEO_REQUIRE(context);
  return guarded([&] { return done(context->context.set_profile(index)); });
}

int32_t cameo_context_set_input_shape(cameo_context* context, const char* name, const int64_t* dims, size_t rank) {
  CAMEO_REQUIRE(context);
  CAMEO_REQUIRE(name);
  return guarded([&] {
    const auto shape = cameo::capi::to_dims(dims, rank);
    return shape.ok() ? done(context->context.set_input_shape(name, *shape)) : fail(shape.error());
  });
}

int32_t cameo_context_set_tensor_address(cameo_context* context, const char* name, void* data, size_t bytes) {
  CAMEO_REQUIRE(context);
  CAMEO_REQUIRE(name);
  return guarded([&] { return done(context->context.set_tensor_address(name, data, bytes)); });
}

int32_t cameo_context_set_input_strings(cameo_context* context, const char* name, const int64_t* dims, size_t rank,
                                        const char* const* strings) {
  CAMEO_REQUIRE(context);
  CAMEO_REQUIRE(name);
  return guarded([&] {
    const auto shape = cameo::capi::to_dims(dims, rank);
    if (!shape.ok()) return fail(shape.error());
    auto tensor = cameo::Tensor::allocate(cameo::DType::kString, *shape);
    if (!tensor.ok()) return fail(tensor.error());
    for (int64_t i = 0; i < tensor->num_elements(); ++i) {
      if (!strings || !strings[i]) return fail(ErrorCode::kInvalidArgument, "a string is null");
      tensor->data<std::string>()[i] = strings[i];
    }
    return done(context->context.set_input(name, *tensor));
  });
}

int32_t cameo_context_output_shape(cameo_context* context, const char* name, int64_t* dims, size_t* rank) {
  CAMEO_REQUIRE(context);
  CAMEO_REQUIRE(name);
  CAMEO_REQUIRE(rank);
  return guarded([&] {
    const auto shape = context->context.output_shape(name);
    if (!shape.ok()) return fail(shape.error());
    const size_t room = *rank;
    *rank = shape->rank();
    if (shape->rank() > room || (!dims && shape->rank() > 0))
      return fail(cameo::error(ErrorCode::kInvalidArgument, "output '{}' has rank {}, there is room for {}", name, shape->rank(), room));
    for (size_t i = 0; i < shape->rank(); ++i) dims[i] = (*shape)[i];
    return 0;
  });
}

int32_t cameo_context_run(cameo_context* context) {
  CAMEO_REQUIRE(context);
  context->outputs.clear();
  return guarded([&] { return done(context->context.run()); });
}

void cameo_context_cancel(cameo_context* context) {
  if (context) context->context.cancel();
}

int32_t cameo_context_output(cameo_context* context, const char* name, cameo_tensor* tensor) {
  CAMEO_REQUIRE(context);
  CAMEO_REQUIRE(name);
  CAMEO_REQUIRE(tensor);
  return guarded([&] {
    const auto found = context->output(name);
    if (!found.ok()) return fail(found.error());
    const cameo::Tensor& t = **found;
    const bool strings = t.dtype() == cameo::DType::kString;
    *tensor = {static_cast<int32_t>(t.dtype()), t.rank(), t.dims().data(), strings ? nullptr : t.raw(), strings ? 0 : t.num_bytes()};
    return 0;
  });
}

int32_t cameo_context_output_string(cameo_context* context, const char* name, size_t index, const char** text, size_t* length) {
  CAMEO_REQUIRE(context);
  CAMEO_REQUIRE(name);
  CAMEO_REQUIRE(text);
  CAMEO_REQUIRE(length);
  return guarded([&] {
    const auto found = context->output(name);
    if (!found.ok()) return fail(found.error());
    const cameo::Tensor& t = **found;
    if (t.dtype() != cameo::DType::kString) return fail(cameo::error(ErrorCode::kInvalidArgument, "output '{}' holds no strings", name));
    if (index >= static_cast<size_t>(t.num_elements()))
      return fail(cameo::error(ErrorCode::kInvalidArgument, "output '{}' has {} elements, element {} was asked for", name, t.num_elements(),
                               index));
    const std::string& s = t.data<std::string>()[index];
    *text = s.c_str();
    *length = s.size();
    return 0;
  });
}

}  // extern "C"
