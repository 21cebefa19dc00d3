// CategoryMapper (ai.onnx.ml 1): turns strings into the numbers of their categories, or numbers into strings; what is no category
// becomes the default.
#include <unordered_map>

#include "ops/ml_matrix.h"

namespace cameo::ops {
namespace {

struct CategoryMapperAttrs : ir::AttrsOf<CategoryMapperAttrs> {
  std::vector<int64_t> cats_int64s;
  std::vector<std::string> cats_strings;
  int64_t default_int64 = -1;
  std::string default_string = "_Unused";
  void visit(ir::AttrVisitor& v) override {
    v("cats_int64s", cats_int64s);
    v("cats_strings", cats_strings);
    v("default_int64", default_int64);
    v("default_string", default_string);
  }
};

Status infer(InferContext& c) {
  const auto& a = c.attrs<CategoryMapperAttrs>();
  if (a.cats_int64s.size() != a.cats_strings.size())
    return error(ErrorCode::kInvalidModel, "there are {} numbers and {} strings; the lists must be parallel", a.cats_int64s.size(),
                 a.cats_strings.size());
  ir::Type type = c.input(0);
  if (type.dtype != DType::kUndefined) type.dtype = type.dtype == DType::kString ? DType::kInt64 : DType::kString;
  c.set_output(0, std::move(type));
  return {};
}

template <class From, class To>
void map(const Tensor& x, Tensor& y, const std::vector<From>& from, const std::vector<To>& to, const To& otherwise) {
  std::unordered_map<From, size_t> places;
  for (size_t i = 0; i < from.size(); ++i) places[from[i]] = i;
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    const auto found = places.find(x.data<From>()[i]);
    y.data<To>()[i] = found == places.end() ? otherwise : to[found->second];
  }
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<CategoryMapperAttrs>();
  if (c.input(0).dtype() == DType::kString)
    map(c.input(0), c.output(0), a.cats_strings, a.cats_int64s, a.default_int64);
  else
    map(c.input(0), c.output(0), a.cats_int64s, a.cats_strings, a.default_string);
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(CategoryMapper) = {
    .name = "CategoryMapper",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {{DType::kString, DType::kInt64}},
    .make_attrs = &ir::make_attrs<CategoryMapperAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
