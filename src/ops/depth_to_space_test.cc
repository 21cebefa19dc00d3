#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(DepthToSpace) {
  return {
      {.name = "depth first",
       .attributes = {{"blocksize", "2"}},
       .inputs = {tensor<float>({1, 8, 1, 1}, {0, 1, 2, 3, 4, 5, 6, 7})},
       .outputs = {tensor<float>({1, 2, 2, 2}, {0, 2, 4, 6, 1, 3, 5, 7})}},
      {.name = "columns first",
       .attributes = {{"blocksize", "2"}, {"mode", "'CRD'"}},
       .inputs = {tensor<float>({1, 4, 1, 2}, {0, 1, 2, 3, 4, 5, 6, 7})},
       .outputs = {tensor<float>({1, 1, 2, 4}, {0, 2, 1, 3, 4, 6, 5, 7})}},
      {.name = "channels do not divide",
       .attributes = {{"blocksize", "2"}},
       .inputs = {tensor<float>({1, 3, 1, 1}, {0, 1, 2})},
       .error = "3 channels are no multiple"},
      {.name = "blocksize 0", .inputs = {tensor<float>({1, 1, 1, 1}, {0})}, .error = "blocksize is 0"},
  };
}

}  // namespace cameo::ops
