#include "gguf/model.h"

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "huggingface/architectures.h"
#include "ops/cast.h"

namespace cameo::gguf {
namespace {

namespace fs = std::filesystem;
using huggingface::Config;
using huggingface::Json;
using huggingface::LlamaShape;
using huggingface::ModelBuilder;
using huggingface::PackedWeight;
using huggingface::Table;

// "model.layers.3.self_attn.q_proj.weight" → "blk.3.attn_q.weight"
std::string file_name_of(const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kParts = {{{"model.embed_tokens.", "token_embd."},
                                                                                            {"model.norm.", "output_norm."},
                                                                                            {"lm_head.", "output."},
                                                                                            {"self_attn.q_proj.", "attn_q."},
                                                                                            {"self_attn.k_proj.", "attn_k."},
                                                                                            {"self_attn.v_proj.", "attn_v."},
                                                                                            {"self_attn.o_proj.", "attn_output."},
                                                                                            {"self_attn.q_norm.", "attn_q_norm."},
                                                                                            {"self_attn.k_norm.", "attn_k_norm."},
                                                                                            {"mlp.gate_proj.", "ffn_gate."},
                                                                                            {"mlp.up_proj.", "ffn_up."},
                                                                                            {"mlp.down_proj.", "ffn_down."},
                                                                                            {"post_attention_layernorm.", "ffn_norm."},
                                                                                            {"input_layernorm.", "attn_norm."}}};
  std::string start, rest = name;
  if (name.starts_with("model.layers.")) {
    const size_t dot = name.find('.', 13);
    if (dot == std::string::npos) return name;
    start = "blk." + name.substr(13, dot + 1 - 13);
    rest = name.substr(dot + 1);
  }
  for (const auto& [ours, theirs] : kParts)
    if (rest.starts_with(ours)) return start + std::string(theirs) + rest.substr(ours.size());
  return name;
}

// Codes of 16 columns, [16][k], to a panel (ops/cameo_quantized_weight.h).
void pack_panel(const uint8_t* codes, int64_t k, int bits, uint8_t* to) {
  const int64_t deep = bits == 8 ? 4 : 8;
  for (int64_t c = 0; c < 16; ++c)
    for (int64_t r = 0; r < k; ++r) {
      uint8_t& byte = to[(r / deep * 16 + c) * 4 + r % 4];
      byte = static_cast<uint8_t>(bits == 4 && r % 8 >= 4 ? byte | codes[c * k + r] << 4 : codes[c * k + r]);
    }
}

class GgufWeights final : public huggingface::Weights {
 public:
  explicit GgufWeights(const File& file) : file_(file) {}

  bool has(const std::string& name) const override { return file_.tensors().contains(file_name_of(name)); }

  Result<Tensor> floats(const std::string& name, const Dims& dims) override {
    CAMEO_ASSIGN(const TensorEntry* entry, find(name, dims));
    CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(DType::kFloat32, dims));
    const int64_t width = dims.rank() == 0 ? 1 : dims.back(), rows = width == 0 ? 0 : dims.num_elements() / width;
    const int64_t row_bytes = width / entry->type->elements * entry->type->bytes;
    threads_.parallel_for(rows, [&](int64_t r, int) {
      dequantize(*entry->type, reinterpret_cast<const uint8_t*>(entry->bytes.data()) + r * row_bytes, width,
                 tensor.data<float>() + r * width);
    });
    return tensor;
  }

  Result<Table> table(const std::string& name, const Dims& dims) override {
    CAMEO_ASSIGN(const TensorEntry* entry, find(name, dims));
    const BlockType& type = *entry->type;
    if (type.decode != nullptr && !type.offsets) return coded_table(*entry);
    CAMEO_ASSIGN(Tensor wide, floats(name, dims));
    Table table = {wide, {}, 0};
    if (type.dtype == DType::kFloat32) return table;
    for (float v : wide.span<float>())
      if (!(std::fabs(v) <= 65504)) return table;
    CAMEO_ASSIGN(table.values, Tensor::allocate(DType::kFloat16, dims));
    CAMEO_TRY(ops::cast_tensor(wide, table.values, {}));
    return table;
  }

  Result<std::optional<PackedWeight>> packed(std::span<const std::string> names, std::span<const int64_t> out, int64_t in) override {
    std::vector<const uint8_t*> rows;  // of the matrices in the file, one a column of the weight
    const BlockType* type = nullptr;
    for (size_t i = 0; i < names.size(); ++i) {
      CAMEO_ASSIGN(const TensorEntry* entry, find(names[i], {out[i], in}));
      if (type != nullptr && type != entry->type) return std::optional<PackedWeight>();
      type = entry->type;
      const int64_t row_bytes = in / type->elements * type->bytes;
      for (int64_t r = 0; r < out[i]; ++r) rows.push_back(reinterpret_cast<const uint8_t*>(entry->bytes.data()) + r * row_bytes);
    }
    if (type == nullptr || type->dtype == DType::kFloat32 || in == 0) return std::optional<PackedWeight>();
    PackedWeight weight;
    weight.attrs.bits = type->decode != nullptr ? type->bits : 16;
    weight.attrs.k = in;
    weight.attrs.n = static_cast<int64_t>(rows.size());
    weight.attrs.group_size = type->group < in ? type->group : 0;
    CAMEO_TRY(type->decode != nullptr ? pack_blocks(rows, *type, weight) : pack_halves(rows, *type, weight));
    return std::optional(std::move(weight));
  }

