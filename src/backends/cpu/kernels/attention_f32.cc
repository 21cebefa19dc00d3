// Attention of float32, by attention_f32.isa.cc.
//
// Query heads that share keys and values are one set of rows. Sets of more than one block have their keys and values packed
// first, by all threads; smaller ones are packed by the task that runs them, and sets of few rows read keys and values where
// they lie: decoding then runs at the speed of memory. Of long texts, threads share the parts of one head.
// Keys and values that may not be seen are not read: a NaN among them does not reach the result.
#include "backends/cpu/kernels/attention_f32.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <span>

#include "base/thread_pool.h"
#include "ops/attention.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

using cpu::attention_padded;

enum Input : size_t { kQ, kK, kV, kMask, kPastKey, kPastValue, kLengths };
enum Output : size_t { kY, kPresentKey, kPresentValue, kQk };

// A [batch, heads, length, size] tensor, or one that is packed as [batch, length, heads * size].
struct Heads {
  float* data = nullptr;
  int64_t heads = 0, length = 0, size = 0;
  int64_t batch_stride = 0, head_stride = 0, row_stride = 0;

  float* row(int64_t batch, int64_t head, int64_t i) const { return data + batch * batch_stride + head * head_stride + i * row_stride; }
};

Heads heads_of(const Tensor& t, int64_t heads) {
  const Dims& d = t.dims();
  Heads h;
  h.data = t.data<float>();
  if (d.rank() == 4) {
    h.heads = d[1], h.length = d[2], h.size = d[3];
    h.row_stride = h.size, h.head_stride = h.length * h.size, h.batch_stride = h.heads * h.head_stride;
  } else {
    h.heads = heads, h.length = d[1], h.size = heads > 0 ? d[2] / heads : 0;
    h.head_stride = h.size, h.row_stride = d[2], h.batch_stride = h.length * d[2];
  }
  return h;
}

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  const auto has = [&](size_t i) { return i < node.inputs.size() && node.inputs[i] != ir::kNoValue; };
  const auto& attrs = node.attrs_as<ops::AttentionAttrs>();
  for (size_t i : {kQ, kK, kV, kPastKey, kPastValue})
    if (has(i) && facts[node.inputs[i]].type.dtype != DType::kFloat32) return refuse("the inputs are not all float32");
  if (has(kMask)) {
    const DType type = facts[node.inputs[kMask]].type.dtype;
    if (type != DType::kFloat32 && type != DType::kBool) return refuse("the mask is neither float32 nor bool");
  }
  if (node.outputs.size() > kQk && node.outputs[kQk] != ir::kNoValue) return refuse("the products of queries and keys are an output");
  if (attrs.softmax_precision && *attrs.softmax_precision != static_cast<int64_t>(DType::kFloat32))
    return refuse("the softmax is not computed in float32");
  return {};
}

// Everything about a run but the scratch memory.
struct Problem {
  Heads query, key, value, result;  // key and value: the past with the new ones
  int64_t batches = 0, past = 0;
  float scale = 0, softcap = 0;
  const Tensor* mask = nullptr;
  int64_t mask_strides[3] = {};  // of batch, head and query, in elements
  const int64_t* lengths = nullptr;
  bool causal = false;
  int64_t left = -1, right = -1;

  int64_t group() const { return query.heads / key.heads; }
  int64_t rows() const { return group() * query.length; }  // that share keys and values

  cpu::AttentionQuery row(int64_t batch, int64_t kv_head, int64_t index) const {
    const int64_t head = kv_head * group() + index / query.length, i = index % query.length, total = key.length;
    cpu::AttentionQuery q = {query.row(batch, head, i), result.row(batch, head, i), nullptr, 0, lengths ? lengths[batch] : total};
    if (mask)
      q.mask = static_cast<const std::byte*>(mask->raw()) +
               (batch * mask_strides[0] + head * mask_strides[1] + i * mask_strides[2]) * static_cast<int64_t>(dtype_size(mask->dtype()));
    const int64_t position = i + (lengths ? lengths[batch] - query.length : past);
    if (causal) q.last = std::min(q.last, position + 1);
    if (left >= 0) q.first = std::max(q.first, position - std::min(left, total + query.length));
    if (right >= 0) q.last = std::min(q.last, position + 1 + std::min(right, total + query.length));
    q.first = std::clamp<int64_t>(q.first, 0, total);
    q.last = std::clamp<int64_t>(q.last, 0, total);
    return q;
  }
};

