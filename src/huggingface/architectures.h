// The architectures that a graph can be made for, one file each.
#pragma once

#include "huggingface/model_builder.h"
#include "huggingface/rotary.h"

namespace cameo::huggingface {

// Encoders: input_ids, attention_mask (and for BERT token_type_ids), int64 [batch, sequence] → last_hidden_state.
void build_bert(ModelBuilder& m);
void build_roberta(ModelBuilder& m);
void build_distilbert(ModelBuilder& m);
void build_mpnet(ModelBuilder& m);

// Causal language models: input_ids and position_ids [batch, sequence], attention_mask [batch, past + sequence],
// past_key_values.N.key and .value [batch, heads, past, size] → logits [batch, sequence, vocabulary], present.N.key and .value
// [batch, heads, past + sequence, size]. With ModelBuilder::hidden_states they are like encoders, without position_ids, past and present.
void build_gpt2(ModelBuilder& m);
void build_llama(ModelBuilder& m);

// What Llama-like models differ in; parameters have the names of transformers' Llama.
struct LlamaShape {
  int64_t vocabulary = 0, width = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0, feed_forward = 0, positions = 0;
  float epsilon = 1e-6f;
  std::string activation = "silu";
  int64_t window = 0;  // tokens that a query sees; 0: all before it
  int64_t rotary_size = 0;
  bool interleaved = false;  // rotary embedding turns neighbours instead of halves
  Rotary rotary;
};
void build_llama(ModelBuilder& m, const LlamaShape& shape);

// ---- what they share ----

// The prefix ("" or "bert.") under which the parameter is found.
std::string find_prefix(ModelBuilder& m, std::initializer_list<const char*> prefixes, const std::string& parameter);

struct EncoderInputs {
  ir::ValueId ids, mask;  // mask: bool [batch, 1, 1, sequence]
};
EncoderInputs encoder_inputs(ModelBuilder& m);
// Numbers of the positions as RoBERTa counts them: from pad + 1 on, `pad` where the token is padding.
ir::ValueId positions_after_padding(ModelBuilder& m, ir::ValueId ids, int64_t pad);
// Rows 0, 1, … of a parameter, as many as the sequence is long.
ir::ValueId first_positions(ModelBuilder& m, ir::ValueId ids, const std::string& name, int64_t rows, int64_t width);

// A layer with normalisation after each part (Vaswani et al., 2017), and the names of its parameters.
struct EncoderLayer {
  int64_t width, heads, feed_forward;
  float epsilon;
  std::string activation;
  std::string query, key, value, attention_output, attention_norm, up, down, output_norm;
};
// The mask is bool [batch, 1, 1, sequence], or float to be added to the scores.
ir::ValueId encoder_layer(ModelBuilder& m, ir::ValueId x, ir::ValueId mask, const EncoderLayer& layer);

struct DecoderInputs {
  ir::ValueId ids, positions, mask;  // mask: bool [batch, 1, 1, past + sequence]
};
DecoderInputs decoder_inputs(ModelBuilder& m);
struct CausalAttention {
  int64_t heads, kv_heads, head_size;
  int64_t window = 0;
};
// Attention of packed queries, keys and values with layer n's past; its presents become outputs.
ir::ValueId cached_attention(ModelBuilder& m, std::vector<ir::ValueId> qkv, ir::ValueId mask, const CausalAttention& shape, int64_t n);
// The graph's result of the last hidden states: logits, the product with PREFIX.weight, or the states themselves.
void decoder_output(ModelBuilder& m, ir::ValueId x, const std::string& head, int64_t width, int64_t vocabulary);

}  // namespace cameo::huggingface
