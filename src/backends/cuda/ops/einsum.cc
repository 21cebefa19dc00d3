// Einsum: a thread for each element of the output goes over the labels that are summed; products of two matrices of floats
// are better written as MatMul.
#include <algorithm>

#include "backends/cuda/ops/ops.h"
#include "ops/einsum_equation.h"

namespace cameo::cuda {
namespace {

Status make_einsum(StepBuilder& b) {
  std::vector<size_t> ranks;
  std::vector<Operand> operands;
  for (size_t i = 0; i < b.num_inputs(); ++i) {
    CAMEO_ASSIGN(Operand o, b.input(i));
    ranks.push_back(o.dims.rank());
    operands.push_back(std::move(o));
  }
  CAMEO_ASSIGN(const ops::EinsumEquation e, ops::parse_einsum(b.attrs().text("equation"), ranks));
  const Operand y = b.output(0);
  const auto labels = static_cast<size_t>(e.num_labels);
  std::vector<int64_t> extents(labels, 0);
  std::vector<std::string> index(labels);
  for (size_t k = 0; k < operands.size(); ++k)
    for (size_t a = 0; a < e.inputs[k].size(); ++a) {
      int64_t& extent = extents[static_cast<size_t>(e.inputs[k][a])];
      extent = std::max(extent, operands[k].dims[a]);
    }
  Source s;
  const auto at = s.unravel("i", y.dims);
  for (size_t a = 0; a < e.output.size(); ++a) index[static_cast<size_t>(e.output[a])] = at[a];
  const std::string type = is_float(b.in_type(0)) ? compute_type(b.in_type(0)) : "i64";
  s.line(fmt::format("{} sum = 0;", type));
  size_t loops = 0;
  for (size_t l = 0; l < labels; ++l) {
    bool used = false;
    for (const auto& input : e.inputs) used = used || std::find(input.begin(), input.end(), static_cast<int>(l)) != input.end();
    if (!used || !index[l].empty()) continue;
    index[l] = s.name("l");
    s.line(fmt::format("for (I {0} = 0; {0} < {1}; ++{0}) {{", index[l], s.number(extents[l])));
    ++loops;
  }
  std::string product;
  for (size_t k = 0; k < operands.size(); ++k) {
    std::vector<std::string> indices;
    Dims strides = dense_strides(operands[k].dims);
    for (size_t a = 0; a < e.inputs[k].size(); ++a) {
      indices.push_back("(" + index[static_cast<size_t>(e.inputs[k][a])] + ")");
      if (operands[k].dims[a] == 1) strides[a] = 0;
    }
    product += fmt::format("{}({}){}", k == 0 ? "" : " * ", type, s.load(operands[k], s.offset(indices, strides)));
  }
  s.line(fmt::format("sum += {};", product));
  s.line(std::string(loops, '}'));
  s.store(y, "i", "sum");
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> einsum_ops() { return {{"Einsum", "", make_einsum}}; }

}  // namespace cameo::cuda