 private:
  Result<const TensorEntry*> find(const std::string& name, const Dims& dims) {
    const auto it = file_.tensors().find(file_name_of(name));
    if (it == file_.tensors().end()) return error(ErrorCode::kInvalidModel, "the file has no tensor '{}'", file_name_of(name));
    if (it->second.dims != dims)
      return error(ErrorCode::kInvalidModel, "tensor '{}' has shape {} where the metadata ask for {}", it->first,
                   it->second.dims.to_string(), dims.to_string());
    return &it->second;
  }

  // Codes around zero, a byte each, and their scales.
  Result<Table> coded_table(const TensorEntry& entry) {
    const BlockType& type = *entry.type;
    const int64_t rows = entry.dims[0], width = entry.dims[1], groups = width / type.group, blocks = width / type.elements;
    Table table;
    table.group = type.group;
    CAMEO_ASSIGN(table.values, Tensor::allocate(DType::kInt8, entry.dims));
    CAMEO_ASSIGN(table.scales, Tensor::allocate(type.half_scales ? DType::kFloat16 : DType::kFloat32, {rows, groups}));
    threads_.parallel_for(rows, [&](int64_t r, int) {
      uint8_t codes[kMostBlockElements];
      float scales[kMostBlockGroups], offsets[kMostBlockGroups];
      for (int64_t b = 0; b < blocks; ++b) {
        type.decode(reinterpret_cast<const uint8_t*>(entry.bytes.data()) + (r * blocks + b) * type.bytes, codes, scales, offsets);
        for (int64_t i = 0; i < type.elements; ++i)
          table.values.data<int8_t>()[r * width + b * type.elements + i] = static_cast<int8_t>(codes[i] - (type.bits == 4 ? 8 : 128));
        for (int64_t g = 0; g < type.elements / type.group; ++g)
          put(table.scales, r * groups + b * (type.elements / type.group) + g, scales[g]);
      }
    });
    return table;
  }

  static void put(const Tensor& t, int64_t at, float value) {
    if (t.dtype() == DType::kFloat16)
      t.data<Float16>()[at] = Float16(value);
    else
      t.data<float>()[at] = value;
  }

  Status pack_halves(std::span<const uint8_t* const> rows, const BlockType& type, PackedWeight& weight) {
    const int64_t k = weight.attrs.k;
    CAMEO_ASSIGN(weight.tensors.values, Tensor::allocate(type.dtype, weight.attrs.value_dims()));
    auto* values = static_cast<uint8_t*>(weight.tensors.values.raw());
    threads_.parallel_for(static_cast<int64_t>(rows.size()), [&](int64_t c, int) {
      for (int64_t r = 0; r < k; ++r) std::memcpy(values + ((c / 16 * k + r) * 16 + c % 16) * 2, rows[static_cast<size_t>(c)] + 2 * r, 2);
    });
    return {};
  }

  Status pack_blocks(std::span<const uint8_t* const> rows, const BlockType& type, PackedWeight& weight) {
    const ops::QuantizedWeightAttrs& a = weight.attrs;
    const DType scale_type = type.half_scales ? DType::kFloat16 : DType::kFloat32;
    CAMEO_ASSIGN(weight.tensors.values, Tensor::allocate(DType::kUint8, a.value_dims()));
    CAMEO_ASSIGN(weight.tensors.scales, Tensor::allocate(scale_type, a.scale_dims()));
    if (type.offsets) {
      CAMEO_ASSIGN(weight.tensors.zeros, Tensor::allocate(scale_type, a.scale_dims()));
    }
    const int64_t k = a.k, groups = a.groups(), panel_bytes = a.value_dims()[1] * 64;
    std::vector<std::vector<uint8_t>> buffers(static_cast<size_t>(threads_.size()), std::vector<uint8_t>(static_cast<size_t>(16 * k)));
    threads_.parallel_for(a.panels(), [&](int64_t panel, int worker) {
      uint8_t* codes = buffers[static_cast<size_t>(worker)].data();
      std::fill_n(codes, 16 * k, uint8_t{0});
      float scales[kMostBlockGroups], offsets[kMostBlockGroups];
      for (int64_t c = panel * 16; c < std::min(a.n, panel * 16 + 16); ++c)
        for (int64_t b = 0; b < k / type.elements; ++b) {
          type.decode(rows[static_cast<size_t>(c)] + b * type.bytes, codes + c % 16 * k + b * type.elements, scales, offsets);
          for (int64_t g = 0; g < type.elements / type.group; ++g) {
            const int64_t at = (panel * groups + b * (type.elements / type.group) + g) * 16 + c % 16;
            put(weight.tensors.scales, at, scales[g]);
            if (type.offsets) put(weight.tensors.zeros, at, offsets[g]);
          }
        }
      pack_panel(codes, k, type.bits, weight.tensors.values.data<uint8_t>() + panel * panel_bytes);
    });
    return {};
  }

