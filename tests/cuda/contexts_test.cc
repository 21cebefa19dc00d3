// What a server does with one plan on a GPU: several contexts on streams of the caller, one context on several streams, shapes by
// turns, a limit on memory that holds, times, profiles.
//   cuda_contexts_test
#include <cuda_runtime_api.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

#include "cameo/builder.h"
#include "cameo/engine.h"
#include "gpu_memory.h"
#include "network.h"
#include "on_device.h"
#include "plan/content.h"

namespace cameo {
namespace {

using test::drawn;
using test::expect;
using test::free_memory;
using test::message;
using test::Network;

constexpr int64_t kWidth = 192, kHidden = 512, kMost = 1 << 16;
using Rows = std::vector<float>;

Result<Plan> build(const BuildOptions& more) {
  Network n({kWidth});
  const ir::ValueId hidden = n.node("Relu", {n.product(n.x, kWidth, kHidden)});
  CAMEO_ASSIGN(const std::string bytes, n.bytes({n.product(n.norm(n.product(hidden, kHidden, kHidden), kHidden), kHidden, kWidth)}));
  BuildOptions options = more;
  options.device = "cuda";
  return Builder().build(std::as_bytes(std::span(bytes)), "", options);
}

Tensor rows_of(int64_t rows, unsigned seed) { return drawn({rows, kWidth}, 1, seed); }

// Of a new context, without CUDA graphs.
Result<Rows> plainly(const Engine& engine, const Tensor& x) {
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.cuda_graphs = false}));
  CAMEO_TRY(context.set_input("x", x));
  CAMEO_TRY(context.run());
  CAMEO_ASSIGN(const Tensor y, context.output(engine.outputs()[0].name));
  return Rows(y.data<float>(), y.data<float>() + y.num_elements());
}
// Other algorithms may be taken for what is computed in parts or captured.
bool close(const float* got, const Rows& want) {
  for (size_t i = 0; i < want.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= 1e-4f * (1 + std::abs(want[i])))) return false;
  return true;
}

// An input and an output in the GPU's memory, and a context that is bound to them.
struct Bound {
  Tensor x;
  Rows want;
  void *in = nullptr, *out = nullptr;
  cudaStream_t stream = nullptr;
  std::optional<ExecutionContext> context;

  Bound() = default;
  Bound(Bound&& o) noexcept = delete;
  ~Bound() {
    context.reset();
    cudaFree(in), cudaFree(out);
    if (stream) cudaStreamDestroy(stream);
  }
  Status open(const Engine& engine, int64_t rows, unsigned seed) {
    x = rows_of(rows, seed);
    CAMEO_ASSIGN(want, plainly(engine, x));
    if (cudaMalloc(&in, x.num_bytes()) != cudaSuccess || cudaMalloc(&out, x.num_bytes()) != cudaSuccess ||
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess)
      return error(ErrorCode::kOutOfMemory, "no memory or stream for the test");
    cudaMemcpy(in, x.raw(), x.num_bytes(), cudaMemcpyHostToDevice);
    CAMEO_ASSIGN(context, engine.create_context());
    return bind(in, out);
  }
  Status bind(void* from, void* to) {
    CAMEO_TRY(context->set_input_shape("x", x.dims()));
    CAMEO_TRY(context->set_tensor_address("x", from, x.num_bytes()));
    return context->set_tensor_address(name, to, x.num_bytes());
  }
  bool right() const {
    Rows got(want.size());
    return cudaMemcpy(got.data(), out, x.num_bytes(), cudaMemcpyDeviceToHost) == cudaSuccess && close(got.data(), want);
  }
  std::string name;
};

// Contexts that are put to work on streams of their own without any of them being waited for.
Status check_streams(const Engine& engine) {
  constexpr int kContexts = 4, kRounds = 6;
  Bound all[kContexts];
  for (int i = 0; i < kContexts; ++i) {
    all[i].name = engine.outputs()[0].name;
    CAMEO_TRY(all[i].open(engine, 1 + 700 * i, 10 + static_cast<unsigned>(i)));
  }
  for (int round = 0; round < kRounds; ++round) {
    for (Bound& b : all) cudaMemsetAsync(b.out, 0x7f, b.x.num_bytes(), b.stream);
    for (Bound& b : all) CAMEO_TRY(b.context->enqueue(b.stream));
    for (Bound& b : all)
      if (cudaStreamSynchronize(b.stream) != cudaSuccess) return error(ErrorCode::kDevice, "a stream failed");
    for (const Bound& b : all) expect(b.right(), fmt::format("{} rows on a stream of four, round {}", b.x.dims()[0], round));
  }
  return {};
}

