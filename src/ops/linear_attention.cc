// LinearAttention (ai.onnx 27): attention by a recurrent state S [key size, value size] per head of keys and values, for each token:
//   gated, gated_delta: S = exp(decay) * S, per head or per row of S
//   linear, gated:      S = S + k v^T
//   delta, gated_delta: S = S + k (beta * (v - S^T k))^T
//   o = scale * S^T q, scale = 1 / sqrt(key size) where the attribute is 0
// query, key, value, decay and beta are packed [batch, length, heads * size]; query heads share states in groups. It is computed in
// float; present_state has the type of past_state, or else of query.
#include <cmath>

#include "ops/accumulate.h"
#include "ops/attention_rows.h"
#include "ops/checks.h"

namespace cameo::ops {
namespace {

enum Input : size_t { kQuery, kKey, kValue, kPast, kDecay, kBeta };

struct LinearAttentionAttrs : ir::AttrsOf<LinearAttentionAttrs> {
  int64_t chunk_size = 64;  // a hint for kernels that work in chunks
  int64_t q_num_heads = 0, kv_num_heads = 0;
  float scale = 0;
  std::string update_rule = "gated_delta";
  void visit(ir::AttrVisitor& v) override {
    v("chunk_size", chunk_size);
    v("kv_num_heads", kv_num_heads);
    v("q_num_heads", q_num_heads);
    v("scale", scale);
    v("update_rule", update_rule);
  }
  bool gated() const { return update_rule == "gated" || update_rule == "gated_delta"; }
  bool delta() const { return update_rule == "delta" || update_rule == "gated_delta"; }
};

// [batch, length, heads * size], with the size.
Result<ir::Dim> head_size(const InferContext& c, size_t i, int64_t heads, const char* name) {
  CAMEO_TRY(check_rank(c, i, 3, name));
  if (!c.shape(i)) return ir::Dim();
  const ir::Dim& width = c.shape(i)->back();
  if (width.is_const() && width.value() % heads != 0)
    return error(ErrorCode::kInvalidInput, "the last extent of {} is {}, which {} heads do not divide", name, width.value(), heads);
  return floor_div(width, heads);
}

// beta and decay [batch, length, w], where w is one of two extents.
Status check_gate(const InferContext& c, size_t i, const char* name, bool needed, const std::string& rule, const ir::Shape& one,
                  const ir::Shape& other) {
  if (c.has_input(i) != needed)
    return error(ErrorCode::kInvalidModel, "update_rule '{}' {} the input {}", rule, needed ? "needs" : "does not take", name);
  if (!check_shape(c, i, one, name).ok()) CAMEO_TRY(check_shape(c, i, other, name));
  return {};
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<LinearAttentionAttrs>();
  const int64_t heads = attrs.kv_num_heads;
  if (!attrs.gated() && !attrs.delta() && attrs.update_rule != "linear")
    return error(ErrorCode::kInvalidModel, "update_rule is '{}'; allowed: linear, gated, delta, gated_delta", attrs.update_rule);
  if (heads < 1 || attrs.q_num_heads < 1 || attrs.q_num_heads % heads != 0)
    return error(ErrorCode::kInvalidModel, "q_num_heads is {}; it must be a positive multiple of kv_num_heads, {}", attrs.q_num_heads,
                 heads);
  CAMEO_TRY(check_same_dtype(c, {kQuery, kKey, kValue, kDecay, kBeta}));
  CAMEO_ASSIGN(ir::Dim size, head_size(c, kQuery, attrs.q_num_heads, "query"));
  CAMEO_ASSIGN(const ir::Dim key_size, head_size(c, kKey, heads, "key"));
  CAMEO_ASSIGN(size, agree(size, key_size, "the head size of key"));
  CAMEO_ASSIGN(const ir::Dim value_size, head_size(c, kValue, heads, "value"));
  ir::Dim batch, length;
  const char* names[] = {"query", "key", "value"};
  for (size_t i : {kQuery, kKey, kValue})
    if (c.shape(i)) {
      CAMEO_ASSIGN(batch, agree(batch, (*c.shape(i))[0], names[i]));
      CAMEO_ASSIGN(length, agree(length, (*c.shape(i))[1], names[i]));
    }
  CAMEO_TRY(check_gate(c, kDecay, "decay", attrs.gated(), attrs.update_rule, {batch, length, heads}, {batch, length, size * heads}));
  CAMEO_TRY(check_gate(c, kBeta, "beta", attrs.delta(), attrs.update_rule, {batch, length, heads}, {batch, length, 1}));
  const ir::Shape state = {batch, heads, size, value_size};
  CAMEO_TRY(check_shape(c, kPast, state, "past_state"));
  c.set_output(0, c.dtype(kQuery), {batch, length, value_size * attrs.q_num_heads});
  c.set_output(1, c.has_input(kPast) ? c.dtype(kPast) : c.dtype(kQuery), state);
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<LinearAttentionAttrs>();
  const DType type = c.input(kQuery).dtype();
  const int64_t batches = c.input(kQuery).dim(0), length = c.input(kQuery).dim(1), heads = attrs.kv_num_heads,
                group = attrs.q_num_heads / heads;
  const int64_t size = c.input(kKey).dim(2) / heads, value_size = c.input(kValue).dim(2) / heads;
  const HeadLayout queries{true, attrs.q_num_heads, length, size}, keys{true, heads, length, size}, values{true, heads, length, value_size};
  const HeadLayout outputs{true, attrs.q_num_heads, length, value_size};
  const float scale = attrs.scale != 0 ? attrs.scale : 1 / std::sqrt(static_cast<float>(size));
  const auto state = c.scratch<float>(size * value_size), q = c.scratch<float>(size), k = c.scratch<float>(size),
             decay = c.scratch<float>(size);
  const auto v = c.scratch<float>(value_size), recalled = c.scratch<float>(value_size), out = c.scratch<float>(value_size);
  const auto load = [&](size_t input, int64_t at, std::span<float> to) {
    load_row(c.input(input).dtype(), c.input(input).raw(), at, static_cast<int64_t>(to.size()), to.data());
  };
  // sums = S^T x
  const auto recall = [&](std::span<const float> x, std::span<float> sums) {
    std::fill(sums.begin(), sums.end(), 0.f);
    for (int64_t i = 0; i < size; ++i) add_scaled(x[i], state.data() + i * value_size, sums.data(), value_size);
  };
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t own = (b * heads + h) * size * value_size;
      CAMEO_TRY(c.check_cancelled());
      if (c.has_input(kPast))
        load(kPast, own, state);
      else
        std::fill(state.begin(), state.end(), 0.f);
      for (int64_t t = 0; t < length; ++t) {
        load(kKey, keys.at(b, h, t), k);
        load(kValue, values.at(b, h, t), v);
        if (attrs.gated()) {
          const int64_t width = c.input(kDecay).dim(2);
          if (width == heads) {
            load(kDecay, (b * length + t) * heads + h, decay.first(size > 0 ? 1 : 0));
            for (int64_t i = 1; i < size; ++i) decay[i] = decay[0];
          } else {
            load(kDecay, keys.at(b, h, t), decay);
          }
          for (int64_t i = 0; i < size; ++i) {
            const float factor = std::exp(decay[i]);
            for (int64_t j = 0; j < value_size; ++j) state[i * value_size + j] *= factor;
          }
        }
        if (attrs.delta()) {
          const int64_t width = c.input(kBeta).dim(2);
          float beta = 0;
          load(kBeta, (b * length + t) * width + (width == 1 ? 0 : h), {&beta, 1});
          recall(k, recalled);
          for (int64_t j = 0; j < value_size; ++j) v[j] = beta * (v[j] - recalled[j]);
        }
        for (int64_t i = 0; i < size; ++i) add_scaled(k[i], v.data(), state.data() + i * value_size, value_size);
        for (int64_t g = 0; g < group && c.has_output(0); ++g) {
          load(kQuery, queries.at(b, h * group + g, t), q);
          recall(q, out);
          for (float& o : out) o *= scale;
          store_row(type, c.output(0).raw(), outputs.at(b, h * group + g, t), value_size, out.data());
        }
      }
      if (c.has_output(1)) store_row(c.output(1).dtype(), c.output(1).raw(), own, size * value_size, state.data());
    }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(LinearAttention) = {
    .name = "LinearAttention",
    .min_version = 27,
    .min_inputs = 3,
    .max_inputs = 6,
    .max_outputs = 2,
    .input_types = {TypeSet{DType::kFloat32, DType::kFloat16, DType::kBfloat16}},
    .make_attrs = &ir::make_attrs<LinearAttentionAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
