// Runs the official ONNX node cases that export_cases.py wrote; README.md beside this file says how.

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "case.h"
#include "compare.h"
#include "random_checks.h"
#include "run_model.h"
#include "runtime/backend.h"
#include "worker_pool.h"

namespace cameo::conformance {
namespace {

constexpr const char* kUsage =
    "usage: conformance_test DATA_DIR [options]\n"
    "  DATA_DIR           what export_cases.py wrote\n"
    "  --filter=TEXT      only the cases with TEXT in their names\n"
    "  --case=NAME        only the case of that name\n"
    "  --listed=FILE      cases that cannot pass, with reasons\n"
    "  --jobs=N           child processes (all cores)\n"
    "  --timeout=SECONDS  for one case (60)\n"
    "  --open-shapes      the models whose inputs have open extents\n"
    "  --device=NAME      build for this device (cpu); cases that it refuses run with what it lacks on the CPU, and\n"
    "                     of those whose operators it has 95 % must pass\n"
    "  --reference        evaluate the imported graph instead of a plan\n"
    "  --in-process       no child processes, for a debugger\n"
    "  --summary=FILE     write the last line to a file too\n"
    "  --list             print the cases' names and stop\n"
    "  --verbose          print passing cases too, with their times\n";

struct Options {
  std::string program, data_dir, filter, single, listed_path, summary_path, device = "cpu";
  int jobs = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  double timeout_seconds = 60;
  bool open_shapes = false, reference = false, in_process = false, list = false, verbose = false;
};

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  options.program = argv[0];
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&](std::string_view flag) -> const char* {
      return argument.starts_with(flag) ? argument.c_str() + flag.size() : nullptr;
    };
    if (const char* v = value("--filter="))
      options.filter = v;
    else if (const char* v = value("--case="))
      options.single = v;
    else if (const char* v = value("--listed="))
      options.listed_path = v;
    else if (const char* v = value("--summary="))
      options.summary_path = v;
    else if (const char* v = value("--device="))
      options.device = v;
    else if (const char* v = value("--jobs="))
      options.jobs = std::max(1, std::atoi(v));
    else if (const char* v = value("--timeout="))
      options.timeout_seconds = std::atof(v);
    else if (argument == "--open-shapes")
      options.open_shapes = true;
    else if (argument == "--reference")
      options.reference = true;
    else if (argument == "--in-process")
      options.in_process = true;
    else if (argument == "--list")
      options.list = true;
    else if (argument == "--verbose")
      options.verbose = true;
    else if (!argument.starts_with("-") && options.data_dir.empty())
      options.data_dir = argument;
    else
      return std::nullopt;
  }
  if (options.data_dir.empty()) return std::nullopt;
  return options;
}

// Messages begin with the file, which the case's name says already.
std::string without_path(const std::string& message, const std::string& path) {
  return message.starts_with(path + ": ") ? message.substr(path.size() + 2) : message;
}

// Begins the text of a case that the device refuses, and that is right where the CPU may do what it lacks.
constexpr std::string_view kRefused = "refused: ";

// Empty when the case passes, else what is wrong.
std::string check(const Options& options, const CaseEntry& entry) {
  try {
    auto loaded = read_case(options.data_dir, entry, options.open_shapes ? "open.onnx" : "model.onnx");
    if (!loaded.ok()) return "reading the case: " + loaded.error().message();
    const Case& c = *loaded;
    std::vector<std::string> output_names;
    for (const auto& [name, value] : c.outputs) output_names.push_back(name);
    const RandomCheck random = random_check(c.name);
    bool fallback = false;
    const auto run = [&] {
      return options.reference ? run_reference(c.model_path, c.inputs, output_names)
                               : run_plan(c.model_path, c.inputs, output_names, random == nullptr, options.device, fallback);
    };
    if (random != nullptr) return random(c, run);
    auto outputs = run();
    std::string refused;
    if (!outputs.ok() && options.device != "cpu" && outputs.error().code() == ErrorCode::kUnsupported) {
      refused = std::string(kRefused) + without_path(outputs.error().message(), c.model_path);
      fallback = true;
      outputs = run();
    }
    if (!outputs.ok()) return without_path(outputs.error().message(), c.model_path);
    if (outputs->size() != c.outputs.size()) return fmt::format("{} outputs instead of {}", outputs->size(), c.outputs.size());
    for (size_t i = 0; i < c.outputs.size(); ++i) {
      const std::string text = difference((*outputs)[i], c.outputs[i].second, c.rtol, c.atol);
      if (!text.empty()) return fmt::format("output '{}': {}", c.outputs[i].first, text);
    }
    return refused;
  } catch (const std::exception& e) {
    return fmt::format("exception: {}", e.what());
  }
}

