// Einsum (ai.onnx 12, 28): Einstein summation: the product of all operands, summed over the labels that the output lacks.
// Operands are taken in pairs from the left; a pair comes down to a batch of matrix products over the labels that both
// have and nothing needs any more. 16-bit floats are computed in float and rounded once; integers wrap around.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/einsum_equation.h"
#include "ops/matrix_product.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

struct EinsumAttrs : ir::AttrsOf<EinsumAttrs> {
  std::string equation;
  void visit(ir::AttrVisitor& v) override { v("equation", equation); }
};

// The extent of each label; 1 broadcasts.
Result<ir::Shape> label_extents(const EinsumEquation& equation, const std::vector<ir::Shape>& shapes) {
  ir::Shape extents(static_cast<size_t>(equation.num_labels), ir::Dim(1));
  for (size_t i = 0; i < shapes.size(); ++i)
    for (size_t k = 0; k < shapes[i].size(); ++k) {
      ir::Dim& extent = extents[static_cast<size_t>(equation.inputs[i][k])];
      auto both = broadcast({extent}, {shapes[i][k]});
      if (!both.ok())
        return error(ErrorCode::kInvalidInput, "axis {} of operand {} has extent {}, but its label {} elsewhere", k, i,
                     shapes[i][k].to_string(), extent.to_string());
      extent = both.value()[0];
    }
  return extents;
}

Status infer(InferContext& c) {
  const std::string& text = c.attrs<EinsumAttrs>().equation;
  ir::Type output = ir::Type::tensor(DType::kUndefined);
  std::vector<ir::Shape> shapes;
  std::vector<size_t> ranks;
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    if (output.dtype == DType::kUndefined) output.dtype = c.dtype(i);
    if (c.dtype(i) != DType::kUndefined && c.dtype(i) != output.dtype)
      return error(ErrorCode::kInvalidModel, "input {} is {}, but all inputs must be of one type and the first is {}", i,
                   dtype_name(c.dtype(i)), dtype_name(output.dtype));
    if (!c.shape(i)) continue;
    shapes.push_back(*c.shape(i));
    ranks.push_back(shapes.back().size());
  }
  if (shapes.size() == c.num_inputs()) {
    CAMEO_ASSIGN(const EinsumEquation equation, parse_einsum(text, ranks));
    CAMEO_ASSIGN(const ir::Shape extents, label_extents(equation, shapes));
    output.shape.emplace();
    for (int label : equation.output) output.shape->push_back(extents[static_cast<size_t>(label)]);
  }
  c.set_output(0, std::move(output));
  return {};
}

using Labels = std::vector<int>;

// A tensor of Acc whose axes carry different labels, in memory of the kernel.
template <class Acc>
struct Operand {
  Labels labels;
  const Acc* data;
};

bool contains(const Labels& labels, int label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }

class Einsum {
 public:
  Einsum(KernelContext& context, std::vector<int64_t> extents) : context_(context), extents_(std::move(extents)) {}

  // The elements summed over the labels that `kept` lacks, in the order of `kept`; a label of `labels` that repeats is a
  // diagonal. Labels of `kept` that the tensor lacks must have extent 1 in it.
  template <class T, class Acc>
  Result<Operand<Acc>> gather(const T* from, const Labels& labels, const Dims& dims, Labels kept) {
    const Dims strides = strides_of(dims);
    const auto stride_of = [&](int label) {
      int64_t stride = 0;
      for (size_t i = 0; i < labels.size(); ++i)
        if (labels[i] == label && dims[i] != 1) stride += strides[i];
      return stride;
    };
    Dims outer, outer_strides, inner, inner_strides;
    for (int label : kept) {
      outer.push_back(extent(label));
      outer_strides.push_back(stride_of(label));
    }
    Labels summed;
    for (int label : labels)
      if (!contains(kept, label) && !contains(summed, label)) summed.push_back(label);
    for (int label : summed) {
      int64_t own = 1;  // not extent(label): where the tensor broadcasts, its one element counts once
      for (size_t i = 0; i < labels.size(); ++i)
        if (labels[i] == label && dims[i] != 1) own = dims[i];
      inner.push_back(own);
      inner_strides.push_back(stride_of(label));
    }
    CAMEO_ASSIGN(const int64_t count, outer.checked_num_elements());
    Acc* const data = context_.scratch<Acc>(count).data();
    Acc* to = data;
    for_each_offset(outer, {&outer_strides}, [&](const int64_t* base) {
      Acc sum{};
      for_each_offset(inner, {&inner_strides}, [&](const int64_t* offset) { sum += static_cast<Acc>(from[*base + *offset]); });
      *to++ = sum;
    });
    return Operand<Acc>{std::move(kept), data};
  }

