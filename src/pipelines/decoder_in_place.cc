// Plans built with a cache (BuildOptions::kv_cache): inputs and outputs of keys and values share one piece of memory a layer, of which
// a step writes one position for each row. Rows may be at different positions, so that none is padded but in the prefill, whose
// padding on the right is written over by the tokens that follow.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "ops/attention_rows.h"
#include "pipelines/decoder_strategy.h"
#include "runtime/engine_impl.h"

namespace cameo {
namespace {

constexpr int64_t kBlock = 64;  // the capacity is a multiple of it, but for the plan's limit

constexpr size_t kHugePage = size_t{2} << 20;

// Zeros, in huge pages where the system has them: a step reads all of a long text's keys and values. Takes no memory before it is
// written.
Result<std::shared_ptr<std::byte>> map_zeros(size_t bytes) {
  const size_t mapped = bytes + kHugePage;
  void* memory =
      bytes > PTRDIFF_MAX - kHugePage ? MAP_FAILED : mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return error(ErrorCode::kOutOfMemory, "no memory for a cache of {} bytes", bytes);
  auto* first = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory) + kHugePage - 1) / kHugePage * kHugePage);
  // Where it is refused, pages are small.
  (void)madvise(first, bytes, MADV_HUGEPAGE);
  return std::shared_ptr<std::byte>(first, [memory, mapped](std::byte*) { munmap(memory, mapped); });
}

class InPlace final : public Decoder::Strategy {
 public:
  InPlace(LanguageModel model, ExecutionContext context, std::shared_ptr<const Engine::Impl> engine, const DecoderOptions& options,
          bool recompute)
      : Strategy(std::move(model), std::move(context)), engine_(std::move(engine)), options_(options), recompute_(recompute) {
    if (!engine_->device || recompute) return;
    auto made = engine_->device->create_decoder({.max_length = options.max_length, .max_batch = options.max_batch});
    if (made.ok())
      fast_ = std::move(made).value();
    else if (engine_->logger)
      engine_->logger->log(Severity::kVerbose, fmt::format("steps run node by node: {}", made.error().message()));
  }

  Status prefill(std::span<const std::vector<uint32_t>> prompts) override {
    if (recompute_) rows_.assign(prompts.begin(), prompts.end());
    lap();
    size_t longest = 0;
    for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
    const auto rows = static_cast<int64_t>(prompts.size());
    lengths_.assign(prompts.size(), 0);
    runs_fast_ = fast_ && info.vocabulary > 0 && fast_->covers(prompts.size(), longest);
    if (runs_fast_) {
      CAMEO_TRY(reserve_logits(prompts.size(), info.vocabulary));
      CAMEO_TRY(fast_->prefill(prompts, 1, logits_.data(), nullptr));
      for (size_t row = 0; row < prompts.size(); ++row) lengths_[row] = prompts[row].size();
      times.compute_ms = lap();
      return {};
    }
    CAMEO_TRY(reserve(std::max(rows, options_.max_batch), std::max(static_cast<int64_t>(longest), options_.max_length)));
    resize(rows, static_cast<int64_t>(longest));
    for (size_t row = 0; row < prompts.size(); ++row) {
      for (size_t i = 0; i < longest; ++i) set_id(row * longest + i, i < prompts[row].size() ? prompts[row][i] : 0);
      past_[row] = 0;
      last_[row] = static_cast<int64_t>(prompts[row].size()) - 1;
    }
    CAMEO_TRY(compute());
    for (size_t row = 0; row < prompts.size(); ++row) lengths_[row] = prompts[row].size();
    return {};
  }

  Status step(std::span<const uint32_t> tokens) override {
    if (recompute_) return step_anew(tokens);
    lap();
    const size_t longest = *std::max_element(lengths_.begin(), lengths_.end()) + 1;
    if (runs_fast_) {
      CAMEO_TRY(fast_->step(tokens, logits_.data()));
      for (size_t& length : lengths_) ++length;
      times.compute_ms = lap();
      return {};
    }
    CAMEO_TRY(reserve(static_cast<int64_t>(tokens.size()), static_cast<int64_t>(longest)));
    resize(static_cast<int64_t>(tokens.size()), 1);
    for (size_t row = 0; row < tokens.size(); ++row) {
      set_id(row, tokens[row]);
      past_[row] = static_cast<int64_t>(lengths_[row]);
      last_[row] = 0;
    }
    CAMEO_TRY(compute());
    for (size_t& length : lengths_) ++length;
    return {};
  }

