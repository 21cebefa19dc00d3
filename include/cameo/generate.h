// Text generation with a causal language model: prompts in, text out, token by token.
//
// A TextModel is what a folder holds: the model, its tokenizer, its chat template and its settings. It never changes and
// may be shared. A TextGenerator is what one caller needs to run it, with a KV cache where the model allows one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cameo/builder.h"
#include "cameo/engine.h"
#include "cameo/error.h"
#include "cameo/export.h"
#include "cameo/tokenizer.h"

namespace cameo {

// How a sequence is continued from step to step. All modes give the same tokens.
enum class DecodeMode {
  kAuto,        // kCached where the model allows it, else kLastLogits
  kCached,      // keys and values of earlier tokens are kept; a step runs the new token alone
  kLastLogits,  // the whole sequence is run again at each step, in memory allocated before; the last logits are fetched
  kRecompute,   // the whole sequence is run again at each step, and all of its logits are fetched
};
// "auto", "cached", "o1", "recompute"
CAMEO_API std::string_view decode_mode_name(DecodeMode mode);

// Why a row ended: a token or string that ends the text, max_new_tokens, or the caller.
enum class FinishReason { kStop, kLength, kCancelled };
// "stop", "length", "cancelled"
CAMEO_API std::string_view finish_reason_name(FinishReason reason);

struct GenerateOptions {
  size_t max_new_tokens = 128;

  // What the logits are changed by, in this order: logit_bias is added; the logit of every token of the prompt and the text
  // so far is divided by repetition_penalty if it is positive, else multiplied; tokens made so far lose presence_penalty,
  // and frequency_penalty for each time they were made.
  std::vector<std::pair<uint32_t, float>> logit_bias;
  double repetition_penalty = 1;
  double presence_penalty = 0;
  double frequency_penalty = 0;

  // Sampling. Temperature 0 is greedy: the likeliest token, of equal ones the first. Else logits are divided by the
  // temperature, and a token is drawn among the top_k likeliest (0: all), of these the likeliest whose probabilities add up
  // to top_p, of these the ones that are at least min_p times as likely as the likeliest.
  double temperature = 0;
  size_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
  // Row r of a batch draws what it draws alone with seed + r, on every machine.
  uint64_t seed = 0;

  // Beam search, as Hugging Face defines it: the sum of log-probabilities is divided by length^length_penalty. Goes with
  // temperature 0 and without stop strings.
  size_t num_beams = 1;
  double length_penalty = 1;
  bool early_stopping = false;  // end as soon as num_beams texts have ended

  std::vector<std::string> stop_strings;  // the text ends before the first one that appears
  std::vector<uint32_t> stop_tokens;      // these end the text as the model's own end tokens do
  bool ignore_end_tokens = false;         // of the model

  bool log_probabilities = false;    // fills log_probability: of the model's own distribution, before any change
  size_t top_log_probabilities = 0;  // that many of the likeliest tokens are reported at each step
  // Whether TokenEvent has the logits. Without, a GPU chooses tokens itself, and goes on while they are looked at.
  bool pass_logits = true;

