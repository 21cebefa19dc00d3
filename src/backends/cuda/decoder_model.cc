#include "backends/cuda/decoder_model.h"

#include <algorithm>

#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/kernels/decoder_fused.h"
#include "backends/cuda/kernels/step_product.h"
#include "backends/cuda/source.h"

namespace cameo::cuda {
namespace {

Error refuse(std::string reason) { return Error(ErrorCode::kUnsupported, std::move(reason)); }

// Operations that no node asks for.
const ir::Node& no_node() {
  static const ir::Node node = [] {
    ir::Node n;
    n.attrs = std::make_shared<const ir::NoAttrs>();
    return n;
  }();
  return node;
}

Operand at(const void* memory, DType dtype, const Dims& dims) {
  return {.kind = Operand::Kind::kFixed, .fixed = const_cast<void*>(memory), .dtype = dtype, .dims = dims};
}

}  // namespace

Status move_elements(Device& device, WeightStore& store, const Dims& dims, DType from_type, const void* from, const Dims& from_strides,
                     DType to_type, void* to, const Dims& to_strides, cudaStream_t stream) {
  if (dims.num_elements() == 0) return {};
  // The operands' extents bound the offsets that the kernel must reach.
  const auto reach = [&](const Dims& strides) {
    int64_t last = 1;
    for (size_t i = 0; i < dims.rank(); ++i) last += (dims[i] - 1) * strides[i];
    return Dims{last};
  };
  StepBuilder b(no_node(), {}, {}, Precision::kFloat32, device, store);
  Operand target = at(to, to_type, reach(to_strides));
  target.narrowed = to_type != from_type && to_type != DType::kFloat32;
  CAMEO_TRY(copy_strided(b, dims, {at(from, from_type, reach(from_strides)), from_strides, 0}, {target, to_strides, 0}));
  return b.take().run({}, stream);  // needs no scratch memory
}

Result<std::unique_ptr<DecoderModel>> DecoderModel::make(const ir::Graph& graph, Device& device, WeightStore& weights,
                                                         Precision precision) {
  std::unique_ptr<DecoderModel> model(new DecoderModel(device, weights));
  CAMEO_ASSIGN(model->graph_, find_decoder(graph));
  const DecoderGraph& g = model->graph_;
  DecoderConfig& c = model->config_;
  model->dtype_ = activation_type(precision);
  c.type = precision == Precision::kFloat16 ? Scalar::kFloat16 : precision == Precision::kBfloat16 ? Scalar::kBFloat16 : Scalar::kFloat32;
  const int64_t hidden = g.tokens.dim(1), ffn = g.layers[0].up.n;
  const int64_t queries = g.heads * g.head_size, keys = g.kv_heads * g.head_size;
  for (const auto& l : g.layers) {
    const auto are = [](const DecoderColumns& columns, int64_t n, int64_t k) { return columns.n == n && columns.k == k; };
    if (!are(l.q, queries, hidden) || !are(l.k, keys, hidden) || !are(l.v, keys, hidden) || !are(l.out, hidden, queries) ||
        !are(l.up, ffn, hidden) || !are(l.down, hidden, ffn))
      return refuse("layers differ in extents");
  }
  if (g.head.n != g.tokens.dim(0) || g.head.k != hidden) return refuse("the head is not [vocabulary, hidden]");
  if (std::max({g.head.n, hidden, ffn}) > INT32_MAX / 4) return refuse("an extent is too large");
  c.layers = static_cast<int32_t>(g.layers.size());
  c.hidden = static_cast<int32_t>(hidden);
  c.heads = static_cast<int32_t>(g.heads);
  c.kv_heads = static_cast<int32_t>(g.kv_heads);
  c.head_size = static_cast<int32_t>(g.head_size);
  c.ffn = static_cast<int32_t>(ffn);
  c.vocabulary = static_cast<int32_t>(g.head.n);
  c.norm = g.norm_kind;
  c.activation = g.activation;
  c.epsilon = g.epsilon;
  c.attention_scale = g.layers[0].scale;
  if (c.activation == Activation::kSwiGlu && ffn % 8 != 0) return refuse("the feed-forward size is no multiple of 8");
  if (g.positions.defined()) {
    if (g.positions.dim(1) != hidden) return refuse("positions have another width than tokens");
    CAMEO_ASSIGN(const Tensor index, at_positions(graph, g.position_index, g.positions.dim(0)));
    for (int64_t i = 0; i < index.num_elements(); ++i) {
      const int64_t p = index.dtype() == DType::kInt64   ? index.data<int64_t>()[i]
                        : index.dtype() == DType::kInt32 ? index.data<int32_t>()[i]
                                                         : -1;
      if (p != i) return refuse("a table of positions is read elsewhere than at positions");
    }
  } else {
    CAMEO_ASSIGN(const Tensor cosines, rotary_table(graph, g.layers[0], true, std::min<int64_t>(4, g.most_positions)));
    if (cosines.dim(1) != g.head_size / 2 || cosines.dtype() != DType::kFloat32)
      return refuse("rotary tables are not [positions, size / 2]");
  }
  CAMEO_TRY(model->load());
  return model;
}

Status DecoderModel::load() {
  const DecoderGraph& g = graph_;
  for (const auto& l : g.layers) {
    DecoderLayer d;
    CAMEO_ASSIGN(d.norm1_weight, vector(l.norm1.weight));
    CAMEO_ASSIGN(d.norm1_bias, vector(l.norm1.bias));
    CAMEO_ASSIGN(d.norm2_weight, vector(l.norm2.weight));
    CAMEO_ASSIGN(d.norm2_bias, vector(l.norm2.bias));
    CAMEO_ASSIGN(d.qkv, matrix({{&l.q}, {&l.k}, {&l.v}}));
    CAMEO_ASSIGN(d.out, matrix({{&l.out}}));
    if (l.gate.n > 0) {
      if (l.gate.n != l.up.n || l.gate.k != l.up.k) return refuse("a gate has other extents than what it gates");
      CAMEO_ASSIGN(d.up, matrix({{&l.gate, true, false}, {&l.up, true, true}}));
    } else {
      CAMEO_ASSIGN(d.up, matrix({{&l.up}}));
    }
    CAMEO_ASSIGN(d.down, matrix({{&l.down}}));
    layers_.push_back(d);
  }
  CAMEO_ASSIGN(weights_.token_embedding, rows(g.tokens, g.tokens.dim(1)));
  if (g.positions.defined()) {
    CAMEO_ASSIGN(weights_.position_embedding, rows(g.positions, g.positions.dim(1)));
  }
  CAMEO_ASSIGN(weights_.final_norm_weight, vector(g.norm.weight));
  CAMEO_ASSIGN(weights_.final_norm_bias, vector(g.norm.bias));
  CAMEO_ASSIGN(weights_.head, matrix({{&g.head}}));
  CAMEO_TRY(prepare());
  if (config_.type == Scalar::kFloat32 || traits_of(device_).capability < 90) return {};
  for (DecoderLayer& l : layers_) {
    const int64_t ffn = config_.activation == Activation::kSwiGlu ? 2 * config_.ffn : config_.ffn;
    CAMEO_TRY(add_norm_sums(l.qkv, (config_.heads + 2 * config_.kv_heads) * config_.head_size, l.norm1_weight, l.norm1_bias));
    CAMEO_TRY(add_norm_sums(l.up, ffn, l.norm2_weight, l.norm2_bias));
  }
  return add_norm_sums(weights_.head, config_.vocabulary, weights_.final_norm_weight, weights_.final_norm_bias);
}

// The constants of two kernels a layer, where those are covered for few sequences.
Status DecoderModel::prepare() {
  DecoderConfig config = config_;
  config.batch = config.capacity = 1;
  static constexpr float kAny = 0.f;  // tables come with the caches
  if (rotary()) config.rope_cos = config.rope_sin = &kAny;
  DecoderWeights weights = weights_;
  weights.layers = layers_.data();
  if (decoder_fused_refusal(config, weights, traits_of(device_)) != nullptr) return {};
  const auto bytes = static_cast<size_t>(decoder_fused_constants(config));
  CAMEO_ASSIGN(weights_.constants, stored(fmt::format("{}:decoder constants", layers_[0].qkv.w), bytes, [&](void* to) -> Status {
                 const std::lock_guard lock(device_.mutex());
                 CAMEO_TRY(check(decoder_fused_prepare(config, weights, to, device_.stream()), "preparing a decoder's weights"));
                 return synchronize(device_.stream());
               }));
  return {};
}

// What a product of many rows knows of the norm before it.
Status DecoderModel::add_norm_sums(DecoderMatrix& m, int64_t n, const void* norm_weight, const void* norm_bias) {
  const auto bytes = static_cast<size_t>(n + n % 2) * 2 * sizeof(float);
  CAMEO_ASSIGN(const void* sums, stored(fmt::format("{}:{}:decoder norm sums", m.w, norm_weight), bytes, [&](void* to) -> Status {
                 const std::lock_guard lock(device_.mutex());
                 CAMEO_TRY(check(norm_sums(config_.type, static_cast<int32_t>(n), config_.hidden, m.w, m.bias, norm_weight, norm_bias,
                                           static_cast<float*>(to), device_.stream()),
                                 "sums of a norm"));
                 return synchronize(device_.stream());
               }));
  m.norm_sums = static_cast<const float*>(sums);
  return {};
}

Result<const void*> DecoderModel::stored(const std::string& key, size_t bytes, const WeightStore::Fill& fill) {
  CAMEO_ASSIGN(std::shared_ptr<const MemoryPool::Block> block, store_.get(key, bytes, fill));
  kept_.push_back(block);
  return static_cast<const void*>(block->data());
}

Result<const void*> DecoderModel::rows(const Tensor& tensor, int64_t k) {
  const int64_t n = tensor.num_elements() / std::max<int64_t>(k, 1);
  return stored(fmt::format("{}:decoder rows", tensor.raw()), static_cast<size_t>(tensor.num_elements()) * dtype_size(dtype_),
                [&](void* to) -> Status {
                  CAMEO_ASSIGN(const MemoryPool::Block from, device_.pool()->allocate(tensor.num_bytes()));
                  const std::lock_guard lock(device_.mutex());
                  CAMEO_TRY(copy(from.data(), tensor.raw(), tensor.num_bytes(), device_.stream()));
                  CAMEO_TRY(move_elements(device_, store_, Dims{n, k}, tensor.dtype(), from.data(), Dims{k, 1}, dtype_, to, Dims{k, 1},
                                          device_.stream()));
                  return synchronize(device_.stream());
                });
}

Result<const void*> DecoderModel::vector(const Tensor& tensor) {
  if (!tensor.defined()) return static_cast<const void*>(nullptr);
  return rows(tensor, tensor.num_elements());
}

Result<DecoderMatrix> DecoderModel::matrix(std::vector<Piece> pieces) {
  DecoderMatrix m;
  const DecoderColumns& first = *pieces[0].columns;
  // A table of tokens that is the head too stands there already.
  if (pieces.size() == 1 && first.transposed && first.first == 0 && first.n == first.weight.dim(0)) {
    CAMEO_ASSIGN(m.w, rows(first.weight, first.k));
    CAMEO_ASSIGN(m.bias, vector(first.bias));
    return m;
  }
  const size_t element = dtype_size(dtype_);
  int64_t n = 0;
  bool has_bias = false;
  std::string key = "decoder";
  for (const Piece& p : pieces) {
    n += p.columns->n;
    has_bias |= p.columns->bias.defined();
    key += fmt::format(":{}+{}", p.columns->weight.raw(), p.columns->first);
  }
  if (has_bias && pieces[0].interleaved) return refuse("a gate has a bias");
  CAMEO_ASSIGN(m.w, stored(key, static_cast<size_t>(n * first.k) * element, [&](void* to) -> Status {
                 int64_t row = 0;
                 for (const Piece& p : pieces) {
                   const DecoderColumns& c = *p.columns;
                   const int64_t all = c.weight.dim(c.transposed ? 0 : 1);
                   CAMEO_ASSIGN(const MemoryPool::Block from, device_.pool()->allocate(c.weight.num_bytes()));
                   const std::lock_guard lock(device_.mutex());
                   CAMEO_TRY(copy(from.data(), c.weight.raw(), c.weight.num_bytes(), device_.stream()));
                   const int64_t column = c.transposed ? c.k : 1, step = c.transposed ? 1 : all;
                   const std::byte* source =
                       static_cast<const std::byte*>(from.data()) + static_cast<size_t>(c.first * column) * dtype_size(c.weight.dtype());
                   std::byte* target =
                       static_cast<std::byte*>(to) + static_cast<size_t>((p.interleaved ? (p.up ? 8 : 0) : row) * c.k) * element;
                   if (p.interleaved)  // as swiglu_row()
                     CAMEO_TRY(move_elements(device_, store_, Dims{c.n / 8, 8, c.k}, c.weight.dtype(), source,
                                             Dims{8 * column, column, step}, dtype_, target, Dims{16 * c.k, c.k, 1}, device_.stream()));
                   else
                     CAMEO_TRY(move_elements(device_, store_, Dims{c.n, c.k}, c.weight.dtype(), source, Dims{column, step}, dtype_, target,
                                             Dims{c.k, 1}, device_.stream()));
                   CAMEO_TRY(synchronize(device_.stream()));
                   row += c.n;
                 }
                 return {};
               }));
  if (!has_bias) return m;
  CAMEO_ASSIGN(m.bias, stored(key + ":bias", static_cast<size_t>(n) * element, [&](void* to) -> Status {
                 const std::lock_guard lock(device_.mutex());
                 CAMEO_TRY(fill(to, 0, static_cast<size_t>(n) * element, device_.stream()));
                 int64_t row = 0;
                 for (const Piece& p : pieces) {
                   const DecoderColumns& c = *p.columns;
                   if (c.bias.defined()) {
                     CAMEO_ASSIGN(const MemoryPool::Block from, device_.pool()->allocate(c.bias.num_bytes()));
                     CAMEO_TRY(copy(from.data(), c.bias.raw(), c.bias.num_bytes(), device_.stream()));
                     CAMEO_TRY(move_elements(
                         device_, store_, Dims{c.n}, c.bias.dtype(),
                         static_cast<const std::byte*>(from.data()) + static_cast<size_t>(c.first) * dtype_size(c.bias.dtype()), Dims{1},
                         dtype_, static_cast<std::byte*>(to) + static_cast<size_t>(row) * element, Dims{1}, device_.stream()));
                     CAMEO_TRY(synchronize(device_.stream()));
                   }
                   row += c.n;
                 }
                 return {};
               }));
  return m;
}

}  // namespace cameo::cuda
