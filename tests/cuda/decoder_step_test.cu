// Decoder steps against plain kernels in float32, for GPT-2-like and Llama-like models of random weights.
#include "backends/cuda/kernels/decoder_step.h"

#include <chrono>
#include <memory>

#include "backends/cuda/kernels/decoder_fused.h"
#include "backends/cuda/kernels/step_product.h"
#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

enum class Way { kFive, kTwo };  // kernels a layer
struct Case {
  const char* what;
  Scalar type;
  WeightFormat format;
  bool llama;
  int layers, hidden, heads, kv_heads, head_size, ffn, vocabulary, batch, capacity;
  Way way = Way::kFive;
};
const char* name_of(const Case& c) { return c.way == Way::kTwo ? "two" : "five"; }

struct Matrix {
  Buffer w, scales, bias, sums;
  DecoderMatrix view;
  Matrix(const Case& c, int n, int k, bool with_bias) {
    const float spread = 1.f / std::sqrt(float(k));
    view.format = c.format;
    if (c.format == WeightFormat::kPlain) {
      w = random(c.type, int64_t{n} * k, spread);
    } else {
      const bool four = c.format == WeightFormat::kInt4;
      view.group = four ? 32 : k;
      w = random_bytes(int64_t{n} * k / (four ? 2 : 1)),
      scales = random(c.type, int64_t{n} * (k / view.group), 0.f, spread / (four ? 5 : 70));
      view.scales = scales.as();
    }
    view.w = w.as();
    if (with_bias) bias = random(c.type, n, 0.1f), view.bias = bias.as();
  }
  // What products of many rows know of the norm before them.
  void add_norm_sums(const Case& c, int n, const Buffer& weight, const void* norm_bias) {
    if (c.type == Scalar::kFloat32 || c.format != WeightFormat::kPlain) return;
    sums = Buffer((n + n % 2) * size_t{8});
    MUST(norm_sums(c.type, n, c.hidden, w.as(), view.bias, weight.as(), norm_bias, sums.as<float>(), nullptr));
    view.norm_sums = sums.as<float>();
  }
};
struct Layer {
  Buffer n1, b1, n2, b2, k, v, k_plain, v_plain;
  Matrix qkv, out, up, down;
  explicit Layer(const Case& c)
      : n1(random(c.type, c.hidden, 0.2f, 1.f)),
        b1(random(c.type, c.hidden, 0.1f)),
        n2(random(c.type, c.hidden, 0.2f, 1.f)),
        b2(random(c.type, c.hidden, 0.1f)),
        qkv(c, (c.heads + 2 * c.kv_heads) * c.head_size, c.hidden, !c.llama),
        out(c, c.hidden, c.heads * c.head_size, !c.llama),
        up(c, c.llama ? 2 * c.ffn : c.ffn, c.hidden, !c.llama),
        down(c, c.hidden, c.ffn, !c.llama) {
    const int64_t n = int64_t{c.batch} * c.kv_heads * c.capacity * c.head_size;
    k = random(c.type, n), v = random(c.type, n);
    qkv.add_norm_sums(c, (c.heads + 2 * c.kv_heads) * c.head_size, n1, c.llama ? nullptr : b1.as());
    up.add_norm_sums(c, c.llama ? 2 * c.ffn : c.ffn, n2, c.llama ? nullptr : b2.as());
  }
  DecoderLayer view(bool llama) const {
    return {n1.as(), llama ? nullptr : b1.as(), qkv.view, out.view, n2.as(), llama ? nullptr : b2.as(), up.view, down.view, k.as(), v.as()};
  }
};

struct Model {
  Case c;
  std::vector<Layer> layers;
  std::vector<DecoderLayer> views;
  Buffer embedding, positions, norm, norm_bias, cos, sin, tokens, lengths, done, history, logits, workspace, constants;
  Matrix head;
  DecoderConfig config;
  DecoderWeights weights;
  DecoderState state;

