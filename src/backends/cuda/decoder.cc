#include "backends/cuda/decoder.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <thread>

#include "backends/cuda/decoder_model.h"
#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/kernels/sampling.h"
#include "backends/cuda/runner.h"
#include "cameo/generate.h"

namespace cameo::cuda {
namespace {

constexpr int64_t kBlock = 256;     // the capacity is a multiple of it, but for the model's limit
constexpr size_t kStepwise = 8;     // prompts of up to so many tokens are fed token by token, where they are no rows of one step
constexpr size_t kMostUnseen = 32;  // steps that the device is ahead of the host, at most
constexpr size_t kSeveral = 4;      // steps of one graph: the next begins while the one before ends
constexpr size_t kMostRows = 64;    // also of a prompt's tokens
constexpr size_t kStateWords = (4 + 2 * kMostRows) * kMostRows;
constexpr int32_t kNotYet = -1;

class Decoder final : public runtime::DeviceDecoder {
 public:
  static Result<std::unique_ptr<Decoder>> make(const ir::Graph& graph, Device& device, WeightStore& weights,
                                               const runtime::DeviceModelOptions& model, const runtime::DeviceDecoderOptions& options) {
    CAMEO_ASSIGN(Stream stream, Stream::create());
    CAMEO_ASSIGN(std::unique_ptr<DecoderModel> found, DecoderModel::make(graph, device, weights, model.precision));
    std::unique_ptr<Decoder> d(new Decoder(graph, device, weights, std::move(stream), std::move(found), options));
    d->session_.precision = model.precision;
    d->session_.cpu_fallback = model.cpu_fallback;
    CAMEO_TRY(d->reserve(std::max<size_t>(static_cast<size_t>(options.max_batch), 1),
                         static_cast<size_t>(std::max<int64_t>(options.max_length, 1))));
    if (const char* why = d->refusal(1)) return error(ErrorCode::kUnsupported, "{}", why);
    return d;
  }
  ~Decoder() override { (void)synchronize(stream_.get()); }

  bool covers(size_t rows, size_t tokens) const override {
    return rows <= kMostRows && static_cast<int64_t>(tokens) <= most_tokens() && refusal(static_cast<int32_t>(rows)) == nullptr;
  }

  bool chooses(const GenerateOptions& options) const override {
    return is_greedy(options) || sampling_refusal(sampling_of(nullptr, Scalar::kFloat32, 1), traits_) == nullptr;
  }

  Status prefill(std::span<const std::vector<uint32_t>> prompts, size_t more, float* logits, const GenerateOptions* options) override {
    CAMEO_TRY(usable());
    size_t longest = 0;
    for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
    clear();
    CAMEO_TRY(reserve(prompts.size(), longest + more));
    lengths_.assign(prompts.size(), 0);
    config_.batch = static_cast<int32_t>(prompts.size());
    choice_ = logits ? Kind::kLogits : is_greedy(*options) ? Kind::kChoose : Kind::kSample;
    if (choice_ == Kind::kSample) CAMEO_TRY(set_sampling(prompts, more, *options));
    auto* history = static_cast<int32_t*>(history_.data());
    for (size_t row = 0; row < prompts.size(); ++row)
      std::fill_n(history + row * static_cast<size_t>(capacity_), std::min(longest + more, static_cast<size_t>(capacity_)), kNotYet);
    if (longest <= kStepwise || fits_a_step(longest)) {
      CAMEO_TRY(feed(prompts, longest, logits));
    } else {
      CAMEO_TRY(run_prompts(prompts, longest, logits));
    }
    for (size_t row = 0; row < prompts.size(); ++row) lengths_[row] = static_cast<int32_t>(prompts[row].size());
    return {};
  }

  Status step(std::span<const uint32_t> tokens, float* logits) override {
    CAMEO_TRY(usable());
    CAMEO_TRY(reserve(lengths_.size(), static_cast<size_t>(*std::max_element(lengths_.begin(), lengths_.end())) + 1));
    CAMEO_TRY(upload(tokens));
    CAMEO_TRY(launch(logits ? Kind::kLogits : Kind::kChoose, 0, 1));
    for (int32_t& length : lengths_) ++length;
    return logits ? fetch_logits(logits) : Status();
  }

