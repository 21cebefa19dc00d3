#include "cameo/generate.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>

#include "base/error.h"
#include "pipelines/beam_search.h"
#include "pipelines/decoder.h"
#include "pipelines/sampler.h"
#include "pipelines/stop_strings.h"
#include "pipelines/text_model.h"
#include "pipelines/text_stream.h"

namespace cameo {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

// What is known of one prompt's continuation.
class Row {
 public:
  static Result<Row> create(size_t index, const TextModel& model, std::span<const uint32_t> prompt, const GenerateOptions& options,
                            std::span<const uint32_t> end_tokens, const OnToken& on_token) {
    CAMEO_ASSIGN(TextStream stream, TextStream::create(model.tokenizer(), prompt));
    Row row(index, std::move(stream), options, end_tokens, on_token);
    row.completion.prompt_token_ids.assign(prompt.begin(), prompt.end());
    return row;
  }

  // Adds a token; whether the row goes on.
  Result<bool> add(uint32_t id, float log_probability, std::vector<TokenProbability> top, std::span<const float> logits) {
    completion.token_ids.push_back(id);
    const bool ends = std::find(end_tokens_.begin(), end_tokens_.end(), id) != end_tokens_.end();
    std::optional<FinishReason> finish;
    std::string piece;
    if (!ends) {
      CAMEO_ASSIGN(const std::string made, stream_.push(id));
      piece = stop_strings_.push(made);
    }
    if (ends || stop_strings_.found())
      finish = FinishReason::kStop;
    else if (completion.token_ids.size() >= options_->max_new_tokens)
      finish = FinishReason::kLength;
    if (finish) {
      CAMEO_ASSIGN(const std::string rest, flush());
      piece += rest;
    }
    completion.text += piece;
    if (options_->log_probabilities) completion.log_probabilities.push_back(log_probability);
    if (on_token_) {
      const bool go_on = on_token_({index_, id, piece, log_probability, top, logits, finish});
      if (!go_on && !finish) return cancel();
    }
    if (options_->top_log_probabilities > 0) completion.top_log_probabilities.push_back(std::move(top));
    if (finish) completion.finish_reason = *finish;
    return !finish;
  }

  Result<bool> cancel() {
    completion.finish_reason = FinishReason::kCancelled;
    CAMEO_ASSIGN(const std::string rest, flush());
    completion.text += rest;
    return false;
  }

  Completion completion;

 private:
  Row(size_t index, TextStream stream, const GenerateOptions& options, std::span<const uint32_t> end_tokens, const OnToken& on_token)
      : index_(index),
        stream_(std::move(stream)),
        stop_strings_(options.stop_strings),
        options_(&options),
        end_tokens_(end_tokens),
        on_token_(on_token) {}

  // Text that waited for more.
  Result<std::string> flush() {
    CAMEO_ASSIGN(const std::string waiting, stream_.finish());
    std::string rest = stop_strings_.push(waiting);
    return rest + stop_strings_.finish();
  }

  size_t index_;
  TextStream stream_;
  StopStrings stop_strings_;
  const GenerateOptions* options_;
  std::span<const uint32_t> end_tokens_;
  const OnToken& on_token_;
};

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

struct TextGenerator::Impl {
  // Tokens of a sequence where neither a file nor the caller says how many there may be: more would take hours.
  static constexpr size_t kMostUnasked = 32768;

  TextModel model;
  Decoder decoder;
  bool length_asked = false;  // by TextGeneratorOptions::max_length

  // One call of generate().
  struct Job {
    const GenerateOptions& options;
    std::vector<uint32_t> end_tokens;
    std::vector<Row> rows;
    GenerateTimes times;
    bool wants_logits = false;  // somebody looks at them
  };

