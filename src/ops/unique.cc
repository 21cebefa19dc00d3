// Unique (ai.onnx 11, 28): the different slices along `axis`, or without it the different elements of the flattened input;
// sorted, or in the order of their first appearance. Further outputs: where each appears first, which of them each slice of
// the input is, and how often each appears. Slices are ordered element by element; NaN comes last and equals NaN.
#include <algorithm>
#include <numeric>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct UniqueAttrs : ir::AttrsOf<UniqueAttrs> {
  std::optional<int64_t> axis;
  int64_t sorted = 1;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("sorted", sorted);
  }
};

Status infer(InferContext& c) {
  const auto& axis = c.attrs<UniqueAttrs>().axis;
  std::optional<ir::Shape> out = c.shape(0);
  ir::Dim extent = out ? ir::num_elements(*out) : ir::Dim::unknown();
  if (!axis) {
    out = ir::Shape(1);
  } else if (out) {
    CAMEO_ASSIGN(const size_t a, normalize_axis(*axis, out->size()));
    extent = (*out)[a];
    (*out)[a] = ir::Dim::unknown();
  }
  c.set_output(0, tensor_type(c.dtype(0), std::move(out)));
  c.set_output(1, DType::kInt64, ir::Shape(1));
  c.set_output(2, DType::kInt64, {extent});
  c.set_output(3, DType::kInt64, ir::Shape(1));
  return {};
}

// The input as [outer, extent, inner].
struct View {
  const Tensor* x;
  int64_t outer, extent, inner;
};

// Negative, zero or positive as slice i is less than, equal to or greater than slice j.
using CompareFn = int (*)(const View& view, int64_t i, int64_t j);

template <class T>
int compare(const View& view, int64_t i, int64_t j) {
  const T* data = view.x->data<T>();
  for (int64_t o = 0; o < view.outer; ++o) {
    const T *a = data + (o * view.extent + i) * view.inner, *b = data + (o * view.extent + j) * view.inner;
    for (int64_t k = 0; k < view.inner; ++k) {
      if constexpr (std::is_same_v<T, std::string>) {
        if (const int order = a[k].compare(b[k]); order != 0) return order;
      } else {
        const auto p = static_cast<compute_t<T>>(a[k]), q = static_cast<compute_t<T>>(b[k]);
        if (p < q || (p == p && q != q)) return -1;
        if (q < p || (q == q && p != p)) return 1;
      }
    }
  }
  return 0;
}

Result<CompareFn> compare_function(DType type) {
  if (type == DType::kString) return &compare<std::string>;
  if (type == DType::kBool) return &compare<uint8_t>;
  CompareFn fn = nullptr;
  CAMEO_TRY(dispatch_numbers(type, "Unique", [&](auto tag) -> Status {
    fn = &compare<typename decltype(tag)::type>;
    return {};
  }));
  return fn;
}

Status write_list(KernelContext& c, size_t output, std::span<const int64_t> values) {
  if (!c.has_output(output)) return {};
  CAMEO_TRY(c.allocate_output(output, DType::kInt64, {static_cast<int64_t>(values.size())}));
  std::copy(values.begin(), values.end(), c.output(output).data<int64_t>());
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<UniqueAttrs>();
  const Tensor& x = c.input(0);
  Dims dims = x.dims();
  size_t axis = 0;
  if (attrs.axis) {
    CAMEO_ASSIGN(axis, normalize_axis(*attrs.axis, x.rank()));
  } else {
    dims = {x.num_elements()};
  }
  const View view{&x, product(dims, 0, axis), dims[axis], product(dims, axis + 1, dims.rank())};
  CAMEO_ASSIGN(const CompareFn compare, compare_function(x.dtype()));

  const auto order = c.scratch<int64_t>(view.extent), group = c.scratch<int64_t>(view.extent);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    const int way = compare(view, i, j);
    return way < 0 || (way == 0 && i < j);
  });
  // Groups of equal slices in sorted order; the first of each comes first in the input.
  const auto first = c.scratch<int64_t>(view.extent), count = c.scratch<int64_t>(view.extent);
  size_t groups = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || compare(view, order[i - 1], order[i]) != 0) {
      first[groups] = order[i];
      count[groups++] = 0;
    }
    group[static_cast<size_t>(order[i])] = static_cast<int64_t>(groups - 1);
    ++count[groups - 1];
  }
  if (attrs.sorted == 0) {
    const auto rank_of = c.scratch<int64_t>(view.extent), old = c.scratch<int64_t>(view.extent);
    std::iota(old.begin(), old.begin() + static_cast<std::ptrdiff_t>(groups), 0);
    std::sort(old.begin(), old.begin() + static_cast<std::ptrdiff_t>(groups),
              [&](int64_t a, int64_t b) { return first[static_cast<size_t>(a)] < first[static_cast<size_t>(b)]; });
    const auto new_count = c.scratch<int64_t>(view.extent);
    for (size_t i = 0; i < groups; ++i) {
      rank_of[static_cast<size_t>(old[i])] = static_cast<int64_t>(i);
      new_count[i] = count[static_cast<size_t>(old[i])];
    }
    std::copy_n(new_count.begin(), groups, count.begin());
    std::sort(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(groups));
    for (int64_t& g : group) g = rank_of[static_cast<size_t>(g)];
  }
  if (c.has_output(0)) {
    dims[axis] = static_cast<int64_t>(groups);
    CAMEO_TRY(c.allocate_output(0, x.dtype(), dims));
    for (int64_t o = 0, to = 0; o < view.outer; ++o)
      for (size_t g = 0; g < groups; ++g, to += view.inner)
        copy_elements(x.dtype(), address(x, (o * view.extent + first[g]) * view.inner), address(c.output(0), to), view.inner);
  }
  CAMEO_TRY(write_list(c, 1, first.first(groups)));
  CAMEO_TRY(write_list(c, 2, group));
  return write_list(c, 3, count.first(groups));
}

}  // namespace

CAMEO_DEFINE_OP(Unique) = {
    .name = "Unique",
    .min_version = 11,
    .max_outputs = 4,
    .input_types = {kNumericTypes | kBoolType | kStringType},
    .make_attrs = &ir::make_attrs<UniqueAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