  Status reorder(std::span<const size_t> sources) override {
    const bool stay = [&] {
      for (size_t i = 0; i < sources.size(); ++i)
        if (sources[i] != i) return false;
      return true;
    }();
    std::vector<int32_t> lengths;
    for (size_t source : sources) lengths.push_back(lengths_[source]);
    if (!stay) {
      const size_t bytes = row_bytes();
      CAMEO_ASSIGN(const MemoryPool::Block aside, session_.pool->allocate(bytes * sources.size()));
      for (auto& cache : caches_) {
        auto* base = static_cast<std::byte*>(cache.data());
        auto* temporary = static_cast<std::byte*>(aside.data());
        for (const bool back : {false, true})
          for (size_t i = 0; i < sources.size(); ++i)
            if (sources[i] != i)
              CAMEO_TRY(copy(back ? base + i * bytes : temporary + i * bytes, back ? temporary + i * bytes : base + sources[i] * bytes,
                             bytes, stream_.get()));
      }
      CAMEO_TRY(synchronize(stream_.get()));
    }
    lengths_ = std::move(lengths);
    CAMEO_TRY(clear_state());
    return copy_lengths();
  }

  Status generate(size_t count, const std::function<Result<bool>(std::span<const uint32_t>)>& on_step) override {
    CAMEO_TRY(usable());
    const size_t rows = lengths_.size();
    if (*std::max_element(lengths_.begin(), lengths_.end()) + static_cast<int64_t>(count) - 1 > capacity_)
      return error(ErrorCode::kInvalidArgument, "{} tokens are more than prefill() was told of", count);
    std::vector<uint32_t> tokens(rows);
    size_t launched = 1;  // prefill() made the first
    for (size_t seen = 0; seen < count; ++seen) {
      while (launched < count && launched <= seen + kMostUnseen) {
        const size_t steps = std::min(count - launched, kSeveral);
        CAMEO_TRY(launch(choice_, 0, steps));
        launched += steps;
      }
      for (size_t row = 0; row < rows; ++row) {
        CAMEO_ASSIGN(tokens[row], await(row, seen));
      }
      CAMEO_ASSIGN(const bool go_on, on_step(tokens));
      if (!go_on) break;
    }
    CAMEO_TRY(synchronize(stream_.get()));
    clear();
    return {};
  }

  void clear() override { lengths_.clear(); }

 private:
  Decoder(const ir::Graph& graph, Device& device, WeightStore& weights, Stream stream, std::unique_ptr<DecoderModel> model,
          const runtime::DeviceDecoderOptions& options)
      : graph_(graph),
        device_(device),
        store_(weights),
        stream_(std::move(stream)),
        model_(std::move(model)),
        options_(options),
        traits_(traits_of(device)),
        session_{device, weights, std::make_shared<MemoryPool>()},
        runner_(graph, session_, true) {
    session_.stream = stream_.get();
  }

  int64_t most_tokens() const { return model_->graph().most_positions; }
  size_t row_bytes() const {
    const DecoderConfig& c = model_->config();
    return static_cast<size_t>(c.kv_heads) * static_cast<size_t>(capacity_) * static_cast<size_t>(c.head_size) *
           dtype_size(model_->dtype());
  }

  DecoderWeights weights() const {
    DecoderWeights w = model_->weights();
    w.layers = layers_.data();
    return w;
  }
  const char* refusal(int32_t rows) const {
    DecoderConfig c = config_;
    c.batch = rows;
    return decoder_refusal(c, weights(), traits_);
  }
  // Whether the tokens of the rows' prompts can be rows of one step.
  bool fits_a_step(size_t longest) const {
    return longest > 1 && longest <= kMostRows && !decoder_prompt_refusal(config_, weights(), static_cast<int32_t>(longest) - 1, traits_);
  }

