// A decoder-only transformer in the graph of a plan with a cache: its layers, found from the logits back to the embedding, and its
// weights in the form that kernels/decoder_step.h reads.
#pragma once

#include <memory>
#include <vector>

#include "backends/cuda/device.h"
#include "backends/cuda/kernels/decoder_step.h"
#include "backends/cuda/step.h"
#include "ir/graph.h"

namespace cameo::cuda {

// Columns [first, first + n) of a product's weights, and of its bias.
struct DecoderColumns {
  Tensor weight;            // [k, n of the product], or [n of the product, k]
  bool transposed = false;  // the latter
  int64_t first = 0, n = 0, k = 0;
  Tensor bias;  // or undefined
};

struct DecoderNorm {
  Tensor weight, bias;
};

// The layers as they stand in the graph.
struct DecoderGraph {
  struct Layer {
    DecoderNorm norm1, norm2;
    DecoderColumns q, k, v, out, gate, up, down;  // gate.n == 0: none
    ir::ValueId present_key = ir::kNoValue, present_value = ir::kNoValue;
    ir::ValueId cosines = ir::kNoValue, sines = ir::kNoValue;  // of rotary positions
    ir::ValueId rotary_index = ir::kNoValue;                   // where those are tables, the rows of theirs that are read
    float scale = 0;
  };
  std::vector<Layer> layers;
  Tensor tokens;     // [vocabulary, hidden]
  Tensor positions;  // [positions, hidden], or undefined
  ir::ValueId position_index = ir::kNoValue;
  int64_t most_positions = int64_t{1} << 20;  // fewer where a table of positions ends
  DecoderNorm norm;
  DecoderColumns head;
  NormKind norm_kind = NormKind::kNone;
  Activation activation = Activation::kNone;
  float epsilon = 0;
  int64_t heads = 0, kv_heads = 0, head_size = 0;
};

// Errors: kUnsupported, with what is different.
Result<DecoderGraph> find_decoder(const ir::Graph& graph);

// A value that depends on positions alone, for positions 0 to count - 1: [count, …]. Errors: kUnsupported.
Result<Tensor> at_positions(const ir::Graph& graph, ir::ValueId value, int64_t count);

// Cosines or sines of a layer's rotary positions 0 to count - 1: [count, size / 2]. Errors: kUnsupported.
Result<Tensor> rotary_table(const ir::Graph& graph, const DecoderGraph::Layer& layer, bool cosines, int64_t count);

// The weights on the device, shared by all decoders of a model.
class DecoderModel {
 public:
  static Result<std::unique_ptr<DecoderModel>> make(const ir::Graph& graph, Device& device, WeightStore& weights, Precision precision);

  const DecoderGraph& graph() const { return graph_; }
  // Without batch, capacity, rotary tables and caches.
  const DecoderConfig& config() const { return config_; }
  const DecoderWeights& weights() const { return weights_; }
  const std::vector<DecoderLayer>& layers() const { return layers_; }
  DType dtype() const { return dtype_; }
  bool rotary() const { return graph_.layers[0].cosines != ir::kNoValue; }

 private:
  DecoderModel(Device& device, WeightStore& store) : device_(device), store_(store) {}
  Status load();
  Status prepare();
  Status add_norm_sums(DecoderMatrix& matrix, int64_t n, const void* norm_weight, const void* norm_bias);
  struct Piece {  // of a matrix: its rows are columns of a product
    const DecoderColumns* columns;
    bool interleaved = false, up = false;  // for kSwiGlu
  };
  Result<DecoderMatrix> matrix(std::vector<Piece> pieces);
  Result<const void*> vector(const Tensor& tensor);
  Result<const void*> rows(const Tensor& tensor, int64_t k);
  Result<const void*> stored(const std::string& key, size_t bytes, const WeightStore::Fill& fill);

  Device& device_;
  WeightStore& store_;
  DecoderGraph graph_;
  DecoderConfig config_;
  DecoderWeights weights_;
  std::vector<DecoderLayer> layers_;
  DType dtype_ = DType::kFloat32;
  std::vector<std::shared_ptr<const MemoryPool::Block>> kept_;
};

// to[i…] = from[i…] for device memory, by strides in elements, as work on the stream.
Status move_elements(Device& device, WeightStore& store, const Dims& dims, DType from_type, const void* from, const Dims& from_strides,
                     DType to_type, void* to, const Dims& to_strides, cudaStream_t stream);

}  // namespace cameo::cuda
