// Random graphs give the same with the optimizer on and off: passes and fast kernels against the plain operators as the model
// has them, at several sizes each.
//
//   random_graphs_test [--seed FIRST] [--count N] [--seconds LIMIT] [--print]
//
// Prints the first seed, and for each graph that fails the command that repeats it alone. --print lists the graph before and
// after the passes, and what they refused.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>

#include "base/error.h"
#include "cameo/builder.h"
#include "cameo/engine.h"
#include "generator.h"
#include "ir/graph.h"
#include "onnx/write.h"
#include "passes/driver.h"

namespace cameo::test {
namespace {

Tensor random_input(const ir::Type& type, Sizes sizes, std::mt19937_64& random) {
  Dims dims;
  for (const ir::Dim& d : *type.shape)
    dims.push_back(*d.evaluate([&](const std::string& name) { return std::optional(name == "n" ? sizes.n : sizes.s); }));
  Tensor t = Tensor::allocate(type.dtype, dims).value();
  if (type.dtype == DType::kBool)
    for (bool& x : t.span<bool>()) x = random() % 2 != 0;
  else
    for (float& x : t.span<float>()) x = static_cast<float>(random() % 4001) / 1000 - 2;
  return t;
}

// What the passes did to all graphs so far.
std::map<std::string, int64_t>& changes() {
  static std::map<std::string, int64_t> all;
  return all;
}

Result<ExecutionContext> context_of(std::span<const std::byte> model, bool reference) {
  BuildOptions options;
  options.reference = reference;
  options.verify_passes = true;
  options.optimization_level = 0;
  options.threads = 1;
  Builder builder;
  CAMEO_ASSIGN(const Plan plan, builder.build(model, "", options));
  for (const PassReport& report : builder.passes()) changes()[report.name] += report.changes;
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan));
  return engine.create_context({.threads = reference ? 1 : 2});
}

Status compare(const Tensor& got, const Tensor& want, double tolerance, const std::string& name) {
  if (got.dtype() != want.dtype() || got.dims() != want.dims())
    return error(ErrorCode::kInternal, "output '{}' is {}{} instead of {}{}", name, dtype_name(got.dtype()), got.dims().to_string(),
                 dtype_name(want.dtype()), want.dims().to_string());
  if (want.dtype() != DType::kFloat32)
    return std::memcmp(got.raw(), want.raw(), want.num_bytes()) == 0 ? Status() : error(ErrorCode::kInternal, "output '{}' differs", name);
  double largest = 1;
  for (float v : want.span<float>())
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(static_cast<double>(v)));
  for (int64_t i = 0; i < want.num_elements(); ++i) {
    const double a = got.data<float>()[i], b = want.data<float>()[i];
    if (!(a == b || (std::isnan(a) && std::isnan(b)) || std::fabs(a - b) <= tolerance * largest))
      return error(ErrorCode::kInternal, "output '{}', element {}: {} instead of {}; the largest is {}", name, i, a, b, largest);
  }
  return {};
}

Status check(uint64_t seed, bool print) {
  const RandomGraph made = random_graph(seed);
  if (print) std::puts(ir::to_string(made.graph).c_str());
  CAMEO_TRY(ir::verify(made.graph));
  if (print) {
    ir::Graph after = made.graph;
    std::vector<PassReport> reports;
    CAMEO_TRY(passes::run_passes(after, {.verify = true}, reports));
    for (const PassReport& report : reports)
      for (const std::string& note : report.notes) std::printf("%s: %s\n", report.name.c_str(), note.c_str());
    std::puts(ir::to_string(after).c_str());
  }
  CAMEO_ASSIGN(const std::string bytes, onnx::serialize_model(made.graph));
  const auto model = std::as_bytes(std::span(bytes));
  CAMEO_ASSIGN(ExecutionContext plain, context_of(model, true));
  CAMEO_ASSIGN(ExecutionContext fast, context_of(model, false));
  std::mt19937_64 random(seed);
  for (const Sizes& sizes : kSizes) {
    for (ir::ValueId id : made.graph.inputs) {
      const ir::Value& value = made.graph.value(id);
      const Tensor t = random_input(value.type, sizes, random);
      CAMEO_TRY(plain.set_input(value.name, t));
      CAMEO_TRY(fast.set_input(value.name, t));
    }
    // Some operators refuse a size in one way or another, such as the largest of no elements.
    if (auto status = plain.run(); !status.ok()) {
      if (sizes.n != 0) return std::move(status).error().in("plain");
      continue;
    }
    CAMEO_TRY(fast.run());
    for (ir::ValueId id : made.graph.outputs) {
      const std::string& name = made.graph.value(id).name;
      CAMEO_ASSIGN(const Tensor want, plain.output(name));
      CAMEO_ASSIGN(const Tensor got, fast.output(name));
      CAMEO_TRY(compare(got, want, made.tolerance, name));
    }
  }
  return {};
}

}  // namespace
}  // namespace cameo::test

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // the seed stays readable after a crash
  uint64_t seed = std::random_device()(), count = 2000;
  double limit = 1e9;
  bool print = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--print") {
      print = true;
    } else if (i + 1 < argc && flag == "--seed") {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (i + 1 < argc && flag == "--count") {
      count = std::strtoull(argv[++i], nullptr, 10);
    } else if (i + 1 < argc && flag == "--seconds") {
      limit = std::strtod(argv[++i], nullptr);
    } else {
      std::fprintf(stderr, "usage: %s [--seed FIRST] [--count N] [--seconds LIMIT] [--print]\n", argv[0]);
      return 2;
    }
  }
  std::printf("%llu graphs from seed %llu on\n", static_cast<unsigned long long>(count), static_cast<unsigned long long>(seed));
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  uint64_t failed = 0, done = 0;
  for (; done < count && seconds() < limit && failed < 20; ++done) {
    const auto status = cameo::test::check(seed + done, print);
    if (status.ok()) continue;
    ++failed;
    std::printf("FAILED: %s\n  %s --seed %llu --count 1 --print\n", std::string(status.error().message()).c_str(), argv[0],
                static_cast<unsigned long long>(seed + done));
  }
  std::printf("%llu of %llu graphs are the same with the optimizer on and off, in %.1f s\n", static_cast<unsigned long long>(done - failed),
              static_cast<unsigned long long>(done), seconds());
  for (const auto& [pass, changes] : cameo::test::changes())
    std::printf("  %s: %lld changes\n", pass.c_str(), static_cast<long long>(changes));
  return failed == 0 ? 0 : 1;
}
