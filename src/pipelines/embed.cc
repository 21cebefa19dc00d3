#include "cameo/embed.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/numeric.h"
#include "pipelines/embed_batches.h"

namespace cameo {
namespace {

template <class T>
void pool(const T* states, std::span<const uint8_t> mask, int64_t width, Pooling pooling, float* to) {
  size_t rows = 0;
  for (size_t t = 0; t < mask.size(); ++t) {
    if (mask[t] == 0) continue;
    const T* row = states + static_cast<int64_t>(t) * width;
    if (rows++ == 0 || pooling == Pooling::kLast)
      for (int64_t i = 0; i < width; ++i) to[i] = static_cast<float>(row[i]);
    else if (pooling == Pooling::kMean)
      for (int64_t i = 0; i < width; ++i) to[i] += static_cast<float>(row[i]);
    else
      for (int64_t i = 0; i < width; ++i) to[i] = std::max(to[i], static_cast<float>(row[i]));
    if (pooling == Pooling::kCls) return;
  }
  if (pooling == Pooling::kMean)
    for (int64_t i = 0; i < width; ++i) to[i] /= static_cast<float>(rows);
}

// As torch.nn.functional.normalize: a vector of zeros stays.
void normalize(std::span<float> row) {
  double sum = 0;
  for (float v : row) sum += static_cast<double>(v) * v;
  const auto scale = static_cast<float>(1 / std::max(std::sqrt(sum), 1e-12));
  for (float& v : row) v *= scale;
}

template <class T>
void widen(const T* from, size_t count, float* to) {
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

// Calls fn with the elements; the type is one that create() accepts.
template <class Fn>
void with_floats(const Tensor& tensor, Fn fn) {
  if (tensor.dtype() == DType::kFloat32)
    fn(tensor.data<float>());
  else if (tensor.dtype() == DType::kFloat16)
    fn(tensor.data<Float16>());
  else
    fn(tensor.data<Bfloat16>());
}

bool is_float(DType type) { return type == DType::kFloat32 || type == DType::kFloat16 || type == DType::kBfloat16; }

// The hidden states by name, else the first output of rank 3, else vectors.
Result<TensorInfo> find_output(const Engine& engine) {
  const TensorInfo* found = nullptr;
  const auto better = [&](const TensorInfo& t) {
    if (found == nullptr) return true;
    const bool named = t.name == "last_hidden_state" && t.dims.size() == 3;
    return named || (t.dims.size() == 3 && found->dims.size() == 2);
  };
  for (const TensorInfo& t : engine.outputs()) {
    const bool fits = t.is_tensor && is_float(t.dtype) && (t.dims.size() == 3 || t.dims.size() == 2) && t.dims.back().value > 0;
    if (fits && better(t)) found = &t;
  }
  if (found == nullptr)
    return error(ErrorCode::kUnsupported,
                 "the model has no output of floats [batch, sequence, width] or [batch, width], width being a number");
  return *found;
}

}  // namespace

struct Embedder::Impl {
  struct Input {
    std::string name;
    DType dtype;
    Tensor memory;  // of the last run
  };

  ExecutionContext context;
  Tokenizer tokenizer;
  EmbedderOptions options;
  std::vector<Input> inputs;
  TensorInfo output;
  std::vector<ShapeRange> ranges;
  uint32_t pad_id = 0;
  EmbedStatistics statistics = {};
  std::function<bool(size_t, size_t)> progress = {};

  int64_t width() const { return output.dims.back().value; }
  bool pools_itself() const { return output.dims.size() == 2; }

  Result<std::vector<Encoding>> tokenize(std::span<const std::string_view> texts) {
    std::vector<TextInput> inputs_of(texts.begin(), texts.end());
    CAMEO_ASSIGN(auto encodings, tokenizer.encode_batch(inputs_of, {.overflow = true}, options.threads));
    statistics = {.texts = texts.size()};
    for (size_t i = 0; i < encodings.size(); ++i) {
      if (encodings[i].ids.empty()) return error(ErrorCode::kInvalidInput, "text {} has no tokens", i);
      statistics.tokens += encodings[i].ids.size();
      statistics.truncated += !encodings[i].overflowing.empty();
      encodings[i].overflowing.clear();
    }
    return encodings;
  }

