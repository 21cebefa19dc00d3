// What the commands of `cameo` share.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cameo/builder.h"
#include "cameo/engine.h"
#include "ir/graph.h"

namespace cameo::cli {

// Exit codes, as `cameo --help` lists them.
enum Exit : int { kDone = 0, kCheckFailed = 1, kUsage = 2, kBadInput = 3, kNotSupported = 4, kNoResources = 5 };
int exit_code(ErrorCode code);

// Options of every command.
struct Common {
  bool json = false;  // one JSON object on stdout, everything else on stderr
  bool verbose = false;
};

// A command adds its options to `app` and gives what runs it. The result is an exit code.
using Run = std::function<Result<int>()>;
Run add_build(CLI::App& app, const Common& common);
Run add_run(CLI::App& app, const Common& common);
Run add_inspect(CLI::App& app, const Common& common);
Run add_bench(CLI::App& app, const Common& common);
Run add_explain(CLI::App& app, const Common& common);
Run add_profile(CLI::App& app, const Common& common);
Run add_surgeon(CLI::App& app, const Common& common);
Run add_devices(CLI::App& app, const Common& common);
Run add_exec(CLI::App& app, const Common& common);
Run add_generate(CLI::App& app, const Common& common);
Run add_embed(CLI::App& app, const Common& common);

// Shapes by input name, from "input_ids:1x16,attention_mask:1x16"; "name:scalar" is a scalar. The text after the last
// colon of each part is the shape, and a name may stand in single quotes.
Result<std::map<std::string, Dims>> parse_shapes(const std::string& text);
// The same for --shapes, which may be empty; a name that is no input of the engine is an error.
Result<std::map<std::string, Dims>> parse_input_shapes(const std::string& text, const Engine& engine);

// Profiles from repeated --min-shapes, --opt-shapes and --max-shapes; the n-th of each make profile n. A profile without
// opt takes max, one without min or max takes opt.
Result<std::vector<Profile>> make_profiles(const std::vector<std::string>& min, const std::vector<std::string>& opt,
                                           const std::vector<std::string>& max);

// The values of --weights by name.
const std::map<std::string, WeightType>& weight_types();

// Types of inputs or outputs by name, from "fp16" (all floats) or "pixels:uint8,logits:fp16". Types have their ONNX names, or fp32,
// fp16, bf16.
Result<std::map<std::string, DType>> parse_types(const std::string& text, std::string_view flag);
// The type of such a name, or kUndefined.
DType type_from_name(std::string_view name);

// The lines of a file, or of standard input for "-"; a carriage return before the end of a line is left out. Errors: kIo.
Result<std::vector<std::string>> read_lines(const std::string& file);

// Whether the file begins like a plan.
bool is_plan_file(const std::string& path);

// Inputs by name from NAME=VALUE each. A value is a literal such as [[1,2,3]], or a file if it ends in .npy; of a sequence
// input, repeated NAMEs are the elements.
Result<std::map<std::string, std::vector<Tensor>>> read_inputs(const Engine& engine, const std::vector<std::string>& texts);

// A plan file, or a model that is built to a plan in memory.
Result<Plan> load_or_build(const std::string& path, const BuildOptions& options, Logger& logger);

// Options that say where a model is built to run: --device, --fp16, --bf16, --tf32, --allow-cpu-fallback.
void add_device_options(CLI::App& app, BuildOptions& build);

// Names of the passes that make operators of domain ai.cameo, which other programs do not have.
std::vector<std::string> passes_with_own_operators();

// Shows on stderr what a build is at, when stderr is a terminal.
std::function<bool(std::string_view, double)> progress_bar();

// How inputs that the user did not give are made up: floats uniform in [-1, 1), integers uniform in 0…9, but 1 in
// inputs with "mask" in their name, bool true, strings empty.
Result<Tensor> random_tensor(const TensorInfo& info, const Dims& shape, uint64_t seed);

// The shape of an input: what `shapes` says, else opt of the profile, else the model's with 1 for what is open.
Dims choose_shape(const TensorInfo& info, const std::map<std::string, Dims>& shapes, std::span<const Profile> profiles, size_t profile);

// The attributes of a node, programs of fused operators written out: "trans_b=1, program: r2 = Add(x0, x1); r3 = Relu(r2)".
std::string attributes_text(const ir::Node& node);

// "1.5 MB"
std::string human_bytes(size_t bytes);

// Distribution of times.
struct Statistics {
  double min = 0, max = 0, mean = 0, median = 0, p90 = 0, p95 = 0, p99 = 0;
};
Statistics statistics(std::vector<double> values);
// The value below which `percent` of the sorted values lie (nearest rank).
double percentile(const std::vector<double>& sorted, double percent);
nlohmann::ordered_json to_json(const Statistics& s);

// Times of one request in milliseconds. On the CPU, h2d binds the inputs and d2h fetches the outputs; nothing is copied.
struct RequestTimes {
  std::vector<double> latency, h2d, compute, d2h, enqueue;
  double wall_seconds = 0;
  double qps() const { return wall_seconds > 0 ? static_cast<double>(latency.size()) / wall_seconds : 0; }
};
// throughput_qps, and a distribution for each time.
nlohmann::ordered_json to_json(const RequestTimes& times);

struct Load {
  double warmup_seconds = 0.2, duration_seconds = 3, idle_seconds = 0;
  size_t least_iterations = 10;
  size_t streams = 1;     // contexts, each on a thread of its own
  int threads = 0;        // of each context; 0: the processors divided among the streams
  std::vector<int> cpus;  // that the threads besides the callers' are pinned to; empty: none
  bool cuda_graphs = true;
};
// Runs the engine over and over on these inputs.
Result<RequestTimes> measure(const Engine& engine, const std::map<std::string, Tensor>& inputs, std::optional<size_t> profile,
                             const Load& load);

// ---- .npy files and literals ----

// Errors: kIo, kInvalidInput (damaged, or a type that tensors do not have). Version 1 to 3, either byte order, C and
// Fortran order.
Result<Tensor> read_npy(const std::string& path);
Result<Tensor> parse_npy(std::span<const std::byte> bytes);
Status write_npy(const std::string& path, const Tensor& tensor);
// The arrays of a .npz file that np.savez wrote (not compressed), by name.
Result<std::map<std::string, Tensor>> read_npz(const std::string& path);
// Samples, a tensor an input each: DATA/SAMPLE.npz, DATA/SAMPLE/INPUT.npy, or DATA/INPUT.npy for a single one; DATA may also be a
// .npz file. Samples come in the order of their names.
Result<std::vector<std::map<std::string, Tensor>>> read_samples(const std::string& path);
// "[[1, 2], [3, 4]]", "5", "[\"a\"]" as a tensor of that type.
Result<Tensor> parse_literal(const std::string& text, DType dtype);
// The tensor with elements of that type, when every kind of value can be kept (int32 to int64, float64 to float32, …).
Result<Tensor> convert(const Tensor& tensor, DType dtype);

// Elements as text for a summary: "[0.1, 0.2, …]", at most `most` of them.
std::string preview(const Tensor& tensor, size_t most = 6);
struct FloatSummary {
  double min = 0, max = 0, mean = 0;
  int64_t nan = 0;
};
std::optional<FloatSummary> summarize(const Tensor& tensor);

}  // namespace cameo::cli
