// A tactic is a way to run an operator that is faster than its reference implementation where it applies.
#pragma once

#include <span>
#include <string_view>

#include "ops/infer.h"

namespace cameo::tactics {

struct Tactic {
  std::string_view name;         // "matmul_f32_packed"; plans record it, so it never changes its meaning
  std::string_view op;           // the operator that it runs
  std::string_view domain = "";  // and its domain
  // Whether it can run the node on every shape that the facts of its inputs (by value id) allow, on this machine.
  // The error is the reason why not.
  Status (*supports)(const ir::Node& node, std::span<const ops::Fact> facts);
  // Puts constant inputs into the form that run() reads them in (Node::packed). The form is the same on every machine
  // of the plan's target. Without it the node's inputs are all that run() reads.
  Result<std::vector<Tensor>> (*prepack)(const ir::Node& node, std::span<const ops::Fact> facts) = nullptr;
  // Bit i: run() reads of input i the extents alone, its elements come from Node::packed.
  uint64_t packed_inputs = 0;
  // How far float results may be from the reference's, relative to the largest value of the output.
  double tolerance = 1e-4;
  // Runs the node; what KernelContext promises to reference implementations holds here too. A plan may have been altered
  // since supports() and prepack(): types, extents, attributes and the sizes of the packed tensors are checked again.
  Status (*run)(ops::KernelContext& context);

  bool is_for(const ops::OpDef& op_def) const { return op == op_def.name && domain == op_def.domain; }
};

// Opens the definition of a tactic in its file: CAMEO_DEFINE_TACTIC(matmul_f32) = {…}; it has a line in
// backends/cpu/tactics.inc.
#define CAMEO_DEFINE_TACTIC(tactic)    \
  extern const Tactic tactic##_tactic; \
  constexpr Tactic tactic##_tactic

// Every tactic, in order of preference.
std::span<const Tactic* const> all_tactics();
// The tactic of that name, or null.
const Tactic* find_tactic(std::string_view name);

// supports()'s way to say why not: return refuse("the inputs are not float32").
inline Error refuse(std::string reason) { return Error(ErrorCode::kUnsupported, std::move(reason)); }

// Names for each node the first tactic that supports it (Node::kernel) and packs its constants; nodes without one keep the
// reference. Constants that are then read in packed form alone are elided.
Status select_tactics(ir::Graph& graph);

// Gives the node that tactic, null for the reference, and packs its constants.
Status assign_tactic(ir::Node& node, const Tactic* tactic, std::span<const ops::Fact> facts);
// Drops the elements of constants that every reader has in packed form.
void elide_packed_constants(ir::Graph& graph);

}  // namespace cameo::tactics