  const File& file_;
  ThreadPool threads_;
};

// The metadata that models are described by, as JSON: ARCHITECTURE.key.
Json numbers_of(const File& file, const std::string& architecture) {
  Json json = Json::object();
  for (const auto& [key, value] : file.metadata()) {
    if (!key.starts_with(architecture + ".")) continue;
    Json& to = json[key.substr(architecture.size() + 1)];
    if (const auto* u = std::get_if<uint64_t>(&value))
      to = *u;
    else if (const auto* i = std::get_if<int64_t>(&value))
      to = *i;
    else if (const auto* d = std::get_if<double>(&value))
      to = *d;
    else if (const auto* s = std::get_if<std::string_view>(&value))
      to = std::string(*s);
  }
  return json;
}

LlamaShape read_shape(Config& c, const std::string& architecture, GgufWeights& weights, const File& file) {
  LlamaShape s;
  s.width = c.integer("embedding_length");
  s.layers = c.integer("block_count", {}, 1, 10000);
  s.heads = c.integer("attention.head_count");
  s.kv_heads = c.integer("attention.head_count_kv", s.heads);
  s.head_size = c.integer("attention.key_length", std::max<int64_t>(s.width / s.heads, 1));
  s.feed_forward = c.integer("feed_forward_length");
  s.positions = c.integer("context_length");
  s.epsilon = static_cast<float>(c.number("attention.layer_norm_rms_epsilon", 1e-5));
  s.window = c.integer("attention.sliding_window", 0, 0);
  s.rotary_size = c.integer("rope.dimension_count", s.head_size);
  s.interleaved = architecture == "llama";
  if (c.integer("expert_count", 0, 0) > 0) c.fail(ErrorCode::kUnsupported, "mixtures of experts are not known");
  const auto table = file.tensors().find("token_embd.weight");
  if (table != file.tensors().end() && table->second.dims.rank() == 2) s.vocabulary = table->second.dims[0];

  Json rope = {{"rope_theta", c.number("rope.freq_base", 10000)}, {"max_position_embeddings", s.positions}};
  const std::string scaling = c.text("rope.scaling.type", "none");
  if (scaling != "none")
    rope["rope_scaling"] = {{"rope_type", scaling},
                            {"factor", c.number("rope.scaling.factor", 1)},
                            {"original_max_position_embeddings", c.integer("rope.scaling.original_context_length", s.positions)}};
  Config rope_config(std::move(rope), "rope");
  s.rotary = read_rotary(rope_config, std::min(s.rotary_size, s.head_size));
  c.adopt(rope_config);
  if (weights.has("rope_freqs.weight")) {
    const auto factors = weights.floats("rope_freqs.weight", {static_cast<int64_t>(s.rotary.frequencies.size())});
    if (!factors.ok()) return c.fail(factors.error().code(), factors.error().message()), s;
    for (size_t i = 0; i < s.rotary.frequencies.size(); ++i) s.rotary.frequencies[i] /= factors->data<float>()[i];
  }
  return s;
}

}  // namespace

bool is_gguf_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  char magic[4] = {};
  return in.read(magic, 4) && std::string_view(magic, 4) == "GGUF";
}

std::string only_file(const std::string& folder) {
  std::string found;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    if (at->path().extension() != ".gguf") continue;
    if (!found.empty()) return "";
    found = at->path().string();
  }
  return found;
}

Result<ir::Graph> build_graph(const File& file, const std::string& path, bool hidden_states) {
  const auto named = file.metadata().find("general.architecture");
  const auto* name = named == file.metadata().end() ? nullptr : std::get_if<std::string_view>(&named->second);
  const std::string architecture(name == nullptr ? "" : name->substr(0, 100));
  if (architecture != "llama" && architecture != "qwen2" && architecture != "qwen3")
    return error(ErrorCode::kUnsupported, "{}: architecture '{}' is not known; known are llama, qwen2 and qwen3", path, architecture);
  GgufWeights weights(file);
  Config config(numbers_of(file, architecture), path);
  const LlamaShape shape = read_shape(config, architecture, weights, file);
  ModelBuilder builder(config, weights, hidden_states);
  huggingface::build_llama(builder, shape);
  return builder.finish(architecture);
}

Result<ir::Graph> read_model(const std::string& path, bool hidden_states) {
  CAMEO_ASSIGN(const File file, File::open(path));
  return build_graph(file, path, hidden_states);
}

}  // namespace cameo::gguf
