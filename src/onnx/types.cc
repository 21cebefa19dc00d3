#include "onnx/types.h"

#include "onnx/text.h"

namespace cameo::onnx {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 58;

Result<ir::Shape> to_shape(const std::vector<DimensionProto>& dims) {
  ir::Shape shape;
  shape.reserve(dims.size());
  int64_t product = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    const DimensionProto& dim = dims[i];
    if (dim.kind == DimensionProto::Kind::kValue && dim.dim_value == -1) {
      shape.push_back(ir::Dim::unknown());  // how Paddle's and other exporters write an open extent
    } else if (dim.kind == DimensionProto::Kind::kValue) {
      if (dim.dim_value < 0)
        return error(ErrorCode::kInvalidModel, "dimension {} is {}; extents are not negative (an open one has a name, nothing, or -1)", i,
                     dim.dim_value);
      if (dim.dim_value > 0 && (__builtin_mul_overflow(product, dim.dim_value, &product) || product > kMaxElements))
        return error(ErrorCode::kInvalidModel, "dimension {} is {}, which makes the shape larger than {} elements", i, dim.dim_value,
                     kMaxElements);
      shape.emplace_back(dim.dim_value);
    } else if (dim.kind == DimensionProto::Kind::kParam && !dim.dim_param.empty() && dim.dim_param != "?") {  // Paddle's name for unknown
      shape.push_back(ir::Dim::symbol(std::string(dim.dim_param)));
    } else {
      shape.push_back(ir::Dim::unknown());
    }
  }
  return shape;
}

Status check_element_type(int32_t type) {
  if (type == 0 || is_valid_dtype(type)) return {};
  return error(ErrorCode::kInvalidModel, "element type {} is not one of ONNX's types 1 to {}", type, kNumDTypes - 1);
}

}  // namespace

Result<ir::Type> to_type(const TypeProto& proto) {
  using Kind = TypeProto::Kind;
  switch (proto.kind) {
    case Kind::kUnset:
      return ir::Type{};
    case Kind::kTensor: {
      CAMEO_TRY(check_element_type(proto.elem_type));
      const auto dtype = static_cast<DType>(proto.elem_type);
      if (!proto.shape) return ir::Type::tensor(dtype);
      CAMEO_ASSIGN(ir::Shape shape, to_shape(*proto.shape));
      return ir::Type::tensor(dtype, std::move(shape));
    }
    case Kind::kSequence:
    case Kind::kOptional: {
      ir::Type element;
      if (proto.element) {
        CAMEO_ASSIGN(element, to_type(*proto.element));
      }
      return proto.kind == Kind::kSequence ? ir::Type::sequence(std::move(element)) : ir::Type::optional(std::move(element));
    }
    case Kind::kMap:
      return error(ErrorCode::kUnsupported, "map types are not supported");
    case Kind::kSparseTensor:
      return error(ErrorCode::kUnsupported, "sparse tensor types are not supported");
    case Kind::kOpaque:
      return error(ErrorCode::kUnsupported, "opaque types are not supported");
  }
  return ir::Type{};
}

}  // namespace cameo::onnx
