// TopK (ai.onnx 1, 10, 11, 24): the k largest (11: or smallest) elements along an axis, with their indices. They come sorted
// whatever the attribute `sorted` says; of equal elements the one with the lower index comes first, and NaN counts as
// larger than any number. k is an attribute in version 1, then an input.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct TopKAttrs : ir::AttrsOf<TopKAttrs> {
  int64_t axis = -1, largest = 1, sorted = 1, k = 0;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("largest", largest);
    v("sorted", sorted);
    v("k", k);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<TopKAttrs>();
  ir::Dim k = attrs.k;
  if (c.version() >= 10) {
    if (!c.has_input(1)) return error(ErrorCode::kInvalidModel, "lacks its input 1, k");
    if (c.shape(1) && c.shape(1)->size() > 1) CAMEO_TRY(check_rank(c, 1, 1, "k"));
    const auto values = c.values(1);
    if (values && values->size() != 1) return error(ErrorCode::kInvalidInput, "k must have one element, it has {}", values->size());
    k = values ? values->front() : ir::Dim::unknown();
  }
  std::optional<ir::Shape> out = c.shape(0);
  if (out) {
    CAMEO_ASSIGN(const size_t axis, normalize_axis(attrs.axis, out->size()));
    const ir::Dim extent = (*out)[axis];
    if (k.is_const() && (k.value() < 0 || (extent.is_const() && k.value() > extent.value())))
      return error(ErrorCode::kInvalidInput, "k is {}; the extent of axis {} allows 0 to {}", k.value(), attrs.axis, extent.to_string());
    (*out)[axis] = k;
  }
  c.set_output(0, tensor_type(c.dtype(0), out));
  c.set_output(1, tensor_type(DType::kInt64, out));
  return {};
}

template <class C>
bool is_larger(C a, C b) {
  return a > b || (a != a && b == b);
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<TopKAttrs>();
  const Tensor& x = c.input(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(attrs.axis, x.rank()));
  const bool largest = attrs.largest != 0 || c.version() < 11;
  int64_t k = attrs.k;
  if (c.version() >= 10) {
    CAMEO_ASSIGN(k, read_int(c.input(1), "k"));
  }
  const int64_t n = x.dim(axis), outer = product(x.dims(), 0, axis), inner = product(x.dims(), axis + 1, x.rank());
  if (k == 0 || x.num_elements() == 0) return {};
  const auto order = c.scratch<int64_t>(n);
  return dispatch_numbers(x.dtype(), "TopK", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) {
        const T* from = x.data<T>() + o * n * inner + i;
        for (int64_t j = 0; j < n; ++j) order[static_cast<size_t>(j)] = j;
        std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t p, int64_t q) {
          const auto a = static_cast<C>(from[p * inner]), b = static_cast<C>(from[q * inner]);
          const bool before = largest ? is_larger(a, b) : is_larger(b, a), after = largest ? is_larger(b, a) : is_larger(a, b);
          return before || (!after && p < q);
        });
        for (int64_t j = 0; j < k; ++j) {
          const int64_t to = (o * k + j) * inner + i, at = order[static_cast<size_t>(j)];
          if (c.has_output(0)) c.output(0).data<T>()[to] = from[at * inner];
          if (c.has_output(1)) c.output(1).data<int64_t>()[to] = at;
        }
      }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(TopK) = {
    .name = "TopK",
    .max_inputs = 2,
    .max_outputs = 2,
    .input_types = {kNumericTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<TopKAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
