#include "backends/cuda/ops/ops.h"
namespace cameo::cuda {
std::vector<DeviceOp> recurrent_ops() { return {}; }
std::vector<DeviceOp> sort_ops() { return {}; }
}  // namespace cameo::cuda
