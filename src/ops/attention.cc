// Attention (ai.onnx 23, 24, 25): y = softmax(softcap(q * k^T * scale) + bias) * v for each head; q and k are each multiplied
// by sqrt(scale), softcap(x) = softcap * tanh(x / softcap). Inputs are [batch, heads, length, size] or packed
// [batch, length, heads * size]. Keys and values follow past_key and past_value, and together are present_key and
// present_value. Query heads share the heads of keys and values in groups.
// The bias is attn_mask (bool: -infinity where false; its last extent may be shorter, -infinity beyond) and -infinity where key j is
// - after query i: j > i + offset with is_causal, where offset is the past's length, or nonpad_kv_seqlen - query length (24);
// - padding: j >= nonpad_kv_seqlen (24);
// - outside of the window [i + offset - left_window_size, i + offset + right_window_size] (25).
// A query that sees no key gives zeros. qk_matmul_output is, by mode: 0 the products, 1 after softcap, 2 with the bias,
// 3 the softmax. Every step is rounded to the type of q, softmax to softmax_precision, as the operator's function does.
#include "ops/attention.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "ops/accumulate.h"
#include "ops/attention_rows.h"
#include "ops/checks.h"

namespace cameo::ops {
namespace {

enum Input : size_t { kQ, kK, kV, kMask, kPastKey, kPastValue, kLengths };
enum Output : size_t { kY, kPresentKey, kPresentValue, kQk };

// [batch, heads, length, size] of a 3-D or 4-D input.
Result<ir::Shape> unpacked(const ir::Shape& x, std::optional<int64_t> heads, const char* name) {
  if (x.size() == 4) return x;
  if (x.size() != 3) return error(ErrorCode::kInvalidInput, "{} is {}; it must have rank 3 or 4", name, ir::to_string(x));
  if (!heads || *heads < 1)
    return error(ErrorCode::kInvalidModel, "{} has rank 3, which needs the attributes q_num_heads and kv_num_heads, at least 1", name);
  if (x[2].is_const() && x[2].value() % *heads != 0)
    return error(ErrorCode::kInvalidInput, "the last extent of {} is {}, which {} heads do not divide", name, x[2].value(), *heads);
  return ir::Shape{x[0], *heads, x[1], floor_div(x[2], *heads)};
}

Status check_attributes(const AttentionAttrs& attrs) {
  if (attrs.qk_matmul_output_mode < 0 || attrs.qk_matmul_output_mode > 3)
    return error(ErrorCode::kInvalidModel, "qk_matmul_output_mode is {}; allowed: 0 to 3", attrs.qk_matmul_output_mode);
  if (attrs.left_window_size < -1 || attrs.right_window_size < -1)
    return error(ErrorCode::kInvalidModel, "left_window_size and right_window_size are {} and {}; they must be -1 or more",
                 attrs.left_window_size, attrs.right_window_size);
  if (attrs.softmax_precision && (*attrs.softmax_precision < 0 || *attrs.softmax_precision >= kNumDTypes ||
                                  !kFloatTypes.contains(static_cast<DType>(*attrs.softmax_precision))))
    return error(ErrorCode::kInvalidModel, "softmax_precision is {}; allowed: 1, 10, 11, 16", *attrs.softmax_precision);
  if (attrs.scale && !(*attrs.scale >= 0)) return error(ErrorCode::kInvalidModel, "scale is {}; it must not be negative", *attrs.scale);
  return {};
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<AttentionAttrs>();
  CAMEO_TRY(check_attributes(attrs));
  CAMEO_TRY(check_same_dtype(c, {kQ, kK, kPastKey}));
  CAMEO_TRY(check_same_dtype(c, {kV, kPastValue}));
  if (c.has_input(kPastKey) != c.has_input(kPastValue))
    return error(ErrorCode::kInvalidModel, "past_key and past_value must be given together");
  if (c.has_input(kLengths) && c.has_input(kPastKey))
    return error(ErrorCode::kInvalidModel, "nonpad_kv_seqlen cannot be given together with past_key");
  const auto shape_of = [&](size_t i, std::optional<int64_t> heads, const char* name) -> Result<ir::Shape> {
    if (!c.shape(i)) return ir::Shape(4);
    return unpacked(*c.shape(i), heads, name);
  };
  CAMEO_ASSIGN(const ir::Shape q, shape_of(kQ, attrs.q_num_heads, "Q"));
  CAMEO_ASSIGN(const ir::Shape k, shape_of(kK, attrs.kv_num_heads, "K"));
  CAMEO_ASSIGN(const ir::Shape v, shape_of(kV, attrs.kv_num_heads, "V"));
  for (size_t i : {kK, kV})
    if (c.shape(kQ) && c.shape(i) && c.shape(i)->size() != c.shape(kQ)->size())
      return error(ErrorCode::kInvalidInput, "Q, K and V must have the same rank");
  CAMEO_ASSIGN(ir::Dim batch, agree(q[0], k[0], "the batch of K"));
  CAMEO_ASSIGN(batch, agree(batch, v[0], "the batch of V"));
  CAMEO_ASSIGN(const ir::Dim kv_heads, agree(k[1], v[1], "the heads of V"));
  CAMEO_ASSIGN(const ir::Dim kv_length, agree(k[2], v[2], "the length of V"));
  CAMEO_ASSIGN(const ir::Dim size, agree(q[3], k[3], "the head size of K"));
  CAMEO_TRY(check_head_groups(q[1], kv_heads));
  ir::Dim total = kv_length;
  if (c.has_input(kPastKey)) {
    CAMEO_TRY(check_shape(c, kPastKey, {batch, kv_heads, ir::Dim(), size}, "past_key"));
    CAMEO_TRY(check_shape(c, kPastValue, {batch, kv_heads, ir::Dim(), v[3]}, "past_value"));
    ir::Dim past;
    if (c.shape(kPastKey)) past = (*c.shape(kPastKey))[2];
    if (c.shape(kPastValue)) {
      CAMEO_ASSIGN(past, agree(past, (*c.shape(kPastValue))[2], "the length of past_value"));
    }
    total = past + kv_length;
  }
  const ir::Shape scores = {batch, q[1], q[2], total};
  if (const auto& mask = c.shape(kMask); c.has_input(kMask) && mask) {
    if (mask->empty()) return error(ErrorCode::kInvalidInput, "attn_mask is a scalar; it must have rank 1 to 4");
    const ir::Dim& last = mask->back();
    if (last.is_const() && total.is_const() && last.value() > total.value())
      return error(ErrorCode::kInvalidInput, "attn_mask {} is for {} keys, but there are {}", ir::to_string(*mask), last.value(),
                   total.value());
    // Its last extent may be shorter.
    ir::Shape seen = scores;
    seen[3] = last;
    CAMEO_TRY(check_broadcasts_to(c, kMask, seen, "attn_mask"));
  }
  CAMEO_TRY(check_shape(c, kLengths, {batch}, "nonpad_kv_seqlen"));
  if (!c.shape(kQ))
    c.set_output(kY, ir::Type::tensor(c.dtype(kQ)));
  else if (c.shape(kQ)->size() == 3)
    c.set_output(kY, c.dtype(kQ), {batch, q[2], q[1] * v[3]});
  else
    c.set_output(kY, c.dtype(kQ), {batch, q[1], q[2], v[3]});
  c.set_output(kPresentKey, c.dtype(kK), {batch, kv_heads, total, size});
  c.set_output(kPresentValue, c.dtype(kV), {batch, kv_heads, total, v[3]});
  c.set_output(kQk, c.dtype(kQ), scores);
  return {};
}

// Keys or values of one head, past and new, as C.
template <class C>
void load_head(KernelContext& c, size_t input, size_t past, const HeadLayout& layout, int64_t batch, int64_t head, C* to) {
  if (c.has_input(past)) {
    const Tensor& t = c.input(past);
    const int64_t n = t.dim(2) * t.dim(3);
    load_row(t.dtype(), t.raw(), (batch * layout.heads + head) * n, n, to);
    to += n;
  }
  for (int64_t row = 0; row < layout.length; ++row, to += layout.size)
    load_row(c.input(input).dtype(), c.input(input).raw(), layout.at(batch, head, row), layout.size, to);
}

// The past and the new keys or values, as they are.
void store_present(KernelContext& c, size_t input, size_t past, size_t output, const HeadLayout& layout, int64_t batches) {
  const Tensor& x = c.input(input);
  const size_t element = dtype_size(x.dtype());
  auto* to = static_cast<std::byte*>(c.output(output).raw());
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < layout.heads; ++h) {
      if (c.has_input(past)) {
        const size_t bytes = static_cast<size_t>(c.input(past).dim(2) * layout.size) * element;
        if (bytes > 0)
          std::memcpy(to, static_cast<const std::byte*>(c.input(past).raw()) + static_cast<size_t>(b * layout.heads + h) * bytes, bytes);
        to += bytes;
      }
      const size_t bytes = static_cast<size_t>(layout.size) * element;
      for (int64_t row = 0; row < layout.length && bytes > 0; ++row, to += bytes)
        std::memcpy(to, static_cast<const std::byte*>(x.raw()) + static_cast<size_t>(layout.at(b, h, row)) * element, bytes);
    }
}

// Writes the rows of attn_mask, broadcast to [batch, heads, queries, keys], as numbers to add.
class MaskRows {
 public:
  explicit MaskRows(const Tensor& mask) : mask_(mask), length_(mask.dims().back()) {
    int64_t stride = length_;
    for (size_t i = 3, a = mask.rank() - 1; i-- > 0 && a-- > 0; stride *= mask.dim(a)) strides_[i] = mask.dim(a) == 1 ? 0 : stride;
  }
  template <class C>
  void row(int64_t batch, int64_t head, int64_t query, int64_t keys, C* to) const {
    constexpr C kInfinity = std::numeric_limits<C>::infinity();
    load_row(mask_.dtype(), mask_.raw(), batch * strides_[0] + head * strides_[1] + query * strides_[2], length_, to);
    if (mask_.dtype() == DType::kBool)
      for (int64_t j = 0; j < length_; ++j) to[j] = to[j] != 0 ? C{0} : -kInfinity;
    std::fill(to + length_, to + keys, -kInfinity);
  }

