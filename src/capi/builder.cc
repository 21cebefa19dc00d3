#include <map>

#include "base/error.h"
#include "cameo/builder.h"
#include "capi/error.h"
#include "capi/handles.h"

namespace cameo::capi {
namespace {

Result<BuildOptions> to_options(const cameo_build_options& from) {
  BuildOptions options;
  options.optimization_level = from.optimization_level;
  options.threads = from.threads;
  if (from.timing_cache) options.timing_cache = from.timing_cache;
  options.error_on_miss = from.error_on_miss != 0;
  if (from.num_ranges > 0 && !from.ranges)
    return error(ErrorCode::kInvalidArgument, "ranges is null but num_ranges is {}", from.num_ranges);
  for (size_t i = 0; i < from.num_ranges; ++i) {
    const cameo_input_range& r = from.ranges[i];
    if (!r.name || r.rank > 1024 || (r.rank > 0 && (!r.min || !r.opt || !r.max)))
      return error(ErrorCode::kInvalidArgument, "range {} lacks its name or extents", i);
    if (r.profile > options.profiles.size())
      return error(ErrorCode::kInvalidArgument, "range {} names profile {}, but profile {} has no ranges", i, r.profile,
                   options.profiles.size());
    if (r.profile == options.profiles.size()) options.profiles.emplace_back();
    const auto dims = [&](const int64_t* d) { return Dims(std::span<const int64_t>(d, r.rank)); };
    options.profiles[r.profile].inputs.push_back({r.name, dims(r.min), dims(r.opt), dims(r.max)});
  }
  return options;
}

}  // namespace
}  // namespace cameo::capi

extern "C" int32_t cameo_build(const char* model_path, const cameo_build_options* options, cameo_plan** plan) {
  using namespace cameo;
  using capi::fail;
  if (!model_path) return fail(ErrorCode::kInvalidArgument, "model_path is null");
  if (!plan) return fail(ErrorCode::kInvalidArgument, "plan is null");
  return capi::guarded([&] {
    cameo_build_options given = CAMEO_BUILD_OPTIONS_INIT;
    if (options && options->size != sizeof given)
      return fail(ErrorCode::kInvalidArgument, "options->size is not that of this version; use CAMEO_BUILD_OPTIONS_INIT");
    if (options) given = *options;
    const auto converted = capi::to_options(given);
    if (!converted.ok()) return fail(converted.error());
    capi::FunctionLogger function_logger(given.log, given.log_user);
    Builder builder(function_logger.used());
    auto built = builder.build(model_path, *converted);
    if (!built.ok()) return fail(built.error());
    *plan = new cameo_plan{std::move(built).value()};
    return 0;
  });
}