  // The product of two operands, summed over the labels that `needed` lacks.
  template <class Acc>
  Result<Operand<Acc>> multiply(const Operand<Acc>& a, const Operand<Acc>& b, const Labels& needed) {
    Labels batch, rows, columns, inner;
    for (int label : a.labels) {
      if (contains(b.labels, label))
        (contains(needed, label) ? batch : inner).push_back(label);
      else if (contains(needed, label))
        rows.push_back(label);
    }
    for (int label : b.labels)
      if (!contains(a.labels, label) && contains(needed, label)) columns.push_back(label);
    CAMEO_ASSIGN(const Operand<Acc> left, arranged(a, {&batch, &rows, &inner}));
    CAMEO_ASSIGN(const Operand<Acc> right, arranged(b, {&batch, &inner, &columns}));
    const int64_t m = count(rows), n = count(columns), k = count(inner);
    Operand<Acc> product;
    Dims dims;
    for (const Labels* part : {&batch, &rows, &columns})
      for (int label : *part) {
        product.labels.push_back(label);
        dims.push_back(extent(label));
      }
    CAMEO_ASSIGN(const int64_t size, dims.checked_num_elements());
    const auto sums = context_.scratch<Acc>(size);
    std::fill(sums.begin(), sums.end(), Acc{});
    const auto workspace = context_.scratch<Acc>(gemm_workspace(m, n, k));
    if (size > 0)
      for (int64_t i = 0; i < count(batch); ++i)
        gemm<Acc, Acc>(m, n, k, {left.data + i * m * k, k, 1}, {right.data + i * k * n, n, 1}, sums.data() + i * m * n, n, workspace);
    product.data = sums.data();
    return product;
  }

  Dims dims_of(const Labels& labels) const {
    Dims dims;
    for (int label : labels) dims.push_back(extent(label));
    return dims;
  }

 private:
  int64_t extent(int label) const { return extents_[static_cast<size_t>(label)]; }
  int64_t count(const Labels& labels) const {
    int64_t n = 1;
    for (int label : labels) n *= extent(label);
    return n;
  }

  template <class Acc>
  Result<Operand<Acc>> arranged(const Operand<Acc>& from, std::initializer_list<const Labels*> parts) {
    Labels order;
    for (const Labels* part : parts) order.insert(order.end(), part->begin(), part->end());
    if (order == from.labels) return from;
    return gather<Acc, Acc>(from.data, from.labels, dims_of(from.labels), std::move(order));
  }

  KernelContext& context_;
  std::vector<int64_t> extents_;
};

template <class T, class Acc>
Status run(KernelContext& c) {
  const size_t n = c.num_inputs();
  std::vector<size_t> ranks;
  std::vector<ir::Shape> shapes;
  for (size_t i = 0; i < n; ++i) {
    ranks.push_back(c.input(i).rank());
    shapes.push_back(ir::to_shape(c.input(i).dims()));
  }
  CAMEO_ASSIGN(const EinsumEquation equation, parse_einsum(c.attrs<EinsumAttrs>().equation, ranks));
  CAMEO_ASSIGN(const ir::Shape known, label_extents(equation, shapes));
  std::vector<int64_t> extents;
  for (const ir::Dim& d : known) extents.push_back(d.value());
  Einsum einsum(c, std::move(extents));
  // What must remain after operand i has been taken in: labels of the output and of the operands to come.
  std::vector<Labels> needed(n, equation.output);
  for (size_t i = n - 1; i-- > 0;) {
    needed[i] = needed[i + 1];
    for (int label : equation.inputs[i + 1])
      if (!contains(needed[i], label)) needed[i].push_back(label);
  }
  Operand<Acc> product;
  for (size_t i = 0; i < n; ++i) {
    // Axes that broadcast are left out, so that their label is only the other operands'.
    const Dims& dims = c.input(i).dims();
    Labels kept;
    for (size_t k = 0; k < dims.rank(); ++k) {
      const int label = equation.inputs[i][k];
      const bool broadcasts = dims[k] == 1 && einsum.dims_of({label})[0] != 1;
      const bool wanted = contains(needed[i], label) || (i > 0 && contains(product.labels, label));
      if (wanted && !broadcasts && !contains(kept, label)) kept.push_back(label);
    }
    CAMEO_ASSIGN(Operand<Acc> operand, (einsum.gather<T, Acc>(c.input(i).data<T>(), equation.inputs[i], dims, std::move(kept))));
    if (i == 0) {
      product = std::move(operand);
    } else {
      CAMEO_ASSIGN(product, einsum.multiply<Acc>(product, operand, needed[i]));
    }
  }
  CAMEO_ASSIGN(const Operand<Acc> result,
               (einsum.gather<Acc, Acc>(product.data, product.labels, einsum.dims_of(product.labels), equation.output)));
  Tensor& y = c.output(0);
  std::transform(result.data, result.data + y.num_elements(), y.data<T>(), [](Acc x) { return static_cast<T>(x); });
  return {};
}

Status reference(KernelContext& c) {
  return dispatch_numbers(c.input(0).dtype(), "Einsum", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using Acc = std::conditional_t<std::is_integral_v<T>, uint64_t, compute_t<T>>;
    return run<T, Acc>(c);
  });
}

}  // namespace

CAMEO_DEFINE_OP(Einsum) = {
    .name = "Einsum",
    .min_version = 12,
    .max_inputs = kVariadic,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<EinsumAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
