// Which steps of a run may be taken for parts of the batch, one part after the other, so that copies run beside the computation.
#pragma once

#include <functional>
#include <vector>

#include "ir/graph.h"
#include "runtime/specialization.h"

namespace cameo::cuda {

// The first `head` steps and those from `tail` on, which may be the same ones.
struct RowParts {
  size_t head = 0, tail = 0;
};

// The value that a node reads as input `input`.
using InputOf = std::function<ir::ValueId(uint32_t node, size_t input)>;
// The nodes whose work the step of a node does: that node, and what was joined to it.
using NodesOf = std::function<std::vector<uint32_t>(uint32_t node)>;

// `whole` and `part` are complete specialisations for a batch and for 1/parts of it. A step may be taken for parts where each row
// of its outputs depends on the same rows of what it reads alone, as far as its operator shows that. Both are 0 where the
// specialisations differ in more than that.
RowParts rows_apart(const ir::Graph& graph, const runtime::Specialization& whole, const runtime::Specialization& part, int64_t parts,
                    const InputOf& input_of, const NodesOf& nodes_of);

// Whether the value has `parts` times as many rows in `whole` as in `part`, and is otherwise the same.
bool has_rows(const runtime::Specialization& whole, const runtime::Specialization& part, ir::ValueId id, int64_t parts);

}  // namespace cameo::cuda
