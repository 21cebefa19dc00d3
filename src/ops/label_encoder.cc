// LabelEncoder (ai.onnx.ml 1, 2, 4): replaces each element that is among the keys by the value at the same place, any other by a
// default. Version 1 has one list of strings and maps strings to their places, and places to strings; later versions have lists
// of keys and of values, and from version 4 on these may be tensors too. A NaN among float keys stands for NaN.
#include <cmath>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "ops/dispatch.h"
#include "ops/op.h"

namespace cameo::ops {
namespace {

struct LabelEncoderAttrs : ir::AttrsOf<LabelEncoderAttrs> {
  std::vector<std::string> classes_strings, keys_strings, values_strings;
  std::vector<int64_t> keys_int64s, values_int64s;
  std::vector<float> keys_floats, values_floats;
  Tensor keys_tensor, values_tensor, default_tensor;
  std::string default_string = "_Unused";
  int64_t default_int64 = -1;
  float default_float = -0.f;
  void visit(ir::AttrVisitor& v) override {
    v("classes_strings", classes_strings);
    v("keys_strings", keys_strings);
    v("values_strings", values_strings);
    v("keys_int64s", keys_int64s);
    v("values_int64s", values_int64s);
    v("keys_floats", keys_floats);
    v("values_floats", values_floats);
    v("keys_tensor", keys_tensor);
    v("values_tensor", values_tensor);
    v("default_tensor", default_tensor);
    v("default_string", default_string);
    v("default_int64", default_int64);
    v("default_float", default_float);
  }
};

// A list of one of the types that labels have.
struct Labels {
  DType dtype = DType::kUndefined;
  const void* data = nullptr;
  size_t size = 0;

