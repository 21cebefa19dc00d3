// A causal language model fed token by token: hides how a plan keeps keys and values, and whether it does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cameo/engine.h"
#include "cameo/generate.h"

namespace cameo {

struct DecoderOptions {
  DecodeMode mode = DecodeMode::kAuto;
  int threads = 0;         // as ContextOptions::threads
  int64_t max_length = 0;  // memory is reserved for so many tokens a row; 0: it grows as rows do
  int64_t max_batch = 0;   // and for so many rows
};

struct DecoderInfo {
  DecodeMode mode = DecodeMode::kRecompute;  // never kAuto
  int64_t vocabulary = 0;                    // logits a token; 0 until the first prefill where the model does not say
  int64_t max_length = 0;                    // most tokens of a row; 0: no limit is known
  int64_t max_batch = 0;                     // most rows; 0: no limit is known
  std::string why_not_cached;                // empty when the plan keeps keys and values
};

// Of the last prefill or step, in milliseconds.
struct DecoderTimes {
  double copy_in_ms = 0, compute_ms = 0, copy_out_ms = 0;
};

// Rows of a batch are sequences of their own: each gives the logits that it gives alone, whatever the lengths of the others.
// Not for use by two threads at once.
class Decoder {
 public:
  class Strategy;

  // For models input_ids [batch, sequence] (and attention_mask, position_ids, past_key_values.N.key and .value) -> logits
  // [batch, sequence, vocabulary]. Errors: kUnsupported when the engine's inputs and outputs are not those of such a model, or it
  // cannot do `mode`.
  static Result<Decoder> create(const Engine& engine, const DecoderOptions& options = {});
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();

  const DecoderInfo& info() const;

  // Begins anew with one row for each prompt. Errors: kInvalidInput for no prompt, an empty one, ids out of the vocabulary, or
  // lengths that the plan's profiles exclude. After an error there are no rows.
  Status prefill(std::span<const std::vector<uint32_t>> prompts);
  // One more token for each row.
  Status step(std::span<const uint32_t> tokens);
  // Of the row's last token; valid until the next call that changes the decoder.
  std::span<const float> logits(size_t row) const;

  // Whether generate() can be called with these rows of so many tokens, new ones among them: on a GPU whose backend knows
  // the model's layers.
  bool generates(size_t rows, size_t tokens, const GenerateOptions& options) const;
  // prefill(), then max_new_tokens tokens of each row, chosen where the model runs as the options say, row r with seed + r. `on_step`
  // gets those of all rows as they come; false ends. Afterwards there are no rows.
  Status generate(std::span<const std::vector<uint32_t>> prompts, const GenerateOptions& options,
                  const std::function<Result<bool>(std::span<const uint32_t>)>& on_step);

  size_t batch() const;
  // Tokens that the row has.
  size_t length(size_t row) const;

  // Row i becomes what row sources[i] is, logits included; there are as many rows as sources then, at most as many as now.
  Status reorder(std::span<const size_t> sources);

  // Whether `new_tokens` tokens can be made after a prompt of that length; the error names the flag that would allow it.
  Status check_length(size_t longest_prompt, size_t new_tokens) const;

  const DecoderTimes& times() const;
  // As ExecutionContext::start_profiling and take_profile.
  void start_profiling();
  std::vector<NodeTime> take_profile();
  // Makes a prefill or step in progress on another thread stop with kCancelled.
  void cancel();

 private:
  Status check_prompts(std::span<const std::vector<uint32_t>> prompts, size_t new_tokens) const;
  explicit Decoder(std::unique_ptr<Strategy> strategy);
  std::unique_ptr<Strategy> strategy_;
};

}  // namespace cameo
