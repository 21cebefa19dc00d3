// Tests of the tester: what it must not let pass, and that one bad case costs no other.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <limits>
#include <map>

#include "base/numeric.h"
#include "compare.h"
#include "worker_pool.h"

namespace cameo::conformance {
namespace {

using ops::RtValue;

template <class T>
RtValue tensor(std::initializer_list<T> values) {
  return RtValue::of(Tensor::of<T>({static_cast<int64_t>(values.size())}, values));
}

std::string compare(const RtValue& got, const RtValue& want) { return difference(got, want, 1e-3, 1e-7); }

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

TEST(Difference, FloatsMayBeOffByTheTolerance) {
  EXPECT_EQ(compare(tensor<float>({1.0009f, -1.0009f, 5e-8f}), tensor<float>({1, -1, 0})), "");
  EXPECT_EQ(compare(tensor<float>({1, 1.5f, 2}), tensor<float>({1, 1, 1})), "[1]: 1.5 instead of 1 (2 of 3 elements differ)");
  EXPECT_NE(compare(tensor<float>({2e-7f}), tensor<float>({0})), "");
  EXPECT_EQ(compare(tensor<Bfloat16>({Bfloat16(1.0078125f)}), tensor<Bfloat16>({Bfloat16(1.f)})), "");
  EXPECT_NE(compare(tensor<Float16>({Float16(1.0078125f)}), tensor<Float16>({Float16(1.f)})), "");
}

TEST(Difference, NotANumberAndInfinityMatchOnlyThemselves) {
  EXPECT_EQ(compare(tensor<float>({kNan, kInf, -kInf}), tensor<float>({kNan, kInf, -kInf})), "");
  EXPECT_NE(compare(tensor<float>({kNan}), tensor<float>({1})), "");
  EXPECT_NE(compare(tensor<float>({1}), tensor<float>({kNan})), "");
  EXPECT_NE(compare(tensor<float>({3e38f}), tensor<float>({kInf})), "");
  EXPECT_NE(compare(tensor<float>({kInf}), tensor<float>({3e38f})), "");
  EXPECT_NE(compare(tensor<float>({kInf}), tensor<float>({-kInf})), "");
}

TEST(Difference, EverythingElseIsExact) {
  EXPECT_EQ(compare(tensor<int64_t>({INT64_MAX}), tensor<int64_t>({INT64_MAX})), "");
  EXPECT_NE(compare(tensor<int64_t>({INT64_MAX}), tensor<int64_t>({INT64_MAX - 1})), "");
  EXPECT_NE(compare(tensor<bool>({true}), tensor<bool>({false})), "");
  EXPECT_EQ(compare(tensor<std::string>({"a"}), tensor<std::string>({"b"})), "[0]: 'a' instead of 'b' (1 of 1 elements differ)");
}

TEST(Difference, TypesShapesAndKinds) {
  EXPECT_EQ(compare(tensor<float>({1}), tensor<double>({1})), "type float32 instead of float64");
  EXPECT_EQ(compare(tensor<float>({1}), tensor<float>({1, 1})), "shape 1 instead of 2");
  EXPECT_EQ(compare(RtValue::of(Tensor::of<float>({}, {1})), tensor<float>({1})), "shape scalar instead of 1");
  EXPECT_EQ(compare(RtValue{}, tensor<float>({1})), "no tensor was made");
  const RtValue two = RtValue::sequence({tensor<float>({1}), tensor<float>({2})}, DType::kFloat32);
  const RtValue other = RtValue::sequence({tensor<float>({1}), tensor<float>({3})}, DType::kFloat32);
  EXPECT_EQ(compare(two, two), "");
  EXPECT_EQ(compare(two, other), "element 1: [0]: 2 instead of 3 (1 of 1 elements differ)");
  EXPECT_EQ(compare(two, RtValue::sequence({}, DType::kFloat32)), "2 elements instead of 0");
  EXPECT_EQ(compare(tensor<float>({1}), two), "a tensor instead of a sequence");
  EXPECT_NE(compare(RtValue::optional(std::nullopt), RtValue::optional(tensor<float>({1}))), "");
  EXPECT_EQ(compare(RtValue::optional(std::nullopt), RtValue::optional(std::nullopt)), "");
}

TEST(RunInChildren, BadTasksCostNoOther) {
  const auto task = [](size_t i) -> std::string {
    if (i == 3) ::raise(SIGKILL);
    if (i == 5) ::_exit(7);
    if (i == 8)
      for (;;) ::pause();
    return std::string(i * 100'000, 'x');
  };
  for (const int jobs : {1, 3, 20}) {
    std::map<size_t, std::string> results;
    run_in_children(12, task, [&](size_t i, std::string text) { EXPECT_TRUE(results.emplace(i, std::move(text)).second); },
                    {.jobs = jobs, .timeout_seconds = 0.5});
    ASSERT_EQ(results.size(), 12u);
    for (const auto& [i, text] : results) {
      if (i == 3)
        EXPECT_EQ(text, "killed by signal 9 (Killed)");
      else if (i == 5)
        EXPECT_EQ(text, "the process ended with exit code 7");
      else if (i == 8)
        EXPECT_EQ(text, "no result after 0.5 s");
      else
        EXPECT_EQ(text.size(), i * 100'000);
    }
  }
}

}  // namespace
}  // namespace cameo::conformance
