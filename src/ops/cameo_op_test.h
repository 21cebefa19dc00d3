// CAMEO_OP_TEST(Name) for the operators of domain ai.cameo, whose names ONNX has as well.
#pragma once

#include "ops/op_test.h"

#define CAMEO_OP_TEST(op)                                                                                                            \
  static std::vector<::cameo::ops::OpCase> cameo_##op##_cases();                                                                     \
  [[maybe_unused]] static const int cameo_##op##_registered = ::cameo::ops::register_op_cases("ai.cameo." #op, &cameo_##op##_cases); \
  static std::vector<::cameo::ops::OpCase> cameo_##op##_cases()