  Status check(std::span<const std::vector<uint32_t>> prompts, const GenerateOptions& options) const;
  Status prefill(std::span<const std::vector<uint32_t>> prompts, Job& job);
  Status step(std::span<const uint32_t> tokens, Job& job);
  Status sample(std::span<const std::vector<uint32_t>> prompts, Job& job);
  Status take_chosen(std::span<const std::vector<uint32_t>> prompts, Job& job);
  Status search(std::span<const std::vector<uint32_t>> prompts, Job& job);
  void note_times(Job& job) const {
    job.times.copy_in += decoder.times().copy_in_ms;
    job.times.compute += decoder.times().compute_ms;
    job.times.copy_out += decoder.times().copy_out_ms;
  }
};

Status TextGenerator::Impl::check(std::span<const std::vector<uint32_t>> prompts, const GenerateOptions& options) const {
  const auto known = static_cast<size_t>(decoder.info().vocabulary);
  CAMEO_TRY(check_options(options, known > 0 ? known : UINT32_MAX));
  size_t longest = 0;
  for (size_t row = 0; row < prompts.size(); ++row) {
    const std::string which = prompts.size() > 1 ? fmt::format("prompt {}", row + 1) : "the prompt";
    if (prompts[row].empty()) return error(ErrorCode::kInvalidInput, "{} has no tokens", which);
    longest = std::max(longest, prompts[row].size());
    for (const uint32_t id : prompts[row]) {
      if (known == 0 || id < known) continue;
      const auto text = model.tokenizer().id_to_token(id);
      return error(ErrorCode::kInvalidInput,
                   "{} has token {} ({}), but the model knows only ids below {}; does the tokenizer ({} ids) belong to this model?", which,
                   id, text ? "'" + *text + "'" : "unknown to the tokenizer too", known, model.tokenizer().id_end());
    }
  }
  if (const size_t most = model.max_positions(); most > 0 && longest + options.max_new_tokens > most + 1)
    return error(ErrorCode::kInvalidInput,
                 "{} prompt tokens and {} new ones are more than the {} positions that the model has; shorten the prompt or lower "
                 "max_new_tokens (--max-new-tokens)",
                 longest, options.max_new_tokens, most);
  if (model.max_positions() == 0 && !length_asked && (longest > kMostUnasked || options.max_new_tokens > kMostUnasked - longest))
    return error(ErrorCode::kInvalidInput,
                 "{} prompt tokens and {} new ones are more than {}, and no file says how many positions the model has; ask for the length "
                 "(--max-length), or put max_position_embeddings into config.json",
                 longest, options.max_new_tokens, kMostUnasked);
  return decoder.check_length(longest, options.max_new_tokens);
}

Status TextGenerator::Impl::prefill(std::span<const std::vector<uint32_t>> prompts, Job& job) {
  const auto start = Clock::now();
  CAMEO_TRY(decoder.prefill(prompts));
  job.times.prefill = milliseconds_since(start);
  note_times(job);
  return {};
}

Status TextGenerator::Impl::step(std::span<const uint32_t> tokens, Job& job) {
  const auto start = Clock::now();
  CAMEO_TRY(decoder.step(tokens));
  job.times.steps.push_back(milliseconds_since(start));
  note_times(job);
  return {};
}

Status TextGenerator::Impl::sample(std::span<const std::vector<uint32_t>> prompts, Job& job) {
  const GenerateOptions& options = job.options;
  std::deque<Sampler> samplers;
  for (size_t row = 0; row < prompts.size(); ++row) samplers.emplace_back(options, prompts[row], options.seed + row);
  size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  if (!options.log_probabilities && options.top_log_probabilities == 0 && !job.wants_logits &&
      decoder.generates(prompts.size(), longest + options.max_new_tokens - 1, options))
    return take_chosen(prompts, job);
  CAMEO_TRY(prefill(prompts, job));

  std::vector<size_t> active(prompts.size());  // the job's row of each row of the decoder
  for (size_t i = 0; i < active.size(); ++i) active[i] = i;
  while (true) {
    std::vector<uint32_t> tokens;
    std::vector<size_t> kept;
    for (size_t i = 0; i < active.size(); ++i) {
      const size_t row = active[i];
      if (options.cancel.stop_requested()) {
        CAMEO_TRY(job.rows[row].cancel());
        continue;
      }
      const std::span<const float> logits = decoder.logits(i);
      auto token = samplers[row].pick(logits);
      if (!token.ok())
        return std::move(token).error().in(fmt::format("row {}, new token {}", row, job.rows[row].completion.token_ids.size()));
      samplers[row].accept(*token);
      float log_probability = 0;
      std::vector<TokenProbability> top;
      if (options.log_probabilities || options.top_log_probabilities > 0) {
        const double sum = log_sum_exp(logits);
        log_probability = static_cast<float>(logits[*token] - sum);
        top = options.top_log_probabilities > 0 ? most_likely(logits, options.top_log_probabilities, sum) : std::vector<TokenProbability>();
      }
      CAMEO_ASSIGN(const bool goes_on, job.rows[row].add(*token, log_probability, std::move(top), logits));
      if (!goes_on) continue;
      tokens.push_back(*token);
      kept.push_back(i);
    }
    if (kept.empty()) return {};
    if (kept.size() < active.size()) {
      CAMEO_TRY(decoder.reorder(kept));
      for (size_t& slot : kept) slot = active[slot];
      active = kept;
    }
    CAMEO_TRY(step(tokens, job));
  }
}

// Where the device chooses. Rows that have ended go on there, unseen, until all have.
Status TextGenerator::Impl::take_chosen(std::span<const std::vector<uint32_t>> prompts, Job& job) {
  std::vector<char> ended(prompts.size(), 0);
  size_t left = prompts.size();
  auto last = Clock::now();
  bool first = true;
  CAMEO_TRY(decoder.generate(prompts, job.options, [&](std::span<const uint32_t> tokens) -> Result<bool> {
    const double ms = milliseconds_since(std::exchange(last, Clock::now()));
    if (std::exchange(first, false))
      job.times.prefill = ms;
    else
      job.times.steps.push_back(ms);
    for (size_t row = 0; row < tokens.size(); ++row) {
      if (ended[row]) continue;
      bool goes_on = false;
      if (job.options.cancel.stop_requested()) {
        CAMEO_TRY(job.rows[row].cancel());
      } else {
        CAMEO_ASSIGN(goes_on, job.rows[row].add(tokens[row], 0, {}, {}));
      }
      if (!goes_on) ended[row] = 1, --left;
    }
    return left > 0;
  }));
  note_times(job);
  return {};
}

Status TextGenerator::Impl::search(std::span<const std::vector<uint32_t>> prompts, Job& job) {
  const GenerateOptions& options = job.options;
  const size_t beams = options.num_beams;
  const BeamSearch::Settings settings{beams, options.length_penalty, options.early_stopping, options.max_new_tokens, job.end_tokens};
  std::vector<BeamSearch> searches(prompts.size(), BeamSearch(settings));
  // A row of the decoder for each beam; the beams of a prompt are alike at first.
  std::vector<std::vector<uint32_t>> copies;
  for (const auto& prompt : prompts) copies.insert(copies.end(), beams, prompt);
  CAMEO_TRY(prefill(copies, job));

  std::vector<size_t> active(prompts.size());  // prompts that go on; each has `beams` rows of the decoder
  for (size_t i = 0; i < active.size(); ++i) active[i] = i;
  while (!active.empty() && !options.cancel.stop_requested()) {
    std::vector<size_t> sources, kept;
    std::vector<uint32_t> tokens;
    for (size_t i = 0; i < active.size(); ++i) {
      BeamSearch& one = searches[active[i]];
      std::vector<std::vector<float>> scores(one.running().size());
      for (size_t b = 0; b < scores.size(); ++b) {
        const std::span<const float> logits = decoder.logits(i * beams + b);
        if (auto known = likeliest(logits); !known.ok()) return std::move(known).error().in(fmt::format("row {}", active[i]));
        if (logits.size() < BeamSearch::candidates(settings))
          return error(ErrorCode::kInvalidArgument, "{} beams are too many for a vocabulary of {}", beams, logits.size());
        scores[b].resize(logits.size());
        log_softmax(logits, scores[b]);
        Sampler penalties(options, prompts[active[i]], 0);
        if (!penalties.changes_logits()) continue;
        for (const uint32_t token : one.running()[b].tokens) penalties.accept(token);
        penalties.change(scores[b]);
      }
      const std::vector<std::span<const float>> views(scores.begin(), scores.end());
      one.advance(views);
      if (one.done()) continue;
      kept.push_back(active[i]);
      for (size_t b = 0; b < one.running().size(); ++b) {
        sources.push_back(i * beams + one.sources()[b]);
        tokens.push_back(one.running()[b].tokens.back());
      }
    }
    active = std::move(kept);
    if (active.empty()) break;
    CAMEO_TRY(decoder.reorder(sources));
    CAMEO_TRY(step(tokens, job));
  }

  const bool cancelled = !active.empty();
  for (size_t row = 0; row < prompts.size(); ++row) {
    const BeamSearch::Text& best = searches[row].best();
    job.rows[row].completion.score = best.score;
    bool goes_on = true;
    for (size_t i = 0; i < best.tokens.size() && goes_on; ++i) {
      CAMEO_ASSIGN(goes_on, job.rows[row].add(best.tokens[i], best.log_probabilities[i], {}, {}));
    }
    if (goes_on && cancelled) CAMEO_TRY(job.rows[row].cancel());
  }
  return {};
}

TextGenerator::TextGenerator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TextGenerator::TextGenerator(TextGenerator&&) noexcept = default;
TextGenerator& TextGenerator::operator=(TextGenerator&&) noexcept = default;
TextGenerator::~TextGenerator() = default;

Result<TextGenerator> TextGenerator::create(const TextModel& model, const TextGeneratorOptions& options) {
  CAMEO_ASSIGN(Decoder decoder,
               Decoder::create(
                   model.engine(),
                   {.mode = options.mode, .threads = options.threads, .max_length = options.max_length, .max_batch = options.max_batch}));
  return TextGenerator(std::make_unique<Impl>(Impl{model, std::move(decoder), options.max_length > 0}));
}

Result<Generation> TextGenerator::generate(std::span<const std::vector<uint32_t>> prompts, const GenerateOptions& options,
                                           const OnToken& on_token) {
  const auto start = Clock::now();
  Generation result;
  if (prompts.empty()) return result;
  CAMEO_TRY(impl_->check(prompts, options));
  Impl::Job job{options, options.stop_tokens, {}, {}, on_token && options.pass_logits};
  if (!options.ignore_end_tokens) {
    const auto own = impl_->model.end_tokens();
    job.end_tokens.insert(job.end_tokens.end(), own.begin(), own.end());
  }
  std::sort(job.end_tokens.begin(), job.end_tokens.end());
  job.end_tokens.erase(std::unique(job.end_tokens.begin(), job.end_tokens.end()), job.end_tokens.end());
  for (size_t row = 0; row < prompts.size(); ++row) {
    CAMEO_ASSIGN(Row made, Row::create(row, impl_->model, prompts[row], options, job.end_tokens, on_token));
    job.rows.push_back(std::move(made));
  }
  if (options.max_new_tokens > 0) {
    // A run in progress stops as well.
    const std::stop_callback stop(options.cancel, [this] { impl_->decoder.cancel(); });
    auto done = options.num_beams > 1 ? impl_->search(prompts, job) : impl_->sample(prompts, job);
    if (!done.ok() && done.error().code() == ErrorCode::kCancelled && options.cancel.stop_requested()) {
      for (Row& row : job.rows)
        if (row.completion.finish_reason == FinishReason::kLength && row.completion.token_ids.size() < options.max_new_tokens)
          CAMEO_TRY(row.cancel());
      done = {};
    }
    CAMEO_TRY(std::move(done));
  }
  for (Row& row : job.rows) result.completions.push_back(std::move(row.completion));
  result.times = std::move(job.times);
  result.times.total = milliseconds_since(start);
  return result;
}

Result<Generation> TextGenerator::generate(std::span<const std::string> prompts, const GenerateOptions& options, const OnToken& on_token) {
  const auto start = Clock::now();
  const std::vector<TextInput> inputs(prompts.begin(), prompts.end());
  CAMEO_ASSIGN(std::vector<Encoding> encodings, impl_->model.tokenizer().encode_batch(inputs));
  std::vector<std::vector<uint32_t>> ids;
  for (Encoding& encoding : encodings) ids.push_back(std::move(encoding.ids));
  CAMEO_ASSIGN(Generation result, generate(ids, options, on_token));
  result.times.total = milliseconds_since(start);
  return result;
}

Result<Completion> TextGenerator::generate(const std::string& prompt, const GenerateOptions& options, const OnToken& on_token) {
  CAMEO_ASSIGN(Generation result, generate(std::span(&prompt, 1), options, on_token));
  return std::move(result.completions.front());
}

DecodeMode TextGenerator::mode() const { return impl_->decoder.info().mode; }
const std::string& TextGenerator::why_not_cached() const {
  const std::string& of_plan = impl_->decoder.info().why_not_cached;
  const std::string& of_build = impl_->model.impl_->why_not_cached;
  return of_plan.empty() || of_build.empty() ? of_plan : of_build;
}

}  // namespace cameo
