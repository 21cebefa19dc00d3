// Turns a causal language model into one that is fed a few tokens at a time and keeps the keys and values of the earlier ones.
#pragma once

#include <string>

#include "ir/graph.h"

namespace cameo::passes {

// What add_kv_cache found.
struct KvCacheReport {
  int caches = 0;              // tensors of keys or values
  int64_t most_positions = 0;  // rows of the table of positions; 0: the model has none
};

// `graph`: input_ids [batch, sequence] (and attention_mask, position_ids, and past_key_values.N.key and .value with present.N.key and
// .value as outputs) -> logits [batch, sequence, vocabulary], after the passes that find attentions and before the late ones.
//
// It is proven that everything but Attention treats each row and position by itself (sequence_axes.h), and that attentions are causal
// when nothing is padded (uniform_values.h). The graph then is
//
//   inputs   input_ids [batch, sequence]: the next tokens of each row; rows that have fewer are padded on the right
//            past_lengths int64[batch]: how many tokens each row has had before
//            last_positions int64[batch]: which of the tokens in input_ids is the row's last
//            past_key_values.N.key and .value, N = 0, 1, …: [batch, capacity, heads * size] or [batch, heads, capacity, size], of which
//            a row's first past_lengths positions are used
//   outputs  logits [batch, 1, vocabulary], of the last tokens alone
//            present.N.key and .value: the same with the new tokens' keys and values from position past_lengths on. They may have the
//            memory of the inputs; then nothing but the new ones is written (TensorScatter).
//
// past_lengths[row] + sequence may not be more than capacity. Every length is exact for each row: what stands beyond it is never read.
// Errors: kUnsupported with the reason, the graph is as it was; kInternal.
Result<KvCacheReport> add_kv_cache(ir::Graph& graph);

}  // namespace cameo::passes
