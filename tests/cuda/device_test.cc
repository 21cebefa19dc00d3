// What the GPU's runtime promises, on a few of the official ONNX cases: replays, caller's stream and memory, several contexts at
// once, limits on memory.
//   cuda_device_test CASES_DIR
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>
#include <thread>

#include "../conformance/case.h"
#include "../conformance/compare.h"
#include "cameo/builder.h"
#include "cameo/engine.h"
#include "runtime/backend.h"

namespace cameo {
namespace {

int failures = 0;
void expect(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  std::printf("FAIL %s\n", what.c_str());
}

using Bytes = std::vector<std::byte>;
Bytes bytes_of(const Tensor& t) {
  const auto* data = static_cast<const std::byte*>(t.raw());
  return {data, data + t.num_bytes()};
}

struct Model {
  conformance::Case c;
  Engine engine;
};

Status set_inputs(ExecutionContext& context, const conformance::Case& c) {
  for (const auto& [name, value] : c.inputs) CAMEO_TRY(context.set_input(name, value.tensor));
  return {};
}

Result<std::vector<Bytes>> outputs(ExecutionContext& context, const Model& m) {
  std::vector<Bytes> all;
  for (const auto& [name, value] : m.c.outputs) {
    CAMEO_ASSIGN(const Tensor t, context.output(name));
    const std::string text = conformance::difference(ops::RtValue::of(t), value, m.c.rtol, m.c.atol);
    if (!text.empty()) return Error(ErrorCode::kInternal, text);
    all.push_back(bytes_of(t));
  }
  return all;
}

// The first run, the one that captures, and replays give the same bits; with and without CUDA graphs.
Status check_replays(const Model& m) {
  std::vector<Bytes> first;
  for (const bool graphs : {true, false}) {
    CAMEO_ASSIGN(ExecutionContext context, m.engine.create_context({.cuda_graphs = graphs}));
    CAMEO_TRY(set_inputs(context, m.c));
    for (int run = 0; run < 4; ++run) {
      CAMEO_TRY(context.run());
      CAMEO_ASSIGN(const std::vector<Bytes> got, outputs(context, m));
      if (first.empty()) first = got;
      expect(got == first, m.c.name + ": a replay gives other bits");
    }
  }
  return {};
}

// Inputs and outputs in memory of the GPU, on a stream of the caller.
Status check_caller_memory(const Model& m) {
  CAMEO_ASSIGN(ExecutionContext context, m.engine.create_context());
  cudaStream_t stream = nullptr;
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return Error(ErrorCode::kDevice, "no stream");
  std::vector<void*> memory;
  const auto device = [&](size_t bytes) {
    void* data = nullptr;
    cudaMalloc(&data, bytes + 1);
    memory.push_back(data);
    return data;
  };
  for (const auto& [name, value] : m.c.inputs) {
    const Tensor& t = value.tensor;
    void* data = device(t.num_bytes());
    cudaMemcpy(data, t.raw(), t.num_bytes(), cudaMemcpyHostToDevice);
    CAMEO_TRY(context.set_input_shape(name, t.dims()));
    CAMEO_TRY(context.set_tensor_address(name, data, t.num_bytes()));
  }
  std::vector<void*> results;
  for (const auto& [name, value] : m.c.outputs) {
    results.push_back(device(value.tensor.num_bytes()));
    CAMEO_TRY(context.set_tensor_address(name, results.back(), value.tensor.num_bytes()));
  }
  for (int run = 0; run < 3; ++run) {
    for (size_t k = 0; k < results.size(); ++k) cudaMemset(results[k], 0x7f, m.c.outputs[k].second.tensor.num_bytes());
    cudaDeviceSynchronize();
    CAMEO_TRY(context.enqueue(stream));
    if (cudaStreamSynchronize(stream) != cudaSuccess) return Error(ErrorCode::kDevice, "the stream failed");
    for (size_t k = 0; k < results.size(); ++k) {
      const Tensor& want = m.c.outputs[k].second.tensor;
      CAMEO_ASSIGN(Tensor got, Tensor::allocate(want.dtype(), want.dims()));
      cudaMemcpy(got.raw(), results[k], got.num_bytes(), cudaMemcpyDeviceToHost);
      const std::string text = conformance::difference(ops::RtValue::of(got), m.c.outputs[k].second, m.c.rtol, m.c.atol);
      expect(text.empty(), m.c.name + ", memory of the GPU: " + text);
    }
  }
  for (void* data : memory) cudaFree(data);
  cudaStreamDestroy(stream);
  return {};
}

Status check_threads(const Model& m) {
  std::vector<std::thread> threads;
  std::vector<Status> results(4);
  for (Status& result : results)
    threads.emplace_back([&] {
      result = [&]() -> Status {
        CAMEO_ASSIGN(ExecutionContext context, m.engine.create_context());
        CAMEO_TRY(set_inputs(context, m.c));
        for (int run = 0; run < 20; ++run) {
          CAMEO_TRY(context.run());
          CAMEO_TRY(outputs(context, m));
        }
        return {};
      }();
    });
  for (std::thread& t : threads) t.join();
  for (Status& result : results) CAMEO_TRY(std::move(result));
  return {};
}

// Under any limit a run works or says that memory is short, and the process goes on.
Status check_limits(const Model& m) {
  int refused = 0, worked = 0;
  for (size_t limit = 512; limit <= size_t{64} << 20; limit *= 2) {
    auto context = m.engine.create_context({.device_memory_limit = limit});
    if (!context.ok()) return context.error();
    CAMEO_TRY(set_inputs(*context, m.c));
    const Status status = context->run();
    if (status.ok()) {
      ++worked;
      CAMEO_TRY(outputs(*context, m));
    } else {
      ++refused;
      expect(status.error().code() == ErrorCode::kOutOfMemory, m.c.name + ", a limit on memory: " + status.error().message());
    }
  }
  expect(worked > 0, m.c.name + ": no limit is enough");
  return {};
}

int run(const std::string& folder) {
  auto backend = runtime::find_backend("cuda");
  const auto device = backend.ok() ? (*backend)->device() : Result<std::string>(backend.error());
  if (!device.ok()) {
    std::printf("SKIPPED: %s\n", device.error().message().c_str());
    return 0;
  }
  auto index = conformance::read_index(folder);
  if (!index.ok()) {
    std::printf("SKIPPED: no cases in '%s'\n", folder.c_str());
    return 0;
  }
  int models = 0;
  for (const auto& entry : *index) {
    const std::string& n = entry.name;
    if (n != "test_attention_4d_causal_expanded" && n != "test_layer_normalization_4d_axis1_expanded_ver18" &&
        n != "test_softmax_axis_1_expanded_ver18" && n != "test_conv_with_strides_padding" && n != "test_gemm_all_attributes" &&
        n != "test_lstm_with_initial_bias")
      continue;
    auto c = conformance::read_case(folder, entry, "model.onnx");
    if (!c.ok()) continue;
    auto plan = Builder().build(c->model_path, {.device = "cuda"});
    if (!plan.ok()) {
      expect(false, n + ": " + plan.error().message());
      continue;
    }
    auto engine = Engine::load(*plan);
    if (!engine.ok()) {
      expect(false, n + ": " + engine.error().message());
      continue;
    }
    const Model m{*c, *engine};
    ++models;
    const std::pair<const char*, Status (*)(const Model&)> checks[] = {
        {"replays", check_replays}, {"caller's memory", check_caller_memory}, {"threads", check_threads}, {"limits", check_limits}};
    for (const auto& [what, check] : checks) {
      const Status status = check(m);
      expect(status.ok(), n + ", " + what + ": " + (status.ok() ? "" : status.error().message()));
    }
  }
  std::printf("%s: %d models, %d failures\n", device->c_str(), models, failures);
  return failures == 0 && models > 0 ? 0 : 1;
}

}  // namespace
}  // namespace cameo

int main(int argc, char** argv) { return cameo::run(argc > 1 ? argv[1] : "."); }