  Status reorder(std::span<const size_t> sources) override {
    reorder_logits(sources);
    if (runs_fast_) {
      CAMEO_TRY(fast_->reorder(sources));
      std::vector<size_t> reordered;
      for (size_t source : sources) reordered.push_back(lengths_[source]);
      lengths_ = std::move(reordered);
      return {};
    }
    // A move makes no other impossible: its goal is read by none that is still to come; the last of a circle is put aside.
    std::vector<std::pair<size_t, size_t>> moves;  // from, to
    const size_t aside = static_cast<size_t>(slots_);
    std::vector<size_t> from(sources.begin(), sources.end());
    std::vector<char> pending(from.size(), 0);
    size_t left = 0;
    for (size_t i = 0; i < from.size(); ++i) left += pending[i] = from[i] != i;
    const auto is_read = [&](size_t row) {
      for (size_t i = 0; i < from.size(); ++i)
        if (pending[i] && i != row && from[i] == row) return true;
      return false;
    };
    while (left > 0) {
      bool moved = false;
      for (size_t i = 0; i < from.size(); ++i)
        if (pending[i] && !is_read(i)) {
          moves.emplace_back(from[i], i);
          pending[i] = 0;
          --left;
          moved = true;
        }
      if (moved) continue;
      const size_t first = static_cast<size_t>(std::find(pending.begin(), pending.end(), char{1}) - pending.begin());
      moves.emplace_back(first, aside);
      for (size_t i = 0; i < from.size(); ++i)
        if (pending[i] && from[i] == first) from[i] = aside;
    }
    std::vector<size_t> lengths = lengths_;
    lengths.resize(aside + 1, 0);
    for (const auto& [source, target] : moves) {
      lengths[target] = lengths[source];
      for (size_t k = 0; k < model_.caches.size() && !recompute_; ++k) CAMEO_TRY(copy_row(k, source, target, lengths[source]));
    }
    lengths_.assign(lengths.begin(), lengths.begin() + static_cast<std::ptrdiff_t>(sources.size()));
    if (recompute_) {
      std::vector<std::vector<uint32_t>> rows;
      for (size_t source : sources) rows.push_back(rows_[source]);
      rows_ = std::move(rows);
    }
    return {};
  }

  size_t batch() const override { return lengths_.size(); }
  size_t length(size_t row) const override { return lengths_[row]; }
  void clear() override {
    lengths_.clear();
    rows_.clear();
    if (fast_) fast_->clear();
  }
  bool generates(size_t rows, size_t tokens, const GenerateOptions& options) const override {
    return fast_ && info.vocabulary > 0 && fast_->covers(rows, tokens) && fast_->chooses(options);
  }
  Status generate(std::span<const std::vector<uint32_t>> prompts, const GenerateOptions& options,
                  const std::function<Result<bool>(std::span<const uint32_t>)>& on_step) override {
    lap();
    CAMEO_TRY(fast_->prefill(prompts, options.max_new_tokens, nullptr, &options));
    CAMEO_TRY(fast_->generate(options.max_new_tokens, on_step));
    times.compute_ms = lap();
    return {};
  }

 private:
  Status step_anew(std::span<const uint32_t> tokens) {
    std::vector<std::vector<uint32_t>> rows = rows_;
    for (size_t row = 0; row < rows.size(); ++row) rows[row].push_back(tokens[row]);
    const std::vector<size_t> lengths = lengths_;
    const auto before = rows_;
    Status status = prefill(rows);
    if (!status.ok()) rows_ = before, lengths_ = lengths;
    return status;
  }

