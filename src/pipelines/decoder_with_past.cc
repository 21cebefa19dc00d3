// Models exported with past keys and values, built as they are: each run reads the past and writes the present, which is the past of
// the next one, so that the whole cache is copied at every step. Plans built with --kv-cache write the new part alone.
//
// Prompts are padded on the right; the mask hides the padding, which stays in the past, and position_ids leave it out.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "ops/attention_rows.h"
#include "pipelines/decoder_strategy.h"

namespace cameo {
namespace {

class WithPast final : public Decoder::Strategy {
 public:
  WithPast(LanguageModel model, ExecutionContext context, const DecoderOptions& options)
      : Strategy(std::move(model), std::move(context)), options_(options) {}

  Status prefill(std::span<const std::vector<uint32_t>> prompts) override {
    clear();
    size_t longest = 0;
    for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
    lengths_.assign(prompts.size(), 0);
    Status status = compute(longest, [&](size_t row) { return std::span<const uint32_t>(prompts[row]); });
    if (!status.ok()) clear();
    return status;
  }

  Status step(std::span<const uint32_t> tokens) override {
    return compute(1, [&](size_t row) { return tokens.subspan(row, 1); });
  }

  Status reorder(std::span<const size_t> sources) override {
    reorder_logits(sources);
    CAMEO_TRY(reserve(lengths_.size(), past_));
    for (size_t k = 0; k < model_.caches.size(); ++k) {
      const size_t row = row_bytes(k, past_);
      for (size_t i = 0; i < sources.size(); ++i)
        std::memcpy(memory_[1 - now_][k].data() + i * row, memory_[now_][k].data() + sources[i] * row, row);
    }
    now_ = 1 - now_;
    std::vector<std::vector<uint8_t>> seen;
    std::vector<size_t> lengths;
    for (size_t source : sources) {
      seen.push_back(seen_[source]);
      lengths.push_back(lengths_[source]);
    }
    seen_ = std::move(seen);
    lengths_ = std::move(lengths);
    return {};
  }

  size_t batch() const override { return lengths_.size(); }
  size_t length(size_t row) const override { return lengths_[row]; }
  void clear() override {
    lengths_.clear();
    seen_.clear();
    past_ = 0;
  }

 private:
  size_t row_bytes(size_t k, size_t positions) const {
    return static_cast<size_t>(model_.caches[k].heads * model_.caches[k].size) * positions * dtype_size(model_.cache_type);
  }

  // Memory for so many positions in both sets, of which the past in use is kept.
  Status reserve(size_t rows, size_t positions) {
    positions = std::max(positions, static_cast<size_t>(options_.max_length));
    for (auto& set : memory_) {
      set.resize(model_.caches.size());
      for (size_t k = 0; k < set.size(); ++k) {
        const size_t needed = std::max<size_t>(rows * row_bytes(k, positions), 1);
        // Half as much again, so that a long text does not grow at every step.
        if (set[k].size() < needed) set[k].resize(needed + needed / 2);
      }
    }
    return {};
  }

  template <class Tokens>
  Status compute(size_t width, Tokens tokens) {
    lap();
    const size_t rows = lengths_.size(), total = past_ + width;
    CAMEO_TRY(reserve(rows, total));
    seen_.resize(rows);
    const auto is_token = [&](size_t row, size_t i) { return i < tokens(row).size(); };
    CAMEO_TRY(
        set_input(model_.ids, ids_, lengths_.size(), width, [&](size_t row, size_t i) { return is_token(row, i) ? tokens(row)[i] : 0; }));
    CAMEO_TRY(set_input(*model_.positions, positions_, lengths_.size(), width,
                        [&](size_t row, size_t i) { return is_token(row, i) ? lengths_[row] + i : 0; }));
    CAMEO_TRY(set_input(*model_.mask, mask_, lengths_.size(), total, [&](size_t row, size_t i) {
      return i < past_ ? static_cast<int>(seen_[row][i]) : static_cast<int>(is_token(row, i - past_));
    }));
    for (size_t k = 0; k < model_.caches.size(); ++k) {
      const auto& cache = model_.caches[k];
      const Dims dims = cache.dims(static_cast<int64_t>(rows), static_cast<int64_t>(past_));
      CAMEO_TRY(context_.set_input(cache.past, Tensor::view(model_.cache_type, dims, memory_[now_][k].data())));
      CAMEO_TRY(context_.set_tensor_address(cache.present, memory_[1 - now_][k].data(), memory_[1 - now_][k].size()));
    }
    times.copy_in_ms = lap();
    CAMEO_TRY(context_.run());
    times.compute_ms = lap();
    CAMEO_ASSIGN(const Tensor logits, context_.output(model_.logits));
    for (size_t k = 0; k < model_.caches.size(); ++k) {
      CAMEO_ASSIGN(const Tensor present, context_.output(model_.caches[k].present));
      if (!(present.dims() == model_.caches[k].dims(static_cast<int64_t>(rows), static_cast<int64_t>(total))))
        return error(ErrorCode::kUnsupported, "the model gave '{}' the shape {} for a past of {} and {} new tokens",
                     model_.caches[k].present, present.dims().to_string(), past_, width);
    }
    if (logits.rank() != 3 || logits.dim(0) != static_cast<int64_t>(rows) || logits.dim(1) != static_cast<int64_t>(width))
      return error(ErrorCode::kUnsupported, "the model gave logits of shape {} for {} rows of {} tokens", logits.dims().to_string(), rows,
                   width);
    const int64_t vocabulary = logits.dim(2);
    CAMEO_TRY(reserve_logits(rows, vocabulary));
    for (size_t row = 0; row < rows; ++row) {
      const auto last = static_cast<int64_t>(row * width + tokens(row).size() - 1);
      ops::load_row(logits.dtype(), logits.raw(), last * vocabulary, vocabulary, logits_.data() + static_cast<int64_t>(row) * vocabulary);
      for (size_t i = 0; i < width; ++i) seen_[row].push_back(is_token(row, i));
      lengths_[row] += tokens(row).size();
    }
    past_ = total;
    now_ = 1 - now_;
    times.copy_out_ms = lap();
    return {};
  }

  DecoderOptions options_;
  std::vector<size_t> lengths_;             // of rows, without padding
  std::vector<std::vector<uint8_t>> seen_;  // by row: which positions of the past are no padding
  size_t past_ = 0;                         // positions, padding included
  std::vector<std::vector<std::byte>> memory_[2];
  size_t now_ = 0;  // the set that holds the past
  std::vector<std::byte> ids_, mask_, positions_;
};

}  // namespace

std::unique_ptr<Decoder::Strategy> make_with_past_strategy(LanguageModel model, ExecutionContext context, const DecoderOptions& options) {
  return std::make_unique<WithPast>(std::move(model), std::move(context), options);
}

}  // namespace cameo