  template <class T>
  static Labels of(const std::vector<T>& list) {
    return list.empty() ? Labels{} : Labels{dtype_of<T>(), list.data(), list.size()};
  }
  static Labels of(const Tensor& t) { return {t.dtype(), t.raw(), static_cast<size_t>(t.num_elements())}; }
};

Result<Labels> the_one(std::initializer_list<Labels> lists, const char* what) {
  Labels found;
  for (const Labels& list : lists) {
    if (list.dtype == DType::kUndefined) continue;
    if (found.dtype != DType::kUndefined) return error(ErrorCode::kInvalidModel, "{} are given more than once", what);
    found = list;
  }
  if (found.dtype == DType::kUndefined) return error(ErrorCode::kInvalidModel, "{} are not given", what);
  return found;
}

// Keys and values; in version 1 they depend on what comes in.
struct Mapping {
  Labels keys, values;
  std::vector<int64_t> places;  // of version 1
};

Result<Mapping> mapping_of(const LabelEncoderAttrs& a, int version, DType input) {
  Mapping m;
  if (version < 2) {
    if (a.classes_strings.empty()) return error(ErrorCode::kInvalidModel, "classes_strings are not given");
    for (size_t i = 0; i < a.classes_strings.size(); ++i) m.places.push_back(static_cast<int64_t>(i));
    m.keys = Labels::of(a.classes_strings), m.values = Labels::of(m.places);
    if (input == DType::kInt64) std::swap(m.keys, m.values);
    return m;
  }
  CAMEO_ASSIGN(
      m.keys,
      the_one({Labels::of(a.keys_strings), Labels::of(a.keys_int64s), Labels::of(a.keys_floats), Labels::of(a.keys_tensor)}, "keys"));
  CAMEO_ASSIGN(m.values, the_one({Labels::of(a.values_strings), Labels::of(a.values_int64s), Labels::of(a.values_floats),
                                  Labels::of(a.values_tensor)},
                                 "values"));
  if (m.keys.size != m.values.size) return error(ErrorCode::kInvalidModel, "there are {} keys and {} values", m.keys.size, m.values.size);
  return m;
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<LabelEncoderAttrs>();
  CAMEO_ASSIGN(const Mapping m, mapping_of(a, c.version(), c.dtype(0)));
  if (c.dtype(0) != DType::kUndefined && m.keys.dtype != c.dtype(0))
    return error(ErrorCode::kInvalidModel, "the input is {}, but the keys are {}", dtype_name(c.dtype(0)), dtype_name(m.keys.dtype));
  if (a.default_tensor.defined() && (a.default_tensor.dtype() != m.values.dtype || a.default_tensor.num_elements() != 1))
    return error(ErrorCode::kInvalidModel, "default_tensor is {}[{}]; it must be one {}", dtype_name(a.default_tensor.dtype()),
                 a.default_tensor.dims().to_string(), dtype_name(m.values.dtype));
  ir::Type type = c.input(0);
  type.kind = ir::Type::Kind::kTensor;
  type.dtype = m.values.dtype;
  c.set_output(0, std::move(type));
  return {};
}

template <class V>
V default_value(const LabelEncoderAttrs& a) {
  if (a.default_tensor.defined()) return a.default_tensor.data<V>()[0];
  if constexpr (std::is_same_v<V, std::string>)
    return a.default_string;
  else if constexpr (std::is_same_v<V, int64_t>)
    return a.default_int64;
  else if constexpr (std::is_same_v<V, float>)
    return a.default_float;
  else if constexpr (std::is_floating_point_v<V>)
    return V(-0.0);
  else
    return static_cast<V>(-1);
}

// Where each element of x stands among the keys; -1 where it does not.
template <class K>
void find_places(const Tensor& x, const Labels& keys, std::span<int64_t> places) {
  using Key = std::conditional_t<std::is_same_v<K, std::string>, std::string_view, K>;
  const auto* list = static_cast<const K*>(keys.data);
  std::unordered_map<Key, int64_t> map;
  int64_t of_nan = -1;
  for (size_t i = 0; i < keys.size; ++i) {
    if constexpr (std::is_floating_point_v<K>)
      if (std::isnan(list[i])) of_nan = static_cast<int64_t>(i);
    map[list[i]] = static_cast<int64_t>(i);
  }
  for (size_t i = 0; i < places.size(); ++i) {
    const K& value = x.data<K>()[i];
    if constexpr (std::is_floating_point_v<K>)
      if (std::isnan(value)) {
        places[i] = of_nan;
        continue;
      }
    const auto found = map.find(value);
    places[i] = found == map.end() ? -1 : found->second;
  }
}

// Calls fn with the C++ type of a label.
template <class Fn>
Status with_label_type(DType type, Fn fn) {
  switch (type) {
    case DType::kString:
      return fn(TypeTag<std::string>{});
    case DType::kInt64:
      return fn(TypeTag<int64_t>{});
    case DType::kInt32:
      return fn(TypeTag<int32_t>{});
    case DType::kInt16:
      return fn(TypeTag<int16_t>{});
    case DType::kFloat32:
      return fn(TypeTag<float>{});
    case DType::kFloat64:
      return fn(TypeTag<double>{});
    default:
      return error(ErrorCode::kUnsupported, "labels of type {} are not known", dtype_name(type));
  }
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<LabelEncoderAttrs>();
  const Tensor& x = c.input(0);
  CAMEO_ASSIGN(const Mapping m, mapping_of(a, c.version(), x.dtype()));
  const std::span<int64_t> places = c.scratch<int64_t>(x.num_elements());
  CAMEO_TRY(with_label_type(x.dtype(), [&](auto tag) -> Status {
    find_places<typename decltype(tag)::type>(x, m.keys, places);
    return {};
  }));
  return with_label_type(m.values.dtype, [&](auto tag) -> Status {
    using V = typename decltype(tag)::type;
    const V otherwise = default_value<V>(a);
    V* to = c.output(0).data<V>();
    for (size_t i = 0; i < places.size(); ++i) to[i] = places[i] < 0 ? otherwise : static_cast<const V*>(m.values.data)[places[i]];
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(LabelEncoder) = {
    .name = "LabelEncoder",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {{DType::kString, DType::kInt64, DType::kFloat32, DType::kInt32, DType::kInt16, DType::kFloat64}},
    .make_attrs = &ir::make_attrs<LabelEncoderAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