  // Room for so many rows and tokens; what is there is kept.
  Status reserve(size_t rows, size_t tokens) {
    tokens = std::min(tokens, static_cast<size_t>(most_tokens()));
    if (rows <= slots_ && static_cast<int64_t>(tokens) <= capacity_) return {};
    int64_t capacity = capacity_;
    if (static_cast<int64_t>(tokens) > capacity) {
      capacity = std::max({static_cast<int64_t>(tokens), options_.max_length, 2 * capacity});
      capacity = std::min((capacity + kBlock - 1) / kBlock * kBlock, most_tokens());
    }
    const size_t slots = std::max(rows, slots_);
    const DecoderConfig& c = model_->config();
    const auto strip = static_cast<int64_t>(c.head_size);
    const int64_t before = capacity_;
    const DType type = model_->dtype();
    std::vector<MemoryPool::Block> made;
    for (size_t k = 0; k < 2 * static_cast<size_t>(c.layers); ++k) {
      CAMEO_ASSIGN(MemoryPool::Block block,
                   session_.pool->allocate(slots * static_cast<size_t>(c.kv_heads * capacity * strip) * dtype_size(type)));
      CAMEO_TRY(fill(block.data(), 0, block.bytes(), stream_.get()));
      if (!lengths_.empty() && before > 0)
        CAMEO_TRY(move_elements(device_, store_, Dims{static_cast<int64_t>(lengths_.size()) * c.kv_heads, before * strip}, type,
                                caches_[k].data(), Dims{before * strip, 1}, type, block.data(), Dims{capacity * strip, 1}, stream_.get()));
      made.push_back(std::move(block));
    }
    DecoderConfig config = c;
    config.capacity = static_cast<int32_t>(capacity);
    MemoryPool::Block cosines, sines;
    if (model_->rotary()) {
      const DecoderGraph::Layer& l = model_->graph().layers[0];
      for (const bool cosine : {true, false}) {
        CAMEO_ASSIGN(const Tensor table, rotary_table(graph_, l, cosine, capacity));
        MemoryPool::Block& block = cosine ? cosines : sines;
        CAMEO_ASSIGN(block, session_.pool->allocate(table.num_bytes()));
        CAMEO_TRY(copy(block.data(), table.raw(), table.num_bytes(), stream_.get()));
        CAMEO_TRY(synchronize(stream_.get()));
      }
      config.rope_cos = static_cast<const float*>(cosines.data());
      config.rope_sin = static_cast<const float*>(sines.data());
    }
    // Tokens, lengths, whether a row stands still, and the tokens to come with their place; then what a step needs, and logits.
    DecoderConfig widest = config;
    widest.batch = static_cast<int32_t>(std::max(slots, type == DType::kFloat32 ? size_t{16} : kMostRows));  // or a prompt's tokens
    const size_t logits_count = slots * static_cast<size_t>(config.vocabulary);
    CAMEO_ASSIGN(MemoryPool::Block state, session_.pool->allocate(kStateWords * sizeof(int32_t)));
    CAMEO_TRY(fill(state.data(), 0, state.bytes(), stream_.get()));
    CAMEO_ASSIGN(MemoryPool::Block settings, session_.pool->allocate(sizeof(SamplingSettings)));
    CAMEO_ASSIGN(MemoryPool::Block workspace, session_.pool->allocate(static_cast<size_t>(decoder_workspace(widest))));
    CAMEO_TRY(fill(workspace.data(), 0, workspace.bytes(), stream_.get()));
    CAMEO_ASSIGN(MemoryPool::Block logits, session_.pool->allocate(logits_count * dtype_size(type)));
    MemoryPool::Block wide_logits;
    if (type != DType::kFloat32) {
      CAMEO_ASSIGN(wide_logits, session_.pool->allocate(logits_count * sizeof(float)));
    }
    CAMEO_ASSIGN(PinnedBlock history, PinnedBlock::allocate(slots * static_cast<size_t>(capacity) * sizeof(int32_t)));
    CAMEO_ASSIGN(PinnedBlock staging, PinnedBlock::allocate(kStateWords * sizeof(int32_t)));
    CAMEO_TRY(synchronize(stream_.get()));
    // Nothing fails from here on: a decoder has all of its memory or, as far as it goes, what it had.
    caches_ = std::move(made);
    cosines_ = std::move(cosines), sines_ = std::move(sines);
    state_ = std::move(state), settings_ = std::move(settings), workspace_ = std::move(workspace);
    logits_ = std::move(logits), wide_logits_ = std::move(wide_logits);
    history_ = std::move(history), staging_ = std::move(staging);
    slots_ = slots;
    capacity_ = capacity;
    config_ = config;
    layers_ = model_->layers();
    for (size_t i = 0; i < layers_.size(); ++i) layers_[i].k_cache = caches_[2 * i].data(), layers_[i].v_cache = caches_[2 * i + 1].data();
    captured_.clear();
    if (!lengths_.empty()) {
      CAMEO_TRY(clear_state());
      return copy_lengths();
    }
    return {};
  }