  Model(const Case& c, int length) : c(c), head(c, c.vocabulary, c.hidden, false) {
    for (int i = 0; i < c.layers; ++i) layers.emplace_back(c);
    for (const Layer& l : layers) views.push_back(l.view(c.llama));
    embedding = random(c.type, int64_t{c.vocabulary} * c.hidden), positions = random(c.type, int64_t{c.capacity} * c.hidden, 0.5f);
    norm = random(c.type, c.hidden, 0.2f, 1.f), norm_bias = random(c.type, c.hidden, 0.1f);
    head.add_norm_sums(c, c.vocabulary, norm, c.llama ? nullptr : norm_bias.as());
    std::vector<float> table(c.capacity * c.head_size / 2), other(table.size());
    for (size_t i = 0; i < table.size(); ++i) {
      const int p = i / (c.head_size / 2), d = i % (c.head_size / 2);
      const double angle = p * std::pow(10000., -2. * d / c.head_size);
      table[i] = std::cos(angle), other[i] = std::sin(angle);
    }
    cos = Buffer::of(table), sin = Buffer::of(other);
    std::vector<int32_t> t(c.batch), l(c.batch);
    for (int b = 0; b < c.batch; ++b) t[b] = (b * 37 + 11) % c.vocabulary, l[b] = length < 0 ? (b * 13) % (c.capacity - 8) : length;
    tokens = Buffer::of(t), lengths = Buffer::of(l), done = Buffer::of(std::vector<int32_t>(c.batch)),
    history = Buffer::of(std::vector<int32_t>(c.batch * c.capacity));
    logits = Buffer(int64_t{c.batch} * c.vocabulary * bytes_of(c.type));
    config = {.type = c.type,
              .layers = c.layers,
              .hidden = c.hidden,
              .heads = c.heads,
              .kv_heads = c.kv_heads,
              .head_size = c.head_size,
              .ffn = c.ffn,
              .vocabulary = c.vocabulary,
              .batch = c.batch,
              .capacity = c.capacity,
              .two_kernels = c.way == Way::kTwo};
    if (c.llama)
      config.norm = NormKind::kRms, config.activation = Activation::kSwiGlu, config.rope_cos = cos.as<float>(),
      config.rope_sin = sin.as<float>();
    weights = {embedding.as(), c.llama ? nullptr : positions.as(), views.data(), norm.as(), c.llama ? nullptr : norm_bias.as(), head.view};
    state = {.tokens = tokens.as<int32_t>(),
             .lengths = lengths.as<int32_t>(),
             .done = done.as<int32_t>(),
             .history = history.as<int32_t>(),
             .history_stride = c.capacity};
    if (c.way == Way::kTwo && !decoder_fused_refusal(config, weights, device_traits())) {
      constants = Buffer(decoder_fused_constants(config));
      MUST(decoder_fused_prepare(config, weights, constants.as(), nullptr));
      weights.constants = constants.as();
    }
    DecoderConfig prompt = config;
    if (c.type != Scalar::kFloat32 && c.batch <= 16) prompt.batch = 4 * c.batch;
    workspace = Buffer(decoder_workspace(prompt));
    workspace.zero();
  }
};