  void set_id(size_t at, uint32_t id) {
    if (model_.ids.dtype == DType::kInt64)
      reinterpret_cast<int64_t*>(ids_.data())[at] = id;
    else
      reinterpret_cast<int32_t*>(ids_.data())[at] = static_cast<int32_t>(id);
  }

  // Bytes of one position of one head; heads of packed tensors lie together.
  size_t position_bytes(const LanguageModel::Cache& cache) const { return static_cast<size_t>(cache.size) * dtype_size(model_.cache_type); }

  // Memory for so many rows and tokens of each; what is there is kept.
  Status reserve(int64_t rows, int64_t tokens) {
    if (rows <= slots_ && tokens <= capacity_) return {};
    int64_t capacity = capacity_;
    // From the second time on it doubles, so that a long text is not copied at every block.
    if (tokens > capacity) capacity = options_.max_length >= tokens ? options_.max_length : std::max(tokens + 1, 2 * capacity);
    capacity = (capacity + kBlock - 1) / kBlock * kBlock;
    if (info.max_length > 0) capacity = std::min(capacity, info.max_length);
    const int64_t slots = std::max(rows, slots_);
    std::vector<Tensor> made;
    std::vector<size_t> offsets;
    size_t total = 0;
    for (const auto& cache : model_.caches) {
      CAMEO_ASSIGN(const int64_t count, cache.dims(slots, capacity).checked_num_elements());
      offsets.push_back(total);
      const size_t bytes = static_cast<size_t>(count) * dtype_size(model_.cache_type);
      if (bytes > PTRDIFF_MAX - total - 64) return error(ErrorCode::kOutOfMemory, "no memory for {} rows of {} tokens", slots, capacity);
      total += (bytes + 63) / 64 * 64;
    }
    CAMEO_ASSIGN(const std::shared_ptr<std::byte> block, engine_->device ? engine_->device->allocate(total) : map_zeros(total));
    for (size_t k = 0; k < offsets.size(); ++k)
      made.push_back(Tensor::shared(model_.cache_type, model_.caches[k].dims(slots, capacity), block.get() + offsets[k], block));
    for (size_t k = 0; k < made.size() && !memory_.empty(); ++k) {
      const auto& cache = model_.caches[k];
      const size_t bytes = position_bytes(cache);
      for (size_t row = 0; row < lengths_.size(); ++row)
        for (int64_t head = 0; head < cache.heads; ++head) {
          const auto strip = static_cast<size_t>(static_cast<int64_t>(row) * cache.heads + head);
          if (lengths_[row] > 0)
            CAMEO_TRY(copy(static_cast<std::byte*>(made[k].raw()) + strip * static_cast<size_t>(capacity) * bytes,
                           static_cast<const std::byte*>(memory_[k].raw()) + strip * static_cast<size_t>(capacity_) * bytes,
                           lengths_[row] * bytes));
        }
    }
    memory_ = std::move(made);
    slots_ = slots;
    capacity_ = capacity;
    bound_rows_ = 0;
    return {};
  }

  // Row `slots_` is memory beside the cache.
  Status copy_row(size_t k, size_t source, size_t target, size_t length) {
    const auto& cache = model_.caches[k];
    const size_t bytes = position_bytes(cache) * length, strip = position_bytes(cache) * static_cast<size_t>(capacity_);
    const auto aside = static_cast<size_t>(slots_);
    aside_.resize(model_.caches.size());
    if (target == aside) aside_[k].resize(strip * static_cast<size_t>(cache.heads));
    const auto row = [&](size_t i) {
      return i == aside ? aside_[k].data() : static_cast<std::byte*>(memory_[k].raw()) + i * static_cast<size_t>(cache.heads) * strip;
    };
    for (size_t head = 0; head < static_cast<size_t>(cache.heads); ++head)
      CAMEO_TRY(copy(row(target) + head * strip, row(source) + head * strip, bytes));
    return {};
  }

  // Caches may be in memory of the device.
  Status copy(void* to, const void* from, size_t bytes) const {
    if (engine_->device) return engine_->device->copy(to, from, bytes);
    std::memcpy(to, from, bytes);
    return {};
  }

