// Tokens chosen on the GPU against those of pipelines/sampler.h, from the same logits. --cases=N: so many drawn cases.
#include "backends/cuda/kernels/sampling.h"

#include <limits>

#include "harness.cuh"
#include "pipelines/sampler.h"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Random {
  RandomStream stream;
  double uniform() { return stream.uniform(); }
  uint64_t below(uint64_t n) { return stream.next() % n; }
  float normal() { return static_cast<float>((uniform() + uniform() + uniform() + uniform() - 2) * 1.732); }
  template <typename T>
  T of(std::initializer_list<T> list) {
    return list.begin()[below(list.size())];
  }
};

// What a device keeps for rows whose tokens are chosen, and the samplers of the host.
struct Rows {
  int rows, vocabulary;
  Scalar type;
  GenerateOptions options;
  std::vector<std::vector<uint32_t>> prompts;
  std::vector<Sampler> samplers;
  Buffer settings, bias, made, made_count, random, tokens, lengths, done, history;
  SamplingArgs args;
  static constexpr int kCapacity = 40;

  Rows(int rows, int vocabulary, Scalar type, const GenerateOptions& o, Random& r)
      : rows(rows), vocabulary(vocabulary), type(type), options(o) {
    SamplingSettings s;
    if (o.temperature > 0) s.inverse_temperature = std::min(1 / o.temperature, std::numeric_limits<double>::max());
    s.top_p = o.top_p, s.min_p = o.min_p, s.repetition = o.repetition_penalty, s.presence = o.presence_penalty;
    s.frequency = o.frequency_penalty, s.top_k = static_cast<uint32_t>(o.top_k);
    std::vector<SamplingBias> biases;
    for (const auto& [token, value] : o.logit_bias) biases.push_back({token, value});
    std::stable_sort(biases.begin(), biases.end(), [](const SamplingBias& a, const SamplingBias& b) { return a.token < b.token; });
    s.biases = static_cast<uint32_t>(biases.size());
    if (!biases.empty()) bias = Buffer::of(biases), s.bias = bias.as<SamplingBias>();
    std::vector<uint64_t> seeds;
    std::vector<uint32_t> counts;
    std::vector<SamplingMade> all(rows * kCapacity);
    prompts.resize(rows);
    for (int m = 0; m < rows; ++m) {
      seeds.push_back(o.seed + m);
      const size_t length = 1 + r.below(6);
      for (size_t i = 0; i < length; ++i) prompts[m].push_back(static_cast<uint32_t>(r.below(vocabulary)));
      std::vector<uint32_t> once = prompts[m];
      std::sort(once.begin(), once.end());
      once.erase(std::unique(once.begin(), once.end()), once.end());
      if (o.repetition_penalty == 1) once.clear();
      for (size_t i = 0; i < once.size(); ++i) all[m * kCapacity + i] = {once[i], 0};
      counts.push_back(static_cast<uint32_t>(once.size()));
    }
    for (int m = 0; m < rows; ++m) samplers.emplace_back(options, prompts[m], o.seed + m);
    made = Buffer::of(all), made_count = Buffer::of(counts), random = Buffer::of(seeds);
    s.random = random.as<uint64_t>();
    if (o.repetition_penalty != 1 || o.presence_penalty != 0 || o.frequency_penalty != 0)
      s.made = made.as<SamplingMade>(), s.made_count = made_count.as<uint32_t>(), s.made_stride = kCapacity;
    settings = Buffer::of(std::vector<SamplingSettings>{s});
    tokens = Buffer(rows * 4), done = Buffer(rows * 4), lengths = Buffer(rows * 4), history = Buffer(rows * kCapacity * 4);
    tokens.zero(), done.zero(), lengths.zero(), history.poison();
    args.type = type, args.rows = rows, args.vocabulary = vocabulary, args.settings = settings.as<SamplingSettings>();
    args.tokens = tokens.as<int32_t>(), args.lengths = lengths.as<int32_t>(), args.done = done.as<int32_t>();
    args.history = history.as<int32_t>(), args.history_stride = kCapacity, args.capacity = kCapacity;
  }
};

