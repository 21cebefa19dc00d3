// Text generation with a causal language model: greedy, the whole sequence computed anew at every step.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cameo/engine.h"

namespace cameo {

// A language model exported as input_ids [batch, seq] (and attention_mask) -> logits [batch, seq, vocabulary].
class Generator {
 public:
  // Errors: kUnsupported when the engine's inputs and outputs are not those of such a model.
  static Result<Generator> create(const Engine& engine);

  struct Step {
    uint32_t token;                 // the likeliest next token, which is appended
    std::span<const float> logits;  // of the last position; valid during the call
    double milliseconds;            // of the model's run
  };
  // Called after each step; false stops.
  using OnStep = std::function<bool(const Step&)>;

  // Appends up to `max_new_tokens` tokens to the prompt and gives the new ones. Ends early after a token of `stop`.
  // Errors: kInvalidInput for an empty prompt, ids out of the vocabulary, or a length that the plan's profiles exclude
  // (checked before the first step).
  Result<std::vector<uint32_t>> generate(std::span<const uint32_t> prompt, size_t max_new_tokens, std::span<const uint32_t> stop = {},
                                         const OnStep& on_step = {});

 private:
  Generator(ExecutionContext context, std::string output, bool has_mask)
      : context_(std::move(context)), output_(std::move(output)), has_mask_(has_mask) {}

  Status set_inputs(std::span<const int64_t> ids, std::span<const int64_t> mask);

  ExecutionContext context_;
  std::string output_;
  bool has_mask_;
};

}  // namespace cameo