// The plain step, everything in float32.
__global__ void plain_embed(DecoderConfig c, DecoderWeights w, const int* tokens, const int* lengths, float* x) {
  const int b = blockIdx.x;
  for (int i = threadIdx.x; i < c.hidden; i += blockDim.x)
    x[b * c.hidden + i] = load(w.token_embedding, c.type, int64_t{tokens[b]} * c.hidden + i) +
                          (w.position_embedding ? load(w.position_embedding, c.type, int64_t{lengths[b]} * c.hidden + i) : 0.f);
}
__global__ void plain_norm(DecoderConfig c, const void* weight, const void* bias, const float* x, float* y) {
  const int b = blockIdx.x;
  double sum = 0, squares = 0;
  for (int i = 0; i < c.hidden; ++i) sum += x[b * c.hidden + i];
  const double mean = c.norm == NormKind::kLayer ? sum / c.hidden : 0;
  for (int i = 0; i < c.hidden; ++i) squares += (x[b * c.hidden + i] - mean) * (x[b * c.hidden + i] - mean);
  const double inverse = 1 / sqrt(squares / c.hidden + c.epsilon);
  for (int i = 0; i < c.hidden; ++i)
    y[b * c.hidden + i] = (x[b * c.hidden + i] - mean) * inverse * load(weight, c.type, i) + (bias ? load(bias, c.type, i) : 0.f);
}
__device__ float plain_dot(Scalar type, const DecoderMatrix& m, int n, int k, const float* x) {
  float sum = 0;
  for (int i = 0; i < k; ++i) {
    float w;
    const int64_t at = int64_t{n} * k + i;
    if (m.format == WeightFormat::kPlain)
      w = load(m.w, type, at);
    else if (m.format == WeightFormat::kInt8)
      w = load(m.scales, type, at / m.group) * static_cast<const int8_t*>(m.w)[at];
    else
      w = load(m.scales, type, at / m.group) * (((static_cast<const uint8_t*>(m.w)[at / 2] >> (at % 2 * 4)) & 15) - 8);
    sum += w * x[i];
  }
  return sum + (m.bias ? load(m.bias, type, n) : 0.f);
}
__global__ void plain_product(Scalar type, DecoderMatrix m, int rows, int n, int k, const float* x, float* y, Activation f, bool add) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= int64_t{rows} * n) return;
  const int r = i / n, col = i % n;
  const bool glu = f == Activation::kSwiGlu;
  float v = plain_dot(type, m, glu ? col / 8 * 16 + col % 8 : col, k, x + int64_t{r} * k);
  if (f == Activation::kGeluTanh) v = 0.5f * v * (1 + tanhf(0.7978845608f * (v + 0.044715f * v * v * v)));
  if (glu) v = v / (1 + expf(-v)) * plain_dot(type, m, col / 8 * 16 + 8 + col % 8, k, x + int64_t{r} * k);
  y[i] = v + (add ? y[i] : 0.f);
}
__global__ void plain_attention(DecoderConfig c, const float* qkv, const void* k_cache, const void* v_cache, float* k_new, float* v_new,
                                int first, const int* lengths, float* out) {
  // Keys before `first`[b] come from the caches as they were, later ones from k_new and v_new.
  const int b = blockIdx.x, h = threadIdx.x, kh = h / (c.heads / c.kv_heads), hd = c.head_size, length = lengths[b], start = length - first;
  const float* row = qkv + int64_t{b} * (c.heads + 2 * c.kv_heads) * hd;
  const auto rotate = [&](const float* x, int d) {
    if (!c.rope_cos) return x[d];
    const int half = hd / 2, i = d % half;
    const float cs = c.rope_cos[length * half + i], sn = c.rope_sin[length * half + i];
    return d < half ? x[d] * cs - x[d + half] * sn : x[d] * cs + x[d - half] * sn;
  };
  const int64_t cache = (int64_t{b} * c.kv_heads + kh) * c.capacity * hd;
  if (h % (c.heads / c.kv_heads) == 0)
    for (int d = 0; d < hd; ++d) {
      k_new[cache + int64_t{length} * hd + d] = rotate(row + (c.heads + kh) * hd, d);
      v_new[cache + int64_t{length} * hd + d] = row[(c.heads + c.kv_heads + kh) * hd + d];
    }
  __syncthreads();
  float q[128], o[128];
  for (int d = 0; d < hd; ++d) q[d] = rotate(row + h * hd, d), o[d] = 0;
  double largest = -INFINITY, sum = 0;
  for (int pass = 0; pass < 2; ++pass)
    for (int j = 0; j <= length; ++j) {
      const bool fresh = j >= start;
      double s = 0;
      for (int d = 0; d < hd; ++d) s += q[d] * (fresh ? k_new[cache + j * hd + d] : load(k_cache, c.type, cache + j * hd + d));
      s /= sqrt(double(hd));
      if (pass == 0) {
        largest = fmax(largest, s);
        continue;
      }
      const float p = exp(s - largest);
      sum += p;
      for (int d = 0; d < hd; ++d) o[d] += p * (fresh ? v_new[cache + j * hd + d] : load(v_cache, c.type, cache + j * hd + d));
    }
  for (int d = 0; d < hd; ++d) out[(int64_t{b} * c.heads + h) * hd + d] = o[d] / sum;
}

class Plain {
 public:
  explicit Plain(const Model& m)
      : m_(m),
        x_(bytes(m.c.hidden)),
        y_(bytes(m.c.hidden)),
        qkv_(bytes((m.c.heads + 2 * m.c.kv_heads) * m.c.head_size)),
        attended_(bytes(m.c.heads * m.c.head_size)),
        ffn_(bytes(m.c.ffn)),
        logits(bytes(m.c.vocabulary)) {
    const int64_t n = int64_t{m.c.batch} * m.c.kv_heads * m.c.capacity * m.c.head_size;
    for (int i = 0; i < m.c.layers; ++i) k_.emplace_back(n * 4), v_.emplace_back(n * 4);
  }
  // Before the engine's step: from the tokens and lengths that it will read. `step` steps were done before.
  void run(int step) {
    const Case& c = m_.c;
    const DecoderConfig& g = m_.config;
    const int* lengths = m_.state.lengths;
    plain_embed<<<c.batch, 64>>>(g, m_.weights, m_.state.tokens, lengths, x_.as<float>());
    for (int i = 0; i < c.layers; ++i) {
      const DecoderLayer& l = m_.views[i];
      plain_norm<<<c.batch, 1>>>(g, l.norm1_weight, l.norm1_bias, x_.as<float>(), y_.as<float>());
      product(l.qkv, (c.heads + 2 * c.kv_heads) * c.head_size, c.hidden, y_, qkv_, Activation::kNone, false);
      plain_attention<<<c.batch, c.heads>>>(g, qkv_.as<float>(), l.k_cache, l.v_cache, k_[i].as<float>(), v_[i].as<float>(), step, lengths,
                                            attended_.as<float>());
      product(l.out, c.hidden, c.heads * c.head_size, attended_, x_, Activation::kNone, true);
      plain_norm<<<c.batch, 1>>>(g, l.norm2_weight, l.norm2_bias, x_.as<float>(), y_.as<float>());
      product(l.up, c.ffn, c.hidden, y_, ffn_, g.activation, false);
      product(l.down, c.hidden, c.ffn, ffn_, x_, Activation::kNone, true);
    }
    plain_norm<<<c.batch, 1>>>(g, m_.weights.final_norm_weight, m_.weights.final_norm_bias, x_.as<float>(), y_.as<float>());
    product(m_.weights.head, c.vocabulary, c.hidden, y_, logits, Activation::kNone, false);
    MUST(cudaGetLastError());
  }

