// What the GPU's runtime promises, on a few of the official ONNX cases: replays, caller's stream and memory, several contexts at
// once, limits on memory, memory that runs out at any point, memory that is given back, the same bits in every run, indices and
// shapes out of range, more than 2^31 elements, and last an error that leaves the GPU unusable.
//   cuda_device_test CASES_DIR
#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <thread>

#include "../conformance/case.h"
#include "../conformance/compare.h"
#include "cameo/builder.h"
#include "cameo/engine.h"
#include "fail_allocation.h"
#include "gpu_memory.h"
#include "on_device.h"
#include "plan/content.h"

namespace cameo {
namespace {

using test::expect;
using test::free_memory;
using test::message;
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

// A plan that was loaded, run and unloaded leaves as much memory as there was.
Status check_release(const Model& m) {
  const auto load_and_run = [&]() -> Status {
    CAMEO_ASSIGN(Engine engine, Engine::load(m.plan));
    CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
    CAMEO_TRY(set_inputs(context, m.c));
    for (int run = 0; run < 3; ++run) CAMEO_TRY(context.run());
    return {};
  };
  // What a first round leaves are compiled kernels and the libraries' own memory, which all plans share.
  for (int round = 0; round < 2; ++round) CAMEO_TRY(load_and_run());
  CAMEO_ASSIGN(const size_t missing, test::least_missing([&]() -> Result<size_t> {
                 const size_t before = free_memory();
                 for (int round = 0; round < 2; ++round) CAMEO_TRY(load_and_run());
                 const size_t after = free_memory();
                 return before > after ? before - after : 0;
               }));
  expect(missing == 0, fmt::format("{}: {} bytes were not given back", m.c.name, missing));
  return {};
}

// Any allocation may fail: the call says so, and the next one works.
Status check_allocations(const Model& m) {
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
  CAMEO_ASSIGN(const FailedAllocations all,
               fail_each_allocation(1, once, [&](const std::string& what) { expect(false, m.c.name + ": " + what); }));
  expect(all.refused > 0, m.c.name + ": no allocation was made to fail");
  std::printf("%s: each of %d allocations failed once, %d times the call was refused\n", m.c.name.c_str(), all.failed, all.refused);
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
             m.c.name + ": an index out of range: " + message(status));
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

// More than 2^31 elements, in memory of the GPU: a case with other extents, whose first input is zero but at a few places.
struct Many {
  const char* name;
  Dims x, y;
  std::vector<std::pair<int64_t, float>> set, seen;  // elements of x; of y, what is expected
  std::vector<std::vector<float>> more = {};         // the float inputs behind the first; others are the case's
};

std::vector<Many> many_cases() {
  std::vector<Many> all;
  // Places of n elements, at both ends and about 2^31.
  const auto places = [](int64_t n) {
    return std::vector<int64_t>{0, int64_t{1} << 30, (int64_t{1} << 31) - 5000, int64_t{1} << 31, (int64_t{1} << 31) + 12345, n - 1};
  };
  Many relu{"test_relu", Dims{3, 26843, 26843}, Dims{3, 26843, 26843}};
  for (const int64_t at : places(relu.x.num_elements()))
    relu.set.push_back({at, at % 2 ? -3.f : 3.f}), relu.seen.push_back({at, at % 2 ? 0.f : 3.f});
  all.push_back(relu);

  constexpr int64_t kRows = 3'000'000, kRow = 720;  // 2.16e9
  Many softmax{"test_softmax_axis_2", Dims{1, kRows, kRow}, Dims{1, kRows, kRow}};
  Many norm{"test_layer_normalization_2d_axis1", Dims{kRows, kRow}, Dims{kRows, kRow}};
  norm.more = {std::vector<float>(kRow, 2.f), std::vector<float>(kRow, 0.5f)};
  for (const int64_t at : places(kRows * kRow)) {
    const int64_t row = at / kRow * kRow, other = row + (at - row + 7) % kRow;
    softmax.set.push_back({at, 3.f}), norm.set.push_back({at, 3.f});
    const double e = std::exp(3.), mean = 3. / kRow, deviation = std::sqrt(mean * (3. - mean) + 1e-5);
    softmax.seen.push_back({at, static_cast<float>(e / (e + kRow - 1))}),
        softmax.seen.push_back({other, static_cast<float>(1 / (e + kRow - 1))});
    norm.seen.push_back({at, static_cast<float>(2 * (3. - mean) / deviation + 0.5)});
    norm.seen.push_back({other, static_cast<float>(-2 * mean / deviation + 0.5)});
  }
  all.push_back(softmax), all.push_back(norm);

  Many transpose{"test_transpose_default", Dims{3, 26843, 26845}, Dims{26845, 26843, 3}};
  for (const int64_t at : places(transpose.x.num_elements())) {
    const int64_t a = at / (26843 * int64_t{26845}), b = at / 26845 % 26843, c = at % 26845;
    transpose.set.push_back({at, 5.f}), transpose.seen.push_back({(c * 26843 + b) * 3 + a, 5.f});
  }
  all.push_back(transpose);

  Many sum{"test_reduce_sum_do_not_keepdims_random", Dims{3, 26843, 26843}, Dims{3, 26843}};  // over the axis in the middle
  for (const int64_t at : places(sum.x.num_elements()))
    sum.set.push_back({at, 7.f}), sum.seen.push_back({at / (26843 * int64_t{26843}) * 26843 + at % 26843, 7.f});
  all.push_back(sum);

  Many product{"test_matmul_2d", Dims{kRows, 8}, Dims{kRows, kRow}};
  product.more = {std::vector<float>(8 * kRow, 1.5f)};
  for (const int64_t at : places(kRows * kRow)) product.set.push_back({at / kRow * 8 + at % 8, 2.f}), product.seen.push_back({at, 3.f});
  all.push_back(product);

  Many gather{"test_gather_0", Dims{5, 600'000, kRow, 1}, Dims{3, 600'000, kRow, 1}};  // the case's indices
  for (const int64_t at : places(gather.x.num_elements())) gather.set.push_back({at, 9.f});
  all.push_back(gather);

  Many pool{"test_maxpool_2d_default", Dims{1, 3, 26844, 26844}, Dims{1, 3, 26843, 26843}};
  for (int64_t at : places(int64_t{3} * 26843 * 26843)) {
    const int64_t plane = at / (int64_t{26843} * 26843), row = at / 26843 % 26843, column = at % 26843;
    pool.set.push_back({(plane * 26844 + row + 1) * 26844 + column + 1, 4.f}), pool.seen.push_back({at, 4.f});
  }
  all.push_back(pool);
  return all;
}

Status check_many_elements(Model& m, Many c) {
  const size_t x_bytes = static_cast<size_t>(c.x.num_elements()) * sizeof(float),
               y_bytes = static_cast<size_t>(c.y.num_elements()) * sizeof(float);
  if (free_memory() < 5 * std::max(x_bytes, y_bytes)) {
    std::printf("%s: the GPU has no memory for more than 2^31 elements\n", c.name);
    return {};
  }
  CAMEO_ASSIGN(ExecutionContext context, m.engine.create_context());
  struct Memory {
    void* data = nullptr;
    ~Memory() { cudaFree(data); }
  } x, y;
  if (cudaMalloc(&x.data, x_bytes) != cudaSuccess || cudaMalloc(&y.data, y_bytes) != cudaSuccess)
    return Error(ErrorCode::kOutOfMemory, "no memory");
  cudaMemset(x.data, 0, x_bytes);
  cudaMemset(y.data, 0xff, y_bytes);
  for (const auto& [at, value] : c.set) cudaMemcpy(static_cast<float*>(x.data) + at, &value, sizeof value, cudaMemcpyHostToDevice);
  if (std::string_view(c.name) == "test_gather_0") {
    const int64_t* indices = m.c.inputs[1].second.tensor.data<int64_t>();
    const int64_t slice = c.x.num_elements() / c.x[0];
    for (int64_t k = 0; k < c.y[0]; ++k)
      for (const auto& [at, value] : c.set)
        if (at / slice == indices[k]) c.seen.push_back({k * slice + at % slice, value});
  }
  CAMEO_TRY(context.set_input_shape(m.c.inputs[0].first, c.x));
  CAMEO_TRY(context.set_tensor_address(m.c.inputs[0].first, x.data, x_bytes));
  for (size_t k = 1; k < m.c.inputs.size(); ++k) {
    Tensor t = m.c.inputs[k].second.tensor;
    if (k <= c.more.size()) {
      const int64_t n = static_cast<int64_t>(c.more[k - 1].size());
      CAMEO_ASSIGN(t, Tensor::allocate(DType::kFloat32, t.dims().rank() == 1 ? Dims{n} : Dims{c.x[1], n / c.x[1]}));
      std::memcpy(t.raw(), c.more[k - 1].data(), t.num_bytes());
    }
    CAMEO_TRY(context.set_input(m.c.inputs[k].first, t));
  }
  CAMEO_TRY(context.set_tensor_address(m.c.outputs[0].first, y.data, y_bytes));
  CAMEO_TRY(context.run());
  int wrong = 0;
  for (const auto& [at, value] : c.seen) {
    float got = -1;
    cudaMemcpy(&got, static_cast<float*>(y.data) + at, sizeof got, cudaMemcpyDeviceToHost);
    if (std::fabs(got - value) <= 1e-4f * std::fabs(value) + 1e-6f) continue;
    if (wrong++ == 0) expect(false, fmt::format("{}: element {} of more than 2^31 is {}, not {}", c.name, at, got, value));
  }
  std::printf("%s: %lld elements, %zu looked at, %d wrong\n", c.name,
              static_cast<long long>(std::max(c.x.num_elements(), c.y.num_elements())), c.seen.size(), wrong);
  return {};
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
  expect(!first.ok() && first.error().code() == ErrorCode::kDevice && message(first).find("cannot be used") != std::string::npos,
         "the first call after a trap: " + message(first));
  expect(!second.ok() && second.error().code() == ErrorCode::kDevice && message(second).find("failed before") != std::string::npos,
         "the second call after a trap: " + message(second));
  const auto loaded = Engine::load(m.plan);
  expect(!loaded.ok() || !loaded->create_context().ok(), "a plan is loaded on a broken device");
  return {};
}

Status run(const std::string& folder) {
  auto index = conformance::read_index(folder);
  if (!index.ok()) {
    std::printf("SKIPPED: no cases in '%s'\n", folder.c_str());
    std::exit(0);
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
      expect(status.ok(), n + ", " + what + ": " + message(status));
    }
  }
  for (const auto& entry : *index) {
    const auto check = [&](const char* name, const char* file, const BuildOptions& options, Status (*what)(Model&)) {
      if (entry.name != name) return;
      auto made = build(folder, entry, file, options);
      const Status status = made.ok() ? what(*made) : made.error();
      expect(status.ok(), entry.name + ": " + message(status));
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
  }
  // Each works, or says why not.
  for (const Many& c : many_cases())
    for (const auto& entry : *index) {
      if (entry.name != c.name) continue;
      auto made = build(folder, entry, "open.onnx", {.device = "cuda", .portable = true});
      const Status status = made.ok() ? check_many_elements(*made, c) : made.error();
      expect(status.ok() || (status.error().code() != ErrorCode::kDevice && status.error().code() != ErrorCode::kInternal),
             fmt::format("{} of more than 2^31 elements: {}", c.name, message(status)));
      if (!status.ok()) std::printf("%s: refused: %s\n", c.name, status.error().message().c_str());
    }
  // Afterwards nothing runs on the GPU any more.
  for (const auto& entry : *index)
    if (entry.name == "test_relu") {
      auto made = build(folder, entry, "model.onnx", {.device = "cuda"});
      const Status status = made.ok() ? check_broken_device(*made) : made.error();
      expect(status.ok(), "a broken device: " + message(status));
    }
  expect(models > 0, "no model was tested");
  return {};
}

}  // namespace
}  // namespace cameo

int main(int argc, char** argv) {
  return cameo::test::on_device("device", [&] { return cameo::run(argc > 1 ? argv[1] : "."); });
}
