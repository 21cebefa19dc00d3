// Lower precision of an optimised graph, as BuildOptions ask for it: int8 by calibration, weights of fewer bits, within a budget.
#pragma once

#include "builder/timing_cache.h"
#include "cameo/builder.h"
#include "ir/graph.h"

namespace cameo::builder {

// Lowers the graph in place; nothing to do leaves it as it is. `layers` gets what became of each candidate. From optimisation level 1
// on, layers that are not faster when lowered keep float32, and so does the whole graph; the times are those of the first profile's opt
// extents, and come from the cache when it has them. Errors: kInvalidArgument for options that do not fit together, calibration inputs
// or files that do not fit the model, times that are missing with error_on_miss.
Status lower_precision(ir::Graph& graph, const BuildOptions& options, std::span<const Profile> profiles, TimingCache& cache,
                       std::vector<PassReport>& reports, std::vector<LayerPrecision>& layers);

// The loss of `got` against `want`, over all their float32 tensors: the largest of each metric.
double loss_of(MaxLoss::Metric metric, std::span<const Tensor> want, std::span<const Tensor> got);

}  // namespace cameo::builder