 private:
  size_t bytes(int64_t row) const { return m_.c.batch * row * 4; }
  void product(const DecoderMatrix& w, int n, int k, const Buffer& x, Buffer& y, Activation f, bool add) {
    const int64_t total = int64_t{m_.c.batch} * n;
    plain_product<<<(total + 127) / 128, 128>>>(m_.c.type, w, m_.c.batch, n, k, x.as<float>(), y.as<float>(), f, add);
  }
  const Model& m_;
  Buffer x_, y_, qkv_, attended_, ffn_;
  std::vector<Buffer> k_, v_;

 public:
  Buffer logits;
};

__global__ void to_floats(const void* x, Scalar type, float* y, int64_t n) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i < n) y[i] = load(x, type, i);
}

// Steps at once are those one after another: two fed from a queue and three chosen ones. What they leave is taken back.
void several_steps(Model& m, const std::string& line, const DeviceTraits& device) {
  const int batch = m.c.batch;
  constexpr int kFed = 2, kChosen = 3;
  std::vector<int32_t> entries(2 * kFed * batch);
  for (int i = 0; i < kFed; ++i)
    for (int b = 0; b < batch; ++b) entries[2 * i * batch + b] = (3 * b + 5 * i + 1) % m.c.vocabulary;
  const Buffer queue = Buffer::of(entries);
  Buffer queue_at = Buffer::of(std::vector<int32_t>(1));
  const auto tokens = m.tokens.host<int32_t>(), lengths = m.lengths.host<int32_t>();
  DecoderState state = m.state;
  state.queue = queue.as<int32_t>(), state.queue_at = queue_at.as<int32_t>(), state.queue_stride = batch;
  std::vector<std::vector<int32_t>> results[2];
  std::vector<float> logits[2];
  const int64_t n = int64_t{batch} * m.c.vocabulary;
  Buffer floats(n * 4);
  for (const bool at_once : {false, true}) {
    m.tokens.copy_from(tokens), m.lengths.copy_from(lengths), queue_at.copy_from(std::vector<int32_t>(1));
    m.history.zero(), m.done.zero(), m.logits.poison();
    if (at_once) {
      MUST(decoder_steps(m.config, m.weights, state, kFed, kChosen, m.workspace.as(), device, nullptr));
    } else {
      for (int i = 0; i < kFed + kChosen; ++i) {
        state.choose = i >= kFed;
        MUST(decoder_step(m.config, m.weights, state, m.workspace.as(), device, nullptr));
      }
    }
    to_floats<<<(n + 255) / 256, 256>>>(m.logits.as(), m.c.type, floats.as<float>(), n);
    logits[at_once] = floats.host<float>();
    for (const Buffer* b : {&m.tokens, &m.lengths, &m.history, &queue_at}) results[at_once].push_back(b->host<int32_t>());
  }
  check(results[0] == results[1] && logits[0] == logits[1] ? 0 : 1, 0, line + ": steps at once");
  int wrong = results[1][3][0] != kFed;
  for (int b = 0; b < batch; ++b) wrong += results[1][1][b] != lengths[b] + kFed + kChosen;
  check(wrong, 0, line + ": lengths after steps at once");
  m.tokens.copy_from(tokens), m.lengths.copy_from(lengths), m.history.zero();
}

