// Which steps of a run may be taken for parts of the batch, one part after the other, so that copies run beside the computation.
#pragma once

#include <functional>

#include "ir/graph.h"
#include "runtime/specialization.h"

namespace cameo::cuda {

// The first `head` steps and those from `tail` on, which may be the same ones.
struct RowParts {
  size_t head = 0, tail = 0;
};

// The value that step `step` reads as input `input`.
using InputOf = std::function<ir::ValueId(size_t step, size_t input)>;

// `whole` and `part` are complete specialisations for a batch and for 1/parts of it. A step may be taken for parts where each row
// of its outputs depends on the same rows of what it reads alone, as far as its operator shows that. Both are 0 where the
// specialisations differ in more than that.
RowParts rows_apart(const ir::Graph& graph, const runtime::Specialization& whole, const runtime::Specialization& part, int64_t parts,
                    const InputOf& input_of);

// Whether the value has `parts` times as many rows in `whole` as in `part`, and is otherwise the same.
bool has_rows(const runtime::Specialization& whole, const runtime::Specialization& part, ir::ValueId id, int64_t parts);

}  // namespace cameo::cuda
