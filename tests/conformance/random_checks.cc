#include "random_checks.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "compare.h"

namespace cameo::conformance {
namespace {

// A correct generator strays further than this many standard deviations from the mean once in 10^9 checks.
constexpr double kDeviations = 6;

std::string form_difference(const std::vector<ops::RtValue>& got, const Case& c) {
  if (got.size() != c.outputs.size()) return fmt::format("{} outputs instead of {}", got.size(), c.outputs.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const Tensor &a = got[i].tensor, &b = c.outputs[i].second.tensor;
    if (a.dtype() != b.dtype()) return fmt::format("output {}: type {} instead of {}", i, dtype_name(a.dtype()), dtype_name(b.dtype()));
    if (!(a.dims() == b.dims())) return fmt::format("output {}: shape {} instead of {}", i, a.dims().to_string(), b.dims().to_string());
  }
  return "";
}

std::string count_difference(double count, double mean, double variance, std::string_view what) {
  const double allowed = kDeviations * std::sqrt(variance) + 1e-9;
  if (std::fabs(count - mean) <= allowed) return "";
  return fmt::format("{} {}, {:.1f} +- {:.1f} expected", count, what, mean, allowed);
}

// What some draws of Bernoulli gave, beside what the probabilities make likely.
struct Draws {
  double ones = 0, mean = 0, variance = 0;
};

// Adds the elements of `drawn`, which are 1 with the probability in `x`; or, when `inverted`, 0 with it.
std::string add_draws(const Tensor& drawn, const Tensor& x, bool inverted, Draws& draws) {
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    const double y = number_at(drawn, i), probability = inverted ? 1 - number_at(x, i) : number_at(x, i);
    if (y != 0 && y != 1) return fmt::format("element {}: {} is neither 0 nor 1", i, y);
    draws.ones += y;
    draws.mean += probability;
    draws.variance += probability * (1 - probability);
  }
  return "";
}

// Bernoulli: 1 with the probability that the input gives, else 0. Its function body, which the expanded cases
// hold, has it the other way round: Greater(random, x). Many runs count together, as one draws few elements.
template <bool kInverted>
std::string check_bernoulli(const Case& c, const Runner& run) {
  constexpr int kRuns = 100;
  Draws draws;
  for (int r = 0; r < kRuns; ++r) {
    auto outputs = run();
    if (!outputs.ok()) return outputs.error().message();
    if (auto text = form_difference(*outputs, c); !text.empty()) return text;
    if (auto text = add_draws((*outputs)[0].tensor, c.inputs[0].second.tensor, kInverted, draws); !text.empty()) return text;
  }
  return count_difference(draws.ones, draws.mean, draws.variance, "ones");
}

// With a seed every fresh run gives the same, so there is one draw to judge.
template <bool kInverted>
std::string check_seeded_bernoulli(const Case& c, const Runner& run) {
  auto first = run(), second = run();
  if (!first.ok()) return first.error().message();
  if (!second.ok()) return second.error().message();
  if (auto text = form_difference(*first, c); !text.empty()) return text;
  if (auto text = difference((*second)[0], (*first)[0], 0, 0); !text.empty()) return "two runs with one seed differ: " + text;
  Draws draws;
  if (auto text = add_draws((*first)[0].tensor, c.inputs[0].second.tensor, kInverted, draws); !text.empty()) return text;
  return count_difference(draws.ones, draws.mean, draws.variance, "ones");
}

// Dropout in training: an element is kept, and scaled by 1 / (1 - ratio), with probability 1 - ratio, else 0;
// the mask says which were kept.
std::string check_training_dropout(const Case& c, const Runner& run) {
  auto outputs = run();
  if (!outputs.ok()) return outputs.error().message();
  if (auto text = form_difference(*outputs, c); !text.empty()) return text;
  double ratio = 0.5;
  for (const auto& [name, value] : c.inputs)
    if (name == "r") ratio = number_at(value.tensor, 0);
  const Tensor &x = c.inputs[0].second.tensor, &y = (*outputs)[0].tensor;
  double kept = 0;
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    const double in = number_at(x, i), out = number_at(y, i), scaled = in / (1 - ratio);
    const bool is_kept = std::fabs(out - scaled) <= c.atol + c.rtol * std::fabs(scaled);
    if (!is_kept && out != 0) return fmt::format("element {}: {} is neither 0 nor {}", i, out, scaled);
    if (outputs->size() > 1 && in != 0 && (number_at((*outputs)[1].tensor, i) != 0) != is_kept)
      return fmt::format("element {}: the mask says {}, the output is {}", i, is_kept ? "dropped" : "kept", out);
    kept += is_kept;
  }
  const auto n = static_cast<double>(x.num_elements());
  return count_difference(kept, n * (1 - ratio), n * ratio * (1 - ratio), "elements kept");
}

struct Entry {
  std::string_view name;
  RandomCheck check;
};

constexpr Entry kChecks[] = {
    {"test_bernoulli", check_bernoulli<false>},
    {"test_bernoulli_double", check_bernoulli<false>},
    {"test_bernoulli_double_expanded", check_bernoulli<true>},
    {"test_bernoulli_expanded", check_bernoulli<true>},
    {"test_bernoulli_seed", check_seeded_bernoulli<false>},
    {"test_bernoulli_seed_expanded", check_seeded_bernoulli<true>},
    {"test_training_dropout", check_training_dropout},
    {"test_training_dropout_default", check_training_dropout},
    {"test_training_dropout_default_mask", check_training_dropout},
    {"test_training_dropout_mask", check_training_dropout},
};

}  // namespace

RandomCheck random_check(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kChecks), std::end(kChecks), [&](const Entry& e) { return e.name == name; });
  return found == std::end(kChecks) ? nullptr : found->check;
}

}  // namespace cameo::conformance
