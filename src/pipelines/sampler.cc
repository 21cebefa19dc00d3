#include "pipelines/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace cameo {

Status check_options(const GenerateOptions& o, size_t vocabulary) {
  const auto bad = [](std::string_view name, auto value, std::string_view allowed) {
    return error(ErrorCode::kInvalidArgument, "{} is {}; it has to be {}", name, value, allowed);
  };
  if (o.max_new_tokens > size_t{1} << 30) return bad("max_new_tokens", o.max_new_tokens, "at most 2^30");
  if (!(o.temperature >= 0) || std::isinf(o.temperature)) return bad("temperature", o.temperature, "0 (greedy) or more");
  if (!(o.top_p > 0 && o.top_p <= 1)) return bad("top_p", o.top_p, "more than 0 and at most 1");
  if (!(o.min_p >= 0 && o.min_p <= 1)) return bad("min_p", o.min_p, "between 0 and 1");
  if (!(o.repetition_penalty > 0) || std::isinf(o.repetition_penalty))
    return bad("repetition_penalty", o.repetition_penalty, "more than 0");
  if (!std::isfinite(o.presence_penalty)) return bad("presence_penalty", o.presence_penalty, "a number");
  if (!std::isfinite(o.frequency_penalty)) return bad("frequency_penalty", o.frequency_penalty, "a number");
  if (!std::isfinite(o.length_penalty)) return bad("length_penalty", o.length_penalty, "a number");
  for (const auto& [id, bias] : o.logit_bias) {
    if (id >= vocabulary) return error(ErrorCode::kInvalidArgument, "logit_bias names token {}, but the model has {}", id, vocabulary);
    if (std::isnan(bias) || bias == std::numeric_limits<float>::infinity()) return bad("a logit_bias", bias, "a number, or -inf");
  }
  for (const uint32_t id : o.stop_tokens)
    if (id >= vocabulary) return error(ErrorCode::kInvalidArgument, "stop_tokens names token {}, but the model has {}", id, vocabulary);
  for (const std::string& s : o.stop_strings)
    if (s.empty()) return error(ErrorCode::kInvalidArgument, "a stop string is empty");
  if (o.num_beams == 0 || o.num_beams > 1024) return bad("num_beams", o.num_beams, "between 1 and 1024");
  if (o.num_beams > 1 && o.temperature > 0)
    return error(ErrorCode::kInvalidArgument, "beam search does not draw tokens; leave temperature at 0 or num_beams at 1");
  if (o.num_beams > 1 && !o.stop_strings.empty())
    return error(ErrorCode::kInvalidArgument, "stop strings do not go with beam search; use stop tokens");
  return {};
}

Result<uint32_t> likeliest(std::span<const float> logits) {
  // Independent lanes, so that the compiler uses vector instructions; then only the block with the largest is searched.
  constexpr size_t kLanes = 16, kBlock = 1024;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float largest = kLowest;
  size_t block = 0;
  int nan = 0;
  for (size_t first = 0; first < logits.size(); first += kBlock) {
    const size_t end = std::min(first + kBlock, logits.size());
    float best[kLanes];
    std::fill_n(best, kLanes, kLowest);
    size_t i = first;
    for (; i + kLanes <= end; i += kLanes) {
      for (size_t j = 0; j < kLanes; ++j) {
        const float x = logits[i + j];
        best[j] = x > best[j] ? x : best[j];
        nan |= x != x;
      }
    }
    for (; i < end; ++i) {
      best[0] = std::max(best[0], logits[i]);
      nan |= logits[i] != logits[i];
    }
    const float most = *std::max_element(best, best + kLanes);
    if (most > largest) {
      largest = most;
      block = first;
    }
  }
  if (nan || !std::isfinite(largest))
    return error(ErrorCode::kInvalidInput, "the model's logits are no numbers ({}); there is no likeliest token",
                 nan ? "NaN" : "all are infinite");
  return static_cast<uint32_t>(std::find(logits.begin() + static_cast<ptrdiff_t>(block), logits.end(), largest) - logits.begin());
}

