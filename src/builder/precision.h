// Lower precision of an optimised graph, as BuildOptions ask for it: int8 by calibration, weights of fewer bits, within a budget.
#pragma once

#include "cameo/builder.h"
#include "ir/graph.h"

namespace cameo::builder {

// Lowers the graph in place; nothing to do leaves it as it is. `layers` gets what became of each candidate. Errors:
// kInvalidArgument for options that do not fit together, calibration inputs or files that do not fit the model.
Status lower_precision(ir::Graph& graph, const BuildOptions& options, std::vector<PassReport>& reports,
                       std::vector<LayerPrecision>& layers);

// The loss of `got` against `want`, over all their float32 tensors: the largest of each metric.
double loss_of(MaxLoss::Metric metric, std::span<const Tensor> want, std::span<const Tensor> got);

}  // namespace cameo::builder