// Past and new rows of one head of keys or values, behind each other.
void join(const Heads& past, const Heads& fresh, const Heads& to, int64_t batch, int64_t head) {
  float* out = to.row(batch, head, 0);
  const size_t old = static_cast<size_t>(past.length * to.size) * sizeof(float);
  if (old > 0) std::memcpy(out, past.row(batch, head, 0), old);
  out += past.length * to.size;
  for (int64_t i = 0; i < fresh.length; ++i, out += to.size)
    if (to.size > 0) std::memcpy(out, fresh.row(batch, head, i), static_cast<size_t>(to.size) * sizeof(float));
}

Status run(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::AttentionAttrs>();
  for (size_t i : {kQ, kK, kV, kPastKey, kPastValue})
    if (c.has_input(i) && c.input(i).dtype() != DType::kFloat32)
      return error(ErrorCode::kInvalidModel, "input {} must be float32", size_t{i});
  const bool other_precision = attrs.softmax_precision && *attrs.softmax_precision != static_cast<int64_t>(DType::kFloat32);
  const bool other_mask = c.has_input(kMask) && c.input(kMask).dtype() != DType::kFloat32 && c.input(kMask).dtype() != DType::kBool;
  if (c.has_output(kQk) || other_precision || other_mask || c.input(kQ).rank() < 3) return c.node().op->reference(c);

  Problem p;
  p.query = heads_of(c.input(kQ), attrs.q_num_heads.value_or(0));
  Heads new_key = heads_of(c.input(kK), attrs.kv_num_heads.value_or(0)), new_value = heads_of(c.input(kV), attrs.kv_num_heads.value_or(0));
  p.result = heads_of(c.output(kY), attrs.q_num_heads.value_or(0));
  p.batches = c.input(kQ).dim(0);
  p.softcap = attrs.softcap;
  p.scale = attrs.scale.value_or(static_cast<float>(1 / std::sqrt(static_cast<double>(p.query.size))));
  p.causal = attrs.is_causal != 0;
  p.left = attrs.left_window_size, p.right = attrs.right_window_size;

  // Keys and values in one piece: the new ones alone, or in the present ones, or joined in scratch memory.
  Heads past_key, past_value;
  if (c.has_input(kPastKey) && c.has_input(kPastValue)) {
    past_key = heads_of(c.input(kPastKey), 0), past_value = heads_of(c.input(kPastValue), 0);
    p.past = past_key.length;
  }
  const auto joined = [&](const Heads& fresh, size_t output, bool& joins) -> Heads {
    joins = c.has_output(output) || p.past > 0;
    if (!joins) return fresh;
    Heads h = fresh;
    h.length += p.past;
    h.row_stride = h.size, h.head_stride = h.length * h.size, h.batch_stride = h.heads * h.head_stride;
    h.data = c.has_output(output) ? c.output(output).data<float>() : c.scratch<float>(p.batches * h.batch_stride).data();
    return h;
  };
  bool joins_keys = false, joins_values = false;
  p.key = joined(new_key, kPresentKey, joins_keys);
  p.value = joined(new_value, kPresentValue, joins_values);
  if (c.has_input(kLengths)) {
    p.lengths = c.input(kLengths).data<int64_t>();
    for (int64_t b = 0; b < p.batches; ++b)
      if (p.lengths[b] < 0 || p.lengths[b] > p.key.length)
        return error(ErrorCode::kInvalidInput, "nonpad_kv_seqlen[{}] is {}; allowed: 0 to {}", b, p.lengths[b], p.key.length);
  }
  int64_t mask_length = 0;
  if (c.has_input(kMask)) {
    p.mask = &c.input(kMask);
    const Dims& d = p.mask->dims();
    mask_length = d.back();
    int64_t stride = mask_length;
    for (size_t i = 3, a = d.rank() - 1; i-- > 0 && a-- > 0; stride *= d[a]) p.mask_strides[i] = d[a] == 1 ? 0 : stride;
  }
  ThreadPool& threads = c.threads();
  const int64_t sets = p.batches * p.key.heads, total = p.key.length, size = p.query.size, value_size = p.value.size;
  if (sets == 0) return {};
  const auto join_set = [&](int64_t set) {
    if (joins_keys) join(past_key, new_key, p.key, set / p.key.heads, set % p.key.heads);
    if (joins_values) join(past_value, new_value, p.value, set / p.key.heads, set % p.key.heads);
  };
  const int64_t rows = p.query.heads == 0 ? 0 : p.rows();
  const int64_t blocks = (rows + cpu::kAttentionRows - 1) / cpu::kAttentionRows;
  const int64_t key_blocks = (total + cpu::kAttentionKeys - 1) / cpu::kAttentionKeys;
  const int64_t packed_block = cpu::attention_packed_block(size, value_size), packed_set = key_blocks * packed_block;
  const bool plain = rows <= cpu::kAttentionFewRows && value_size % 16 == 0;
  const int64_t per_thread = attention_padded(cpu::attention_scratch(size, value_size)) + (blocks <= 1 && !plain ? packed_set : 0);
  float* const scratch = c.scratch<float>(threads.size() * per_thread).data();
  float* const packed = blocks > 1 ? c.scratch<float>(sets * packed_set).data() : nullptr;
  const auto& kernels = cpu::attention_kernels();
  const auto pack = [&](int64_t set, int64_t block, float* to) {
    const int64_t batch = set / p.key.heads, head = set % p.key.heads, j = block * cpu::kAttentionKeys;
    // Of a cache that has room left only what is used.
    if (p.lengths && j >= p.lengths[batch]) return;
    kernels.pack(p.key.row(batch, head, j), p.key.row_stride, p.value.row(batch, head, j), p.value.row_stride,
                 std::min(cpu::kAttentionKeys, total - j), size, value_size, to + block * packed_block);
  };
  const auto block_of = [&](int64_t set, int64_t first, std::span<cpu::AttentionQuery> queries) {
    const int64_t batch = set / p.key.heads, head = set % p.key.heads;
    for (size_t i = 0; i < queries.size(); ++i) queries[i] = p.row(batch, head, first + static_cast<int64_t>(i));
    return cpu::AttentionBlock{.queries = queries.data(),
                               .rows = static_cast<int64_t>(queries.size()),
                               .size = size,
                               .value_size = value_size,
                               .packed = nullptr,
                               .keys = p.key.row(batch, head, 0),
                               .key_stride = p.key.row_stride,
                               .values = p.value.row(batch, head, 0),
                               .value_stride = p.value.row_stride,
                               .scale = p.scale,
                               .softcap = p.softcap,
                               .mask_is_bool = p.mask && p.mask->dtype() == DType::kBool,
                               .mask_length = mask_length};
  };
  const auto run_block = [&](int64_t set, int64_t block, const float* keys_and_values, float* memory) {
    cpu::AttentionQuery queries[cpu::kAttentionRows];
    const int64_t first = block * cpu::kAttentionRows, count = std::min(cpu::kAttentionRows, rows - first);
    cpu::AttentionBlock b = block_of(set, first, std::span(queries, static_cast<size_t>(count)));
    b.packed = keys_and_values;
    kernels.run(b, memory);
  };
  std::atomic<bool> cancelled = false;
  // Asked by the caller's thread alone; whether the task is to be left out.
  const auto stops = [&](int worker) {
    if (worker == 0 && !c.check_cancelled().ok()) cancelled = true;
    return cancelled.load(std::memory_order_relaxed);
  };
  const int64_t used = p.lengths ? *std::max_element(p.lengths, p.lengths + p.batches) : total;
  if (plain && rows > 0 && used > cpu::kAttentionPart) {
    const int64_t key_parts = (used + cpu::kAttentionPart - 1) / cpu::kAttentionPart, part_floats = rows * cpu::attention_part(value_size);
    float* const parts = c.scratch<float>(sets * key_parts * part_floats).data();
    const auto run_part = [&](int64_t set, int64_t part, int worker) {
      if (stops(worker)) return;
      cpu::AttentionQuery queries[cpu::kAttentionFewRows];
      cpu::AttentionBlock block = block_of(set, 0, std::span(queries, static_cast<size_t>(rows)));
      for (int64_t i = 0; i < rows; ++i) {
        queries[i].first = std::max(queries[i].first, part * cpu::kAttentionPart);
        queries[i].last = std::min(queries[i].last, (part + 1) * cpu::kAttentionPart);
      }
      block.parts = parts + (set * key_parts + part) * part_floats;
      kernels.run(block, scratch + worker * per_thread);
    };
    const auto merge = [&](int64_t set) {
      cpu::AttentionQuery queries[cpu::kAttentionFewRows];
      kernels.merge(block_of(set, 0, std::span(queries, static_cast<size_t>(rows))), parts + set * key_parts * part_floats, key_parts);
    };
    if (joins_keys || joins_values) threads.parallel_for(sets, [&](int64_t set, int) { join_set(set); });
    // Enough heads for all threads: none has to be shared.
    if (sets >= 8 * threads.size()) {
      threads.parallel_for(sets, [&](int64_t set, int worker) {
        for (int64_t part = 0; part < key_parts; ++part) run_part(set, part, worker);
        if (!cancelled.load(std::memory_order_relaxed)) merge(set);
      });
    } else {
      threads.parallel_for(sets * key_parts, [&](int64_t task, int worker) { run_part(task / key_parts, task % key_parts, worker); });
      if (!cancelled)
        for (int64_t set = 0; set < sets; ++set) merge(set);
    }
    return c.check_cancelled();
  }
  if (blocks <= 1) {
    const auto run_set = [&](int64_t set, int worker) {
      if (stops(worker)) return;
      join_set(set);
      if (rows == 0) return;
      float* const memory = scratch + worker * per_thread;
      float* const own = plain ? nullptr : memory + attention_padded(cpu::attention_scratch(size, value_size));
      if (!plain)
        for (int64_t block = 0; block < key_blocks; ++block) pack(set, block, own);
      run_block(set, 0, own, memory);
    };
    // A few microseconds of work are not worth a second thread.
    if (sets * (rows + 1) * used * (size + value_size) < 64 * 1024)
      for (int64_t set = 0; set < sets; ++set) run_set(set, 0);
    else
      threads.parallel_for(sets, run_set);
    return c.check_cancelled();
  }
  if (joins_keys || joins_values) threads.parallel_for(sets, [&](int64_t set, int) { join_set(set); });
  threads.parallel_for(sets * key_blocks,
                       [&](int64_t task, int) { pack(task / key_blocks, task % key_blocks, packed + task / key_blocks * packed_set); });
  threads.parallel_for(sets * blocks, [&](int64_t task, int worker) {
    if (!stops(worker)) run_block(task / blocks, task % blocks, packed + task / blocks * packed_set, scratch + worker * per_thread);
  });
  return c.check_cancelled();
}

}  // namespace

CAMEO_DEFINE_TACTIC(attention_f32) = {
    .name = "attention_f32",
    .op = "Attention",
    .supports = &supports,
    .run = &run,
};

}  // namespace cameo::tactics