  int32_t* tokens() const { return static_cast<int32_t*>(state_.data()); }
  int32_t* device_lengths() const { return tokens() + kMostRows; }
  int32_t* done() const { return tokens() + 2 * kMostRows; }

  // For the rows that there are: no token, no length, none stands still.
  Status clear_state() {
    config_.batch = static_cast<int32_t>(lengths_.size());
    return fill(state_.data(), 0, state_.bytes(), stream_.get());
  }

  Status copy_lengths(int32_t less = 0) {
    CAMEO_TRY(synchronize(stream_.get()));
    auto* staged = static_cast<int32_t*>(staging_.data());
    std::transform(lengths_.begin(), lengths_.end(), staged, [&](int32_t length) { return length - less; });
    return copy(device_lengths(), staged, lengths_.size() * sizeof(int32_t), stream_.get());
  }

  Status upload(std::span<const uint32_t> ids) {
    CAMEO_TRY(synchronize(stream_.get()));
    auto* staged = static_cast<int32_t*>(staging_.data());
    for (size_t i = 0; i < ids.size(); ++i) staged[i] = static_cast<int32_t>(ids[i]);
    return copy(tokens(), staged, ids.size() * sizeof(int32_t), stream_.get());
  }

  // The likeliest tokens of unchanged logits: steps choose them themselves.
  static bool is_greedy(const GenerateOptions& o) {
    return o.temperature == 0 && o.logit_bias.empty() && o.repetition_penalty == 1 && o.presence_penalty == 0 && o.frequency_penalty == 0;
  }

  SamplingArgs sampling_of(const void* logits, Scalar type, int32_t rows) const {
    SamplingArgs a;
    a.logits = logits, a.type = type, a.rows = rows, a.vocabulary = model_->config().vocabulary;
    a.settings = static_cast<const SamplingSettings*>(settings_.data());
    a.tokens = tokens(), a.lengths = device_lengths(), a.done = done();
    a.history = static_cast<int32_t*>(history_.data()), a.history_stride = capacity_, a.capacity = static_cast<int32_t>(capacity_);
    return a;
  }