  // Writes what the inputs ask for; rows beyond the texts repeat the first.
  Status bind(std::span<const Encoding* const> texts, const EmbedBatch& batch) {
    for (Input& input : inputs) {
      CAMEO_ASSIGN(input.memory, Tensor::allocate(input.dtype, {batch.rows, batch.length}));
      const bool ids = input.name == "input_ids", mask = input.name == "attention_mask";
      for (int64_t r = 0; r < batch.rows; ++r) {
        const Encoding& e = *texts[r < static_cast<int64_t>(texts.size()) ? static_cast<size_t>(r) : 0];
        for (int64_t t = 0; t < batch.length; ++t) {
          const bool inside = t < static_cast<int64_t>(e.ids.size());
          const auto at = static_cast<size_t>(t);
          const int64_t value = ids ? (inside ? e.ids[at] : pad_id) : mask ? inside : (inside ? e.type_ids[at] : 0);
          if (input.dtype == DType::kInt64)
            input.memory.data<int64_t>()[r * batch.length + t] = value;
          else
            input.memory.data<int32_t>()[r * batch.length + t] = static_cast<int32_t>(value);
        }
      }
      CAMEO_TRY(context.set_input(input.name, input.memory));
    }
    return {};
  }

  // Runs the texts, longest first, and gives each run to use(texts' numbers, encodings, output).
  template <class Use>
  Status for_each_run(std::span<const Encoding> encodings, Use use) {
    std::vector<size_t> order(encodings.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return encodings[a].ids.size() > encodings[b].ids.size(); });
    std::vector<int64_t> lengths;
    for (size_t i : order) lengths.push_back(static_cast<int64_t>(encodings[i].ids.size()));
    const auto batches = make_batches(lengths, ranges, static_cast<int64_t>(options.pad_to), static_cast<int64_t>(options.batch_tokens));
    std::vector<const Encoding*> texts;
    for (const EmbedBatch& batch : batches) {
      const std::span<const size_t> numbers(order.data() + batch.first, batch.texts);
      texts.clear();
      for (size_t i : numbers) texts.push_back(&encodings[i]);
      CAMEO_TRY(bind(texts, batch));
      if (Status done = context.run(); !done.ok()) {
        // A token that the model has no row for is found there.
        if (done.error().code() != ErrorCode::kInvalidInput || done.error().message().find("out of range") == std::string::npos)
          return done;
        return error(ErrorCode::kInvalidInput, "{}; does the tokenizer ({} ids) belong to this model?", done.error().message(),
                     tokenizer.id_end());
      }
      CAMEO_ASSIGN(const Tensor out, context.output(output.name));
      const Dims expected = pools_itself() ? Dims{batch.rows, width()} : Dims{batch.rows, batch.length, width()};
      if (out.dims() != expected || out.dtype() != output.dtype)
        return error(ErrorCode::kUnsupported, "output '{}' has shape {} where an encoder gives {}", output.name, out.dims().to_string(),
                     expected.to_string());
      use(numbers, batch, out);
      ++statistics.runs;
      statistics.padded_tokens += static_cast<size_t>(batch.rows * batch.length);
      if (progress && !progress(batch.first + batch.texts, encodings.size()))
        return error(ErrorCode::kCancelled, "stopped after {} of {} texts", batch.first + batch.texts, encodings.size());
    }
    return {};
  }
};

Embedder::Embedder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Embedder::Embedder(Embedder&&) noexcept = default;
Embedder& Embedder::operator=(Embedder&&) noexcept = default;
Embedder::~Embedder() = default;

Result<Embedder> Embedder::create(const Engine& engine, Tokenizer tokenizer, const EmbedderOptions& options) try {
  std::vector<Impl::Input> inputs;
  std::vector<std::string> names;
  for (const TensorInfo& info : engine.inputs()) {
    const bool known = info.name == "input_ids" || info.name == "attention_mask" || info.name == "token_type_ids";
    if (!known || !info.is_tensor || (info.dtype != DType::kInt64 && info.dtype != DType::kInt32) || info.dims.size() != 2)
      return error(ErrorCode::kUnsupported,
                   "input '{}' ({}) is not one of an encoder: input_ids, attention_mask and token_type_ids, integers [batch, sequence]; a "
                   "language model is built with --hidden-states",
                   info.name, info.type);
    inputs.push_back({info.name, info.dtype, {}});
    names.push_back(info.name);
  }
  if (std::find(names.begin(), names.end(), "input_ids") == names.end())
    return error(ErrorCode::kUnsupported, "the model has no input 'input_ids'");
  CAMEO_ASSIGN(TensorInfo output, find_output(engine));
  if (output.name == "logits" && output.dims.size() == 3)
    return error(ErrorCode::kUnsupported,
                 "the model gives logits of each token, as a language model does, and no hidden states; build it from config.json and "
                 "safetensors or from GGUF (--hidden-states), or export it to give last_hidden_state");
  std::vector<ShapeRange> ranges = shape_ranges(engine, names);
  if (ranges.empty()) return error(ErrorCode::kInvalidArgument, "no profile of the plan allows the model any shape");

  int64_t longest = 0;
  for (const ShapeRange& r : ranges) longest = std::max(longest, r.most_length);
  EmbedderOptions settled = options;
  if (settled.max_length == 0)
    settled.max_length = tokenizer.truncation() ? tokenizer.truncation()->max_length : EmbedderOptions::kUsualMaxLength;
  settled.max_length =
      static_cast<size_t>(std::min<int64_t>(static_cast<int64_t>(std::min<size_t>(settled.max_length, INT32_MAX)), longest));
  settled.batch_tokens = std::clamp<size_t>(settled.batch_tokens, 1, size_t{1} << 30);
  if (settled.pad_to > static_cast<size_t>(longest) || settled.pad_to > INT32_MAX)
    return error(ErrorCode::kInvalidArgument, "texts cannot be padded to {} tokens: the plan's profiles allow {} at most (--max-shapes)",
                 settled.pad_to, longest);
  const uint32_t pad_id =
      tokenizer.padding() ? tokenizer.padding()->id : tokenizer.token_to_id("[PAD]").value_or(tokenizer.token_to_id("<pad>").value_or(0));
  CAMEO_TRY(tokenizer.set_padding(std::nullopt));
  Truncation truncation = tokenizer.truncation().value_or(Truncation{});
  truncation.max_length = settled.max_length;
  truncation.stride = 0;
  CAMEO_TRY(tokenizer.set_truncation(truncation));
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.threads = settled.threads}));
  return Embedder(std::make_unique<Impl>(
      Impl{std::move(context), std::move(tokenizer), settled, std::move(inputs), std::move(output), std::move(ranges), pad_id}));
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory for an embedder");
}