  std::stop_token cancel;  // request_stop() on its source, from any thread, ends all rows with kCancelled
};

struct TokenProbability {
  uint32_t id = 0;
  float log_probability = 0;
};

// A new token. Views are valid during the call.
struct TokenEvent {
  size_t row = 0;
  uint32_t id = 0;
  // Text that is now certain: whole characters, of this token and perhaps of those before; may be empty.
  std::string_view text;
  float log_probability = 0;              // if asked for
  std::span<const TokenProbability> top;  // likeliest first, if asked for
  std::span<const float> logits;          // as the model gave them; empty with beam search, and without pass_logits
  std::optional<FinishReason> finish;     // set at the row's last token
};
// Called for each token of each row; false ends the row with kCancelled. With beam search the calls come at the end.
using OnToken = std::function<bool(const TokenEvent&)>;

// What became of one prompt.
struct Completion {
  std::string text;  // what follows the prompt, without special tokens and stop strings
  std::vector<uint32_t> prompt_token_ids;
  std::vector<uint32_t> token_ids;  // the new ones, the end token among them
  std::vector<float> log_probabilities;
  std::vector<std::vector<TokenProbability>> top_log_probabilities;
  FinishReason finish_reason = FinishReason::kLength;
  double score = 0;  // of the beam
};

// In milliseconds.
struct GenerateTimes {
  double prefill = 0;         // the prompts, until the first logits are there
  std::vector<double> steps;  // each step after that, of all rows together
  double copy_in = 0;         // of prefill and steps: inputs to the device,
  double compute = 0;         // the model's run,
  double copy_out = 0;        // logits to the host
  double total = 0;           // all of generate(), tokenizer and sampling included
};

struct Generation {
  std::vector<Completion> completions;  // a prompt each
  GenerateTimes times;
};

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct TextModelOptions {
  std::string plan;                   // this plan instead of the folder's model
  std::string tokenizer;              // this tokenizer.json instead of the folder's
  KvCache kv_cache = KvCache::kAuto;  // where a plan is built: instead of build.kv_cache
  BuildOptions build;                 // where a plan is built
  Logger* logger = nullptr;           // null: default_logger()
};

// A language model with all that belongs to it. Cheap to copy; copies share it.
class CAMEO_API TextModel {
 public:
  // `path` is a folder, a .onnx file or a plan. A folder holds model.plan or model.onnx. Beside the model are tokenizer.json and,
  // where there are any, config.json, generation_config.json, tokenizer_config.json and chat_template.jinja.
  // Errors: those of Builder, Engine and Tokenizer; kInvalidModel for damaged files, kIo for missing ones.
  static Result<TextModel> load(const std::string& path, const TextModelOptions& options = {});

  const Engine& engine() const;
  const Tokenizer& tokenizer() const;
  // What generation_config.json says of sampling, else greedy.
  const GenerateOptions& defaults() const;
  // Tokens that end a text.
  std::span<const uint32_t> end_tokens() const;
  // Tokens that the model has positions for; 0 where no file says.
  size_t max_positions() const;

  bool has_chat_template() const;
  // The conversation as the model's template writes it, with the beginning of an answer. Errors: kUnsupported without a
  // template, kInvalidModel where the template is damaged, kInvalidInput with its own words where it refuses the messages.
  Result<std::string> chat_prompt(std::span<const ChatMessage> messages) const;
  // The same in tokens.
  Result<std::vector<uint32_t>> encode_chat(std::span<const ChatMessage> messages) const;

  struct Impl;

 private:
  friend class TextGenerator;
  explicit TextModel(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

struct TextGeneratorOptions {
  DecodeMode mode = DecodeMode::kAuto;
  int threads = 0;         // 0: one for each processor that the process may use
  int64_t max_length = 0;  // tokens of a sequence that memory is set aside for; 0: it grows as needed
  int64_t max_batch = 0;   // rows, likewise
};

// Runs a TextModel. For one caller at a time.
class CAMEO_API TextGenerator {
 public:
  // Errors: kUnsupported when the engine is no language model, or cannot be run in the mode asked for.
  static Result<TextGenerator> create(const TextModel& model, const TextGeneratorOptions& options = {});
  TextGenerator(TextGenerator&&) noexcept;
  TextGenerator& operator=(TextGenerator&&) noexcept;
  ~TextGenerator();

  // Continues each prompt; they may differ in length, and each gets what it gets alone. All lengths are checked before the
  // first step. Errors: kInvalidArgument (options), kInvalidInput (a prompt that is not UTF-8, has no tokens, is too long, or
  // has tokens that the model does not know).
  Result<Generation> generate(std::span<const std::string> prompts, const GenerateOptions& options, const OnToken& on_token = {});
  // The same for prompts in tokens.
  Result<Generation> generate(std::span<const std::vector<uint32_t>> prompts, const GenerateOptions& options, const OnToken& on_token = {});
  // For a single prompt.
  Result<Completion> generate(const std::string& prompt, const GenerateOptions& options, const OnToken& on_token = {});

  // The mode that is used.
  DecodeMode mode() const;
  // Why kAuto did not choose the cache; empty if it did.
  const std::string& why_not_cached() const;

 private:
  struct Impl;
  explicit TextGenerator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cameo
