// Without a cache: at each step the sequences are computed anew, padded on the right. Nothing that a causal model computes for
// a token depends on what stands behind it, so a row's logits are those that it has alone.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "ops/attention_rows.h"
#include "pipelines/decoder_strategy.h"
#include "runtime/engine_impl.h"

namespace cameo {
namespace {

constexpr size_t kMostPreallocated = size_t{1} << 30;  // bytes of logits: beyond that the context's own memory, which grows

class Recompute final : public Decoder::Strategy {
 public:
  Recompute(LanguageModel model, ExecutionContext context, std::shared_ptr<const Engine::Impl> engine, const DecoderOptions& options,
            bool copy_all)
      : Strategy(std::move(model), std::move(context)), engine_(std::move(engine)), copy_all_(copy_all) {
    if (!copy_all_) reserve(static_cast<size_t>(options.max_batch), static_cast<size_t>(options.max_length));
  }

  Status prefill(std::span<const std::vector<uint32_t>> prompts) override {
    rows_.assign(prompts.begin(), prompts.end());
    return compute();
  }

  Status step(std::span<const uint32_t> tokens) override {
    for (size_t row = 0; row < rows_.size(); ++row) rows_[row].push_back(tokens[row]);
    auto status = compute();
    if (!status.ok())
      for (auto& row : rows_) row.pop_back();
    return status;
  }

  Status reorder(std::span<const size_t> sources) override {
    reorder_logits(sources);
    std::vector<std::vector<uint32_t>> rows;
    for (size_t source : sources) rows.push_back(rows_[source]);
    rows_ = std::move(rows);
    return {};
  }

  size_t batch() const override { return rows_.size(); }
  size_t length(size_t row) const override { return rows_[row].size(); }
  void clear() override { rows_.clear(); }

 private:
  // Memory for all steps up to that size.
  void reserve(size_t rows, size_t length) {
    if (rows == 0 || length == 0 || length > kMostPreallocated / rows) return;
    for (auto* buffer : {&ids_, &mask_, &positions_}) buffer->reserve(rows * length * sizeof(int64_t));
    const size_t token = static_cast<size_t>(model_.vocabulary) * dtype_size(model_.logits_type);
    if (!engine_->device && token > 0 && length * rows <= kMostPreallocated / token) all_logits_.resize(rows * length * token);
  }

  Status set_inputs(size_t longest) {
    const Dims dims = {static_cast<int64_t>(rows_.size()), static_cast<int64_t>(longest)};
    const auto is_token = [&](size_t row, size_t i) { return i < rows_[row].size(); };
    CAMEO_TRY(
        set_input(model_.ids, ids_, rows_.size(), longest, [&](size_t row, size_t i) { return is_token(row, i) ? rows_[row][i] : 0; }));
    if (model_.mask)
      CAMEO_TRY(set_input(*model_.mask, mask_, rows_.size(), longest, [&](size_t row, size_t i) { return is_token(row, i) ? 1 : 0; }));
    if (model_.positions) CAMEO_TRY(set_input(*model_.positions, positions_, rows_.size(), longest, [](size_t, size_t i) { return i; }));
    for (const auto& cache : model_.caches) {
      CAMEO_ASSIGN(Tensor none, Tensor::allocate(model_.cache_type, cache.dims(dims[0], 0)));
      CAMEO_TRY(context_.set_input(cache.past, none));
    }
    // Memory that holds no more than what the step needs is not bound: the context has its own then.
    const size_t needed = static_cast<size_t>(dims.num_elements() * model_.vocabulary) * dtype_size(model_.logits_type);
    if (engine_->device && !copy_all_ && needed > 0) {
      if (needed > device_bytes_) {
        device_logits_.reset();
        device_bytes_ = 0;
        CAMEO_ASSIGN(device_logits_, engine_->device->allocate(2 * needed));
        device_bytes_ = 2 * needed;
      }
      return context_.set_tensor_address(model_.logits, device_logits_.get(), device_bytes_);
    }
    const bool fits = !copy_all_ && needed > 0 && needed <= all_logits_.size();
    return context_.set_tensor_address(model_.logits, fits ? all_logits_.data() : nullptr, fits ? all_logits_.size() : 0);
  }

  Status compute() {
    size_t longest = 0;
    for (const auto& row : rows_) longest = std::max(longest, row.size());
    lap();
    CAMEO_TRY(set_inputs(longest));
    times.copy_in_ms = lap();
    CAMEO_TRY(context_.run());
    times.compute_ms = lap();
    CAMEO_ASSIGN(Tensor logits, context_.output(model_.logits));
    if (logits.rank() != 3 || logits.dim(0) != static_cast<int64_t>(rows_.size()) || logits.dim(1) != static_cast<int64_t>(longest))
      return error(ErrorCode::kUnsupported, "the model gave logits of shape {} for {} rows of {} tokens", logits.dims().to_string(),
                   rows_.size(), longest);
    if (copy_all_ && !engine_->device) {  // a device has copied them already
      all_logits_.resize(std::max(all_logits_.size(), logits.num_bytes()));
      std::memcpy(all_logits_.data(), logits.raw(), logits.num_bytes());
      logits = Tensor::view(logits.dtype(), logits.dims(), all_logits_.data());
    }
    const int64_t width = logits.dim(2);
    CAMEO_TRY(reserve_logits(rows_.size(), width));
    for (size_t row = 0; row < rows_.size(); ++row) {
      const auto last = static_cast<int64_t>(row * longest + rows_[row].size() - 1);
      float* to = logits_.data() + static_cast<int64_t>(row) * width;
      if (logits.raw() == device_logits_.get()) {
        const size_t bytes = static_cast<size_t>(width) * dtype_size(logits.dtype());
        last_logits_.resize(bytes);
        CAMEO_TRY(engine_->device->copy(last_logits_.data(), device_logits_.get() + static_cast<size_t>(last) * bytes, bytes));
        ops::load_row(logits.dtype(), last_logits_.data(), 0, width, to);
      } else {
        ops::load_row(logits.dtype(), logits.raw(), last * width, width, to);
      }
    }
    times.copy_out_ms = lap();
    return {};
  }

  const std::shared_ptr<const Engine::Impl> engine_;
  bool copy_all_;
  std::vector<std::vector<uint32_t>> rows_;
  std::vector<std::byte> ids_, mask_, positions_;
  std::vector<std::byte> all_logits_;
  std::shared_ptr<std::byte> device_logits_;  // of a device, where only the last are copied back
  size_t device_bytes_ = 0;
  std::vector<std::byte> last_logits_;  // of a row
};

}  // namespace

std::unique_ptr<Decoder::Strategy> make_recompute_strategy(LanguageModel model, ExecutionContext context,
                                                           std::shared_ptr<const Engine::Impl> engine, const DecoderOptions& options,
                                                           bool copy_all) {
  return std::make_unique<Recompute>(std::move(model), std::move(context), std::move(engine), options, copy_all);
}

}  // namespace cameo