class Report {
 public:
  Report(const Options& options, const std::vector<CaseEntry>& cases, std::map<std::string, std::string> listed)
      : options_(options), cases_(cases), listed_(std::move(listed)) {}

  // `text` is empty when the case passed.
  void add(size_t index, const std::string& text) {
    const std::string& name = cases_[index].name;
    const auto reason = listed_.find(name);
    if (reason != listed_.end()) {
      ++num_listed_;
      if (text.empty()) fail(name, "passes, but stands on the list: take it off");
    } else if (text.starts_with(kRefused)) {
      ++num_refused_;
      num_uncovered_ += text.find(runtime::kNoSuchOperator) != std::string::npos;
      std::printf("none %s: %s\n", name.c_str(), text.c_str());
    } else if (!text.empty()) {
      fail(name, text);
    } else {
      ++num_passed_;
      if (options_.verbose) std::printf("ok   %s\n", name.c_str());
    }
  }

  int finish() const {
    std::string summary = fmt::format("conformance{}: {} of {} passed, {} listed\n", options_.open_shapes ? " with open shapes" : "",
                                      num_passed_, cases_.size(), num_listed_);
    const size_t covered = cases_.size() - num_uncovered_;
    const double share = 100.0 * static_cast<double>(num_passed_) / static_cast<double>(std::max<size_t>(1, covered));
    if (options_.device != "cpu")
      summary +=
          fmt::format("{}: {:.1f} % of the {} cases whose operators it has passed; {} cases were refused and right with the CPU's help\n",
                      options_.device, share, covered, num_refused_);
    std::fputs(summary.c_str(), stdout);
    if (!options_.summary_path.empty()) std::ofstream(options_.summary_path) << summary;
    return num_failed_ == 0 && (options_.device == "cpu" || share >= 95) ? 0 : 1;
  }

 private:
  void fail(const std::string& name, const std::string& text) {
    ++num_failed_;
    std::printf("FAIL %s: %s\n     repeat: %s %s --case=%s --in-process%s%s\n", name.c_str(), text.c_str(), options_.program.c_str(),
                options_.data_dir.c_str(), name.c_str(), options_.open_shapes ? " --open-shapes" : "",
                options_.reference ? " --reference" : "");
    std::fflush(stdout);
  }

  const Options& options_;
  const std::vector<CaseEntry>& cases_;
  const std::map<std::string, std::string> listed_;
  size_t num_passed_ = 0, num_listed_ = 0, num_failed_ = 0, num_refused_ = 0, num_uncovered_ = 0;
};

// Whether there is such a device; says so if not. Asked in a child process, for what a parent opened its children cannot use.
bool has_device(const std::string& name) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    auto backend = runtime::find_backend(name);
    const auto device = backend.ok() ? (*backend)->device() : Result<std::string>(backend.error());
    std::printf("%s%s\n", device.ok() ? "" : "SKIPPED: ", device.ok() ? device->c_str() : device.error().message().c_str());
    std::fflush(stdout);
    _exit(device.ok() ? 0 : 1);
  }
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int run(const Options& options) {
  if (options.device != "cpu" && !has_device(options.device)) return 0;
  auto index = read_index(options.data_dir);
  if (!index.ok()) {
    std::fprintf(stderr, "%s\n(export_cases.py writes it)\n", index.error().message().c_str());
    return 2;
  }
  std::vector<CaseEntry> cases;
  for (CaseEntry& entry : *index)
    if (entry.name.find(options.filter) != std::string::npos && (options.single.empty() || entry.name == options.single))
      cases.push_back(std::move(entry));
  if (cases.empty()) {
    std::fprintf(stderr, "no case is named like that\n");
    return 2;
  }
  if (options.list) {
    for (const CaseEntry& entry : cases) std::printf("%s\n", entry.name.c_str());
    return 0;
  }
  std::map<std::string, std::string> listed;
  if (!options.listed_path.empty()) {
    auto read = read_listed(options.listed_path);
    if (!read.ok()) {
      std::fprintf(stderr, "%s\n", read.error().message().c_str());
      return 2;
    }
    listed.insert(read->begin(), read->end());
  }
  Report report(options, cases, std::move(listed));
  if (options.in_process) {
    for (size_t i = 0; i < cases.size(); ++i) report.add(i, check(options, cases[i]));
  } else {
    run_in_children(
        cases.size(), [&](size_t i) { return check(options, cases[i]); }, [&](size_t i, std::string text) { report.add(i, text); },
        {options.jobs, options.timeout_seconds});
  }
  return report.finish();
}

}  // namespace
}  // namespace cameo::conformance

int main(int argc, char** argv) {
  const auto options = cameo::conformance::parse(argc, argv);
  if (!options) {
    std::fputs(cameo::conformance::kUsage, stderr);
    return 2;
  }
  return cameo::conformance::run(*options);
}
