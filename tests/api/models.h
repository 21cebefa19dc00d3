// Models for the tests of the public interface.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "cameo/builder.h"
#include "cameo/engine.h"
#include "onnx/test_models.h"

namespace cameo::test {

namespace o = onnx::test;

// y = Softmax(x + b) with x: float32[N, 4].
inline std::string softmax_model() {
  return o::model(o::graph({.nodes = {o::node("Add", {"x", "b"}, {"s"}, {}, "add"), o::node("Softmax", {"s"}, {"y"}, {}, "softmax")},
                            .inputs = {o::input_x()},
                            .outputs = {o::output_y()},
                            .initializers = {o::float_tensor("b", {4}, {0, 1, 2, 3})}}));
}

// sum = a + c with a: float32[N, M], c: float32[N, M].
inline std::string two_inputs_model() {
  return o::model(
      o::graph({.nodes = {o::node("Add", {"a", "c"}, {"sum"})},
                .inputs = {o::value_info("a", o::tensor_type(1, {"N", "M"})), o::value_info("c", o::tensor_type(1, {"N", "M"}))},
                .outputs = {o::value_info("sum", o::tensor_type(1, {"N", "M"}))}}));
}

// y = NonZero(x): its second extent depends on data.
inline std::string nonzero_model() {
  return o::model(o::graph({.nodes = {o::node("NonZero", {"x"}, {"y"})},
                            .inputs = {o::input_x()},
                            .outputs = {o::value_info("y", o::tensor_type(7, {2, "count"}))}}));
}

// A chain of `length` Exp and Log: every intermediate has the size of x.
inline std::string chain_model(int length) {
  o::Names nodes;
  std::string last = "x";
  for (int i = 0; i < length; ++i) {
    const std::string next = i + 1 == length ? "y" : "t" + std::to_string(i);
    nodes.push_back(o::node(i % 2 ? "Exp" : "Neg", {last}, {next}));
    last = next;
  }
  return o::model(o::graph({.nodes = nodes, .inputs = {o::input_x()}, .outputs = {o::output_y()}}));
}

inline Plan build(const std::string& model, const BuildOptions& options = {}) {
  auto plan = Builder().build(std::as_bytes(std::span(model)), "", options);
  EXPECT_TRUE(plan.ok()) << plan.error().message();
  return plan.ok() ? *plan : Plan();
}

inline Engine load(const std::string& model, const BuildOptions& options = {}) {
  auto engine = Engine::load(build(model, options));
  EXPECT_TRUE(engine.ok()) << engine.error().message();
  return std::move(engine).value();
}

}  // namespace cameo::test

// The call fails with this code, and its message has all these parts.
#define EXPECT_ERROR(expression, expected_code, ...)                                                                                 \
  do {                                                                                                                               \
    const auto failed = (expression);                                                                                                \
    ASSERT_FALSE(failed.ok()) << "an error was expected";                                                                            \
    EXPECT_EQ(failed.error().code(), expected_code) << failed.error().message();                                                     \
    for (const std::string& part : {__VA_ARGS__})                                                                                    \
      EXPECT_NE(failed.error().message().find(part), std::string::npos) << "no \"" << part << "\" in: " << failed.error().message(); \
  } while (false)