// A prompt's tokens as rows of one step leave what they leave one after another. Sequence b waits for b % 3 tokens. The state and the
// caches are taken back.
void prompt_rows(Model& m, const std::string& line, const DeviceTraits& device) {
  const Case& c = m.c;
  const int batch = c.batch;
  for (const int fed : {1, 3, 7, 20, 63}) {
    if (decoder_prompt_refusal(m.config, m.weights, fed, device)) continue;
    DecoderConfig wide = m.config;
    wide.batch = batch * (fed + 1);
    if (m.workspace.bytes() < static_cast<size_t>(decoder_workspace(wide)))
      m.workspace = Buffer(decoder_workspace(wide)), m.workspace.zero();
    const auto waits = [&](int b, int i) { return i < std::min(b % 3, fed); };
    std::vector<int32_t> done(batch), entries(2 * fed * batch);
    for (int b = 0; b < batch; ++b) {
      done[b] = waits(b, 0);
      for (int i = 0; i < fed; ++i)
        entries[2 * i * batch + b] = (3 * b + 5 * i + 1) % c.vocabulary, entries[(2 * i + 1) * batch + b] = waits(b, i + 1);
    }
    const Buffer queue = Buffer::of(entries);
    Buffer queue_at = Buffer::of(std::vector<int32_t>(1));
    DecoderState state = m.state;
    state.queue = queue.as<int32_t>(), state.queue_at = queue_at.as<int32_t>(), state.queue_stride = batch;
    const auto tokens = m.tokens.host<int32_t>(), lengths = m.lengths.host<int32_t>(), before = m.done.host<int32_t>();
    const int64_t n = int64_t{batch} * c.vocabulary, row = int64_t{c.capacity} * c.head_size, all = batch * c.kv_heads * row;
    Layer& last = m.layers.back();
    std::vector<std::vector<uint8_t>> caches;
    for (const Layer& l : m.layers) caches.push_back(l.k.host<uint8_t>()), caches.push_back(l.v.host<uint8_t>());
    Buffer logits[2], cached(all * 4);
    std::vector<float> made[2];
    std::vector<std::vector<int32_t>> left[2];
    for (const bool at_once : {false, true}) {
      m.tokens.copy_from(tokens), m.lengths.copy_from(lengths), m.done.copy_from(done), queue_at.copy_from(std::vector<int32_t>(1));
      m.history.zero(), m.logits.poison();
      for (size_t i = 0; i < m.layers.size(); ++i) m.layers[i].k.copy_from(caches[2 * i]), m.layers[i].v.copy_from(caches[2 * i + 1]);
      MUST(at_once ? decoder_prompt(m.config, m.weights, state, fed, m.workspace.as(), device, nullptr)
                   : decoder_steps(m.config, m.weights, state, fed, 1, m.workspace.as(), device, nullptr));
      logits[at_once] = Buffer(n * 4);
      to_floats<<<(n + 255) / 256, 256>>>(m.logits.as(), c.type, logits[at_once].as<float>(), n);
      for (const Buffer* from : {&last.k, &last.v}) {
        to_floats<<<(all + 255) / 256, 256>>>(from->as(), c.type, cached.as<float>(), all);
        const auto values = cached.host<float>();
        for (int h = 0; h < batch * c.kv_heads; ++h)
          for (int64_t i = 0; i < int64_t{fed + 1} * c.head_size; ++i)
            made[at_once].push_back(values[std::min(h * row + lengths[h / c.kv_heads] * c.head_size + i, all - 1)]);
      }
      for (const Buffer* b : {&m.lengths, &m.done, &queue_at}) left[at_once].push_back(b->host<int32_t>());
      const auto chosen = m.tokens.host<int32_t>(), history = m.history.host<int32_t>();
      const auto scores = logits[at_once].host<float>();
      int wrong = 0;
      for (int b = 0; b < batch; ++b) {
        const float* of = scores.data() + int64_t{b} * c.vocabulary;
        const float largest = *std::max_element(of, of + c.vocabulary);
        const int at = left[at_once][0][b] - 1;
        wrong += chosen[b] < 0 || chosen[b] >= c.vocabulary || !(of[chosen[b]] >= largest - 0.01f * std::fabs(largest)) ||
                 history[b * c.capacity + at] != chosen[b];
      }
      check(wrong, 0, line + format(": tokens after a prompt of %d, at once %d", fed + 1, int{at_once}));
    }
    const Buffer reference = Buffer::of(made[0]);
    const double size = static_cast<double>(made[0].size());
    check(relative_error(Buffer::of(made[1]), Scalar::kFloat32, reference, static_cast<int64_t>(size)), 4 * tolerance(c.type),
          line + format(": keys and values of a prompt of %d", fed + 1));
    check(relative_error(logits[1], Scalar::kFloat32, logits[0], n), 4 * tolerance(c.type),
          line + format(": logits of a prompt of %d", fed + 1));
    check(left[0] == left[1] ? 0 : 1, 0, line + format(": state after a prompt of %d", fed + 1));
    m.tokens.copy_from(tokens), m.lengths.copy_from(lengths), m.done.copy_from(before), m.history.zero();
    for (size_t i = 0; i < m.layers.size(); ++i) m.layers[i].k.copy_from(caches[2 * i]), m.layers[i].v.copy_from(caches[2 * i + 1]);
  }
}

