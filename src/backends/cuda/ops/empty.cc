#include "backends/cuda/ops/ops.h"
namespace cameo::cuda {
std::vector<DeviceOp> image_ops() { return {}; }
std::vector<DeviceOp> attention_ops() { return {}; }
std::vector<DeviceOp> recurrent_ops() { return {}; }
std::vector<DeviceOp> sort_ops() { return {}; }
std::vector<DeviceOp> quantize_ops() { return {}; }
}  // namespace cameo::cuda