  // Brings to the device how the rows' tokens are chosen, and the tokens that penalties know.
  Status set_sampling(std::span<const std::vector<uint32_t>> prompts, size_t more, const GenerateOptions& o) {
    const size_t rows = prompts.size();
    SamplingSettings s;
    if (o.temperature > 0) s.inverse_temperature = std::min(1 / o.temperature, std::numeric_limits<double>::max());
    s.top_p = o.top_p, s.min_p = o.min_p, s.repetition = o.repetition_penalty;
    s.presence = o.presence_penalty, s.frequency = o.frequency_penalty;
    s.top_k = o.top_k < static_cast<size_t>(config_.vocabulary) ? static_cast<uint32_t>(o.top_k) : 0;
    std::vector<SamplingBias> biases;
    for (const auto& [token, bias] : o.logit_bias) biases.push_back({token, bias});
    std::stable_sort(biases.begin(), biases.end(), [](const SamplingBias& a, const SamplingBias& b) { return a.token < b.token; });
    s.biases = static_cast<uint32_t>(biases.size());
    std::vector<uint64_t> random(rows);
    for (size_t row = 0; row < rows; ++row) random[row] = o.seed + row;
    std::vector<SamplingMade> made;
    std::vector<uint32_t> counts(rows, 0);
    if (o.repetition_penalty != 1 || o.presence_penalty != 0 || o.frequency_penalty != 0) {
      std::vector<std::vector<uint32_t>> known(rows);
      size_t most = 0;
      for (size_t row = 0; row < rows && o.repetition_penalty != 1; ++row) {
        known[row] = prompts[row];
        std::sort(known[row].begin(), known[row].end());
        known[row].erase(std::unique(known[row].begin(), known[row].end()), known[row].end());
        most = std::max(most, known[row].size());
      }
      s.made_stride = static_cast<int64_t>(most + more);
      made.resize(rows * (most + more));
      for (size_t row = 0; row < rows; ++row) {
        counts[row] = static_cast<uint32_t>(known[row].size());
        for (size_t i = 0; i < known[row].size(); ++i) made[row * (most + more) + i] = {known[row][i], 0};
      }
    }
    const size_t random_bytes = rows * sizeof(uint64_t), bias_bytes = biases.size() * sizeof(SamplingBias),
                 made_bytes = made.size() * sizeof(SamplingMade), count_bytes = rows * sizeof(uint32_t);
    CAMEO_TRY(synchronize(stream_.get()));
    CAMEO_ASSIGN(lists_, session_.pool->allocate(random_bytes + bias_bytes + made_bytes + count_bytes));
    auto* to = static_cast<std::byte*>(lists_.data());
    s.random = reinterpret_cast<uint64_t*>(to), to += random_bytes;
    s.bias = reinterpret_cast<const SamplingBias*>(to), to += bias_bytes;
    if (!made.empty()) s.made = reinterpret_cast<SamplingMade*>(to);
    to += made_bytes;
    s.made_count = reinterpret_cast<uint32_t*>(to);
    CAMEO_TRY(copy(s.random, random.data(), random_bytes, stream_.get()));
    if (bias_bytes) CAMEO_TRY(copy(const_cast<SamplingBias*>(s.bias), biases.data(), bias_bytes, stream_.get()));
    if (made_bytes) CAMEO_TRY(copy(s.made, made.data(), made_bytes, stream_.get()));
    CAMEO_TRY(copy(s.made_count, counts.data(), count_bytes, stream_.get()));
    CAMEO_TRY(copy(settings_.data(), &s, sizeof s, stream_.get()));
    return synchronize(stream_.get());
  }

  // What a step does behind the layers: chooses the likeliest token, has one chosen by a kernel behind it, or gives logits.
  enum class Kind { kChoose, kSample, kLogits };

