// A tactic is a way to run an operator that is faster than its reference implementation where it applies.
#pragma once

#include <span>
#include <string_view>

#include "ops/infer.h"

namespace cameo::tactics {

struct Tactic {
  std::string_view name;  // "matmul_f32_tiled"; plans record it, so it never changes its meaning
  std::string_view op;    // the operator of ai.onnx that it runs
  // Whether it can run the node on every shape that the facts of its inputs (by value id) allow, on this machine.
  // The error is the reason why not.
  Status (*supports)(const ir::Node& node, std::span<const ops::Fact> facts);
  // Runs the node; what KernelContext promises to reference implementations holds here too.
  Status (*run)(ops::KernelContext& context);
};

// Opens the definition of a tactic in its file: CAMEO_DEFINE_TACTIC(matmul_f32_tiled) = {…}; the file has a line in
// backends/cpu/tactics.inc.
#define CAMEO_DEFINE_TACTIC(tactic)    \
  extern const Tactic tactic##_tactic; \
  constexpr Tactic tactic##_tactic

// Every tactic, in order of preference.
std::span<const Tactic* const> all_tactics();
// The tactic of that name, or null.
const Tactic* find_tactic(std::string_view name);

// Names for each node the first tactic that supports it (Node::kernel); nodes without one keep the reference.
Status select_tactics(ir::Graph& graph);

}  // namespace cameo::tactics
