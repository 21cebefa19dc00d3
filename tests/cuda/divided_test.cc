// Runs that are divided among parts of the batch give what whole ones give: every way of dividing that a plan may ask for, at the
// first steps, at the last ones and both, from memory of the host and of the GPU, in several contexts at once, with too little memory.
//   cuda_divided_test
#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <thread>

#include "backends/cuda/division.h"
#include "cameo/builder.h"
#include "cameo/engine.h"
#include "network.h"
#include "on_device.h"
#include "plan/content.h"

namespace cameo {
namespace {

using cuda::Division;
using test::drawn;
using test::expect;

constexpr int64_t kChannels = 3, kSide = 64, kMeasured = 64;  // rows that the plan is built for
constexpr float kTolerance = 4e-3f;                           // of the largest value

// An image to an image of the same size and a few numbers, over convolutions with sums around them.
Result<std::string> model(bool quantized) {
  test::Network n({kChannels, kSide, kSide});
  n.quantized = quantized;
  const auto relu = [&](ir::ValueId x) { return n.node("Relu", {x}); };
  ir::ValueId y = relu(n.convolution(n.x, kChannels, 16, 3));
  for (int layer = 0; layer < 3; ++layer)
    y = relu(n.node("Add", {n.rounded(y), n.convolution(relu(n.convolution(y, 16, 16, 3)), 16, 16, 1)}));
  const ir::ValueId numbers = n.node("GlobalAveragePool", {y});
  const ir::ValueId image = n.node("Sigmoid", {n.convolution(relu(n.convolution(y, 16, 32, 1)), 32, kChannels, 3)});
  return n.bytes({image, numbers});
}

using Outputs = std::vector<std::vector<float>>;

Result<Outputs> outputs_of(ExecutionContext& context, const Engine& engine) {
  Outputs all;
  for (const TensorInfo& info : engine.outputs()) {
    CAMEO_ASSIGN(const Tensor t, context.output(info.name));
    all.emplace_back(t.data<float>(), t.data<float>() + t.num_elements());
  }
  return all;
}

// The largest difference, relative to the largest value; infinite where something is no number.
float difference(const Outputs& got, const Outputs& want) {
  float worst = 0;
  for (size_t k = 0; k < want.size(); ++k) {
    float off = 0, most = 0;
    if (got[k].size() != want[k].size()) return INFINITY;
    for (size_t i = 0; i < want[k].size(); ++i) {
      if (!std::isfinite(got[k][i])) return INFINITY;
      off = std::max(off, std::abs(got[k][i] - want[k][i]));
      most = std::max(most, std::abs(want[k][i]));
    }
    worst = std::max(worst, off / most);
  }
  return worst;
}

Result<Outputs> whole(const Engine& engine, const Tensor& x) {
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.cuda_graphs = false}));
  CAMEO_TRY(context.set_input("x", x));
  CAMEO_TRY(context.run());
  return outputs_of(context, engine);
}

// Runs with two inputs by turns; the later ones are divided.
Status check_runs(const Engine& engine, int64_t rows, const std::string& name, size_t limit = 0) {
  const Tensor x[2] = {drawn({rows, kChannels, kSide, kSide}, 1, 100), drawn({rows, kChannels, kSide, kSide}, 1, 200)};
  Outputs want[2], first[2];
  for (int k : {0, 1}) {
    CAMEO_ASSIGN(want[k], whole(engine, x[k]));
  }
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.device_memory_limit = limit}));
  for (int run = 0; run < 10; ++run) {
    const int k = run / 2 % 2;
    CAMEO_TRY(context.set_input("x", x[k]));
    CAMEO_TRY(context.run());
    CAMEO_ASSIGN(const Outputs got, outputs_of(context, engine));
    const float off = difference(got, want[k]);
    expect(off <= kTolerance, fmt::format("{}, run {}: off by {}", name, run, off));
    if (run < 4) continue;
    if (first[k].empty()) first[k] = got;
    expect(got == first[k], fmt::format("{}, run {}: other bits than in an earlier run", name, run));
  }
  return {};
}

// Inputs and outputs in memory of the GPU, or either, on a stream of the caller.
Status check_caller_memory(const Engine& engine, int64_t rows, bool device_in, bool device_out) {
  const Tensor x = drawn({rows, kChannels, kSide, kSide}, 1, 300);
  CAMEO_ASSIGN(const Outputs want, whole(engine, x));
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  std::vector<void*> memory;
  const auto allocate = [&](size_t bytes, bool device) {
    void* data = nullptr;
    (void)(device ? cudaMalloc(&data, bytes) : cudaMallocHost(&data, bytes));
    memory.push_back(data);
    return data;
  };
  void* in = allocate(x.num_bytes(), device_in);
  cudaMemcpy(in, x.raw(), x.num_bytes(), cudaMemcpyDefault);
  CAMEO_TRY(context.set_input_shape("x", x.dims()));
  CAMEO_TRY(context.set_tensor_address("x", in, x.num_bytes()));
  std::vector<void*> out;
  for (size_t k = 0; k < want.size(); ++k) {
    out.push_back(allocate(want[k].size() * sizeof(float), device_out));
    CAMEO_TRY(context.set_tensor_address(engine.outputs()[k].name, out[k], want[k].size() * sizeof(float)));
  }
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  for (int run = 0; run < 4; ++run) {
    for (size_t k = 0; k < want.size(); ++k) cudaMemset(out[k], 0x7f, want[k].size() * sizeof(float));
    cudaDeviceSynchronize();
    CAMEO_TRY(run % 2 ? context.run() : context.enqueue(stream));
    if (cudaStreamSynchronize(stream) != cudaSuccess) return Error(ErrorCode::kDevice, "the stream failed");
    Outputs got;
    for (size_t k = 0; k < want.size(); ++k) {
      got.emplace_back(want[k].size());
      cudaMemcpy(got[k].data(), out[k], want[k].size() * sizeof(float), cudaMemcpyDefault);
    }
    expect(difference(got, want) <= kTolerance,
           fmt::format("memory of the {} to the {}, run {}", device_in ? "GPU" : "host", device_out ? "GPU" : "host", run));
  }
  cudaStreamDestroy(stream);
  context = std::move(engine.create_context()).value();
  for (size_t i = 0; i < memory.size(); ++i) (void)((i == 0 ? device_in : device_out) ? cudaFree(memory[i]) : cudaFreeHost(memory[i]));
  return {};
}

