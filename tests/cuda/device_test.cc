// What the GPU's runtime promises, on a few of the official ONNX cases: replays, caller's stream and memory, several contexts at
// once, limits on memory, memory that runs out at any point, memory that is given back, the same bits in every run, indices and
// shapes out of range, more than 2^31 elements, and last an error that leaves the GPU unusable.
//   cuda_device_test CASES_DIR
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <thread>

#include "../conformance/case.h"
#include "../conformance/compare.h"
#include "cameo/builder.h"
#include "cameo/engine.h"
#include "plan/content.h"
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
  Plan plan;
  Engine engine;
};

Result<Model> build(const std::string& folder, const conformance::CaseEntry& entry, const char* file, const BuildOptions& options) {
  CAMEO_ASSIGN(conformance::Case c, conformance::read_case(folder, entry, file));
  CAMEO_ASSIGN(Plan plan, Builder().build(c.model_path, options));
  CAMEO_ASSIGN(Engine engine, Engine::load(plan));
  return Model{std::move(c), std::move(plan), std::move(engine)};
}

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

size_t free_memory() {
  cudaDeviceSynchronize();
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return free;
}

// A plan that was loaded, run and unloaded leaves as much memory as there was.
Status check_release(const Model& m) {
  size_t before = 0;
  for (int round = 0; round < 4; ++round) {
    {
      CAMEO_ASSIGN(Engine engine, Engine::load(m.plan));
      CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
      CAMEO_TRY(set_inputs(context, m.c));
      for (int run = 0; run < 3; ++run) CAMEO_TRY(context.run());
    }
    // What a first round leaves are compiled kernels and the libraries' own memory, which all plans share.
    if (round == 1) before = free_memory();
  }
  const size_t after = free_memory();
  expect(after >= before, fmt::format("{}: {} bytes were not given back", m.c.name, before - after));
  return {};
}

// Any allocation may fail: the call says so, and the next one works.
Status check_allocations(const Model& m) {
  void* library = dlopen("libcameo_cuda.so", RTLD_NOW | RTLD_NOLOAD);
  if (const char* folder = std::getenv("CAMEO_BACKEND_PATH"); !library && folder)
    library = dlopen((std::string(folder) + "/libcameo_cuda.so").c_str(), RTLD_NOW);
  const auto fail = library ? reinterpret_cast<int64_t (*)(int64_t)>(dlsym(library, "cameo_cuda_fail_allocation")) : nullptr;
  if (!fail) return Error(ErrorCode::kInternal, "libcameo_cuda has no cameo_cuda_fail_allocation");
  const auto once = [&]() -> Status {
    CAMEO_ASSIGN(Engine engine, Engine::load(m.plan));
    CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
    CAMEO_TRY(set_inputs(context, m.c));
    for (int run = 0; run < 3; ++run) {
      CAMEO_TRY(context.run());
      CAMEO_TRY(outputs(context, m));
    }
    return {};
  };
  int refused = 0, n = 1;
  for (;; ++n) {
    fail(n);
    const Status status = once();
    const bool came = fail(0) <= 0;
    if (!status.ok()) {
      ++refused;
      expect(status.error().code() == ErrorCode::kOutOfMemory,
             fmt::format("{}: allocation {} fails: {}", m.c.name, n, status.error().message()));
    }
    if (!came) break;
    CAMEO_TRY(once());
  }
  expect(refused > 0, m.c.name + ": no allocation was made to fail");
  std::printf("%s: each of %d allocations failed once, %d times the call was refused\n", m.c.name.c_str(), n - 1, refused);
  return {};
}

// An index that is out of range is an error that names the node; the next run works.
Status check_indices(Model& m) {
  CAMEO_ASSIGN(ExecutionContext context, m.engine.create_context());
  for (const bool good : {true, false, true, false, false, true}) {
    bool changed = false;
    for (const auto& [name, value] : m.c.inputs) {
      Tensor t = value.tensor;
      if (name == "indices" && !good) {
        CAMEO_ASSIGN(t, t.clone());
        if (t.dtype() == DType::kInt32)
          t.data<int32_t>()[0] = 1000000;
        else
          t.data<int64_t>()[0] = int64_t{1} << 33;
        changed = true;
      }
      CAMEO_TRY(context.set_input(name, t));
    }
    const Status status = context.run();
    if (changed) {
      expect(!status.ok() && status.error().code() == ErrorCode::kInvalidInput &&
                 status.error().message().find("out of range") != std::string::npos,
             m.c.name + ": an index out of range: " + (status.ok() ? "no error" : status.error().message()));
    } else {
      CAMEO_TRY(status);
      CAMEO_TRY(outputs(context, m));
    }
  }
  return {};
}

