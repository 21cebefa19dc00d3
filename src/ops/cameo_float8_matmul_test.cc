#include "base/numeric.h"
#include "ops/cameo_op_test.h"

namespace cameo::ops {
namespace {

Tensor float8(const Dims& dims, std::initializer_list<float> values) {
  Tensor t = Tensor::allocate(DType::kFloat8E4M3FN, dims).value();
  int64_t i = 0;
  for (float v : values) t.data<Float8E4M3FN>()[i++] = Float8E4M3FN(v);
  return t;
}

}  // namespace

CAMEO_OP_TEST(Float8MatMul) {
  const Tensor w = float8({2, 3}, {1, -2, 0.5f, 4, 0, -1}), scale = tensor<float>({2}, {1, 0.5f});
  const Tensor x = tensor<float>({2, 3}, {2, 1, 4, -3, 0.5f, 8});
  return {
      {.name = "8-bit floats",
       .attributes = {{"k", "3"}, {"n", "2"}, {"x_scale", "0.5"}},
       .inputs = {float8({2, 3}, {2, 1, 4, -3, 0.5f, 8}), w, scale},
       .outputs = {tensor<float>({2, 2}, {1, 1, 0, -5})}},
      {.name = "a scale that is given; what is beyond the range is cut",
       .attributes = {{"k", "3"}, {"n", "2"}, {"x_scale", "2"}},
       .inputs = {tensor<float>({1, 3}, {2000, 0, 0}), w, scale},
       .outputs = {tensor<float>({1, 2}, {896, 1792})}},
      {.name = "a scale that is found",
       .attributes = {{"k", "3"}, {"n", "2"}},
       .inputs = {tensor<float>({1, 3}, {896, 2, -4}), w, scale},
       .outputs = {tensor<float>({1, 2}, {890, 1794})}},
      {.name = "nothing but zeros",
       .attributes = {{"k", "3"}, {"n", "2"}},
       .inputs = {tensor<float>({1, 3}, {0, 0, 0}), w, scale},
       .outputs = {tensor<float>({1, 2}, {0, 0})}},
      {.name = "a bias, and two outputs",
       .attributes = {{"k", "3"}, {"n", "2"}, {"x_scale", "1"}, {"program", "[0, 0, 1, 0]"}, {"splits", "[1, 1]"}},
       .inputs = {x, w, scale, tensor<float>({2}, {10, 20})},
       .outputs = {tensor<float>({2, 1}, {12, 10}), tensor<float>({2, 1}, {22, 10})}},
      {.name = "8-bit floats come out",
       .attributes = {{"k", "3"}, {"n", "2"}, {"x_scale", "1"}, {"y_type", "17"}, {"y_scale", "0.01"}},
       .inputs = {x, w, scale},
       .outputs = {float8({2, 2}, {200, 200, 0, -448})}},
      {.name = "no rows",
       .attributes = {{"k", "3"}, {"n", "2"}, {"x_scale", "1"}},
       .inputs = {tensor<float>({0, 3}, {}), w, scale},
       .outputs = {tensor<float>({0, 2}, {})}},
      {.name = "another depth",
       .attributes = {{"k", "3"}, {"n", "2"}},
       .inputs = {tensor<float>({1, 2}, {1, 2}), w, scale},
       .error = "3 rows"},
      {.name = "8-bit floats without a scale", .attributes = {{"k", "3"}, {"n", "2"}}, .inputs = {w, w, scale}, .error = "x_scale is 0"},
      {.name = "a weight of another shape", .attributes = {{"k", "3"}, {"n", "3"}}, .inputs = {x, w, scale}, .error = "W has shape"},
      {.name = "an output of no such type",
       .attributes = {{"k", "3"}, {"n", "2"}, {"y_type", "7"}},
       .inputs = {x, w, scale},
       .error = "y_type is 7"},
  };
}

}  // namespace cameo::ops
