// Attention and RotaryEmbedding. Variants of Attention:
//   one pass   kernels/attention.h, where it covers the case
//   plain      a block for each query: scores in shared memory, softmax, weighted sum; what the other lacks
#include <cmath>

#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/quantized_operation.h"
#include "backends/cuda/simplify.h"

namespace cameo::cuda {
namespace {

enum Input : size_t { kQ, kK, kV, kMask, kPastKey, kPastValue, kLengths, kTable };
enum Output : size_t { kY, kPresentKey, kPresentValue, kQk };

// Queries, keys or values: [batch, heads, length, size] or packed [batch, length, heads * size], as strides of that order.
struct Heads {
  Operand data;
  int64_t batch = 0, heads = 0, length = 0, size = 0;
  Dims strides;  // batch, head, row
};

Heads heads_of(const Operand& o, int64_t heads) {
  Heads h{.data = o};
  const Dims& d = o.dims;
  if (d.rank() == 4) {
    h.batch = d[0], h.heads = d[1], h.length = d[2], h.size = d[3];
    h.strides = Dims{h.heads * h.length * h.size, h.length * h.size, h.size};
  } else {
    h.batch = d[0], h.heads = heads, h.length = d[1], h.size = d[2] / heads;
    const int64_t row = o.pitch ? o.pitch : d[2];
    h.strides = Dims{h.length * row, h.size, row};
  }
  return h;
}

// [batch, heads, length, size] of new rows behind those of a past, which may be absent.
Status join(StepBuilder& b, const Operand* past, const Heads& fresh, const Operand& to) {
  const int64_t before = past ? past->dims[2] : 0;
  Strided target = dense(to);
  if (past) CAMEO_TRY(copy_strided(b, past->dims, dense(*past), target));
  target.offset = before * fresh.size;
  return copy_strided(b, Dims{fresh.batch, fresh.heads, fresh.length, fresh.size},
                      {fresh.data, Dims{fresh.strides[0], fresh.strides[1], fresh.strides[2], 1}, 0}, target);
}

struct Problem {
  Heads q, k, v, y;
  Operand mask;       // or none
  Dims mask_strides;  // batch, head, query; the last axis is dense
  int64_t mask_keys = 0;
  Operand lengths;  // int64, or none
  Operand table;    // of a relative bias, float32 [1 or heads, queries + keys - 1], or none: see simplify.h
  Operand rounded;  // the result in 8-bit floats too, or none
  float rounding = 1;
  int64_t past = 0;
  float scale = 1, softcap = 0;
  bool causal = false;
  int64_t left = -1, right = -1;
};

class OnePass final : public Operation {
 public:
  OnePass(const AttentionArgs& args, const DeviceTraits& device, Operand q, Operand k, Operand v, Operand y, Operand rounded, Operand mask,
          Operand table, Operand lengths)
      : args_(args),
        device_(device),
        q_(std::move(q)),
        k_(std::move(k)),
        v_(std::move(v)),
        y_(std::move(y)),
        rounded_(std::move(rounded)),
        mask_(std::move(mask)),
        table_(std::move(table)),
        lengths_(std::move(lengths)) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.q = at.of(q_);
    args_.k = at.of(k_);
    args_.v = at.of(v_);
    args_.out = at.of(y_);
    args_.rounded = at.of(rounded_);
    args_.bias = at.of(mask_);
    args_.relative = static_cast<const float*>(at.of(table_));
    args_.key_lengths = static_cast<const int32_t*>(at.of(lengths_));
    return check(attention(args_, device_, stream), "attention");
  }

