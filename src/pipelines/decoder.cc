#include "pipelines/decoder.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "pipelines/decoder_strategy.h"

namespace cameo {
namespace {

constexpr int64_t kMostReserved = int64_t{1} << 30;  // tokens or rows; far beyond any memory

Status check_ids(std::span<const uint32_t> ids, size_t row, int64_t vocabulary) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (vocabulary > 0 && ids[i] >= static_cast<uint64_t>(vocabulary))
      return error(ErrorCode::kInvalidInput, "token {} of row {} is {}; the model has ids 0 to {}", i, row, ids[i], vocabulary - 1);
  return {};
}

}  // namespace

std::string_view decode_mode_name(DecodeMode mode) {
  switch (mode) {
    case DecodeMode::kAuto:
      return "auto";
    case DecodeMode::kCached:
      return "cached";
    case DecodeMode::kLastLogits:
      return "o1";
    case DecodeMode::kRecompute:
      return "recompute";
  }
  return "unknown";
}

Decoder::Decoder(std::unique_ptr<Strategy> strategy) : strategy_(std::move(strategy)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

Result<Decoder> Decoder::create(const Engine& engine, const DecoderOptions& options) {
  if (options.max_length < 0 || options.max_length > kMostReserved || options.max_batch < 0 || options.max_batch > kMostReserved)
    return error(ErrorCode::kInvalidArgument, "max_length is {} and max_batch {}; they must be 0 to {}", options.max_length,
                 options.max_batch, kMostReserved);
  CAMEO_ASSIGN(LanguageModel model, LanguageModel::read(engine));
  DecoderInfo info = {.vocabulary = model.vocabulary, .max_length = model.max_length, .max_batch = model.max_batch};
  const bool has_past = !model.in_place && !model.caches.empty() && model.positions && model.mask, can_cache = model.in_place || has_past;
  if (!can_cache) info.why_not_cached = "the plan was built without one; cameo build --kv-cache=on adds it, or says why it cannot";
  if (options.mode == DecodeMode::kCached && !can_cache)
    return error(ErrorCode::kUnsupported, "the plan cannot be run with a cache of keys and values: {}", info.why_not_cached);
  if (options.mode == DecodeMode::kRecompute && model.in_place)
    return error(ErrorCode::kUnsupported,
                 "the plan was built with a cache, and gives the logits of last tokens alone; the mode that copies "
                 "every logit back takes one built with --kv-cache=off");
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.threads = options.threads}));
  info.mode = options.mode == DecodeMode::kAuto ? (can_cache ? DecodeMode::kCached : DecodeMode::kLastLogits) : options.mode;
  std::unique_ptr<Strategy> strategy;
  if (model.in_place)
    strategy = make_in_place_strategy(std::move(model), std::move(context), engine.impl(), options, info.mode != DecodeMode::kCached);
  else if (info.mode == DecodeMode::kCached)
    strategy = make_with_past_strategy(std::move(model), std::move(context), options);
  else
    strategy = make_recompute_strategy(std::move(model), std::move(context), engine.impl(), options, info.mode == DecodeMode::kRecompute);
  strategy->info = std::move(info);
  return Decoder(std::move(strategy));
}

const DecoderInfo& Decoder::info() const { return strategy_->info; }
const DecoderTimes& Decoder::times() const { return strategy_->times; }
size_t Decoder::batch() const { return strategy_->batch(); }
size_t Decoder::length(size_t row) const { return strategy_->length(row); }
std::span<const float> Decoder::logits(size_t row) const { return row < batch() ? strategy_->logits(row) : std::span<const float>(); }
void Decoder::start_profiling() { strategy_->context().start_profiling(); }
std::vector<NodeTime> Decoder::take_profile() { return strategy_->context().take_profile(); }
void Decoder::cancel() { strategy_->context().cancel(); }

Status Decoder::check_length(size_t longest_prompt, size_t new_tokens) const {
  // The last new token is not fed.
  const size_t fed = longest_prompt + std::max<size_t>(new_tokens, 1) - 1;
  const auto most = static_cast<size_t>(info().max_length > 0 ? info().max_length : kMostReserved);
  if (fed >= longest_prompt && fed <= most) return {};
  return error(ErrorCode::kInvalidInput,
               "{} prompt tokens and {} new ones make a sequence of {} to compute, and the plan allows {}; build it with a larger "
               "--max-shapes, or ask for fewer tokens",
               longest_prompt, new_tokens, fed, most);
}

