// OneHotEncoder (ai.onnx.ml 1): along a new last axis, 1 at the place of the category that an element is, 0 elsewhere. An element
// of no category gives zeros, or with zeros = 0 an error.
#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "ops/dispatch.h"
#include "ops/ml_matrix.h"

namespace cameo::ops {
namespace {

struct OneHotEncoderAttrs : ir::AttrsOf<OneHotEncoderAttrs> {
  std::vector<int64_t> cats_int64s;
  std::vector<std::string> cats_strings;
  int64_t zeros = 1;
  void visit(ir::AttrVisitor& v) override {
    v("cats_int64s", cats_int64s);
    v("cats_strings", cats_strings);
    v("zeros", zeros);
  }
};

Status infer(InferContext& c) {
  const auto& a = c.attrs<OneHotEncoderAttrs>();
  CAMEO_TRY((ClassLabels{a.cats_int64s, a.cats_strings}.check()));
  if (c.dtype(0) != DType::kUndefined && (c.dtype(0) == DType::kString) == a.cats_strings.empty())
    return error(ErrorCode::kInvalidModel, "the input is {}, which does not go with the categories", dtype_name(c.dtype(0)));
  ir::Type type = ir::Type::tensor(DType::kFloat32);
  if (c.shape(0)) {
    type.shape = *c.shape(0);
    type.shape->push_back(static_cast<int64_t>(std::max(a.cats_int64s.size(), a.cats_strings.size())));
  }
  c.set_output(0, std::move(type));
  return {};
}

template <class Key, class List, class Get>
Status encode(const List& categories, bool zeros, Tensor& y, int64_t count, Get get) {
  std::unordered_map<Key, int64_t> places;
  for (size_t i = 0; i < categories.size(); ++i) places[categories[i]] = static_cast<int64_t>(i);
  const auto width = static_cast<int64_t>(categories.size());
  float* to = y.data<float>();
  std::fill_n(to, y.num_elements(), 0.f);
  for (int64_t i = 0; i < count; ++i) {
    const auto found = places.find(get(i));
    if (found != places.end())
      to[i * width + found->second] = 1;
    else if (!zeros)
      return error(ErrorCode::kInvalidInput, "element {} is none of the {} categories", i, width);
  }
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<OneHotEncoderAttrs>();
  const Tensor& x = c.input(0);
  const int64_t n = x.num_elements();
  if (x.dtype() == DType::kString)
    return encode<std::string_view>(a.cats_strings, a.zeros != 0, c.output(0), n,
                                    [&](int64_t i) { return std::string_view(x.data<std::string>()[i]); });
  return dispatch_numbers(x.dtype(), "OneHotEncoder", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    // In double, where a number beyond int64 equals no category instead of being cast to one.
    const std::vector<double> categories(a.cats_int64s.begin(), a.cats_int64s.end());
    if constexpr (std::is_integral_v<T>)
      return encode<int64_t>(a.cats_int64s, a.zeros != 0, c.output(0), n, [&](int64_t i) { return static_cast<int64_t>(x.data<T>()[i]); });
    else
      return encode<double>(categories, a.zeros != 0, c.output(0), n,
                            [&](int64_t i) { return std::trunc(static_cast<double>(static_cast<compute_t<T>>(x.data<T>()[i]))); });
  });
}

}  // namespace

CAMEO_DEFINE_OP(OneHotEncoder) = {
    .name = "OneHotEncoder",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {kMlTypes | kStringType},
    .make_attrs = &ir::make_attrs<OneHotEncoderAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