Result<Tensor> Embedder::embed(std::span<const std::string_view> texts) try {
  Impl& m = *impl_;
  const int64_t width = m.width();
  CAMEO_ASSIGN(Tensor vectors, Tensor::allocate(DType::kFloat32, {static_cast<int64_t>(texts.size()), width}));
  CAMEO_ASSIGN(const std::vector<Encoding> encodings, m.tokenize(texts));
  CAMEO_TRY(m.for_each_run(encodings, [&](std::span<const size_t> numbers, const EmbedBatch& batch, const Tensor& out) {
    for (size_t r = 0; r < numbers.size(); ++r) {
      float* to = vectors.data<float>() + static_cast<int64_t>(numbers[r]) * width;
      with_floats(out, [&](const auto* data) {
        if (m.pools_itself())
          widen(data + static_cast<int64_t>(r) * width, static_cast<size_t>(width), to);
        else
          pool(data + static_cast<int64_t>(r) * batch.length * width, encodings[numbers[r]].attention_mask, width, m.options.pooling, to);
      });
      if (m.options.normalize) normalize({to, static_cast<size_t>(width)});
    }
  }));
  return vectors;
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory to embed {} texts", texts.size());
}

Result<Tensor> Embedder::hidden_states(std::span<const std::string_view> texts) try {
  Impl& m = *impl_;
  if (m.pools_itself())
    return error(ErrorCode::kUnsupported, "the model pools by itself: its output '{}' ({}) has no hidden states", m.output.name,
                 m.output.type);
  const int64_t width = m.width();
  CAMEO_ASSIGN(const std::vector<Encoding> encodings, m.tokenize(texts));
  auto length = static_cast<int64_t>(m.options.pad_to);
  for (const Encoding& e : encodings) length = std::max(length, static_cast<int64_t>(e.ids.size()));
  CAMEO_ASSIGN(Tensor states, Tensor::allocate(DType::kFloat32, {static_cast<int64_t>(texts.size()), length, width}));
  CAMEO_TRY(m.for_each_run(encodings, [&](std::span<const size_t> numbers, const EmbedBatch& batch, const Tensor& out) {
    const auto kept = static_cast<size_t>(std::min(batch.length, length) * width);
    for (size_t r = 0; r < numbers.size(); ++r)
      with_floats(out, [&](const auto* data) {
        widen(data + static_cast<int64_t>(r) * batch.length * width, kept,
              states.data<float>() + static_cast<int64_t>(numbers[r]) * length * width);
      });
  }));
  return states;
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory for the hidden states of {} texts", texts.size());
}

int64_t Embedder::width() const { return impl_->width(); }
const EmbedderOptions& Embedder::options() const { return impl_->options; }
const EmbedStatistics& Embedder::statistics() const { return impl_->statistics; }
void Embedder::set_progress(std::function<bool(size_t, size_t)> progress) { impl_->progress = std::move(progress); }

}  // namespace cameo
