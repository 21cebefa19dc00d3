// Memory of the GPU that ends at any point while plans of lower precision are loaded and run, and while their kernels are chosen by
// measuring: the call says so, the next one works, and nothing is left behind.
//   cuda_precision_memory_test [N [M]]: each N-th allocation (1), and each M-th (7) while kernels are chosen
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "cameo/builder.h"
#include "cameo/engine.h"
#include "fail_allocation.h"
#include "gpu_memory.h"
#include "network.h"
#include "on_device.h"
#include "plan/content.h"

namespace cameo {
namespace {

using ir::ValueId;
using test::drawn;
using test::expect;
using test::free_memory;
using test::least_missing;
using test::message;
using test::Network;

// A first convolution with its pool, and a residual block with a projection.
constexpr int64_t kSide = 32;
Result<std::string> image_network() {
  Network n({3, kSide, kSide});
  const auto relu = [&](ValueId from) { return n.node("Relu", {from}); };
  const ValueId first = n.node(
      "MaxPool", {relu(n.convolution(n.x, 3, 64, 7, 2))},
      {{"kernel_shape", std::vector<int64_t>{3, 3}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}, {"strides", std::vector<int64_t>{2, 2}}});
  const ValueId inner = relu(n.convolution(relu(n.convolution(first, 64, 64, 1)), 64, 64, 3));
  const ValueId sum = n.node("Add", {n.convolution(inner, 64, 256, 1), n.convolution(first, 64, 256, 1)});
  return n.bytes({n.convolution(relu(sum), 256, 32, 1)});
}

constexpr int64_t kWidth = 256;
Result<std::string> perceptron() {
  Network n({kWidth});
  const ValueId hidden = n.node("Gelu", {n.product(n.x, kWidth, 2 * kWidth)});
  return n.bytes({n.node("Add", {n.product(hidden, 2 * kWidth, kWidth), n.x})});
}

// Two layers of a BERT over rows of kTokens.
constexpr int64_t kTokens = 16;
Result<std::string> encoder() {
  Network n({kTokens, kWidth});
  ValueId x = n.x;
  for (int layer = 0; layer < 2; ++layer) {
    std::vector<ValueId> inputs;
    for (int i = 0; i < 3; ++i) inputs.push_back(n.product(x, kWidth, kWidth));
    const ValueId attention = n.node("Attention", inputs, {{"q_num_heads", kWidth / 32}, {"kv_num_heads", kWidth / 32}});
    x = n.norm(n.node("Add", {n.product(attention, kWidth, kWidth), x}), kWidth);
    const ValueId hidden = n.node("Gelu", {n.product(x, kWidth, 4 * kWidth)});
    x = n.norm(n.node("Add", {n.product(hidden, 4 * kWidth, kWidth), x}), kWidth);
  }
  return n.bytes({x});
}

struct Way {
  const char* name;
  Result<std::string> (*network)();
  Dims row;
  int64_t rows;
  BuildOptions options;
  float tolerance;  // between kernels, of the largest value
};

// One row again and again, so that all rows of the output are to be the same.
Tensor input_of(const Way& way, int64_t rows) {
  Dims dims{rows};
  for (int64_t extent : way.row) dims.push_back(extent);
  Tensor t = drawn(dims, 1, 7);
  const int64_t row = t.num_elements() / rows;
  for (int64_t i = row; i < t.num_elements(); ++i) t.data<float>()[i] = t.data<float>()[i % row];
  return t;
}

// Runs often enough to capture and replay; the output's first row becomes `want`, or is compared with it, and so are the others.
Status run(const Engine& engine, const Way& way, int64_t rows, std::vector<float>& want) {
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  CAMEO_TRY(context.set_input("x", input_of(way, rows)));
  for (int i = 0; i < 3; ++i) {
    CAMEO_TRY(context.run());
    CAMEO_ASSIGN(const Tensor y, context.output(engine.outputs()[0].name));
    const int64_t row = y.num_elements() / rows;
    if (want.empty()) want.assign(y.data<float>(), y.data<float>() + row);
    float most = 0, off = 0;
    for (float f : want) most = std::max(most, std::abs(f));
    for (int64_t k = 0; k < y.num_elements(); ++k) {
      const float e = std::abs(y.data<float>()[k] - want[static_cast<size_t>(k % row)]);
      off = e <= off ? off : std::isfinite(e) ? e : INFINITY;
    }
    if (!(off <= way.tolerance * most)) return error(ErrorCode::kInternal, "run {} is off by {} of {}", i, off, most);
  }
  return {};
}

Status check(const Way& way, int stride, int measured_stride) {
  CAMEO_ASSIGN(const std::string bytes, way.network());
  BuildOptions options = way.options;
  options.device = "cuda";
  options.optimization_level = 0;
  options.calibration = {{{"x", input_of(way, way.rows)}}};
  if (!options.int8 && !options.float8) options.calibration.clear();
  CAMEO_ASSIGN(const Plan plan, Builder().build(std::as_bytes(std::span(bytes)), "", options));
  const auto wrong = [&](const std::string& what) { expect(false, fmt::format("{}, {}", way.name, what)); };
  CAMEO_ASSIGN(const Engine keeps_kernels, Engine::load(plan));  // what is compiled, which all plans share
  std::vector<float> want;
  const auto load_and_run = [&]() -> Status {
    CAMEO_ASSIGN(const Engine engine, Engine::load(plan));
    return run(engine, way, way.rows, want);
  };
  CAMEO_TRY(load_and_run());
  CAMEO_ASSIGN(const FailedAllocations loaded, fail_each_allocation(stride, load_and_run, wrong));
  expect(loaded.refused > 0, std::string(way.name) + ": no call was refused");
  // By now every kernel that takes another one's place was compiled, too.
  CAMEO_ASSIGN(const size_t missing, least_missing([&]() -> Result<size_t> {
                 const size_t before = free_memory();
                 CAMEO_TRY(fail_each_allocation(3 * stride, load_and_run, wrong));
                 const size_t after = free_memory();
                 return before > after ? before - after : 0;
               }));
  expect(missing == 0, fmt::format("{}: {} bytes were not given back", way.name, missing));

  // The same plan chooses by measuring; each time for another number of rows, so that nothing is known of it.
  CAMEO_ASSIGN(plan::Content content, plan::read(plan, true));
  content.tuning_level = 3;
  CAMEO_ASSIGN(const Plan measured, plan::write(content));
  CAMEO_ASSIGN(const Engine engine, Engine::load(measured));
  int64_t calls = 0;
  const auto choose_and_run = [&] { return run(engine, way, way.rows + calls++ / 2, want); };
  CAMEO_ASSIGN(const FailedAllocations chosen, fail_each_allocation(measured_stride, choose_and_run, wrong));
  std::printf("%s: %d allocations failed, %d times the call was refused; of %d while kernels are chosen, %d\n", way.name, loaded.failed,
              loaded.refused, chosen.failed, chosen.refused);
  return {};
}

std::vector<Way> all_ways() {
  const Dims image{3, kSide, kSide}, row{kWidth}, tokens{kTokens, kWidth};
  const auto half = DevicePrecision::kFloat16;
  return {{"int8 images", image_network, image, 4, {.int8 = true, .precision = half}, 0.05f},
          {"float8 images", image_network, image, 4, {.float8 = true, .precision = half}, 0.1f},
          {"float16 images", image_network, image, 4, {.precision = half}, 0.02f},
          {"int8 products", perceptron, row, 200, {.int8 = true, .precision = half}, 0.05f},
          {"float8 products", perceptron, row, 200, {.float8 = true, .precision = half}, 0.1f},
          {"weights of 8 bits, many rows", perceptron, row, 200, {.weights = WeightType::kInt8, .precision = half}, 0.02f},
          {"weights of 4 bits, few rows", perceptron, row, 3, {.weights = WeightType::kInt4, .precision = half}, 0.02f},
          {"layers of an encoder, 16 rows", encoder, tokens, 1, {.precision = half}, 0.03f},
          {"layers of an encoder, 48 rows", encoder, tokens, 3, {.precision = DevicePrecision::kBfloat16}, 0.2f}};
}

}  // namespace
}  // namespace cameo

int main(int argc, char** argv) {
  using namespace cameo;
  setenv("CAMEO_CUDA_CACHE", "", 1);  // no earlier process has measured anything
  const auto number = [&](int i, int otherwise) { return argc > i ? std::max(1, std::atoi(argv[i])) : otherwise; };
  return test::on_device("memory that ends", [&]() -> Status {
    for (const Way& way : all_ways()) {
      const Status status = check(way, number(1, 1), number(2, 7));
      expect(status.ok(), fmt::format("{}: {}", way.name, message(status)));
    }
    return {};
  });
}
