// The parameters of a model by name.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "huggingface/safetensors.h"
#include "ops/cameo_quantized_weight.h"

namespace cameo::huggingface {

// A matrix that a file holds in few bits, as ai.cameo.QuantizedWeightMatMul reads it.
struct PackedWeight {
  ops::QuantizedWeightAttrs attrs;
  ops::QuantizedWeightTensors tensors;
};

// Rows to look up by number, [rows, width]. With scales [rows, width / group] the values are codes: int8, times the scale of their
// group.
struct Table {
  Tensor values;  // float32, float16, or int8
  Tensor scales;  // float32 or float16
  int64_t group = 0;
};

class Weights {
 public:
  virtual ~Weights() = default;
  virtual bool has(const std::string& name) const = 0;
  // The parameter as float32. Errors: kInvalidModel when it is missing, of other extents, or no floating-point tensor.
  virtual Result<Tensor> floats(const std::string& name, const Dims& dims) = 0;
  // The parameter as rows to look up, with as few bits as the file has. The same errors.
  virtual Result<Table> table(const std::string& name, const Dims& dims);
  // The transposed matrices [out, in] side by side, [in, sum of out], where the file holds all of them in few bits in the same way; nothing
  // where it does not.
  virtual Result<std::optional<PackedWeight>> packed(std::span<const std::string> names, std::span<const int64_t> out, int64_t in) {
    static_cast<void>(names), static_cast<void>(out), static_cast<void>(in);
    return std::optional<PackedWeight>();
  }
};

// model.safetensors of a folder, or the files that model.safetensors.index.json lists.
class SafetensorsWeights final : public Weights {
 public:
  // Errors: kIo, kInvalidModel (also for an index whose files lie elsewhere, or a tensor in two files).
  static Result<SafetensorsWeights> open(const std::string& folder);
  static SafetensorsWeights of(std::map<std::string, Tensor> tensors);

  bool has(const std::string& name) const override { return tensors_.contains(name); }
  Result<Tensor> floats(const std::string& name, const Dims& dims) override;

 private:
  std::map<std::string, Tensor> tensors_;
};

}  // namespace cameo::huggingface
