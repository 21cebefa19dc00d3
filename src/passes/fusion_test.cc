#include "passes/fusion_test.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "ops/dispatch.h"

namespace cameo::passes {
namespace {

Tensor random_input(DType dtype, const Dims& dims, std::mt19937& random) {
  Tensor t = Tensor::allocate(dtype, dims).value();
  if (dtype == DType::kBool) {
    for (bool& b : t.span<bool>()) b = random() % 4 != 0;
    return t;
  }
  EXPECT_TRUE(ops::dispatch_numbers(dtype, "random_input", [&](auto tag) -> Status {
                using T = typename decltype(tag)::type;
                using C = compute_t<T>;
                for (T& x : t.span<T>()) {
                  if constexpr (std::is_floating_point_v<C>)
                    x = static_cast<T>(static_cast<C>(static_cast<int>(random() % 4001) - 2000) / static_cast<C>(1000));
                  else
                    x = static_cast<T>(random() % 2);
                }
                return {};
              }).ok());
  return t;
}

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> all;
  if (t.dtype() == DType::kBool)
    for (bool b : t.span<bool>()) all.push_back(b);
  else
    EXPECT_TRUE(ops::dispatch_numbers(t.dtype(), "numbers", [&](auto tag) -> Status {
                  using T = typename decltype(tag)::type;
                  for (const T& x : t.span<T>()) all.push_back(static_cast<double>(static_cast<compute_t<T>>(x)));
                  return {};
                }).ok());
  return all;
}

void expect_close(const ir::Graph& a, const ir::Graph& b, const Symbols& symbols, unsigned seed, double tolerance) {
  std::mt19937 random(seed);
  std::vector<ops::RtValue> inputs;
  for (ir::ValueId id : a.inputs) {
    Dims dims;
    for (const ir::Dim& d : *a.value(id).type.shape)
      dims.push_back(d.evaluate([&](const std::string& name) -> std::optional<int64_t> {
                        const auto it = symbols.find(name);
                        return it == symbols.end() ? 3 : it->second;
                      }).value_or(2));
    inputs.push_back(ops::RtValue::of(random_input(a.value(id).type.dtype, dims, random)));
  }
  const auto before = ops::evaluate_graph(a, inputs), after = ops::evaluate_graph(b, inputs);
  ASSERT_TRUE(before.ok()) << before.error().message();
  ASSERT_TRUE(after.ok()) << after.error().message() << "\n" << ir::to_string(b);
  ASSERT_EQ(before->size(), after->size());
  for (size_t k = 0; k < before->size(); ++k) {
    const Tensor &x = (*before)[k].tensor, &y = (*after)[k].tensor;
    ASSERT_EQ(dtype_name(x.dtype()), dtype_name(y.dtype())) << "output " << k;
    ASSERT_EQ(x.dims().to_string(), y.dims().to_string()) << "output " << k;
    const std::vector<double> want = numbers(x), got = numbers(y);
    double largest = 0;
    for (double v : want)
      if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
    for (size_t i = 0; i < want.size(); ++i) {
      const bool same = want[i] == got[i] || (std::isnan(want[i]) && std::isnan(got[i]));
      ASSERT_TRUE(same || std::fabs(want[i] - got[i]) <= tolerance * largest)
          << "output " << k << ", element " << i << ": " << got[i] << " instead of " << want[i] << "\n"
          << ir::to_string(b);
    }
  }
}

std::vector<std::string> names_of(const ir::Graph& graph, const std::vector<ir::ValueId>& ids) {
  std::vector<std::string> names;
  for (ir::ValueId id : ids) names.push_back(graph.value(id).name);
  return names;
}

}  // namespace

ir::Graph fused(const ir::Graph& graph, const std::vector<std::string>& passes, const std::vector<Symbols>& symbols, double tolerance,
                std::string* notes) {
  ir::Graph result = graph;
  PassOptions options;
  options.verify = true;
  for (const Pass* known : all_passes())
    if (std::find(passes.begin(), passes.end(), known->name) == passes.end()) options.disabled.emplace_back(known->name);
  EXPECT_EQ(options.disabled.size() + passes.size(), all_passes().size()) << "an unknown pass";
  std::vector<PassReport> reports;
  auto status = run_passes(result, options, reports);
  EXPECT_TRUE(status.ok()) << status.error().message();
  if (!status.ok()) return result;
  if (notes)
    for (const PassReport& report : reports)
      for (const std::string& note : report.notes) *notes += note + "\n";
  EXPECT_EQ(names_of(graph, graph.inputs), names_of(result, result.inputs));
  EXPECT_EQ(names_of(graph, graph.outputs), names_of(result, result.outputs));
  for (const Symbols& at : symbols)
    for (unsigned seed : {1u, 2u}) expect_close(graph, result, at, seed, tolerance);
  ir::Graph again = result;
  status = run_passes(again, options, reports);
  EXPECT_TRUE(status.ok()) << status.error().message();
  for (const PassReport& r : reports) EXPECT_EQ(r.changes, 0) << r.name << " finds something in its own result:\n" << ir::to_string(result);
  return result;
}

}  // namespace cameo::passes