// One context whose runs go to one stream and another: they follow one another all the same, for they share its memory.
Status check_moving(const Engine& engine) {
  Bound a, b;
  a.name = b.name = engine.outputs()[0].name;
  CAMEO_TRY(a.open(engine, 3000, 20));
  CAMEO_TRY(b.open(engine, 3000, 21));
  for (int round = 0; round < 6; ++round) {
    cudaMemsetAsync(a.out, 0x7f, a.x.num_bytes(), a.stream);
    cudaMemsetAsync(b.out, 0x7f, b.x.num_bytes(), b.stream);
    CAMEO_TRY(a.bind(a.in, a.out));
    CAMEO_TRY(a.context->enqueue(a.stream));
    CAMEO_TRY(a.bind(b.in, b.out));
    CAMEO_TRY(a.context->enqueue(b.stream));
    if (round % 2) CAMEO_TRY(a.context->run());  // and the context's own
    if (cudaStreamSynchronize(a.stream) != cudaSuccess || cudaStreamSynchronize(b.stream) != cudaSuccess)
      return error(ErrorCode::kDevice, "a stream failed");
    expect(a.right() && b.right(), fmt::format("one context on two streams, round {}", round));
  }
  return {};
}

// Streams of the caller that are gone when the context is used again, or goes; and a context that goes before its work is done.
Status check_gone(const Engine& engine) {
  for (int round = 0; round < 3; ++round) {
    Bound b;
    b.name = engine.outputs()[0].name;
    CAMEO_TRY(b.open(engine, 2000 + round, 30));
    const auto with_stream = [&]() -> Status {
      cudaMemset(b.out, 0x7f, b.x.num_bytes());
      cudaDeviceSynchronize();
      CAMEO_TRY(b.context->enqueue(b.stream));
      if (cudaStreamSynchronize(b.stream) != cudaSuccess) return error(ErrorCode::kDevice, "a stream failed");
      expect(b.right(), "a stream that goes afterwards");
      cudaStreamDestroy(std::exchange(b.stream, nullptr));
      return {};
    };
    const auto another = [&] { return cudaStreamCreateWithFlags(&b.stream, cudaStreamNonBlocking); };
    CAMEO_TRY(with_stream());
    cudaMemset(b.out, 0x7f, b.x.num_bytes());
    CAMEO_TRY(b.context->run());
    expect(b.right(), "a run after a stream has gone");
    another();
    CAMEO_TRY(with_stream());
    another();
    CAMEO_TRY(with_stream());
    // Shapes are made ready between runs.
    CAMEO_TRY(b.context->set_input_shape("x", Dims{30 + round, kWidth}));
    CAMEO_ASSIGN(const Dims y, b.context->output_shape(b.name));
    expect(y[0] == 30 + round, "extents after a stream has gone");
    if (round == 2) return {};
    another();
    CAMEO_TRY(b.bind(b.in, b.out));
    cudaMemset(b.out, 0x7f, b.x.num_bytes());
    cudaDeviceSynchronize();
    CAMEO_TRY(b.context->enqueue(b.stream));
    b.context.reset();
    if (cudaStreamSynchronize(b.stream) != cudaSuccess) return error(ErrorCode::kDevice, "a stream failed");
    expect(b.right(), "a context that goes before its work is done");
  }
  return {};
}