 private:
  const Tensor& mask_;
  int64_t length_;
  int64_t strides_[3] = {};
};

template <class C>
Status run(KernelContext& c) {
  constexpr C kInfinity = std::numeric_limits<C>::infinity();
  const auto& attrs = c.attrs<AttentionAttrs>();
  const Tensor& q = c.input(kQ);
  const DType type = q.dtype(), precision = attrs.softmax_precision ? static_cast<DType>(*attrs.softmax_precision) : type;
  const auto layout_of = [&](size_t i, std::optional<int64_t> heads) -> HeadLayout {
    const Dims& d = c.input(i).dims();
    if (d.rank() == 4) return {false, d[1], d[2], d[3]};
    return {true, *heads, d[1], d[2] / *heads};
  };
  const HeadLayout query = layout_of(kQ, attrs.q_num_heads), key = layout_of(kK, attrs.kv_num_heads),
                   value = layout_of(kV, attrs.kv_num_heads);
  HeadLayout result = query;
  result.size = value.size;
  const int64_t batches = q.dim(0), past = c.has_input(kPastKey) ? c.input(kPastKey).dim(2) : 0, total = past + key.length;
  if (c.has_output(kPresentKey)) store_present(c, kK, kPastKey, kPresentKey, key, batches);
  if (c.has_output(kPresentValue)) store_present(c, kV, kPastValue, kPresentValue, value, batches);
  if (batches * query.heads * query.length == 0) return {};

  C scale = static_cast<C>(std::sqrt(attrs.scale ? static_cast<double>(*attrs.scale) : 1 / std::sqrt(static_cast<double>(query.size))));
  round_row(type, &scale, 1);
  const C softcap = attrs.softcap;
  C* keys = c.scratch<C>(total * key.size).data();
  C* values = c.scratch<C>(total * value.size).data();
  C* own = c.scratch<C>(query.size).data();
  C* scores = c.scratch<C>(total).data();
  C* bias = c.scratch<C>(total).data();
  C* sums = c.scratch<C>(value.size).data();
  std::optional<MaskRows> mask;
  if (c.has_input(kMask)) mask.emplace(c.input(kMask));
  for (int64_t b = 0; b < batches; ++b) {
    int64_t offset = past, valid = total;
    if (c.has_input(kLengths)) {
      valid = c.input(kLengths).data<int64_t>()[b];
      if (valid < 0 || valid > total)
        return error(ErrorCode::kInvalidInput, "nonpad_kv_seqlen[{}] is {}; allowed: 0 to {}", b, valid, total);
      offset = valid - query.length;
    }
    for (int64_t h = 0; h < query.heads; ++h) {
      const int64_t group = query.heads / key.heads;
      if (h % group == 0) {
        CAMEO_TRY(c.check_cancelled());
        load_head(c, kK, kPastKey, key, b, h / group, keys);
        load_head(c, kV, kPastValue, value, b, h / group, values);
        for (int64_t i = 0; i < total * key.size; ++i) keys[i] *= scale;
        round_row(type, keys, total * key.size);
      }
      for (int64_t i = 0; i < query.length; ++i) {
        const auto expose = [&](int64_t mode) {
          if (c.has_output(kQk) && attrs.qk_matmul_output_mode == mode)
            store_row(type, c.output(kQk).raw(), ((b * query.heads + h) * query.length + i) * total, total, scores);
        };
        load_row(type, q.raw(), query.at(b, h, i), query.size, own);
        for (int64_t k = 0; k < query.size; ++k) own[k] *= scale;
        round_row(type, own, query.size);
        for (int64_t j = 0; j < total; ++j) scores[j] = dot<C>(own, keys + j * key.size, query.size);
        round_row(type, scores, total);
        expose(0);
        if (softcap > 0) {
          for (int64_t j = 0; j < total; ++j) scores[j] /= softcap;
          round_row(type, scores, total);
          for (int64_t j = 0; j < total; ++j) scores[j] = std::tanh(scores[j]);
          round_row(type, scores, total);
          for (int64_t j = 0; j < total; ++j) scores[j] *= softcap;
          round_row(type, scores, total);
        }
        expose(1);
        if (mask)
          mask->row(b, h, i, total, bias);
        else
          std::fill_n(bias, total, C{0});
        const int64_t position = i + offset;
        int64_t first = 0, last = valid;  // the keys that the query may see
        if (attrs.is_causal) last = std::min(last, position + 1);
        if (attrs.left_window_size >= 0) first = std::max(first, position - std::min(attrs.left_window_size, total + query.length));
        if (attrs.right_window_size >= 0) last = std::min(last, position + 1 + std::min(attrs.right_window_size, total + query.length));
        first = std::clamp<int64_t>(first, 0, total);
        last = std::clamp<int64_t>(last, 0, total);
        for (int64_t j = 0; j < first; ++j) bias[j] -= kInfinity;
        for (int64_t j = last; j < total; ++j) bias[j] -= kInfinity;
        bool sees_none = true;
        for (int64_t j = 0; j < total; ++j) {
          sees_none &= bias[j] == -kInfinity;
          scores[j] += bias[j];
        }
        round_row(type, scores, total);
        expose(2);
        if (sees_none)
          std::fill_n(scores, total, C{0});
        else
          softmax_row(precision, scores, total);
        round_row(type, scores, total);
        expose(3);
        std::fill_n(sums, value.size, C{0});
        for (int64_t j = 0; j < total; ++j) add_scaled(scores[j], values + j * value.size, sums, value.size);
        if (sees_none) std::fill_n(sums, value.size, C{0});
        store_row(type, c.output(kY).raw(), result.at(b, h, i), value.size, sums);
      }
    }
  }
  return {};
}

Status reference(KernelContext& c) {
  const auto precision = c.attrs<AttentionAttrs>().softmax_precision;
  const bool wide = c.input(kQ).dtype() == DType::kFloat64 || (precision && *precision == static_cast<int64_t>(DType::kFloat64));
  return wide ? run<double>(c) : run<float>(c);
}

}  // namespace

CAMEO_DEFINE_OP(Attention) = {
    .name = "Attention",
    .min_version = 23,
    .min_inputs = 3,
    .max_inputs = 7,
    .max_outputs = 4,
    .input_types = {kFloatTypes, kFloatTypes, kFloatTypes, kNumericTypes | kBoolType, kFloatTypes, kFloatTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<AttentionAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