Status Decoder::check_prompts(std::span<const std::vector<uint32_t>> prompts, size_t new_tokens) const {
  const DecoderInfo& limits = info();
  if (prompts.empty()) return error(ErrorCode::kInvalidInput, "there is no prompt");
  const auto most = static_cast<size_t>(limits.max_batch > 0 ? limits.max_batch : kMostReserved);
  if (prompts.size() > most)
    return error(ErrorCode::kInvalidInput, "{} rows were given, and the plan allows {}; build it with a larger --max-shapes",
                 prompts.size(), most);
  size_t longest = 0;
  for (size_t row = 0; row < prompts.size(); ++row) {
    if (prompts[row].empty()) return error(ErrorCode::kInvalidInput, "prompt {} has no tokens", row);
    CAMEO_TRY(check_ids(prompts[row], row, limits.vocabulary));
    longest = std::max(longest, prompts[row].size());
  }
  return check_length(longest, new_tokens);
}

Status Decoder::prefill(std::span<const std::vector<uint32_t>> prompts) try {
  strategy_->clear();
  CAMEO_TRY(check_prompts(prompts, 0));
  strategy_->times = {};
  auto status = strategy_->prefill(prompts);
  if (!status.ok()) strategy_->clear();
  return status;
} catch (const std::bad_alloc&) {
  strategy_->clear();
  return error(ErrorCode::kOutOfMemory, "no memory for {} rows", prompts.size());
}

bool Decoder::generates(size_t rows, size_t tokens, const GenerateOptions& options) const {
  return strategy_->generates(rows, tokens, options);
}

Status Decoder::generate(std::span<const std::vector<uint32_t>> prompts, const GenerateOptions& options,
                         const std::function<Result<bool>(std::span<const uint32_t>)>& on_step) try {
  strategy_->clear();
  CAMEO_TRY(check_prompts(prompts, options.max_new_tokens));
  strategy_->times = {};
  return options.max_new_tokens == 0 ? Status() : strategy_->generate(prompts, options, on_step);
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory for {} rows", prompts.size());
}

Status Decoder::step(std::span<const uint32_t> tokens) try {
  if (batch() == 0) return error(ErrorCode::kInvalidArgument, "there are no rows: call prefill() first");
  if (tokens.size() != batch()) return error(ErrorCode::kInvalidInput, "{} tokens were given for {} rows", tokens.size(), batch());
  size_t longest = 0;
  for (size_t row = 0; row < tokens.size(); ++row) {
    CAMEO_TRY(check_ids(tokens.subspan(row, 1), row, info().vocabulary));
    longest = std::max(longest, length(row));
  }
  CAMEO_TRY(check_length(longest + 1, 0));
  strategy_->times = {};
  return strategy_->step(tokens);
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory for one more token of {} rows", tokens.size());
}

Status Decoder::reorder(std::span<const size_t> sources) try {
  if (sources.empty() || sources.size() > batch())
    return error(ErrorCode::kInvalidArgument, "{} sources were given for {} rows", sources.size(), batch());
  for (size_t source : sources)
    if (source >= batch()) return error(ErrorCode::kInvalidArgument, "row {} does not exist; there are {}", source, batch());
  return strategy_->reorder(sources);
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory to reorder {} rows", sources.size());
}

Status Decoder::Strategy::reserve_logits(size_t rows, int64_t vocabulary) {
  if (vocabulary < 1 || (info.vocabulary > 0 && vocabulary != info.vocabulary))
    return error(ErrorCode::kUnsupported, "the model gave {} logits a token, {} were expected", vocabulary, info.vocabulary);
  info.vocabulary = vocabulary;
  logits_.resize(std::max(logits_.size(), rows * static_cast<size_t>(vocabulary)));
  return {};
}

void Decoder::Strategy::reorder_logits(std::span<const size_t> sources) {
  const auto width = static_cast<size_t>(info.vocabulary);
  const bool stay =
      std::equal(sources.begin(), sources.end(), sources.begin(), [&, i = size_t{0}](size_t s, size_t) mutable { return s == i++; });
  if (stay) return;
  const std::vector<float> before(logits_.begin(), logits_.begin() + static_cast<std::ptrdiff_t>(batch() * width));
  for (size_t i = 0; i < sources.size(); ++i)
    std::memcpy(logits_.data() + i * width, before.data() + sources[i] * width, width * sizeof(float));
}

}  // namespace cameo