// More shapes than a context keeps ready, none of them waited for.
Status check_many_shapes(const Engine& engine) {
  constexpr int64_t kShapes = 40;
  const Tensor x = rows_of(kShapes, 40);
  CAMEO_ASSIGN(const Rows want, plainly(engine, x));
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  const std::string& name = engine.outputs()[0].name;
  const size_t row = kWidth * sizeof(float), bytes = kShapes * row;
  void* device = nullptr;
  cudaStream_t stream = nullptr;
  if (cudaMalloc(&device, (kShapes + 1) * bytes) != cudaSuccess || cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess)
    return error(ErrorCode::kOutOfMemory, "no memory or stream for the test");
  auto* memory = static_cast<std::byte*>(device);
  cudaMemcpy(memory, x.raw(), bytes, cudaMemcpyHostToDevice);
  for (int round = 0; round < 3; ++round) {
    cudaMemset(memory + bytes, 0x7f, kShapes * bytes);
    cudaDeviceSynchronize();
    for (int64_t rows = 1; rows <= kShapes; ++rows) {
      CAMEO_TRY(context.set_input_shape("x", Dims{rows, kWidth}));
      CAMEO_TRY(context.set_tensor_address("x", memory, rows * row));
      CAMEO_TRY(context.set_tensor_address(name, memory + rows * bytes, rows * row));
      CAMEO_TRY(context.enqueue(stream));
    }
    if (cudaStreamSynchronize(stream) != cudaSuccess) return error(ErrorCode::kDevice, "a stream failed");
    for (int64_t rows = 1; rows <= kShapes; ++rows) {
      Rows got(static_cast<size_t>(rows * kWidth));
      cudaMemcpy(got.data(), memory + rows * bytes, rows * row, cudaMemcpyDeviceToHost);
      expect(close(got.data(), Rows(want.begin(), want.begin() + rows * kWidth)), fmt::format("{} of many shapes, round {}", rows, round));
    }
  }
  cudaStreamDestroy(stream);
  cudaFree(memory);
  return {};
}

// The default stream, by its three names: what lies there before the run and behind it stays before and behind.
Status check_default_stream(const Engine& engine) {
  for (const cudaStream_t stream : {cudaStream_t{}, cudaStreamLegacy, cudaStreamPerThread}) {
    Bound b;
    b.name = engine.outputs()[0].name;
    CAMEO_TRY(b.open(engine, 5000, 50));
    for (int round = 0; round < 5; ++round) {
      std::vector<float> got(b.want.size());
      cudaMemsetAsync(b.in, 0, b.x.num_bytes(), stream);
      cudaMemsetAsync(b.out, 0x7f, b.x.num_bytes(), stream);
      cudaMemcpyAsync(b.in, b.x.raw(), b.x.num_bytes(), cudaMemcpyHostToDevice, stream);
      CAMEO_TRY(b.context->enqueue(stream));
      cudaMemcpyAsync(got.data(), b.out, b.x.num_bytes(), cudaMemcpyDeviceToHost, stream);
      cudaMemsetAsync(b.out, 0x7f, b.x.num_bytes(), stream);
      if (cudaStreamSynchronize(stream) != cudaSuccess) return error(ErrorCode::kDevice, "the default stream failed");
      expect(close(got.data(), b.want), fmt::format("default stream {}, round {}", reinterpret_cast<uintptr_t>(stream), round));
    }
  }
  return {};
}

// What was captured at a shape is replayed when it comes again; another input at the same shape gives other results.
Status check_turns(const Engine& engine) {
  const int64_t shapes[] = {1, 64, 17, 4096, 2, 64};
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  for (int round = 0; round < 5; ++round)
    for (int64_t rows : shapes) {
      const Tensor x = rows_of(rows, static_cast<unsigned>(rows + round));
      CAMEO_ASSIGN(const Rows want, plainly(engine, x));
      CAMEO_TRY(context.set_input("x", x));
      CAMEO_TRY(context.run());
      CAMEO_ASSIGN(const Tensor y, context.output(engine.outputs()[0].name));
      expect(y.dims()[0] == rows && close(y.data<float>(), want), fmt::format("{} rows by turns, round {}", rows, round));
      const auto times = context.device_times();
      expect(times && times->h2d >= 0 && times->compute > 0 && times->d2h >= 0, "times of a run");
    }
  return {};
}

// The GPU's times are part of those that the caller sees.
Status check_times(const Engine& engine) {
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  CAMEO_TRY(context.set_input("x", rows_of(20000, 1)));
  for (int run = 0; run < 4; ++run) {
    const auto start = std::chrono::steady_clock::now();
    CAMEO_TRY(context.run());
    const double whole = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    const auto t = context.device_times();
    expect(t && t->h2d > 0 && t->d2h > 0 && t->compute > 0 && t->h2d + t->compute + t->d2h <= 1.1 * whole + 0.1,
           fmt::format("{} + {} + {} ms on the GPU of {}", t ? t->h2d : 0, t ? t->compute : 0, t ? t->d2h : 0, whole));
  }
  return {};
}