 private:
  AttentionArgs args_;
  const DeviceTraits device_;
  const Operand q_, k_, v_, y_, rounded_, mask_, table_, lengths_;
};

HeadStrides strides_of(const Dims& s) { return {s[0], s[1], s[2]}; }

// Whether the fast kernel took it.
Result<bool> try_one_pass(StepBuilder& b, const Problem& p) {
  if (!b.device().has_gpu() || p.right >= 0 || p.k.size != p.v.size || p.q.length * p.k.length == 0) return false;
  AttentionArgs a;
  const DType type = p.q.data.dtype;
  if (type != p.k.data.dtype || type != p.v.data.dtype || type != p.y.data.dtype) return false;
  if (type == DType::kFloat32)
    a.type = Scalar::kFloat32;
  else if (type == DType::kFloat16)
    a.type = Scalar::kFloat16;
  else if (type == DType::kBfloat16)
    a.type = Scalar::kBFloat16;
  else
    return false;
  const auto fits = [](int64_t n) { return n <= INT32_MAX; };
  if (!fits(p.q.batch) || !fits(p.q.heads) || !fits(p.q.length) || !fits(p.k.length)) return false;
  a.q_strides = strides_of(p.q.strides);
  a.k_strides = strides_of(p.k.strides);
  a.v_strides = strides_of(p.v.strides);
  a.out_strides = strides_of(p.y.strides);
  a.batch = static_cast<int32_t>(p.q.batch);
  a.heads = static_cast<int32_t>(p.q.heads);
  a.kv_heads = static_cast<int32_t>(p.k.heads);
  a.queries = static_cast<int32_t>(p.q.length);
  a.keys = static_cast<int32_t>(p.k.length);
  a.size = static_cast<int32_t>(p.q.size);
  a.scale = p.scale;
  a.softcap = p.softcap;
  a.causal = p.causal;
  a.past = static_cast<int32_t>(p.past);
  a.from_end = p.lengths.present();
  if (a.from_end) a.key_lengths = reinterpret_cast<const int32_t*>(uintptr_t{256});
  a.window = p.left >= 0 && p.left < INT32_MAX ? static_cast<int32_t>(p.left) : -1;
  if (p.mask.present()) {
    switch (p.mask.dtype) {
      case DType::kFloat32:
        a.bias_type = BiasType::kFloat32;
        break;
      case DType::kFloat16:
        a.bias_type = BiasType::kFloat16;
        break;
      case DType::kBfloat16:
        a.bias_type = BiasType::kBFloat16;
        break;
      case DType::kBool:
        a.bias_type = BiasType::kBool;
        break;
      default:
        return false;
    }
    a.bias_strides = strides_of(p.mask_strides);
    a.bias_keys = static_cast<int32_t>(p.mask_keys);
    a.bias = reinterpret_cast<const void*>(uintptr_t{256});  // refusal() asks whether there is one
  }
  a.q = a.k = a.v = a.bias ? a.bias : reinterpret_cast<const void*>(uintptr_t{256});
  a.out = const_cast<void*>(a.q);
  if (p.table.present()) {
    a.relative = static_cast<const float*>(a.q);
    a.relative_stride = p.table.dims[0] == 1 ? 0 : static_cast<int32_t>(p.table.dims[1]);
    a.relative_origin = a.queries - 1;
  }
  for (const Operand* o : {&p.q.data, &p.k.data, &p.v.data, &p.y.data})
    if (o->kind != Operand::Kind::kFixed && o->offset % 16 != 0) return false;
  const DeviceTraits traits{b.device().info().arch(), b.device().info().multiprocessors, b.device().info().shared_per_block};
  if (attention_refusal(a, traits) != nullptr) return false;
  Operand lengths;
  if (p.lengths.present()) {
    lengths = b.scratch(DType::kInt32, p.lengths.dims);
    CAMEO_TRY(copy_elements(b, p.lengths, lengths));
  }
  const bool rounds = p.rounded.present() && attention_rounds(a, traits);
  a.rounded_factor = 1 / p.rounding;
  b.add(std::make_unique<OnePass>(a, traits, p.q.data, p.k.data, p.v.data, rounds && b.is_unread(kY) ? Operand() : p.y.data,
                                  rounds ? p.rounded : Operand(), p.mask, p.table, lengths));
  if (p.rounded.present() && !rounds) CAMEO_TRY(round_to_float8(b, p.y.data, p.rounded, p.rounding));
  return true;
}

Status plain(StepBuilder& b, const Problem& p, const Operand* qk, int64_t mode) {
  const int64_t keys = p.k.length, group = p.q.heads / p.k.heads, blocks = p.q.batch * p.q.heads * p.q.length;
  const bool wide = b.in_type(kQ) == DType::kFloat64;
  const std::string type = wide ? "double" : "float";
  // Scores of a query: in shared memory, or in scratch memory where they are many.
  const size_t bytes = static_cast<size_t>(keys) * (wide ? 8 : 4);
  const bool shared = bytes <= 40 * 1024;
  Source s;
  s.declare("typedef " + type + " C;");
  const auto at = s.unravel("block", Dims{p.q.batch, p.q.heads, p.q.length});
  s.line(fmt::format("const I b = {}, h = {}, i = {}, g = {};", at[0], at[1], at[2], s.quotient("(" + at[1] + ")", group)));
  s.line(fmt::format("const I n = {};", s.number(keys)));
  if (shared) {
    s.line("extern __shared__ double memory[];");
    s.line("C* scores = (C*)memory;");
  } else {
    const Operand scratch = b.scratch(wide ? DType::kFloat64 : DType::kFloat32, Dims{blocks, keys});
    s.line(fmt::format("C* scores = {} + (i64)block * n;", s.write(scratch)));
  }
  const std::vector<std::string> q_at = {"b", "h", "i"}, k_at = {"b", "g", "j"};
  s.line(fmt::format("const I iq = {};", s.offset(q_at, p.q.strides)));
  s.line(fmt::format("I first = 0, last = n, offset = {};", s.number(p.past)));
  if (p.lengths.present()) s.line(fmt::format("last = (I){}; offset = last - {};", s.load(p.lengths, "b"), s.number(p.q.length)));
  s.line("const I position = i + offset;");
  if (p.causal) s.line("last = last < position + 1 ? last : position + 1;");
  if (p.left >= 0)
    s.line(fmt::format("first = position - {0} > 0 ? position - {0} : 0;", s.number(std::min<int64_t>(p.left, keys + p.q.length))));
  if (p.right >= 0)
    s.line(fmt::format("last = last < position + 1 + {0} ? last : position + 1 + {0};",
                       s.number(std::min<int64_t>(p.right, keys + p.q.length))));
  s.line("const C infinity = (C)__int_as_float(0x7f800000);");
  const auto expose = [&](int64_t m, const std::string& value) {
    if (qk && mode == m) s.store(*qk, "(I)block * n + j", value);
  };
  const std::string root = s.name("root");
  s.line(fmt::format("const C {} = sqrt((C){});", root, literal(p.scale)));
  s.line("C peak = -infinity;");
  s.line("for (I j = t; j < n; j += blockDim.x) {");
  s.line(fmt::format("const I ik = {}; C score = 0;", s.offset(k_at, p.k.strides)));
  s.line(fmt::format("for (I d = 0; d < {0}; ++d) score += ({1} * {3}) * ({2} * {3});", s.number(p.q.size), s.load(p.q.data, "iq + d"),
                     s.load(p.k.data, "ik + d"), root));
  expose(0, "score");
  if (p.softcap > 0) s.line(fmt::format("score = (C){0} * tanh(score / (C){0});", literal(p.softcap)));
  expose(1, "score");
  if (p.mask.present()) {
    const std::vector<std::string> mask_at = {"b", "h", "i"};
    const std::string element = s.load(p.mask, fmt::format("{} + j", s.offset(mask_at, p.mask_strides)));
    const std::string value = p.mask.dtype == DType::kBool ? fmt::format("({} ? (C)0 : -infinity)", element) : "(C)" + element;
    s.line(fmt::format("score += j < {} ? {} : -infinity;", s.number(p.mask_keys), value));
  }
  if (p.table.present()) {
    const std::string row = p.table.dims[0] == 1 ? "0" : "h * " + s.number(p.table.dims[1]);
    s.line(fmt::format("score += {};", s.load(p.table, fmt::format("{} + {} + j - i", row, s.number(p.q.length - 1)))));
  }
  s.line("if (j < first || j >= last) score = -infinity;");
  expose(2, "score");
  s.line("scores[j] = score; peak = most<C>(peak, score);");
  s.line("}");
  s.line("peak = block_reduce(peak, Most());");
  s.line("const bool none = peak == -infinity;");
  s.line("C sum = 0;");
  s.line("for (I j = t; j < n; j += blockDim.x) { const C e = none ? (C)0 : exp(scores[j] - peak); scores[j] = e; sum += e; }");
  s.line("sum = block_reduce(sum, Plus()); const C over = none ? (C)0 : (C)1 / sum;");
  s.line("__syncthreads();");
  if (qk && mode == 3) {
    s.line("for (I j = t; j < n; j += blockDim.x)");
    expose(3, "scores[j] * over");
  }
  const std::vector<std::string> v_at = {"b", "g", "0"};
  s.line(fmt::format("const I iv = {}, iy = {};", s.offset(v_at, p.v.strides), s.offset(q_at, p.y.strides)));
  s.line(fmt::format("for (I d = t; d < {}; d += blockDim.x) {{ C acc = 0;", s.number(p.v.size)));
  s.line(fmt::format("for (I j = 0; j < n; ++j) acc += scores[j] * {};",
                     s.load(p.v.data, fmt::format("iv + j * {} + d", s.number(p.v.strides[2])))));
  s.store(p.y.data, "iy + d", "none ? (C)0 : acc * over");
  s.line("}");
  return s.launch_blocks(b, blocks, 128, shared ? bytes : 0);
}

Status make_attention(StepBuilder& b) {
  Problem p;
  const int64_t heads = b.attrs().integer("q_num_heads", 1), kv_heads = b.attrs().integer("kv_num_heads", 1);
  const DType type = b.in_type(kQ) == DType::kFloat32 ? activation_type(b.precision()) : b.in_type(kQ);
  Operand q, k, v;
  CAMEO_ASSIGN(q, b.input_as(kQ, type));
  CAMEO_ASSIGN(k, b.in_type(kK) == b.in_type(kQ) ? b.input_as(kK, type) : b.input(kK));
  CAMEO_ASSIGN(v, b.in_type(kV) == b.in_type(kQ) ? b.input_as(kV, type) : b.input(kV));
  p.q = heads_of(q, heads);
  p.k = heads_of(k, kv_heads);
  p.v = heads_of(v, kv_heads);
  p.y = heads_of(b.output(kY), heads);
  p.scale = b.attrs().has("scale") ? b.attrs().real("scale") : 1.f / std::sqrt(static_cast<float>(p.q.size));
  p.softcap = b.attrs().real("softcap");
  p.causal = b.attrs().integer("is_causal") != 0;
  p.left = b.attrs().integer("left_window_size", -1);
  p.right = b.attrs().integer("right_window_size", -1);
  // Keys and values behind those of the past, as one.
  for (const bool keys : {true, false}) {
    const size_t past_input = keys ? kPastKey : kPastValue, output = keys ? kPresentKey : kPresentValue;
    Heads& fresh = keys ? p.k : p.v;
    const bool has_past = b.has_input(past_input);
    if (!has_past && !b.has_output(output)) continue;
    Operand past;
    if (has_past) {
      CAMEO_ASSIGN(past, b.input(past_input));
      p.past = past.dims[2];
    }
    const Dims dims{fresh.batch, fresh.heads, p.past + fresh.length, fresh.size};
    Operand all;
    if (b.has_output(output)) {
      all = b.output(output);
      CAMEO_TRY(join(b, has_past ? &past : nullptr, fresh, all));
    }
    if (!has_past) continue;
    if (!all.present() || all.dtype != fresh.data.dtype) {
      all = b.scratch(fresh.data.dtype, dims);
      all.narrowed = fresh.data.dtype != b.in_type(kQ);
      CAMEO_TRY(join(b, &past, fresh, all));
    }
    fresh = heads_of(all, kv_heads);
  }
  if (b.has_input(kMask)) {
    CAMEO_ASSIGN(p.mask, b.input(kMask));
    const Dims& m = p.mask.dims;
    p.mask_keys = m.back();
    p.mask_strides = Dims(3, 0);
    int64_t stride = m.back();
    for (size_t i = 3, a = m.rank() - 1; i-- > 0 && a-- > 0; stride *= m[a]) p.mask_strides[i] = m[a] == 1 ? 0 : stride;
  }
  if (b.has_input(kLengths)) {
    CAMEO_ASSIGN(p.lengths, b.input(kLengths));
  }
  if (b.has_input(kTable)) {
    CAMEO_ASSIGN(p.table, b.input(kTable));
    const Dims& d = p.table.dims;
    if ((d[0] != 1 && d[0] != p.q.heads) || d[1] != p.q.length + p.k.length - 1)
      return error(ErrorCode::kUnsupported, "a relative bias of other extents than the scores");
  }
  if (b.has_output(kAttentionRounding.output)) {
    p.rounded = b.output(kAttentionRounding.output);
    p.rounding = b.value(kAttentionRounding.scale)->data<float>()[0];
  }
  if (p.q.batch * p.q.heads * p.q.length == 0) return {};
  if (!b.has_output(kQk)) {
    CAMEO_ASSIGN(const bool one_pass, try_one_pass(b, p));
    if (one_pass) return {};
    CAMEO_TRY(plain(b, p, nullptr, 0));
  } else {
    const Operand qk = b.output(kQk);
    CAMEO_TRY(plain(b, p, &qk, b.attrs().integer("qk_matmul_output_mode")));
  }
  return p.rounded.present() ? round_to_float8(b, p.y.data, p.rounded, p.rounding) : Status();
}

// y = x rotated pairwise by angles whose cosines and sines are given, by position or from a cache.
Status make_rotary(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand cosines, b.input(1));
  CAMEO_ASSIGN(Operand sines, b.input(2));
  const Operand y = b.output(0);
  const Heads h = heads_of(x, b.attrs().integer("num_heads", 1));
  int64_t rotated = b.attrs().integer("rotary_embedding_dim");
  if (rotated == 0) rotated = h.size;
  const int64_t half = rotated / 2;
  const bool interleaved = b.attrs().integer("interleaved") != 0;
  if (y.dims.num_elements() == 0) return {};
  Source s;
  const Dims order = x.dims.rank() == 4 ? Dims{h.batch, h.heads, h.length, h.size} : Dims{h.batch, h.length, h.heads, h.size};
  const auto at = s.unravel("i", order);
  const std::string row = x.dims.rank() == 4 ? at[2] : at[1];
  s.line(fmt::format("const I d = {}, half = {};", at[3], s.number(half)));
  s.line(fmt::format("if (d >= {}) {{", s.number(rotated)));
  s.store(y, "i", s.load(x, "i"));
  s.line("} else {");
  s.line(interleaved ? "const I c = d / 2, other = d % 2 ? i - 1 : i + 1; const bool second = d % 2;"
                     : "const bool second = d >= half; const I c = second ? d - half : d, other = second ? i - half : i + half;");
  if (b.has_input(3)) {
    CAMEO_ASSIGN(Operand positions, b.input(3));
    const int64_t most = cosines.dims[0];
    s.line(fmt::format(
        "I place = (I){}; place = place < 0 ? 0 : place >= {} ? {} - 1 : place;",
        s.load(positions, positions.dims.num_elements() == 1 ? "0" : fmt::format("({}) * {} + {}", at[0], s.number(h.length), row)),
        s.number(most), s.number(most)));
  } else {
    const bool shared = cosines.dims[0] == 1 && h.batch != 1;
    s.line(fmt::format("const I place = {} + {};", shared ? "0" : fmt::format("({}) * {}", at[0], s.number(h.length)), row));
  }
  s.line(
      fmt::format("const auto cosine = {}; const auto sine = {};", s.load(cosines, "place * half + c"), s.load(sines, "place * half + c")));
  s.line(fmt::format("const auto u = {}; const auto v = {};", s.load(x, "i"), s.load(x, "other")));
  s.store(y, "i", "second ? v * sine + u * cosine : u * cosine - v * sine");
  s.line("}");
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> attention_ops() {
  return {
      {"Attention", "", make_attention},
      {"RotaryEmbedding", "", make_rotary},
  };
}

}  // namespace cameo::cuda
