#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SequenceEmpty) {
  return {
      {.name = "float by default", .outputs = {sequence({}, DType::kFloat32)}},
      {.name = "typed", .attributes = {{"dtype", "7"}}, .outputs = {sequence({}, DType::kInt64)}},
      {.name = "no such type", .attributes = {{"dtype", "99"}}, .error = "dtype is 99"},
  };
}

}  // namespace cameo::ops