// A context takes no more memory than it may, and what does not fit is refused before it runs.
Status check_limit(const Engine& engine) {
  const Tensor x = rows_of(kMost, 2);
  CAMEO_ASSIGN(const Rows want, plainly(engine, x));  // kernels are chosen and compiled then
  int refused = 0, worked = 0;
  // How many bytes a context took beyond the limit.
  const auto excess = [&](size_t limit) -> Result<size_t> {
    const size_t before = free_memory();
    CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.device_memory_limit = limit}));
    CAMEO_TRY(context.set_input("x", x));
    size_t least = before;
    for (int run = 0; run < 3; ++run) {
      const Status status = context.run();
      least = std::min(least, free_memory());
      if (!status.ok()) {
        ++refused;
        expect(status.error().code() == ErrorCode::kOutOfMemory, fmt::format("a limit of {}: {}", limit, message(status)));
        break;
      }
      ++worked;
      CAMEO_ASSIGN(const Tensor y, context.output(engine.outputs()[0].name));
      expect(close(y.data<float>(), want), fmt::format("results under a limit of {}", limit));
    }
    // CUDA takes memory in pieces of 2 MB, and some for a captured graph.
    const size_t most = limit + (size_t{16} << 20);
    return before - least > most ? before - least - most : 0;
  };
  for (size_t limit = size_t{32} << 20; limit <= size_t{1} << 30; limit += limit / 2) {
    CAMEO_ASSIGN(const size_t more, test::least_missing([&] { return excess(limit); }));
    expect(more == 0, fmt::format("{} bytes were taken beyond a limit of {}", more, limit));
  }
  expect(refused > 0 && worked > 0, fmt::format("limits: {} refused, {} runs", refused, worked));
  return {};
}

Status check_profiles() {
  const auto profile = [](int64_t least, int64_t opt, int64_t most) {
    return Profile{.inputs = {{"x", Dims{least, kWidth}, Dims{opt, kWidth}, Dims{most, kWidth}}}};
  };
  CAMEO_ASSIGN(const Plan plan, build({.profiles = {profile(1, 4, 8), profile(100, 200, 400)}}));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan));
  const struct {
    int set;  // -1: any
    int64_t rows;
    bool taken;
  } cases[] = {{-1, 1, true}, {-1, 8, true},   {-1, 9, false}, {-1, 100, true}, {-1, 401, false}, {0, 8, true},
               {0, 9, false}, {0, 100, false}, {1, 100, true}, {1, 8, false},   {1, 400, true},   {1, 401, false}};
  for (const auto& c : cases) {
    CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
    if (c.set >= 0) CAMEO_TRY(context.set_profile(static_cast<size_t>(c.set)));
    Status status = context.set_input("x", rows_of(c.rows, 3));
    if (status.ok()) status = context.run();
    expect(status.ok() == c.taken && (status.ok() || status.error().code() == ErrorCode::kInvalidInput),
           fmt::format("{} rows in profile {}: {}", c.rows, c.set, message(status)));
    if (!status.ok()) continue;
    CAMEO_ASSIGN(const Rows want, plainly(engine, rows_of(c.rows, 3)));
    CAMEO_ASSIGN(const Tensor y, context.output(engine.outputs()[0].name));
    expect(close(y.data<float>(), want), fmt::format("{} rows in profile {}", c.rows, c.set));
  }
  return {};
}

Status run() {
  CAMEO_ASSIGN(const Plan plan, build({}));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan));
  CAMEO_TRY(check_limit(engine));
  CAMEO_TRY(check_streams(engine));
  CAMEO_TRY(check_moving(engine));
  CAMEO_TRY(check_default_stream(engine));
  CAMEO_TRY(check_gone(engine));
  CAMEO_TRY(check_many_shapes(engine));
  CAMEO_TRY(check_turns(engine));
  CAMEO_TRY(check_times(engine));
  CAMEO_TRY(check_profiles());
  // Nothing in a portable plan says what was chosen where it was built, or lets anything be measured where it is loaded.
  CAMEO_ASSIGN(const Plan portable, build({.portable = true}));
  CAMEO_ASSIGN(const plan::Content content, plan::read(portable, true));
  expect(content.choices.empty() && content.tuned_for.empty() && content.tuning_level == 0, "a portable plan has choices");
  CAMEO_ASSIGN(const Engine anywhere, Engine::load(portable));
  return check_turns(anywhere);
}

}  // namespace
}  // namespace cameo

int main() { return cameo::test::on_device("contexts", cameo::run); }
