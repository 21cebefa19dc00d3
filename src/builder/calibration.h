// Post-training calibration: the ranges of activations on given inputs.
#pragma once

#include "cameo/builder.h"
#include "passes/insert_qdq.h"

namespace cameo::builder {

using Ranges = std::map<std::string, passes::ValueRange>;
using Samples = std::vector<std::map<std::string, Tensor>>;

// The samples as inputs of the graph, in its order. Errors: kInvalidArgument, naming the sample and the input that is missing or has
// another type.
Result<std::vector<std::vector<ops::RtValue>>> graph_inputs(const ir::Graph& graph, const Samples& samples);

// The ranges of the inputs of all int8 candidates, by the value's name. Runs the graph on every sample, twice unless the method is
// kMinMax. Tensors that hold no finite number get no range.
Result<Ranges> calibrate(const ir::Graph& graph, const Samples& samples, CalibrationMethod method, int threads);

// The bounds of |x| that lose the least information when x is rounded to 255 levels: `counts` are those of bins of equal width from 0
// up. Gives the number of bins to keep, at least 128. (Migacz, "8-bit inference with TensorRT", 2017.)
size_t entropy_threshold(std::span<const double> counts);

// A calibration file is made for one model (a hash of the optimised graph and its weights), method and version. Errors:
// kInvalidArgument for a damaged file or one made for something else; kIo.
uint64_t model_hash(const ir::Graph& graph);
Result<Ranges> load_ranges(const std::string& path, uint64_t model, CalibrationMethod method);
Status save_ranges(const std::string& path, const Ranges& ranges, uint64_t model, CalibrationMethod method);

}  // namespace cameo::builder