void run_case(const Case& c, const DeviceTraits& device) {
  const std::string line = std::string(name_of(c)) + ' ' +
                           format("%s %s format %d batch %d hidden %d heads %d/%d x %d ffn %d vocabulary %d", c.what, name(c.type),
                                  int(c.format), c.batch, c.hidden, c.heads, c.kv_heads, c.head_size, c.ffn, c.vocabulary);
  if (left_out(line, c.batch * double(c.hidden) * (c.layers * (4. * c.hidden + (c.llama ? 3. : 2.) * c.ffn) + c.vocabulary))) return;
  Model m(c, -1);
  if (const char* why = decoder_refusal(m.config, m.weights, device)) {
    check(1, 0, line + ": refused: " + why);
    return;
  }
  if (const char* why = c.way == Way::kTwo ? decoder_fused_refusal(m.config, m.weights, device) : nullptr) {
    check(1, 0, line + ": refused: " + why);
    return;
  }
  m.state.logits = m.logits.as();
  Plain plain(m);
  const int64_t n = int64_t{c.batch} * c.vocabulary;
  Buffer floats(n * 4);
  for (int step = 0; step < 3; ++step) {
    if (!selected("")) return;
    plain.run(step);
    const auto before = m.lengths.host<int32_t>();
    m.logits.poison();
    MUST(decoder_step(m.config, m.weights, m.state, m.workspace.as(), device, nullptr));
    const double error = relative_error(m.logits, c.type, plain.logits, n);
    check(error, 4 * tolerance(c.type), line + format(" step %d", step));
    to_floats<<<(n + 255) / 256, 256>>>(m.logits.as(), c.type, floats.as<float>(), n);
    const auto logits = floats.host<float>();
    const auto tokens = m.tokens.host<int32_t>(), lengths = m.lengths.host<int32_t>(), history = m.history.host<int32_t>();
    int wrong = 0;
    for (int b = 0; b < c.batch; ++b) {
      const float* row = logits.data() + int64_t{b} * c.vocabulary;
      const float largest = *std::max_element(row, row + c.vocabulary);
      const bool legal = tokens[b] >= 0 && tokens[b] < c.vocabulary;
      // Logits that are kept are rounded; the choice is made before.
      wrong += !legal || !(row[tokens[b]] >= largest - 0.01f * std::fabs(largest)) || lengths[b] != before[b] + 1 ||
               history[b * c.capacity + before[b]] != tokens[b];
    }
    check(wrong, 0, line + format(" step %d: tokens", step));
  }
  several_steps(m, line, device);
  if (!selected("")) return;
  prompt_rows(m, line, device);
  if (!selected("")) return;
  // Logits for a kernel behind the step, which would choose.
  {
    plain.run(3);
    const auto tokens = m.tokens.host<int32_t>(), lengths = m.lengths.host<int32_t>();
    m.logits.poison();
    DecoderState behind = m.state;
    behind.choose_behind = true;
    MUST(decoder_step(m.config, m.weights, behind, m.workspace.as(), device, nullptr));
    check(relative_error(m.logits, c.type, plain.logits, n), 4 * tolerance(c.type), line + ": logits alone");
    check(m.tokens.host<int32_t>() != tokens || m.lengths.host<int32_t>() != lengths, 0, line + ": state after logits alone");
  }
  // Without a choice only the lengths go on.
  const auto before = m.lengths.host<int32_t>(), tokens = m.tokens.host<int32_t>();
  DecoderState fed = m.state;
  fed.choose = false;
  MUST(decoder_step(m.config, m.weights, fed, m.workspace.as(), device, nullptr));
  const auto after = m.lengths.host<int32_t>();
  int wrong = m.tokens.host<int32_t>() != tokens;
  for (int b = 0; b < c.batch; ++b) wrong += after[b] != before[b] + 1;
  check(wrong, 0, line + ": without a choice");
  // Where a kernel behind it chooses, the step leaves logits, and the state as it was.
  DecoderState behind = m.state;
  behind.choose_behind = true;
  plain.run(0);  // keys as the caches have them
  m.logits.poison();
  MUST(decoder_step(m.config, m.weights, behind, m.workspace.as(), device, nullptr));
  check(relative_error(m.logits, c.type, plain.logits, n), 4 * tolerance(c.type), line + ": a choice behind the step");
  check(m.lengths.host<int32_t>() == after && m.tokens.host<int32_t>() == tokens ? 0 : 1, 0, line + ": state behind the step");
  // Fed from a queue.
  std::vector<int32_t> entries(4 * c.batch), at_end = after;
  for (int b = 0; b < c.batch; ++b) entries[b] = b + 1, entries[c.batch + b] = b % 2, at_end[b] += 1;
  const Buffer queue = Buffer::of(entries), queue_at = Buffer::of(std::vector<int32_t>(1));
  fed.queue = queue.as<int32_t>(), fed.queue_at = queue_at.as<int32_t>(), fed.queue_stride = c.batch;
  MUST(decoder_step(m.config, m.weights, fed, m.workspace.as(), device, nullptr));
  wrong = queue_at.host<int32_t>()[0] != 1 || m.lengths.host<int32_t>() != at_end;
  const auto fed_tokens = m.tokens.host<int32_t>(), fed_done = m.done.host<int32_t>();
  for (int b = 0; b < c.batch; ++b) wrong += fed_tokens[b] != b + 1 || fed_done[b] != b % 2;
  check(wrong, 0, line + ": fed from a queue");
  // Drawn tokens: in range, those that are done stand still.
  DecoderState drawn = m.state;
  drawn.temperature = 0.8f, drawn.seed = 5;
  MUST(decoder_step(m.config, m.weights, drawn, m.workspace.as(), device, nullptr));
  const auto drawn_tokens = m.tokens.host<int32_t>(), drawn_lengths = m.lengths.host<int32_t>();
  wrong = 0;
  for (int b = 0; b < c.batch; ++b)
    wrong += drawn_tokens[b] < 0 || drawn_tokens[b] >= c.vocabulary || drawn_lengths[b] != at_end[b] + (b % 2 == 0);
  check(wrong, 0, line + ": drawn tokens");
  // Standing still at capacity, and after the end.
  std::vector<int32_t> full(c.batch, c.capacity);
  m.lengths = Buffer::of(full), m.state.lengths = m.lengths.as<int32_t>();
  MUST(decoder_step(m.config, m.weights, m.state, m.workspace.as(), device, nullptr));
  MUST(cudaDeviceSynchronize());
  check(m.lengths.host<int32_t>() == full ? 0 : 1, 0, line + ": at capacity");
}

