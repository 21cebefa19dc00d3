// cameo build MODEL -o PLAN
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/cli.h"

namespace cameo::cli {

Run add_build(CLI::App& app, const Common& common) {
  struct Options {
    std::string model, output;
    std::vector<std::string> min, opt, max, disabled;
    BuildOptions build;
  };
  auto o = std::make_shared<Options>();
  app.add_option("model", o->model, "ONNX file")->required();
  app.add_option("-o,--output", o->output, "Plan file to write")->required();
  app.add_option("--min-shapes", o->min, "Least input shapes, as name:1x1,other:1x3; repeat for several profiles")->allow_extra_args(false);
  app.add_option("--opt-shapes", o->opt, "Shapes to tune for")->allow_extra_args(false);
  app.add_option("--max-shapes", o->max, "Largest input shapes")->allow_extra_args(false);
  app.add_option("--opt-level", o->build.optimization_level,
                 "How much to measure when kernels are chosen: 0 (nothing, builds at once) to 5")
      ->check(CLI::Range(0, 5))
      ->capture_default_str();
  app.add_option("--timing-cache", o->build.timing_cache,
                 "File of kernel times: read when it is there, written when something was measured");
  app.add_flag("--error-on-miss", o->build.error_on_miss, "Measure nothing; what the timing cache does not hold is an error");
  app.add_option("--tuning-seconds", o->build.tuning_seconds, "Stop measuring after so long; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--threads", o->build.threads, "Threads that runs will use; 0: one for each processor")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_flag("--reference", o->build.reference, "Neither passes nor fast kernels: the plain operators, to compare with");
  app.add_option("--disable-pass", o->disabled, "Leave a pass out (names: cameo inspect --passes); repeatable")->allow_extra_args(false);
  static const std::map<std::string, WeightType> kWeights = {{"fp32", WeightType::kFloat32},
                                                             {"fp16", WeightType::kFloat16},
                                                             {"bf16", WeightType::kBfloat16},
                                                             {"int8", WeightType::kInt8},
                                                             {"int4", WeightType::kInt4}};
  app.add_option("--weights", o->build.weights, "How weights of matrix products are stored: fp32, fp16, bf16, int8, int4")
      ->transform(CLI::CheckedTransformer(kWeights).description(""));
  app.add_option("--group-size", o->build.weight_group_size, "Rows of an int8 or int4 weight that share a scale, a multiple of 16")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--verify-passes", o->build.verify_passes, "Check the graph after every pass");
  app.add_option("--external-data-root", o->build.external_data_root, "One more folder that the model's external data may lie in");
  return [o, &common]() -> Result<int> {
    CAMEO_ASSIGN(o->build.profiles, make_profiles(o->min, o->opt, o->max));
    o->build.disabled_passes = o->disabled;
    o->build.progress = progress_bar();
    StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
    const auto start = std::chrono::steady_clock::now();
    Builder builder(logger);
    CAMEO_ASSIGN(const Plan plan, builder.build(o->model, o->build));
    CAMEO_TRY(plan.save(o->output));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CAMEO_ASSIGN(const PlanInfo info, plan_info(plan));
    if (common.json) {
      nlohmann::ordered_json object = {{"plan", o->output},
                                       {"bytes", plan.bytes().size()},
                                       {"weight_bytes", info.weight_bytes},
                                       {"profiles", o->build.profiles.size()},
                                       {"seconds", seconds},
                                       {"passes", nlohmann::json::array()}};
      for (const PassReport& p : builder.passes())
        object["passes"].push_back({{"name", p.name}, {"changes", p.changes}, {"milliseconds", p.milliseconds}});
      std::printf("%s\n", object.dump(2).c_str());
    } else {
      std::printf("%s: %s (%s of weights), %zu profile%s, built in %.2f s\n", o->output.c_str(), human_bytes(plan.bytes().size()).c_str(),
                  human_bytes(info.weight_bytes).c_str(), o->build.profiles.size(), o->build.profiles.size() == 1 ? "" : "s", seconds);
    }
    return kDone;
  };
}

}  // namespace cameo::cli