  // `fed` steps without the head, then `steps` with it.
  Status launch(Kind kind, size_t fed, size_t steps) {
    const auto key = std::make_tuple(config_.batch, kind, fed, steps);
    auto it = captured_.find(key);
    if (it == captured_.end()) {
      if (const char* why = refusal(config_.batch)) return error(ErrorCode::kUnsupported, "{}", why);
      const DecoderConfig config = config_;
      const DecoderWeights weights = this->weights();
      DecoderState state;
      state.tokens = tokens();
      state.lengths = device_lengths();
      state.done = done();
      state.history = static_cast<int32_t*>(history_.data());
      state.history_stride = capacity_;
      state.logits = kind == Kind::kLogits || kind == Kind::kSample ? logits_.data() : nullptr;
      state.choose_behind = kind == Kind::kSample;
      state.queue_at = tokens() + 3 * kMostRows, state.queue = tokens() + 4 * kMostRows, state.queue_stride = kMostRows;
      CAMEO_ASSIGN(CapturedGraph graph, CapturedGraph::capture(stream_.get(), [&]() -> Status {
                     const auto run = [&](size_t before, size_t chosen) -> Status {
                       if (before > 0 && fits_a_step(before + 1)) {
                         CAMEO_TRY(check(decoder_prompt(config, weights, state, static_cast<int32_t>(before), workspace_.data(), traits_,
                                                        stream_.get()),
                                         "a prompt's step"));
                         before = 0;
                         if (--chosen == 0) return {};
                       }
                       return check(decoder_steps(config, weights, state, static_cast<int32_t>(before), static_cast<int32_t>(chosen),
                                                  workspace_.data(), traits_, stream_.get()),
                                    "a decoder's step");
                     };
                     if (kind != Kind::kSample) return run(fed, steps);
                     for (size_t i = 0; i < steps; ++i) {
                       CAMEO_TRY(run(i == 0 ? fed : 0, 1));
                       CAMEO_TRY(check(sample_tokens(sampling_of(logits_.data(), config.type, config.batch), traits_, stream_.get()),
                                       "the choice of tokens"));
                     }
                     return {};
                   }));
      it = captured_.emplace(key, std::move(graph)).first;
    }
    return it->second.launch(stream_.get());
  }

  Status fetch_logits(float* to) {
    const auto count = static_cast<int64_t>(lengths_.size()) * config_.vocabulary;
    const void* from = logits_.data();
    if (model_->dtype() != DType::kFloat32) {
      CAMEO_TRY(move_elements(device_, store_, Dims{count}, model_->dtype(), from, Dims{1}, DType::kFloat32, wide_logits_.data(), Dims{1},
                              stream_.get()));
      from = wide_logits_.data();
    }
    CAMEO_TRY(copy(to, from, static_cast<size_t>(count) * sizeof(float), stream_.get()));
    return synchronize(stream_.get());
  }

  // Prompts token by token. Shorter ones begin later, so that all end in the same step; until then they stand still.
  Status feed(std::span<const std::vector<uint32_t>> prompts, size_t longest, float* logits) {
    CAMEO_TRY(synchronize(stream_.get()));
    const size_t words = (4 + 2 * longest) * kMostRows;
    auto* staged = static_cast<int32_t*>(staging_.data());  // as the state
    std::fill_n(staged, words, 0);
    for (size_t t = 0; t < longest; ++t)
      for (size_t row = 0; row < prompts.size(); ++row) {
        const size_t wait = longest - prompts[row].size();
        staged[(t == 0 ? 0 : 2 + 2 * t) * kMostRows + row] = t < wait ? 0 : static_cast<int32_t>(prompts[row][t - wait]);
        staged[(t == 0 ? 2 : 3 + 2 * t) * kMostRows + row] = t < wait ? 1 : 0;
      }
    CAMEO_TRY(copy(state_.data(), staged, words * sizeof(int32_t), stream_.get()));
    CAMEO_TRY(launch(choice_, std::max<size_t>(longest, 1) - 1, 1));
    return logits ? fetch_logits(logits) : Status();
  }