Status check_deterministic(Model& m) {
  std::vector<Bytes> first;
  for (int load = 0; load < 3; ++load) {
    CAMEO_ASSIGN(Engine engine, Engine::load(m.plan));
    CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
    CAMEO_TRY(set_inputs(context, m.c));
    for (int run = 0; run < 3; ++run) {
      CAMEO_TRY(context.run());
      CAMEO_ASSIGN(const std::vector<Bytes> got, outputs(context, m));
      if (first.empty()) first = got;
      expect(got == first, m.c.name + ": other bits, although the plan is deterministic");
    }
  }
  return {};
}

// Shapes outside of the profile are the core's error.
Status check_profile(Model& m) {
  CAMEO_ASSIGN(ExecutionContext context, m.engine.create_context());
  for (const Dims& dims : {Dims{9, 1, 1}, Dims{0, 1, 1}, Dims{1, 1, int64_t{1} << 40}, Dims{1, 1}}) {
    Status status = context.set_input_shape("x", dims);
    if (status.ok()) status = context.run();
    expect(!status.ok() && status.error().code() == ErrorCode::kInvalidInput, m.c.name + ": shape " + dims.to_string() + " is taken");
  }
  CAMEO_TRY(set_inputs(context, m.c));
  CAMEO_TRY(context.run());
  return outputs(context, m).ok() ? Status() : Status(Error(ErrorCode::kInternal, "wrong after shapes that do not fit"));
}

// A plan that was tuned for another GPU, with choices that do not exist here, runs with choices of its own.
Status check_tuned_elsewhere(Model& m) {
  CAMEO_ASSIGN(plan::Content content, plan::read(m.plan, true));
  expect(!content.tuned_for.empty(), m.c.name + ": the plan does not say what it was tuned for");
  content.tuned_for = "another GPU";
  for (auto& [problem, choice] : content.choices) choice = 12345;
  CAMEO_ASSIGN(const Plan changed, plan::write(content));
  CAMEO_ASSIGN(Engine engine, Engine::load(changed));
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  CAMEO_TRY(set_inputs(context, m.c));
  CAMEO_TRY(context.run());
  return outputs(context, m).ok() ? Status() : Status(Error(ErrorCode::kInternal, "wrong with what was chosen anew"));
}

// More than 2^31 elements, in memory of the GPU.
Status check_many_elements(Model& m) {
  const Dims dims{3, 26843, 26843};  // 2.16e9
  const size_t bytes = static_cast<size_t>(dims.num_elements()) * sizeof(float);
  if (free_memory() < 5 * bytes) {
    std::printf("%s: the GPU has no memory for %zu elements\n", m.c.name.c_str(), bytes / sizeof(float));
    return {};
  }
  CAMEO_ASSIGN(ExecutionContext context, m.engine.create_context());
  void *x = nullptr, *y = nullptr;
  if (cudaMalloc(&x, bytes) != cudaSuccess || cudaMalloc(&y, bytes) != cudaSuccess) return Error(ErrorCode::kOutOfMemory, "no memory");
  cudaMemset(x, 0, bytes);
  const size_t places[] = {0, size_t{1} << 30, size_t{1} << 31, (size_t{1} << 31) + 12345, bytes / sizeof(float) - 1};
  for (size_t k = 0; k < std::size(places); ++k) {
    const float values[2] = {static_cast<float>(k + 1), -1.f};
    cudaMemcpy(static_cast<float*>(x) + places[k], values, places[k] + 1 < bytes / sizeof(float) ? 8 : 4, cudaMemcpyHostToDevice);
  }
  CAMEO_TRY(context.set_input_shape("x", dims));
  CAMEO_TRY(context.set_tensor_address("x", x, bytes));
  CAMEO_TRY(context.set_tensor_address("y", y, bytes));
  const Status status = context.run();
  if (status.ok())
    for (size_t k = 0; k < std::size(places); ++k) {
      float values[2] = {-1, 0};
      cudaMemcpy(values, static_cast<float*>(y) + places[k], places[k] + 1 < bytes / sizeof(float) ? 8 : 4, cudaMemcpyDeviceToHost);
      expect(values[0] == static_cast<float>(k + 1) && values[1] == 0,
             fmt::format("{}: element {} of more than 2^31", m.c.name, places[k]));
    }
  cudaFree(x);
  cudaFree(y);
  return status;
}