  void resize(int64_t rows, int64_t width) {
    dims_ = {rows, width};
    const size_t tokens = static_cast<size_t>(rows * width);
    ids_.resize(std::max(ids_.size(), tokens * sizeof(int64_t)));
    past_.resize(std::max(past_.size(), static_cast<size_t>(rows)));
    last_.resize(past_.size());
  }

  Status bind() {
    CAMEO_TRY(context_.set_input(model_.ids.name, Tensor::view(model_.ids.dtype, dims_, ids_.data())));
    const int64_t rows = dims_[0];
    if (rows == bound_rows_ && past_.data() == bound_past_ && logits_.data() == bound_logits_) return {};
    CAMEO_TRY(context_.set_input("past_lengths", Tensor::view(DType::kInt64, {rows}, past_.data())));
    CAMEO_TRY(context_.set_input("last_positions", Tensor::view(DType::kInt64, {rows}, last_.data())));
    for (size_t k = 0; k < memory_.size(); ++k) {
      const Tensor view = Tensor::view(model_.cache_type, model_.caches[k].dims(rows, capacity_), memory_[k].raw());
      CAMEO_TRY(context_.set_input(model_.caches[k].past, view));
      CAMEO_TRY(context_.set_tensor_address(model_.caches[k].present, view.raw(), view.num_bytes()));
    }
    // Logits of another type than float32 are converted.
    const bool direct = model_.logits_type == DType::kFloat32 && !logits_.empty();
    CAMEO_TRY(context_.set_tensor_address(model_.logits, direct ? logits_.data() : nullptr, direct ? logits_.size() * sizeof(float) : 0));
    bound_rows_ = rows, bound_past_ = past_.data(), bound_logits_ = logits_.data();
    return {};
  }

  Status compute() {
    if (info.vocabulary > 0) CAMEO_TRY(reserve_logits(static_cast<size_t>(std::max(dims_[0], options_.max_batch)), info.vocabulary));
    CAMEO_TRY(bind());
    times.copy_in_ms = lap();
    CAMEO_TRY(context_.run());
    times.compute_ms = lap();
    CAMEO_ASSIGN(const Tensor logits, context_.output(model_.logits));
    if (logits.rank() != 3 || logits.dim(0) != dims_[0] || logits.dim(1) != 1)
      return error(ErrorCode::kUnsupported, "the model gave logits of shape {} for {} rows", logits.dims().to_string(), dims_[0]);
    if (logits.raw() != logits_.data()) {
      CAMEO_TRY(reserve_logits(static_cast<size_t>(dims_[0]), logits.dim(2)));
      ops::load_row(logits.dtype(), logits.raw(), 0, logits.num_elements(), logits_.data());
    }
    times.copy_out_ms = lap();
    return {};
  }

  const std::shared_ptr<const Engine::Impl> engine_;
  DecoderOptions options_;
  bool recompute_;
  std::unique_ptr<runtime::DeviceDecoder> fast_;  // null: none; its steps are not run node by node
  bool runs_fast_ = false;                        // it has the rows
  std::vector<std::vector<uint32_t>> rows_;       // with recompute_ alone
  std::vector<size_t> lengths_;                   // of rows
  int64_t slots_ = 0, capacity_ = 0;
  std::vector<Tensor> memory_;  // of each cache, [slots, …, capacity, …]
  std::vector<std::vector<std::byte>> aside_;
  Dims dims_;  // of input_ids
  std::vector<std::byte> ids_;
  std::vector<int64_t> past_, last_;
  int64_t bound_rows_ = 0;
  const void *bound_past_ = nullptr, *bound_logits_ = nullptr;
};

}  // namespace

std::unique_ptr<Decoder::Strategy> make_in_place_strategy(LanguageModel model, ExecutionContext context,
                                                          std::shared_ptr<const Engine::Impl> engine, const DecoderOptions& options,
                                                          bool recompute) {
  return std::make_unique<InPlace>(std::move(model), std::move(context), std::move(engine), options, recompute);
}

}  // namespace cameo