// Logits as models give them, and as they do not.
std::vector<float> draw_logits(int n, Random& r) {
  std::vector<float> v(n);
  const int kind = static_cast<int>(r.below(12));
  const float spread = r.of({0.01f, 1.f, 3.f, 20.f}), mean = r.of({0.f, -40.f, 7.f});
  for (float& x : v) x = mean + spread * r.normal();
  if (kind == 1)
    for (float& x : v) x = std::round(x * 2) / 2;  // many equal ones
  if (kind == 2) std::fill(v.begin(), v.end(), mean);
  if (kind == 3)
    for (float& x : v) x = r.below(50) ? -kInfinity : x;
  if (kind == 4) v[r.below(n)] = mean + 30 * spread;
  if (kind == 5)
    for (float& x : v) x = r.of({1e38f, -1e38f, 3e38f, -3e38f, 0.f}) * static_cast<float>(r.uniform());
  if (kind == 6)
    for (float& x : v) x = r.of({0.f, -0.f});
  if (kind == 7)
    for (float& x : v) x = r.below(8) ? -0.f : static_cast<float>(r.normal() * 1e-40);
  if (kind == 8) std::fill(v.begin(), v.end(), -kInfinity), v[r.below(n)] = mean;
  if (kind == 9)
    for (float& x : v) x = r.below(3) ? mean : mean - 5;
  return v;
}

void check_drawn(Random& r) {
  GenerateOptions o;
  o.seed = r.stream.next();
  const int vocabulary = r.of({1, 2, 7, 100, 1000, 1023, 5003, 20011, 50257});
  const int rows = vocabulary > 5000 ? static_cast<int>(1 + r.below(3)) : r.of({1, 2, 3, 5});
  const Scalar type = r.of({Scalar::kFloat32, Scalar::kFloat16, Scalar::kBFloat16});
  if (left_out(format("%s %d rows of %d words", name(type), rows, vocabulary), double(rows) * vocabulary)) return;
  if (r.below(8)) o.temperature = r.of({0.01, 0.3, 0.8, 1.0, 1.0, 2.5, 10.0, 1e-30, 1e30});
  if (r.below(2)) o.top_k = r.of({1, 2, 5, 40, 300, 2000, 10000, vocabulary - 1, vocabulary, vocabulary + 1});
  if (r.below(2)) o.top_p = r.of({1e-9, 0.1, 0.5, 0.9, 0.95, 0.999, 1 - 1e-16});
  if (r.below(3) == 0) o.min_p = r.of({1e-6, 0.01, 0.2, 1.0});
  if (r.below(3) == 0) o.repetition_penalty = r.of({0.8, 1.3});
  if (r.below(4) == 0) o.presence_penalty = r.of({-0.5, 0.7});
  if (r.below(4) == 0) o.frequency_penalty = r.of({-0.2, 0.3});
  if (r.below(3) == 0)
    for (int i = 0; i < 20; ++i)
      o.logit_bias.push_back({static_cast<uint32_t>(r.below(std::min(vocabulary, 50))), r.below(3) ? r.normal() * 3 : -kInfinity});
  Rows w(rows, vocabulary, type, o, r);
  for (int step = 0; step < 3; ++step) {
    std::vector<float> logits;
    for (int m = 0; m < rows; ++m) {
      const std::vector<float> one = draw_logits(vocabulary, r);
      logits.insert(logits.end(), one.begin(), one.end());
    }
    if (r.below(20) == 0) logits[r.below(logits.size())] = std::numeric_limits<float>::quiet_NaN();
    if (r.below(20) == 0) logits[r.below(logits.size())] = kInfinity;
    if (r.below(20) == 0) std::fill_n(logits.begin(), vocabulary, -kInfinity);
    std::vector<uint16_t> narrow;
    for (float& x : logits) {
      if (type == Scalar::kFloat16) {
        const __half h = __float2half_rn(x);
        narrow.emplace_back();
        std::memcpy(&narrow.back(), &h, 2);
        x = __half2float(h);
      } else if (type == Scalar::kBFloat16) {
        const __nv_bfloat16 h = __float2bfloat16_rn(x);
        narrow.emplace_back();
        std::memcpy(&narrow.back(), &h, 2);
        x = __bfloat162float(h);
      }
    }
    const Buffer on_device = narrow.empty() ? Buffer::of(logits) : Buffer::of(narrow);
    w.args.logits = on_device.as();
    MUST(sample_tokens(w.args, device_traits(), nullptr));
    MUST(cudaDeviceSynchronize());
    const auto tokens = w.tokens.host<int32_t>(), lengths = w.lengths.host<int32_t>(), history = w.history.host<int32_t>();
    bool failed = false;
    for (int m = 0; m < rows; ++m) {
      const auto want = w.samplers[m].pick(std::span(logits).subspan(static_cast<size_t>(m) * vocabulary, vocabulary));
      int32_t expected = 0;
      if (want.ok()) {
        expected = static_cast<int32_t>(*want);
        w.samplers[m].accept(*want);
      } else {
        failed = true;
        expected = want.error().message().find("NaN") != std::string::npos ? kLogitsNan : kLogitsInfinite;
      }
      ++checks;
      const int32_t got = history[m * Rows::kCapacity + step];
      if (got == expected && lengths[m] == step + 1 && tokens[m] == std::max(got, 0)) continue;
      ++failures;
      std::printf(
          "FAILED: %s, row %d of %d, %d words, step %d: token %d, not %d; temperature %g top_k %zu top_p %g min_p %g penalties %g %g %g, "
          "%zu biases\n",
          name(type), m, rows, vocabulary, step, got, expected, o.temperature, o.top_k, o.top_p, o.min_p, o.repetition_penalty,
          o.presence_penalty, o.frequency_penalty, o.logit_bias.size());
    }
    if (failed) return;
  }
}