double log_sum_exp(std::span<const float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

void log_softmax(std::span<const float> logits, std::span<float> out) {
  const double sum = log_sum_exp(logits);
  for (size_t i = 0; i < logits.size(); ++i) out[i] = static_cast<float>(logits[i] - sum);
}

std::vector<TokenProbability> most_likely(std::span<const float> logits, size_t count, double log_sum) {
  count = std::min(count, logits.size());
  std::vector<uint32_t> ids(logits.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<uint32_t>(i);
  std::partial_sort(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count), ids.end(),
                    [&](uint32_t a, uint32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); });
  std::vector<TokenProbability> result(count);
  for (size_t i = 0; i < count; ++i) result[i] = {ids[i], static_cast<float>(logits[ids[i]] - log_sum)};
  return result;
}

Sampler::Sampler(const GenerateOptions& options, std::span<const uint32_t> prompt, uint64_t seed) : options_(&options), random_(seed) {
  counts_ = options.repetition_penalty != 1 || options.presence_penalty != 0 || options.frequency_penalty != 0;
  changes_logits_ = counts_ || !options.logit_bias.empty();
  if (options.repetition_penalty != 1)
    for (const uint32_t id : prompt) made_.try_emplace(id, 0);
}

void Sampler::accept(uint32_t token) {
  if (counts_) ++made_[token];
}

void Sampler::change(std::span<float> logits) const {
  for (const auto& [id, bias] : options_->logit_bias)
    if (id < logits.size()) logits[id] += bias;
  for (const auto& [id, times] : made_) {
    if (id >= logits.size()) continue;
    float& x = logits[id];
    if (options_->repetition_penalty != 1)
      x = static_cast<float>(x > 0 ? x / options_->repetition_penalty : x * options_->repetition_penalty);
    if (times > 0) x -= static_cast<float>(options_->presence_penalty + options_->frequency_penalty * times);
  }
}

Result<uint32_t> Sampler::pick(std::span<const float> logits) {
  if (changes_logits_) {
    changed_.assign(logits.begin(), logits.end());
    change(changed_);
    logits = changed_;
  }
  return options_->temperature == 0 ? likeliest(logits) : draw(logits);
}

Result<uint32_t> Sampler::draw(std::span<const float> logits) {
  CAMEO_ASSIGN(const uint32_t best, likeliest(logits));
  const float largest = logits[best];
  candidates_.clear();
  for (uint32_t id = 0; id < logits.size(); ++id)
    if (logits[id] > -std::numeric_limits<float>::infinity()) candidates_.push_back({logits[id], id});
  const auto likelier = [](const Candidate& a, const Candidate& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); };
  const auto weight = [&](const Candidate& c) { return std::exp((static_cast<double>(c.logit) - largest) / options_->temperature); };

  if (options_->top_k > 0 && options_->top_k < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(options_->top_k), candidates_.end(), likelier);
    candidates_.resize(options_->top_k);
    std::sort(candidates_.begin(), candidates_.end(), likelier);
  }
  if (options_->top_p < 1) {
    double total = 0;
    for (const Candidate& c : candidates_) total += weight(c);
    // Few candidates hold most of the probability: they are sorted in growing pieces until there are enough.
    double sum = 0;
    size_t kept = 0, sorted = 0;
    while (kept < candidates_.size() && sum < options_->top_p * total) {
      if (kept == sorted) {
        const size_t piece = std::min(candidates_.size() - sorted, std::max<size_t>(256, 3 * sorted));
        const auto begin = candidates_.begin() + static_cast<ptrdiff_t>(sorted);
        std::partial_sort(begin, begin + static_cast<ptrdiff_t>(piece), candidates_.end(), likelier);
        sorted += piece;
      }
      sum += weight(candidates_[kept++]);
    }
    candidates_.resize(std::max<size_t>(kept, 1));
  }
  weights_.clear();
  double total = 0;
  for (const Candidate& c : candidates_) {
    const double w = weight(c);
    weights_.push_back(w >= options_->min_p ? w : 0);  // the largest weight is 1
    total += weights_.back();
  }
  double left = random_.uniform() * total;
  size_t chosen = candidates_.size();
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (weights_[i] == 0) continue;
    chosen = i;
    left -= weights_[i];
    if (left < 0) break;
  }
  return chosen < candidates_.size() ? candidates_[chosen].id : best;
}

}  // namespace cameo
