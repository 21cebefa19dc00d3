// Building a plan from a model.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cameo/error.h"
#include "cameo/export.h"
#include "cameo/logger.h"
#include "cameo/plan.h"
#include "cameo/profile.h"
#include "cameo/tensor.h"

namespace cameo {

// How constant matrices of matrix products are stored; sums stay float32.
enum class WeightType { kFloat32, kFloat16, kBfloat16, kInt8, kInt4 };

// How the range of an activation follows from what calibration sees: all of it; the range that loses the least information when
// rounded (Kullback-Leibler); all but the outermost 0.01 % of the values.
enum class CalibrationMethod { kMinMax, kEntropy, kPercentile };

// How far results may be from those of the float model on the calibration inputs, at most over inputs and outputs.
struct MaxLoss {
  enum class Metric {
    kCosine,    // 1 - cosine of the angle between the results
    kRelative,  // norm of the difference over the norm of the float result
    kKl,        // mean divergence of the softmax over the last axis, in nats
  } metric = Metric::kCosine;
  double most = 1e-3;
};

// Whether a causal language model is made to keep keys and values. That changes its inputs and outputs: the plan takes the next tokens
// of each row, past_lengths, last_positions and the caches, and gives the logits of each row's last token. docs/text.md has the details.
enum class KvCache {
  kOff,
  kAuto,  // where it can be done; if not, PassReport "add_kv_cache" says why
  kOn,    // it is an error where it cannot
};

// How a GPU computes and keeps float32 values; sums are float32 in all. kTf32 rounds operands of products and convolutions to 10
// bits of mantissa; kFloat16 and kBfloat16 give them and activations in memory 16 bits, norms and softmax stay float32 inside.
enum class DevicePrecision { kFloat32, kTf32, kFloat16, kBfloat16 };

struct BuildOptions {
  std::vector<Profile> profiles;  // none: every shape that the model allows
  // How much to measure when kernels are chosen: 0 nothing, builds at once; 3 each candidate on the shapes at opt; 5 most.
  int optimization_level = 3;
  std::string timing_cache;                  // file of times that is read, and written when something was measured; empty: none
  bool error_on_miss = false;                // measure nothing: what the timing cache does not hold is an error
  double tuning_seconds = 0;                 // after that long the rest is chosen without measuring; 0: no limit
  int threads = 0;                           // that runs will use; 0: one for each processor
  bool reference = false;                    // neither passes nor tactics: the plain operators as the model has them, to compare with
  std::vector<std::string> disabled_passes;  // by name, as `cameo inspect --passes` lists them
  bool verify_passes = false;                // check the graph's rules and types after each pass
  int64_t folding_budget_bytes = int64_t{256} << 20;  // constant folding stops after adding this much to the constants
  // Types are those of the model: nothing is lowered, and what it rounds to 8 bits and back is rounded. Otherwise values that nothing
  // needs as bytes keep their float precision, and `int8` and `weights` may lower what is left.
  bool strongly_typed = false;
  // Types of inputs and outputs in place of the model's, by name: numbers of any width and bool. "*" stands for all floats that are not
  // named. The plan converts; values for `calibration` have the types that are asked for here. Not for models that get a cache.
  std::map<std::string, DType> input_types, output_types;
  std::string external_data_root;  // one more folder that external data may lie in
  WeightType weights = WeightType::kFloat32;
  // Rows of a weight that share a scale, a multiple of 16; 0: all rows (int8), 32 (int4).
  int64_t weight_group_size = 0;
  // With a cache, ranges of input_ids in `profiles` are those of whole sequences: they say what rows and how many tokens of each the
  // cache may hold; ranges of other inputs do not matter.
  KvCache kv_cache = KvCache::kOff;
  // Of a language model from config.json or GGUF: last_hidden_state in place of logits, from input_ids and attention_mask alone, so
  // that it can be used as an encoder. Other models are as they are.
  bool hidden_states = false;
  // Products and convolutions on 8-bit activations and weights; `calibration` gives the ranges, or the cache does. Neither int8 nor
  // `weights` is used where it is not faster (from optimization_level 1 on).
  bool int8 = false;
  // Products on 8-bit floats (E4M3) on a GPU: weights with a scale a column or one for all, activations with the scale that
  // `calibration` or the cache gives, or else one found in each run.
  bool float8 = false;
  // Ranges symmetric about zero, so that zero is in the middle of the codes; otherwise from the least to the greatest value.
  bool symmetric_activations = false;
  std::vector<std::map<std::string, Tensor>> calibration;  // inputs by name, a sample each
  CalibrationMethod calibration_method = CalibrationMethod::kMinMax;
  std::string calibration_cache;  // file of ranges that is read when it is there, else written; empty: none
  // Lowers only as much as this allows, by int8 or else by weights; needs `calibration`.
  std::optional<MaxLoss> max_loss;
  // "cpu", or "cuda" for an NVIDIA GPU, which needs the library libcameo_cuda but no GPU yet. The plan's kernels are chosen where
  // it is loaded. A node that the GPU cannot run is an error, unless it may run on the CPU.
  std::string device = "cpu";
  DevicePrecision precision = DevicePrecision::kFloat32;
  bool cpu_fallback = false;
  // On a GPU: carries no choices of kernels, and nothing is measured where the plan is loaded: it runs at once on any GPU.
  bool portable = false;
  // On a GPU: the same bits in every run and process; kernels are not chosen by measuring, and no sum depends on the order of threads.
  bool deterministic = false;
  // Called as the build goes on: a stage's name and the share of the whole that is done (0…1). Returning false
  // stops the build with kCancelled.
  std::function<bool(std::string_view stage, double done)> progress;
};

// What a pass did in a build.
struct PassReport {
  std::string name;
  int changes = 0;
  double milliseconds = 0;
  std::vector<std::string> notes;  // near misses and refusals, with the node and the reason
};

// What became of a layer that int8 or weights might have lowered.
struct LayerPrecision {
  std::string layer;
  std::string precision;  // "float32", "int8", "int4", …
  double loss = -1;       // of the whole model with this layer alone lowered; negative when it was not measured
  double float_microseconds = -1, low_microseconds = -1;
  std::string reason;  // why it keeps float32
};

class CAMEO_API Builder {
 public:
  explicit Builder(Logger& logger = default_logger()) : logger_(&logger) {}

  // From an ONNX file, a folder with config.json and *.safetensors (or model.onnx), or a GGUF file.
  // Errors: kIo, kInvalidModel, kUnsupported (naming the nodes that cannot be run), kInvalidArgument (profiles).
  Result<Plan> build(const std::string& model_path, const BuildOptions& options = {});
  // The same for a model in memory; its external data is looked for in `folder`.
  Result<Plan> build(std::span<const std::byte> model, const std::string& folder, const BuildOptions& options = {});

  // What the passes of the last build did.
  const std::vector<PassReport>& passes() const { return passes_; }
  // The layers that the last build looked at for a lower precision.
  const std::vector<LayerPrecision>& precisions() const { return precisions_; }

 private:
  Logger* logger_;
  std::vector<PassReport> passes_;
  std::vector<LayerPrecision> precisions_;
};

}  // namespace cameo