// Rows that are done or full stand still, and the end token makes a row done.
void check_rows_that_stand() {
  Random r{RandomStream(3)};
  GenerateOptions o;
  o.temperature = 1;
  Rows w(4, 300, Scalar::kFloat32, o, r);
  std::vector<float> logits(1200, -20.f);
  for (int m = 0; m < 4; ++m) logits[m * 300 + 40 + m] = 100;
  const Buffer on_device = Buffer::of(logits);
  w.lengths = Buffer::of(std::vector<int32_t>{5, 5, Rows::kCapacity, 5}), w.done = Buffer::of(std::vector<int32_t>{0, 1, 0, 0});
  w.args.lengths = w.lengths.as<int32_t>(), w.args.done = w.done.as<int32_t>(), w.args.logits = on_device.as(), w.args.end_token = 43;
  MUST(sample_tokens(w.args, device_traits(), nullptr));
  MUST(cudaDeviceSynchronize());
  ++checks;
  if (w.tokens.host<int32_t>() == std::vector<int32_t>{40, 0, 0, 43} && w.done.host<int32_t>() == std::vector<int32_t>{0, 1, 0, 1} &&
      w.lengths.host<int32_t>() == std::vector<int32_t>{6, 5, Rows::kCapacity, 6})
    return;
  ++failures;
  std::printf("FAILED: rows that stand still\n");
}

void bench() {
  Random r{RandomStream(1)};
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  const struct {
    const char* what;
    double temperature, top_p, min_p;
    size_t top_k;
    double repetition;
  } ways[] = {{"greedy, penalties", 0, 1, 0, 0, 1.2},       {"temperature 0.8", 0.8, 1, 0, 0, 1},
              {"... min_p 0.05", 0.8, 1, 0.05, 0, 1},       {"... top_p 0.95", 0.8, 0.95, 0, 0, 1},
              {"... top_k 50", 0.8, 1, 0, 50, 1},           {"... top_k 50, top_p 0.95", 0.8, 0.95, 0, 50, 1},
              {"... all of them", 0.8, 0.95, 0.05, 50, 1.2}};
  const struct {
    int vocabulary;
    float spread;  // of the logits
  } sizes[] = {{50257, 3.f}, {50257, 0.3f}, {262144, 3.f}};
  for (const auto& [vocabulary, spread] : sizes) {
    std::printf("us a call, float16, %6d words, spread %3.1f, batch 1 / 8 / 16 / 64:\n", vocabulary, spread);
    for (const auto& way : ways) {
      std::printf("  %-27s", way.what);
      for (const int rows : {1, 8, 16, 64}) {
        GenerateOptions o;
        o.temperature = way.temperature, o.top_p = way.top_p, o.min_p = way.min_p, o.top_k = way.top_k,
        o.repetition_penalty = way.repetition;
        Rows w(rows, vocabulary, Scalar::kFloat16, o, r);
        w.args.capacity = 1 << 30, w.args.history = nullptr;
        const Buffer logits = cameo::cuda_test::random(Scalar::kFloat16, int64_t{rows} * vocabulary, spread);
        w.args.logits = logits.as();
        std::printf(" %8.2f", time_us(stream, 20, [&](int) { return sample_tokens(w.args, device_traits(), stream); }));
      }
      std::printf("\n");
    }
  }
  MUST(cudaStreamDestroy(stream));
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) {
  using namespace cameo::cuda_test;
  int cases = 1500;
  for (int i = 1; i < argc; ++i)
    if (!std::strncmp(argv[i], "--cases=", 8)) cases = std::atoi(argv[i] + 8);
  return test_main(argc, argv, "sampling", [&](bool with_bench) {
    Random r{cameo::RandomStream(2)};
    check_rows_that_stand();
    for (int i = 0; i < cases; ++i) {
      Random own{cameo::RandomStream(r.stream.next())};
      check_drawn(own);
    }
    if (with_bench) bench();
  });
}
