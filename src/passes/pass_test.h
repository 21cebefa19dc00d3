// Small graphs by hand, for tests of passes: what a pass does to them, and that their results stay the same bits.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "ops/evaluate.h"
#include "passes/driver.h"

namespace cameo::passes {

// Builds a graph; a mistake fails the test.
class TestGraph {
 public:
  ir::Graph graph;

  ir::ValueId input(const std::string& name, DType dtype, ir::Shape shape);
  ir::ValueId input_of_unknown_rank(const std::string& name, DType dtype);
  template <class T>
  ir::ValueId constant(const Dims& dims, std::initializer_list<T> values) {
    return graph.add_constant("c", Tensor::of<T>(dims, values));
  }
  ir::ValueId scalar(float value) { return constant<float>({}, {value}); }
  ir::ValueId ints(std::initializer_list<int64_t> values) { return constant<int64_t>({static_cast<int64_t>(values.size())}, values); }
  // A node whose source is its own name ("Add_3").
  ir::ValueId node(std::string_view op, std::vector<ir::ValueId> inputs, const AttrList& attrs = {}, int version = 0);
  std::vector<ir::ValueId> nodes(std::string_view op, std::vector<ir::ValueId> inputs, size_t num_outputs, const AttrList& attrs = {},
                                 int version = 0);
  void output(ir::ValueId id) { graph.outputs.push_back(id); }
};

// Symbols of input shapes that are not listed are 3.
using Symbols = std::map<std::string, int64_t>;

// Runs that pass alone (all of them for "") with verification on and checks, at the given symbols, that names of inputs and
// outputs and the bits of all outputs for random inputs are what they were, and that a second run changes nothing.
ir::Graph optimised(const ir::Graph& graph, const std::string& pass, const std::vector<Symbols>& symbols = {{}},
                    PassReport* report = nullptr);

size_t count(const ir::Graph& graph, std::string_view op);
// "Add, Mul": the operators in order.
std::string ops_of(const ir::Graph& graph);

// The outputs of both graphs for the same random inputs are equal bit by bit; NaN equals NaN.
void expect_same_results(const ir::Graph& a, const ir::Graph& b, const Symbols& symbols, unsigned seed = 1);

}  // namespace cameo::passes