Status run(DevicePrecision precision, bool quantized, const std::string& name) {
  CAMEO_ASSIGN(const std::string bytes, model(quantized));
  const Dims dims[] = {{16, kChannels, kSide, kSide}, {kMeasured, kChannels, kSide, kSide}, {1024, kChannels, kSide, kSide}};
  const BuildOptions options{.profiles = {{.inputs = {{"x", dims[0], dims[1], dims[2]}}}}, .device = "cuda", .precision = precision};
  CAMEO_ASSIGN(const Plan plan, Builder().build(std::as_bytes(std::span(bytes)), "", options));
  CAMEO_ASSIGN(plan::Content content, plan::read(plan, true));
  // For each number of rows another way, which the plan asks for.
  const Division ways[] = {{.head = {4, 0, 0, 0}},   {.head = {6, 4, 2, 1}},         {.head = {3, 3, 3, 3}},
                           {.tail = {5, 0, 0, 0}},   {.tail = {6, 3, 2, 1}},         {.head = {4, 2, 1, 0}, .tail = {4, 2, 1, 0}},
                           {.head = {127, 0, 0, 0}}, {.head = {127, 127, 127, 127}}, {.head = {5, 5, 0, 0}, .tail = {127, 127, 127, 0}},
                           {.head = {127, 3, 1, 0}}};
  std::map<std::string, int> asked;
  for (const auto& [problem, choice] : content.choices) {
    const bool head = problem.starts_with("first parts of ");
    if (!head && !problem.starts_with("last parts of ")) continue;
    for (size_t i = 0; i < std::size(ways); ++i) {
      std::string other;
      const std::string from = fmt::format("float32{}x", kMeasured), to = fmt::format("float32{}x", kMeasured + 16 * (i + 1));
      for (size_t at = 0; at < problem.size();) {
        const bool here = problem.compare(at, from.size(), from) == 0;
        other += here ? to : problem.substr(at, 1);
        at += here ? from.size() : 1;
      }
      asked[other] = cuda::code_of(head ? ways[i].head : ways[i].tail);
    }
  }
  expect(asked.size() == 2 * std::size(ways), "the plan does not say whether its run is divided");
  content.choices.insert(asked.begin(), asked.end());
  content.tuning_level = 0;  // nothing else is measured
  CAMEO_ASSIGN(const Plan changed, plan::write(content));
  CAMEO_ASSIGN(const Engine engine, Engine::load(changed));
  for (size_t i = 0; i < std::size(ways); ++i)
    CAMEO_TRY(check_runs(engine, kMeasured + 16 * static_cast<int64_t>(i + 1), fmt::format("{}, way {}", name, i)));
  CAMEO_TRY(check_runs(engine, kMeasured, name + ", as measured"));
  const int64_t both = kMeasured + 16 * 6;
  for (bool in : {false, true})
    for (bool out : {false, true}) CAMEO_TRY(check_caller_memory(engine, both, in, out));
  std::vector<std::thread> threads;
  std::vector<Status> results(3);
  for (size_t i = 0; i < results.size(); ++i)
    threads.emplace_back(
        [&, i] { results[i] = check_runs(engine, kMeasured + 16 * static_cast<int64_t>(i + 4), fmt::format("{}, thread {}", name, i)); });
  for (std::thread& t : threads) t.join();
  for (Status& s : results) CAMEO_TRY(std::move(s));
  // Enough for the whole, not for its parts.
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  CAMEO_TRY(context.set_input_shape("x", {both, kChannels, kSide, kSide}));
  CAMEO_ASSIGN(const MemoryForecast needed, context.memory_forecast());
  for (size_t more : {size_t{16} << 20, size_t{48} << 20, size_t{256} << 20}) {
    const Status status = check_runs(engine, both, fmt::format("{} MB more than the whole takes", more >> 20), needed.arena + more);
    if (!status.ok() && status.error().code() != ErrorCode::kOutOfMemory) return status;
  }
  return {};
}

Status run_all() {
  CAMEO_TRY(run(DevicePrecision::kFloat32, false, "fp32"));
  CAMEO_TRY(run(DevicePrecision::kFloat16, false, "fp16"));
  return run(DevicePrecision::kFloat16, true, "int8");
}

}  // namespace
}  // namespace cameo

int main() { return cameo::test::on_device("divided runs", cameo::run_all); }
