#include "cameo/builder.h"

#include <gtest/gtest.h>

#include "cameo/engine.h"

namespace cameo {
namespace {

TEST(Builder, MissingFile) {
  auto plan = Builder().build("no/such/model.onnx");
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), ErrorCode::kIo);
  EXPECT_NE(plan.error().message().find("no/such/model.onnx"), std::string::npos);
}

}  // namespace
}  // namespace cameo
