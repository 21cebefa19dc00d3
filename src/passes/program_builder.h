// Makes programs of fused operators (ops/pointwise_program.h) out of element-by-element nodes, and nodes of domain ai.cameo.
#pragma once

#include <map>
#include <string_view>
#include <vector>

#include "ops/cameo_pointwise.h"
#include "passes/patch.h"

namespace cameo::passes {

// A program and the values that its inputs are. Where it is an epilogue, input 0 is kNoValue: what the operator itself computes.
struct FusedProgram {
  std::vector<ir::ValueId> inputs;
  ops::PointProgram program;
};

class ProgramBuilder {
 public:
  explicit ProgramBuilder(const GraphView& view) : view_(view) {}

  // Whether the node is one that add() takes: float32, element by element, its operands broadcast as NumPy does it.
  static bool is_pointwise(const GraphView& view, const ir::Node& node);

  // Begins an epilogue: what the operator itself computes becomes input 0, and `program` of it and the operands is `result`.
  void begin_epilogue(const ops::PointProgram& program, std::span<const ir::ValueId> operands, ir::ValueId result);
  // Appends the node, after those that make its inputs. Values that were not made before become inputs, known numbers become
  // constants. False for a node that is not pointwise or whose rank is not known.
  bool add(const ir::Node& node);
  // Appends program(operands…) for the value `result`.
  void add_program(const ops::PointProgram& program, std::span<const ir::ValueId> operands, ir::ValueId result);
  // Appends an operation on values for the value `result`.
  void add_operation(ops::PointOp op, std::vector<ir::ValueId> operands, ir::ValueId result);

  // The program for a value that was added; instructions that it does not need are gone, products that are added to something
  // are Fma. Nothing when a program cannot be that long or have so many inputs.
  std::optional<FusedProgram> finish(ir::ValueId result) const;

 private:
  struct Operand {
    enum class Kind { kInput, kStep, kConstant } kind = Kind::kInput;
    size_t index = 0;
    friend bool operator==(const Operand&, const Operand&) = default;
  };
  struct Step {
    ops::PointOp op;
    std::vector<Operand> operands;
  };
  Operand operand(ir::ValueId id);
  Operand number(double value);
  Operand emit(ops::PointOp op, std::vector<Operand> operands);
  Operand append(const ops::PointProgram& program, std::span<const Operand> operands);
  bool add_variadic(const ir::Node& node, ops::PointOp op);

  const GraphView& view_;
  std::vector<ir::ValueId> inputs_;
  std::vector<float> constants_;
  std::vector<Step> steps_;
  std::map<ir::ValueId, Operand> made_;
};

// A node of an operator of domain ai.cameo, with that many outputs to be made.
ir::Node cameo_node(std::string_view op, std::vector<ir::ValueId> inputs, std::shared_ptr<const ir::Attrs> attrs, size_t num_outputs = 1);
// Whether it is the node of that operator of domain ai.cameo.
bool is_cameo(const ir::Node& node, std::string_view op);
// ai.cameo.Pointwise of a program.
ir::Node pointwise_node(const FusedProgram& fused);

}  // namespace cameo::passes