  // Prompts at once, through the plan's graph; its caches are copied to the decoder's.
  Status run_prompts(std::span<const std::vector<uint32_t>> prompts, size_t longest, float* logits) {
    const auto rows = static_cast<int64_t>(prompts.size());
    // Few shapes, because each is made ready anew.
    const int64_t unit = longest <= 64 ? 16 : longest <= 512 ? 64 : 256;
    const int64_t width = std::min((static_cast<int64_t>(longest) + unit - 1) / unit * unit, most_tokens());
    std::vector<Value> inputs;
    MemoryPool::Block zeros;
    for (ir::ValueId id : graph_.inputs) {
      const ir::Value& v = graph_.value(id);
      if (v.name == "input_ids" || v.name == "past_lengths" || v.name == "last_positions") {
        const bool is_ids = v.name == "input_ids";
        CAMEO_ASSIGN(Tensor t, Tensor::allocate(v.type.dtype, is_ids ? Dims{rows, width} : Dims{rows}));
        std::memset(t.raw(), 0, t.num_bytes());
        const auto put = [&](int64_t i, int64_t value) {
          if (t.dtype() == DType::kInt64)
            t.data<int64_t>()[i] = value;
          else
            t.data<int32_t>()[i] = static_cast<int32_t>(value);
        };
        for (int64_t row = 0; row < rows; ++row) {
          const auto& prompt = prompts[static_cast<size_t>(row)];
          if (v.name == "last_positions") put(row, static_cast<int64_t>(prompt.size()) - 1);
          for (size_t i = 0; is_ids && i < prompt.size(); ++i) put(row * width + static_cast<int64_t>(i), prompt[i]);
        }
        inputs.push_back(Value::of(ops::RtValue::of(std::move(t))));
        continue;
      }
      Value past;
      past.dtype = past.storage = v.type.dtype;
      past.dims = Dims{rows, width, (*v.type.shape)[2].value()};
      if (!zeros.data()) {
        const size_t bytes = static_cast<size_t>(past.dims.num_elements()) * dtype_size(past.dtype);
        CAMEO_ASSIGN(zeros, session_.pool->allocate(bytes));
        CAMEO_TRY(fill(zeros.data(), 0, bytes, stream_.get()));
      }
      past.device = zeros.data();
      inputs.push_back(std::move(past));
    }
    std::vector<Value> outputs;
    CAMEO_TRY(runner_.run(inputs, outputs));
    const DecoderConfig& c = config_;
    const int64_t size = c.head_size, heads = c.kv_heads;
    const auto output = [&](ir::ValueId id) -> Value* {
      for (size_t i = 0; i < outputs.size(); ++i)
        if (graph_.outputs[i] == id) return &outputs[i];
      return nullptr;
    };
    for (size_t i = 0; i < layers_.size(); ++i)
      for (const bool key : {true, false}) {
        const DecoderGraph::Layer& l = model_->graph().layers[i];
        Value* present = output(key ? l.present_key : l.present_value);
        if (!present || !present->device) return error(ErrorCode::kInternal, "the cache of layer {} is not on the device", i);
        const int64_t kept = std::min<int64_t>(width, capacity_);
        CAMEO_TRY(move_elements(device_, store_, Dims{rows, heads, kept, size}, present->storage, present->device,
                                Dims{width * heads * size, size, heads * size, 1}, model_->dtype(), caches_[2 * i + (key ? 0 : 1)].data(),
                                Dims{heads * capacity_ * size, capacity_ * size, size, 1}, stream_.get()));
      }
    for (int64_t row = 0; row < rows; ++row)
      lengths_[static_cast<size_t>(row)] = static_cast<int32_t>(prompts[static_cast<size_t>(row)].size());
    // The logits, and the tokens that they choose.
    const auto vocabulary = static_cast<size_t>(c.vocabulary);
    if (choice_ == Kind::kSample) return sample_prompts(outputs[0]);
    std::vector<float> own(logits ? 0 : static_cast<size_t>(rows) * vocabulary);
    float* target = logits ? logits : own.data();
    Value& last = outputs[0];
    if (!last.device || last.storage != DType::kFloat32) {
      CAMEO_TRY(runner_.fetch(last));
      if (last.host->tensor.dtype() != DType::kFloat32) return error(ErrorCode::kUnsupported, "the logits are not float32");
      std::memcpy(target, last.host->tensor.raw(), static_cast<size_t>(rows) * vocabulary * sizeof(float));
    } else {
      CAMEO_TRY(copy(target, last.device, static_cast<size_t>(rows) * vocabulary * sizeof(float), stream_.get()));
    }
    CAMEO_TRY(copy_lengths());
    CAMEO_TRY(synchronize(stream_.get()));
    if (logits) return {};
    std::vector<uint32_t> chosen;
    auto* history = static_cast<int32_t*>(history_.data());
    for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
      const float* first = target + row * vocabulary;
      chosen.push_back(static_cast<uint32_t>(std::max_element(first, first + vocabulary) - first));
      history[row * static_cast<size_t>(capacity_) + static_cast<size_t>(lengths_[row]) - 1] = static_cast<int32_t>(chosen.back());
    }
    return upload(chosen);
  }

