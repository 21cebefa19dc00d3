// The command line. Each command is a file of its own; this one picks it and reports what it said.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cameo/version.h"
#include "cli/cli.h"

namespace cameo::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  cameo build model.onnx -o model.plan --min-shapes input_ids:1x1 --opt-shapes input_ids:1x128 --max-shapes input_ids:8x512
  cameo run model.plan --input input_ids=[[1,2,3]] --output-dir out
  cameo inspect model.onnx --passes
  cameo surgeon model.onnx -o optimised.onnx --onnx-operators
  cameo bench model.plan --shapes input_ids:1x128 --duration 3 --json
  cameo exec --onnx=model.onnx --saveEngine=model.plan --minShapes=x:1x3 --optShapes=x:8x3 --maxShapes=x:16x3

Exit codes:
  0 done   1 a check did not hold   2 wrong usage   3 bad input (model, plan, shape, file)
  4 not supported   5 out of memory, device trouble or an internal error

With --json a command prints one JSON object on stdout; everything else goes to stderr.)";

int report(const Error& error, const Common& common) {
  if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\r\033[K");  // a progress bar that was cut short
  std::fprintf(stderr, "cameo: %s: %s\n", std::string(error_code_name(error.code())).c_str(), error.message().c_str());
  if (common.json) {
    const nlohmann::ordered_json object = {{"error", {{"code", error_code_name(error.code())}, {"message", error.message()}}}};
    std::printf("%s\n", object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  }
  return exit_code(error.code());
}

struct Command {
  const char* name;
  const char* summary;
  Run (*add)(CLI::App&, const Common&);
};

constexpr Command kCommands[] = {
    {"build", "Build a plan from an ONNX model", &add_build},
    {"run", "Run a plan or model once on given or made-up inputs", &add_run},
    {"inspect", "Show what is in a model or plan, and what cannot be run", &add_inspect},
    {"bench", "Measure latency and throughput of a plan", &add_bench},
    {"explain", "Say what a node of a plan stands for, and why it runs as it does", &add_explain},
    {"profile", "Show where the time goes, node by node", &add_profile},
    {"surgeon", "Write the optimised graph of a model as ONNX again", &add_surgeon},
    {"devices", "List what plans can be built for and run on here", &add_devices},
    {"exec", "Build and measure with trtexec's flags", &add_exec},
    {"generate", "Complete text with a language model", &add_generate},
    {"embed", "Turn texts into vectors with an encoder", &add_embed},
};

int run(int argc, char** argv) {
  CLI::App app{"Cameo: ONNX in, an optimised plan out, run by a small runtime.", "cameo"};
  app.set_version_flag("--version", CAMEO_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  Common common;
  std::vector<std::pair<CLI::App*, Run>> commands;
  for (const Command& c : kCommands) {
    CLI::App* sub = app.add_subcommand(c.name, c.summary);
    sub->add_flag("--json", common.json, "Print one JSON object on stdout");
    sub->add_flag("-v,--verbose", common.verbose, "Log what is done, on stderr");
    commands.emplace_back(sub, c.add(*sub, common));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    app.exit(e, std::cerr, std::cerr);
    return kUsage;
  }
  for (auto& [sub, run_command] : commands) {
    if (!sub->parsed()) continue;
    try {
      auto result = run_command();
      return result.ok() ? *result : report(result.error(), common);
    } catch (const std::bad_alloc&) {
      return report(Error(ErrorCode::kOutOfMemory, "out of memory"), common);
    }
  }
  return kUsage;
}

}  // namespace

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return kUsage;
    case ErrorCode::kInvalidModel:
    case ErrorCode::kInvalidPlan:
    case ErrorCode::kVersionMismatch:
    case ErrorCode::kInvalidInput:
    case ErrorCode::kIo:
      return kBadInput;
    case ErrorCode::kUnsupported:
      return kNotSupported;
    case ErrorCode::kCancelled:
      return kCheckFailed;
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kDevice:
    case ErrorCode::kInternal:
      break;
  }
  return kNoResources;
}

}  // namespace cameo::cli

int main(int argc, char** argv) { return cameo::cli::run(argc, argv); }