// A kernel that traps leaves the GPU unusable: one call says so in full, the others refuse.
Status check_broken_device(Model& m) {
  CAMEO_ASSIGN(ExecutionContext context, m.engine.create_context());
  CAMEO_TRY(set_inputs(context, m.c));
  CAMEO_TRY(context.run());
  const char* source = ".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry k() { trap; }\n";
  cudaLibrary_t library = nullptr;
  cudaKernel_t kernel = nullptr;
  if (cudaLibraryLoadData(&library, source, nullptr, nullptr, 0, nullptr, nullptr, 0) != cudaSuccess ||
      cudaLibraryGetKernel(&kernel, library, "k") != cudaSuccess ||
      cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(1), dim3(1), nullptr, 0, nullptr) != cudaSuccess)
    return Error(ErrorCode::kInternal, "the kernel that traps cannot be started");
  expect(cudaDeviceSynchronize() != cudaSuccess, "the kernel does not trap");
  const Status first = context.run(), second = context.run();
  const auto message = [](const Status& s) { return s.ok() ? std::string("no error") : s.error().message(); };
  expect(!first.ok() && first.error().code() == ErrorCode::kDevice && message(first).find("cannot be used") != std::string::npos,
         "the first call after a trap: " + message(first));
  expect(!second.ok() && second.error().code() == ErrorCode::kDevice && message(second).find("failed before") != std::string::npos,
         "the second call after a trap: " + message(second));
  const auto loaded = Engine::load(m.plan);
  expect(!loaded.ok() || !loaded->create_context().ok(), "a plan is loaded on a broken device");
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
    auto made = build(folder, entry, "model.onnx", {.device = "cuda"});
    if (!made.ok()) {
      expect(false, n + ": " + made.error().message());
      continue;
    }
    const Model& m = *made;
    ++models;
    const std::pair<const char*, Status (*)(const Model&)> checks[] = {{"replays", check_replays}, {"caller's memory", check_caller_memory},
                                                                       {"threads", check_threads}, {"limits", check_limits},
                                                                       {"release", check_release}, {"allocations", check_allocations}};
    for (const auto& [what, check] : checks) {
      const Status status = check(m);
      expect(status.ok(), n + ", " + what + ": " + (status.ok() ? "" : status.error().message()));
    }
  }
  for (const auto& entry : *index) {
    const auto check = [&](const char* name, const char* file, const BuildOptions& options, Status (*what)(Model&)) {
      if (entry.name != name) return;
      auto made = build(folder, entry, file, options);
      const Status status = made.ok() ? what(*made) : made.error();
      expect(status.ok(), entry.name + ": " + (status.ok() ? "" : status.error().message()));
    };
    for (const char* name :
         {"test_gather_0", "test_gather_elements_0", "test_gathernd_example_int32", "test_scatternd", "test_scatter_elements_without_axis"})
      check(name, "model.onnx", {.device = "cuda"}, check_indices);
    for (const char* name : {"test_gemm_all_attributes", "test_conv_with_strides_padding", "test_scatter_elements_with_axis"})
      check(name, "model.onnx", {.device = "cuda", .deterministic = true}, check_deterministic);
    check("test_relu", "open.onnx", {.profiles = {{.inputs = {{"x", Dims{1, 1, 1}, Dims{3, 4, 5}, Dims{8, 8, 8}}}}}, .device = "cuda"},
          check_profile);
    for (const char* name : {"test_gemm_all_attributes", "test_conv_with_strides_padding"})
      check(name, "model.onnx", {.device = "cuda"}, check_tuned_elsewhere);
    check("test_relu", "open.onnx", {.device = "cuda"}, check_many_elements);
  }
  // Afterwards nothing runs on the GPU any more.
  for (const auto& entry : *index)
    if (entry.name == "test_relu") {
      auto made = build(folder, entry, "model.onnx", {.device = "cuda"});
      const Status status = made.ok() ? check_broken_device(*made) : made.error();
      expect(status.ok(), "a broken device: " + (status.ok() ? std::string() : status.error().message()));
    }
  std::printf("%s: %d models, %d failures\n", device->c_str(), models, failures);
  return failures == 0 && models > 0 ? 0 : 1;
}

}  // namespace
}  // namespace cameo

int main(int argc, char** argv) { return cameo::run(argc > 1 ? argv[1] : "."); }
