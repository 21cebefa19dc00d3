// What the ways to decode have in common; each is a file, decoder_NAME.cc.
#pragma once

#include <chrono>
#include <optional>

#include "pipelines/decoder.h"

namespace cameo {

// How an engine's inputs and outputs are those of a language model.
struct LanguageModel {
  struct Input {
    std::string name;
    DType dtype = DType::kUndefined;
  };
  // Keys or values of a layer: [batch, heads, length, size], or [batch, length, heads * size].
  struct Cache {
    std::string past, present;
    bool packed = false;
    int64_t heads = 1, size = 0;
    // [batch, …] with so many positions.
    Dims dims(int64_t batch, int64_t length) const { return packed ? Dims{batch, length, size} : Dims{batch, heads, length, size}; }
  };
  Input ids;
  std::optional<Input> mask, positions;
  bool in_place = false;  // the plan was built with a cache (BuildOptions::kv_cache), whose memory is written where it lies
  std::string logits;
  DType logits_type = DType::kFloat32;
  std::vector<Cache> caches;  // keys and values of all layers, in the order of the inputs
  DType cache_type = DType::kFloat32;
  int64_t vocabulary = 0;  // 0 when the model does not say
  int64_t max_length = 0;  // of input_ids; 0: no limit
  int64_t max_batch = 0;

  static Result<LanguageModel> read(const Engine& engine);
};

class Decoder::Strategy {
 public:
  Strategy(LanguageModel model, ExecutionContext context) : model_(std::move(model)), context_(std::move(context)) {}
  virtual ~Strategy() = default;

  // Both have been checked: rows, lengths, ids.
  virtual Status prefill(std::span<const std::vector<uint32_t>> prompts) = 0;
  virtual Status step(std::span<const uint32_t> tokens) = 0;
  virtual Status reorder(std::span<const size_t> sources) = 0;
  // Tokens of each row.
  virtual size_t batch() const = 0;
  virtual size_t length(size_t row) const = 0;
  virtual void clear() = 0;
  // As of Decoder; for strategies that can.
  virtual bool generates(size_t, size_t, const GenerateOptions&) const { return false; }
  virtual Status generate(std::span<const std::vector<uint32_t>>, const GenerateOptions&,
                          const std::function<Result<bool>(std::span<const uint32_t>)>&) {
    return Error(ErrorCode::kUnsupported, "tokens are not chosen where the model runs");
  }

  std::span<const float> logits(size_t row) const {
    return std::span(logits_).subspan(row * static_cast<size_t>(info.vocabulary), static_cast<size_t>(info.vocabulary));
  }

  DecoderInfo info;
  DecoderTimes times;
  ExecutionContext& context() { return context_; }

 protected:
  // Milliseconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double, std::milli>(now - std::exchange(lap_, now)).count();
  }
  // Room for the logits of so many rows; `vocabulary` is what the model gave.
  Status reserve_logits(size_t rows, int64_t vocabulary);
  // Copies rows of logits among themselves.
  void reorder_logits(std::span<const size_t> sources);
  // Binds value(row, i) as [rows, width] of the input's type: int64, int32 or bool. `buffer` must outlive the run.
  template <class Fn>
  Status set_input(const LanguageModel::Input& input, std::vector<std::byte>& buffer, size_t rows, size_t width, Fn value) {
    const auto fill = [&](auto zero) {
      using T = decltype(zero);
      buffer.resize(rows * width * sizeof(T));
      auto* to = reinterpret_cast<T*>(buffer.data());
      for (size_t row = 0; row < rows; ++row)
        for (size_t i = 0; i < width; ++i) to[row * width + i] = static_cast<T>(value(row, i));
    };
    if (input.dtype == DType::kInt64)
      fill(int64_t{0});
    else if (input.dtype == DType::kInt32)
      fill(int32_t{0});
    else
      fill(uint8_t{0});
    return context_.set_input(input.name,
                              Tensor::view(input.dtype, {static_cast<int64_t>(rows), static_cast<int64_t>(width)}, buffer.data()));
  }

  LanguageModel model_;
  ExecutionContext context_;
  std::vector<float> logits_;  // [batch, vocabulary]

 private:
  std::chrono::steady_clock::time_point lap_;
};

// Plans built with a cache. With `recompute` the whole sequences are fed at each step all the same.
// On a GPU keys and values are in its memory, and where its backend knows the model's layers, it runs them itself.
std::unique_ptr<Decoder::Strategy> make_in_place_strategy(LanguageModel model, ExecutionContext context,
                                                          std::shared_ptr<const Engine::Impl> engine, const DecoderOptions& options,
                                                          bool recompute);
// Models exported with past keys and values. Only for those that take position_ids and a mask.
std::unique_ptr<Decoder::Strategy> make_with_past_strategy(LanguageModel model, ExecutionContext context, const DecoderOptions& options);
// The whole sequences anew at each step. `copy_all`: DecodeMode::kRecompute, else kLastLogits.
std::unique_ptr<Decoder::Strategy> make_recompute_strategy(LanguageModel model, ExecutionContext context,
                                                           std::shared_ptr<const Engine::Impl> engine, const DecoderOptions& options,
                                                           bool copy_all);

}  // namespace cameo
