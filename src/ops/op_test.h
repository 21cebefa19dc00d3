// Table tests of operators: each *_test.cc beside an operator defines OP_TEST(Name) with a list of cases.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ops/evaluate.h"
#include "ops/infer.h"
#include "ops/op.h"

namespace cameo::ops {

// A value of a case: a tensor, or a sequence or optional.
struct CaseValue : RtValue {
  CaseValue(Tensor t) : RtValue(RtValue::of(std::move(t))) {}
  CaseValue(RtValue v) : RtValue(std::move(v)) {}
};

// One run of an operator: attributes are set on the operator's struct through their ONNX names.
struct OpCase {
  std::string name;
  std::vector<std::pair<std::string, std::string>> attributes = {};  // values as text: "3", "0.5", "[1, 2]", "'text'"
  std::vector<CaseValue> inputs = {};                                // an undefined tensor is an absent input
  std::vector<CaseValue> outputs = {};                               // expected
  std::string error = {};                                            // expected instead: a part of the message
  int version = 28;
  double tolerance = 1e-5;  // |a - b| <= tolerance * max(1, |b|); exact for integers, bool and strings
  std::string domain = {};
  std::vector<ir::Graph> subgraphs = {};  // in the order of OpDef::subgraphs
};

// Makes graphs for control flow, a node a line:
//   GraphBuilder b; const auto x = b.input(type); b.output(b.node("Add", {x, x})); return b.graph();
class GraphBuilder {
 public:
  ir::ValueId input(ir::Type type = {});
  ir::ValueId constant(Tensor tensor);
  // A node of the newest version with one output, attributes as in OpCase.
  ir::ValueId node(const std::string& op, std::vector<ir::ValueId> inputs,
                   const std::vector<std::pair<std::string, std::string>>& attributes = {}, std::vector<ir::Graph> subgraphs = {});
  void output(ir::ValueId id) { graph_.outputs.push_back(id); }
  const ir::Graph& graph() const { return graph_; }

 private:
  ir::Graph graph_;
};

using OpCases = std::function<std::vector<OpCase>()>;
// Called by OP_TEST.
int register_op_cases(const char* op, OpCases cases);

// Sequences and tensors of a C++ type, short for tables: tensor<float>({2, 2}, {1, 2, 3, 4}).
inline RtValue sequence(std::vector<CaseValue> elements, DType element_dtype = DType::kUndefined) {
  return RtValue::sequence({elements.begin(), elements.end()}, element_dtype);
}
template <class T>
Tensor tensor(const Dims& dims, std::initializer_list<T> values) {
  return Tensor::of<T>(dims, values);
}
// A tensor of any type from numbers: floats16({3}, DType::kFloat16, {1, 2, 3}).
Tensor numbers(DType type, const Dims& dims, std::initializer_list<double> values);

}  // namespace cameo::ops

#define OP_TEST(op)                                                                                      \
  static std::vector<::cameo::ops::OpCase> op##_cases();                                                 \
  [[maybe_unused]] static const int op##_registered = ::cameo::ops::register_op_cases(#op, &op##_cases); \
  static std::vector<::cameo::ops::OpCase> op##_cases()