class Graph {
 public:
  template <typename F>
  Graph(cudaStream_t stream, F&& launches) {
    cudaGraph_t graph;
    MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    launches();
    MUST(cudaStreamEndCapture(stream, &graph));
    MUST(cudaGraphInstantiate(&exec_, graph, 0));
    MUST(cudaGraphDestroy(graph));
  }
  Graph(const Graph&) = delete;
  ~Graph() { cudaGraphExecDestroy(exec_); }
  void launch(cudaStream_t stream) const { MUST(cudaGraphLaunch(exec_, stream)); }

 private:
  cudaGraphExec_t exec_;
};

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

// Microseconds a step, by the device's clock: 32 steps from `length` on, as many a graph as an engine runs.
double step_time(Model& m, int length, const DecoderState& state, const DeviceTraits& device, cudaStream_t stream) {
  constexpr int several = 4;
  const Graph graph(stream, [&] {
    MUST(decoder_steps(m.config, m.weights, state, state.choose ? 0 : several, state.choose ? several : 0, m.workspace.as(), device,
                       stream));
  });
  cudaEvent_t from, to;
  MUST(cudaEventCreate(&from));
  MUST(cudaEventCreate(&to));
  const std::vector<int32_t> start(m.c.batch, length);
  std::vector<double> times;
  for (int r = 0; r < 9; ++r) {
    MUST(cudaMemcpy(m.lengths.as(), start.data(), start.size() * 4, cudaMemcpyHostToDevice));
    MUST(cudaEventRecord(from, stream));
    for (int i = 0; i < 32 / several; ++i) graph.launch(stream);
    MUST(cudaEventRecord(to, stream));
    MUST(cudaEventSynchronize(to));
    float ms = 0;
    MUST(cudaEventElapsedTime(&ms, from, to));
    if (r >= 2) times.push_back(ms * 1000 / 32);
  }
  MUST(cudaEventDestroy(from));
  MUST(cudaEventDestroy(to));
  return median(times);
}

// Milliseconds by the host's clock for a prompt of 4 tokens and 12 new ones, from an idle device to the last token.
double whole_time(Model& m, const DeviceTraits& device, cudaStream_t stream) {
  const auto steps = [&](int fed, int chosen) {
    return std::make_unique<Graph>(
        stream, [&] { MUST(decoder_steps(m.config, m.weights, m.state, fed, chosen, m.workspace.as(), device, stream)); });
  };
  std::vector<std::unique_ptr<Graph>> graphs;
  if (decoder_prompt_refusal(m.config, m.weights, 3, device)) {
    graphs.push_back(steps(3, 1));
  } else {
    graphs.push_back(
        std::make_unique<Graph>(stream, [&] { MUST(decoder_prompt(m.config, m.weights, m.state, 3, m.workspace.as(), device, stream)); }));
  }
  for (int chosen : {4, 4, 3}) graphs.push_back(steps(0, chosen));
  std::vector<double> times;
  for (int r = 0; r < 12; ++r) {
    m.lengths.zero();
    MUST(cudaDeviceSynchronize());
    const auto start = std::chrono::steady_clock::now();
    for (const auto& graph : graphs) graph->launch(stream);
    MUST(cudaStreamSynchronize(stream));
    if (r >= 2) times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() * 1e3);
  }
  return median(times);
}

