// The elements of a TensorProto as a Tensor.
#pragma once

#include "cameo/tensor.h"
#include "onnx/external_data.h"
#include "onnx/model.h"

namespace cameo::onnx {

struct TensorContext {
  std::shared_ptr<const void> owner;  // keeps the model's bytes alive; without it elements are always copied
  ExternalFiles* external = nullptr;  // without it external data is an error
  // A file with external data that does not exist gives zeros (to look at a model without its weights), and this is set.
  bool* missing = nullptr;
};

// All 26 element types of types.h, from raw data, typed fields or external data. Raw and external data that is aligned
// for its element type and needs no unpacking is viewed where it lies; everything else is copied. Sizes are checked
// against the bytes that are there before memory is taken. Errors name the tensor and the values.
Result<Tensor> to_tensor(const TensorProto& proto, const TensorContext& context);

// A sparse tensor made dense: values [nnz], indices [nnz] (into the flattened tensor) or [nnz, rank], in
// ascending order without duplicates as ONNX demands. At most 2^31 elements.
Result<Tensor> to_tensor(const SparseTensorProto& proto, const TensorContext& context);

}  // namespace cameo::onnx
