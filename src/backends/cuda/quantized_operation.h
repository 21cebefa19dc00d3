// kernels/quantized_product.h as an operation of a step.
#pragma once

#include "backends/cuda/kernels/quantized_product.h"
#include "backends/cuda/source.h"
#include "backends/cuda/step.h"

namespace cameo::cuda {

struct QuantizedOperands {
  Operand x, w, scale, bias, x_factor, residual, y;
  Operand x_behind, ratio;  // where there is a second sum
};

// The element type in memory; kNone for those that the kernels lack.
Element element_of(DType type);

// The product as an operation, for the caller to add, with the width of tiles that measures as the fastest; null where its kernel does
// not cover the case. `microseconds`, if given, gets what it takes.
Result<std::unique_ptr<Operation>> make_quantized_product(StepBuilder& b, QuantizedProductArgs args, const QuantizedOperands& operands,
                                                          double* microseconds = nullptr);

// Adds what writes a matrix of `columns` columns of 8 bits in rows of `rows` to `to`, in the order that the kernel reads. element(s, row,
// column) gives the expression of an element.
using WeightElement = std::function<std::string(Source& s, const std::string& row, const std::string& column)>;
Status tile_weight(StepBuilder& b, const Operand& to, int64_t rows, int64_t columns, const WeightElement& element);

// The constant input i, a matrix, in that form. code(s, from, row, column) gives the expression of an element of `from`.
using WeightCode = std::function<std::string(Source& s, const Operand& from, const std::string& row, const std::string& column)>;
Result<Operand> tiled_weight(StepBuilder& b, size_t input, const std::string& form, DType type, int64_t rows, int64_t columns,
                             const WeightCode& code);

// The expression of what is stored in float8e4m3fn for a float32 value, saturated.
std::string float8_code(const StepBuilder& b, Source& s, const std::string& value);

// A pass that writes x / scale in float8e4m3fn.
Status round_to_float8(StepBuilder& b, const Operand& x, const Operand& codes, float scale);

}  // namespace cameo::cuda