  // The first tokens, from the logits of whole prompts.
  Status sample_prompts(Value& logits) {
    const size_t count = lengths_.size() * static_cast<size_t>(config_.vocabulary);
    CAMEO_TRY(copy_lengths(1));  // the choice adds one
    if (logits.device && logits.storage == DType::kFloat32)
      return check(sample_tokens(sampling_of(logits.device, Scalar::kFloat32, config_.batch), traits_, stream_.get()),
                   "the choice of tokens");
    CAMEO_TRY(runner_.fetch(logits));
    if (logits.host->tensor.dtype() != DType::kFloat32) return error(ErrorCode::kUnsupported, "the logits are not float32");
    CAMEO_ASSIGN(const MemoryPool::Block wide, session_.pool->allocate(count * sizeof(float)));
    CAMEO_TRY(copy(wide.data(), logits.host->tensor.raw(), count * sizeof(float), stream_.get()));
    CAMEO_TRY(
        check(sample_tokens(sampling_of(wide.data(), Scalar::kFloat32, config_.batch), traits_, stream_.get()), "the choice of tokens"));
    return synchronize(stream_.get());
  }

  // The row's new token of that index, once the device wrote it.
  Result<uint32_t> await(size_t row, size_t index) {
    const volatile int32_t* there = static_cast<const int32_t*>(history_.data()) + row * static_cast<size_t>(capacity_) +
                                    static_cast<size_t>(lengths_[row]) - 1 + index;
    for (uint32_t tries = 0; *there == kNotYet; ++tries) {
      if (tries % 4096 != 4095) continue;
      CAMEO_ASSIGN(const bool all_done, finished(stream_.get()));
      if (all_done && *there == kNotYet) return error(ErrorCode::kInternal, "the device made no token for row {}", row);
      std::this_thread::yield();
    }
    if (*there < 0)
      return error(ErrorCode::kInvalidInput, "row {}, new token {}: the model's logits are no numbers ({}); there is no likeliest token",
                   row, index, *there == kLogitsNan ? "NaN" : "all are infinite");
    return static_cast<uint32_t>(*there);
  }

  const ir::Graph& graph_;
  Device& device_;
  WeightStore& store_;
  const Stream stream_;
  const std::unique_ptr<DecoderModel> model_;
  const runtime::DeviceDecoderOptions options_;
  const DeviceTraits traits_;
  Session session_;
  Runner runner_;
  DecoderConfig config_;  // with batch, capacity and tables
  std::vector<DecoderLayer> layers_;
  size_t slots_ = 0;
  int64_t capacity_ = 0;
  std::vector<MemoryPool::Block> caches_;  // keys and values of each layer, [slots, kv_heads, capacity, head_size]
  MemoryPool::Block cosines_, sines_, state_, workspace_, logits_, wide_logits_;
  MemoryPool::Block settings_, lists_;  // SamplingSettings, and what it points to
  Kind choice_ = Kind::kChoose;         // of the first tokens, and of those that generate() gives
  PinnedBlock history_;                 // [slots, capacity]: tokens that steps made, written by the device
  PinnedBlock staging_;
  std::map<std::tuple<int32_t, Kind, size_t, size_t>, CapturedGraph> captured_;  // by rows and steps
  std::vector<int32_t> lengths_;                                                 // of rows
};

}  // namespace

Result<std::unique_ptr<runtime::DeviceDecoder>> make_decoder(const ir::Graph& graph, Device& device, WeightStore& weights,
                                                             const runtime::DeviceModelOptions& model,
                                                             const runtime::DeviceDecoderOptions& options) {
  CAMEO_ASSIGN(std::unique_ptr<Decoder> made, Decoder::make(graph, device, weights, model, options));
  return std::unique_ptr<runtime::DeviceDecoder>(std::move(made));
}

}  // namespace cameo::cuda
