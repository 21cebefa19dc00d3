// FlexAttention (ai.onnx.preview 1): y = prob_mod(softmax(score_mod(q * k^T * scale))) * v for each head, where score_mod and prob_mod are
// graphs that map [batch, query heads, queries, keys] to the same shape; either may be missing. q and k, [batch, heads, length, size],
// are each multiplied by sqrt(scale). Query heads share the heads of keys and values in groups. From the scores on it is
// computed in softmax_precision: by default double for double, float otherwise.
#include <cmath>

#include "ops/accumulate.h"
#include "ops/attention_rows.h"
#include "ops/checks.h"

namespace cameo::ops {
namespace {

enum Input : size_t { kQ, kK, kV };

struct FlexAttentionAttrs : ir::AttrsOf<FlexAttentionAttrs> {
  std::optional<float> scale;
  std::optional<int64_t> softmax_precision;
  void visit(ir::AttrVisitor& v) override {
    v("scale", scale);
    v("softmax_precision", softmax_precision);
  }
  DType precision(DType input) const {
    if (softmax_precision) return static_cast<DType>(*softmax_precision);
    return input == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  }
};

std::optional<size_t> find_subgraph(const ir::Node& node, std::string_view attribute) {
  for (size_t i = 0; i < node.subgraphs.size(); ++i)
    if (node.subgraphs[i].attribute == attribute) return i;
  return std::nullopt;
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<FlexAttentionAttrs>();
  if (attrs.softmax_precision && (*attrs.softmax_precision < 0 || *attrs.softmax_precision >= kNumDTypes ||
                                  !kFloatTypes.contains(static_cast<DType>(*attrs.softmax_precision))))
    return error(ErrorCode::kInvalidModel, "softmax_precision is {}; allowed: 1, 10, 11, 16", *attrs.softmax_precision);
  if (attrs.scale && !(*attrs.scale >= 0)) return error(ErrorCode::kInvalidModel, "scale is {}; it must not be negative", *attrs.scale);
  CAMEO_TRY(check_same_dtype(c, {kQ, kK, kV}));
  const char* names[] = {"Q", "K", "V"};
  for (size_t i : {kQ, kK, kV}) CAMEO_TRY(check_rank(c, i, 4, names[i]));
  const auto shape_of = [&](size_t i) { return c.shape(i) ? *c.shape(i) : ir::Shape(4); };
  const ir::Shape q = shape_of(kQ), k = shape_of(kK), v = shape_of(kV);
  CAMEO_ASSIGN(ir::Dim batch, agree(q[0], k[0], "the batch of K"));
  CAMEO_ASSIGN(batch, agree(batch, v[0], "the batch of V"));
  CAMEO_ASSIGN(const ir::Dim kv_heads, agree(k[1], v[1], "the heads of V"));
  CAMEO_ASSIGN(const ir::Dim keys, agree(k[2], v[2], "the length of V"));
  CAMEO_TRY(agree(q[3], k[3], "the head size of K"));
  CAMEO_TRY(check_head_groups(q[1], kv_heads));
  if (c.dtype(kQ) != DType::kUndefined) {
    const ir::Type scores = ir::Type::tensor(attrs.precision(c.dtype(kQ)), {batch, q[1], q[2], keys});
    for (size_t i = 0; i < c.node().subgraphs.size(); ++i) {
      const std::string& name = c.node().subgraphs[i].attribute;
      auto made = c.infer_subgraph(i, std::span(&scores, 1));
      if (!made.ok()) return std::move(made).error().in(name);
      if (made->size() != 1) return error(ErrorCode::kInvalidModel, "{} has {} outputs; it must have one", name, made->size());
      if (auto both = ir::unify(scores, made->front()); !both.ok())
        return error(ErrorCode::kInvalidModel, "{} gives {}; it must give {}", name, made->front().to_string(), scores.to_string());
    }
  }
  c.set_output(0, c.dtype(kQ), {batch, q[1], q[2], v[3]});
  return {};
}

// Replaces what `values` views by the subgraph's result.
Status modify(KernelContext& c, std::string_view attribute, Tensor& values) {
  const auto index = find_subgraph(c.node(), attribute);
  if (!index) return {};
  const RtValue input = RtValue::of(values);
  auto made = c.run_subgraph(*index, std::span(&input, 1));
  if (!made.ok()) return std::move(made).error().in(attribute);
  if (made->size() != 1 || !made->front().is_tensor() || made->front().tensor.dtype() != values.dtype() ||
      !(made->front().tensor.dims() == values.dims()))
    return error(ErrorCode::kInvalidModel, "{} must give one tensor {}[{}]", attribute, dtype_name(values.dtype()),
                 values.dims().to_string());
  const Tensor& result = made->front().tensor;
  if (result.raw() != values.raw()) std::copy_n(result.data<std::byte>(), result.num_bytes(), values.data<std::byte>());
  return {};
}

template <class C>
Status run(KernelContext& c) {
  const auto& attrs = c.attrs<FlexAttentionAttrs>();
  const Tensor &q = c.input(kQ), &k = c.input(kK), &v = c.input(kV);
  const DType type = q.dtype(), precision = attrs.precision(type);
  const int64_t heads = q.dim(1), queries = q.dim(2), size = q.dim(3), keys = k.dim(2), value_size = v.dim(3);
  const int64_t matrices = q.dim(0) * heads, group = k.dim(1) == 0 ? 1 : heads / k.dim(1);
  CAMEO_TRY(c.allocate_output(0, type, {q.dim(0), heads, queries, value_size}));
  if (c.output(0).num_elements() == 0) return {};
  C scale = static_cast<C>(std::sqrt(attrs.scale ? static_cast<double>(*attrs.scale) : 1 / std::sqrt(static_cast<double>(size))));
  round_row(type, &scale, 1);
  C* scaled_keys = c.scratch<C>(keys * size).data();
  C* values = c.scratch<C>(keys * value_size).data();
  C* own = c.scratch<C>(size).data();
  C* row = c.scratch<C>(keys).data();
  C* sums = c.scratch<C>(value_size).data();
  // Subgraphs see the scores of all heads at once; without them one head at a time needs less memory.
  const int64_t block = c.node().subgraphs.empty() ? 1 : matrices;
  const Dims dims = c.node().subgraphs.empty() ? Dims{1, 1, queries, keys} : Dims{q.dim(0), heads, queries, keys};
  CAMEO_ASSIGN(const int64_t elements, dims.checked_num_elements());
  Tensor scores = Tensor::view(precision, dims, c.scratch_bytes(static_cast<size_t>(elements) * dtype_size(precision)));
  for (int64_t first = 0; first < matrices; first += block) {
    CAMEO_TRY(c.check_cancelled());
    for (int64_t m = 0; m < block; ++m) {
      const int64_t kv = (first + m) / group;
      load_row(type, k.raw(), kv * keys * size, keys * size, scaled_keys);
      for (int64_t i = 0; i < keys * size; ++i) scaled_keys[i] *= scale;
      round_row(type, scaled_keys, keys * size);
      for (int64_t i = 0; i < queries; ++i) {
        load_row(type, q.raw(), ((first + m) * queries + i) * size, size, own);
        for (int64_t d = 0; d < size; ++d) own[d] *= scale;
        round_row(type, own, size);
        for (int64_t j = 0; j < keys; ++j) row[j] = dot<C>(own, scaled_keys + j * size, size);
        round_row(type, row, keys);
        store_row(precision, scores.raw(), (m * queries + i) * keys, keys, row);
      }
    }
    CAMEO_TRY(modify(c, "score_mod", scores));
    for (int64_t i = 0; i < block * queries; ++i) {
      load_row(precision, scores.raw(), i * keys, keys, row);
      softmax_row(precision, row, keys);
      store_row(precision, scores.raw(), i * keys, keys, row);
    }
    CAMEO_TRY(modify(c, "prob_mod", scores));
    for (int64_t m = 0; m < block; ++m) {
      load_row(type, v.raw(), (first + m) / group * keys * value_size, keys * value_size, values);
      round_row(precision, values, keys * value_size);
      for (int64_t i = 0; i < queries; ++i) {
        load_row(precision, scores.raw(), (m * queries + i) * keys, keys, row);
        std::fill_n(sums, value_size, C{0});
        for (int64_t j = 0; j < keys; ++j) add_scaled(row[j], values + j * value_size, sums, value_size);
        round_row(precision, sums, value_size);
        store_row(type, c.output(0).raw(), ((first + m) * queries + i) * value_size, value_size, sums);
      }
    }
  }
  return {};
}

Status reference(KernelContext& c) {
  const DType type = c.input(kQ).dtype();
  const bool wide = type == DType::kFloat64 || c.attrs<FlexAttentionAttrs>().precision(type) == DType::kFloat64;
  return wide ? run<double>(c) : run<float>(c);
}

}  // namespace

CAMEO_DEFINE_OP(FlexAttention) = {
    .name = "FlexAttention",
    .domain = "ai.onnx.preview",
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<FlexAttentionAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kControlFlow,
    .subgraphs = {"score_mod", "prob_mod"},
    .optional_subgraphs = true,
};

}  // namespace cameo::ops
