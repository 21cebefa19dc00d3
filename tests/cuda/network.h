// Small networks for tests of the CUDA backend.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "onnx/write.h"
#include "passes/graph_builder.h"

namespace cameo::test {

inline Tensor drawn(const Dims& dims, float scale, unsigned seed) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  for (int64_t i = 0; i < t.num_elements(); ++i) t.data<float>()[i] = normal(random);
  return t;
}

template <typename T>
Tensor scalar(T value) {
  Tensor t = Tensor::allocate(dtype_of<T>(), Dims()).value();
  t.data<T>()[0] = value;
  return t;
}

// A graph from an input [N, ...] with drawn constants.
class Network {
 public:
  bool quantized = false;  // convolutions are of bytes

  explicit Network(const Dims& row) : b_(graph_, {}) {
    ir::Shape shape{ir::Dim::symbol("N")};
    for (int64_t extent : row) shape.push_back(extent);
    x = b_.input("x", ir::Type::tensor(DType::kFloat32, shape));
    graph_.name = "network";
    graph_.inputs = {x};
  }
  ir::ValueId node(std::string_view op, std::vector<ir::ValueId> inputs, const passes::AttrList& attrs = {}) {
    return b_.node(op, std::move(inputs), attrs);
  }
  ir::ValueId constant(const Dims& dims, float scale) { return b_.constant(drawn(dims, scale, ++seed_)); }
  ir::ValueId convolution(ir::ValueId from, int64_t in, int64_t out, int64_t side, int64_t stride = 1) {
    const int64_t pad = side / 2;
    const Tensor w = drawn({out, in, side, side}, std::sqrt(2.0f / static_cast<float>(in * side * side)), ++seed_);
    return node("Conv", {rounded(from), quantized ? of_bytes(w) : b_.constant(w), constant({out}, 0.1f)},
                {{"pads", std::vector<int64_t>{pad, pad, pad, pad}}, {"strides", std::vector<int64_t>{stride, stride}}});
  }
  // `from` rounded to bytes where convolutions are of bytes.
  ir::ValueId rounded(ir::ValueId from) {
    if (!quantized) return from;
    const ir::ValueId scale = b_.constant(scalar(0.04f)), zero = b_.constant(scalar<uint8_t>(128));
    return node("DequantizeLinear", {node("QuantizeLinear", {from, scale, zero}), scale, zero});
  }
  ir::ValueId product(ir::ValueId from, int64_t k, int64_t n) {
    return node("Add", {node("MatMul", {from, constant({k, n}, 1 / std::sqrt(static_cast<float>(k)))}), constant({n}, 0.1f)});
  }
  ir::ValueId norm(ir::ValueId from, int64_t n) {
    return node("LayerNormalization", {from, constant({n}, 1), constant({n}, 0.1f)}, {{"axis", int64_t{-1}}});
  }
  // As an ONNX file.
  Result<std::string> bytes(std::vector<ir::ValueId> outputs) {
    CAMEO_TRY(Status(b_.status()));
    for (size_t i = 0; i < graph_.values.size(); ++i) graph_.values[i].type = b_.fact(static_cast<ir::ValueId>(i)).type;
    graph_.outputs = std::move(outputs);
    return onnx::serialize_model(graph_);
  }

  ir::ValueId x = ir::kNoValue;

 private:
  // Weights as bytes, with a scale for each first index.
  ir::ValueId of_bytes(const Tensor& w) {
    const int64_t rows = w.dims()[0], size = w.num_elements() / rows;
    Tensor bytes = Tensor::allocate(DType::kInt8, w.dims()).value(), scales = Tensor::allocate(DType::kFloat32, {rows}).value();
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = w.data<float>() + r * size;
      float most = 0;
      for (int64_t i = 0; i < size; ++i) most = std::max(most, std::abs(from[i]));
      scales.data<float>()[r] = most / 127;
      for (int64_t i = 0; i < size; ++i) bytes.data<int8_t>()[r * size + i] = static_cast<int8_t>(std::lrint(from[i] / most * 127));
    }
    return node("DequantizeLinear", {b_.constant(bytes), b_.constant(scales)}, {{"axis", int64_t{0}}});
  }

  ir::Graph graph_;
  passes::GraphBuilder b_;
  unsigned seed_ = 0;
};

}  // namespace cameo::test