void bench(const DeviceTraits& device) {
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  const auto one = [&](const Case& c) {
    Model m(c, 240);
    if (const char* why = decoder_refusal(m.config, m.weights, device)) {
      std::printf("%s: %s\n", c.what, why);
      return;
    }
    DecoderState fed = m.state;
    fed.choose = false;
    const double full = step_time(m, 240, m.state, device, stream), layers = step_time(m, 240, fed, device, stream),
                 empty = step_time(m, 2, fed, device, stream), whole = whole_time(m, device, stream);
    std::printf("%-10s %-4s w%-2d b%-2d %-4s S256: %7.1f us a step; layers %7.1f, over short contexts %7.1f; 4+12 tokens %6.3f ms\n",
                c.what, name(c.type),
                c.format == WeightFormat::kInt4   ? 4
                : c.format == WeightFormat::kInt8 ? 8
                                                  : int(bytes_of(c.type)) * 8,
                c.batch, name_of(c), full, layers, empty, whole);
    std::fflush(stdout);
  };
  for (int b : {1, 2, 4, 8, 16, 64})
    for (Way way : {Way::kTwo, Way::kFive}) {
      if (way == Way::kTwo && b > 8) continue;
      one({"distilgpt2", Scalar::kFloat16, WeightFormat::kPlain, false, 6, 768, 12, 12, 64, 3072, 50257, b, 512, way});
      one({"smollm2", Scalar::kFloat16, WeightFormat::kPlain, true, 30, 576, 9, 3, 64, 1536, 49152, b, 512, way});
    }
  for (int b : {1, 8}) one({"distilgpt2", Scalar::kFloat16, WeightFormat::kInt8, false, 6, 768, 12, 12, 64, 3072, 50257, b, 512});
  one({"distilgpt2", Scalar::kFloat32, WeightFormat::kPlain, false, 6, 768, 12, 12, 64, 3072, 50257, 1, 512});
}

void run(bool timed) {
  const DeviceTraits device = device_traits();
  for (Scalar type : {Scalar::kFloat16, Scalar::kBFloat16, Scalar::kFloat32})
    for (int batch : {1, 2, 7, 16, 33, 64}) {
      if (type == Scalar::kFloat32 && batch > 16) continue;
      run_case({"gpt", type, WeightFormat::kPlain, false, 3, 256, 4, 4, 64, 1024, 1003, batch, 160}, device);
      run_case({"llama", type, WeightFormat::kPlain, true, 3, 576, 9, 3, 64, 1536, 2000, batch, 100}, device);
    }
  for (Scalar type : {Scalar::kFloat16, Scalar::kBFloat16})
    for (int batch : {17, 20, 32, 48, 63, 64}) {
      run_case({"gpt", type, WeightFormat::kPlain, false, 2, 768, 12, 12, 64, 3072, 50257, batch, 300}, device);
      run_case({"llama", type, WeightFormat::kPlain, true, 2, 1024, 8, 1, 128, 2816, 5000, batch, 200}, device);
    }
  for (int batch : {17, 33, 64}) {
    run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 2048, 16, 16, 128, 4096, 5000, batch, 200}, device);
    run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 512, 8, 8, 64, 6144, 5000, batch, 200}, device);
    run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 1024, 16, 16, 64, 4096, 30001, batch, 200}, device);
    run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 640, 8, 8, 80, 2560, 5000, batch, 200}, device);
    run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 480, 6, 6, 80, 1920, 5000, batch, 200}, device);
  }
  for (WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4})
    for (int batch : {1, 9, 40}) run_case({"llama", Scalar::kFloat16, format, true, 2, 512, 8, 2, 64, 1024, 3001, batch, 77}, device);
  for (int batch : {1, 2, 3, 5, 8, 11, 16})
    run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 768, 12, 12, 64, 3072, 50257, batch, 300}, device);
  run_case({"gpt", Scalar::kBFloat16, WeightFormat::kPlain, false, 2, 1024, 16, 16, 64, 4096, 5000, 6, 200}, device);
  run_case({"llama", Scalar::kBFloat16, WeightFormat::kPlain, true, 2, 1024, 8, 1, 128, 2048, 5000, 3, 200}, device);
  run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 2048, 16, 16, 128, 4096, 5000, 12, 200}, device);
  run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 640, 8, 8, 80, 2560, 5000, 4, 200}, device);
  for (Scalar type : {Scalar::kFloat16, Scalar::kBFloat16})
    for (int batch : {1, 2, 3, 4, 7, 8}) {
      run_case({"gpt", type, WeightFormat::kPlain, false, 3, 256, 4, 4, 64, 1024, 1003, batch, 160, Way::kTwo}, device);
      run_case({"gpt", type, WeightFormat::kPlain, false, 2, 768, 12, 12, 64, 3072, 5000, batch, 500, Way::kTwo}, device);
      run_case({"llama", type, WeightFormat::kPlain, true, 3, 576, 9, 3, 64, 1536, 2000, batch, 900, Way::kTwo}, device);
    }
  run_case({"gpt", Scalar::kFloat16, WeightFormat::kPlain, false, 2, 768, 12, 12, 64, 3072, 50257, 5, 300, Way::kTwo}, device);
  run_case({"gpt", Scalar::kBFloat16, WeightFormat::kPlain, false, 2, 1024, 16, 16, 64, 4096, 5000, 6, 200, Way::kTwo}, device);
  if (timed) bench(device);
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda decoder_step", cameo::cuda_test::run); }
