// Follows queries, keys and values from the matrix products of an attention back through everything that only moves elements,
// so that the attention can read them where they are made.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "passes/pass.h"

namespace cameo::passes {

// What an axis, or a factor of an axis, of a tensor of heads stands for. kPart counts the tensors that are packed into one
// (queries, keys, values); kGroup the query heads that share a head of keys.
enum class HeadAxis : uint8_t { kBatch, kHead, kLength, kSize, kPart, kGroup };

// A tensor of heads, found on the way back. Each of its axes is a product of factors, in row-major order; none where it is 1.
struct HeadTensor {
  ir::ValueId value = ir::kNoValue;
  std::vector<std::vector<HeadAxis>> layout;
  std::vector<ir::Dim> sizes = std::vector<ir::Dim>(6);  // by HeadAxis
  double scale = 1;                                      // what the heads are multiplied by on the way
  bool has_heads = false;                                // false: the batch includes the heads, or there is one
  ir::ValueId past = ir::kNoValue;                       // the heads are these, followed by those of `value` …
  ir::ValueId present = ir::kNoValue;                    // … as this value has them
  int64_t part = 0, parts = 1;                           // `value` holds so many tensors, of which this is one

  const ir::Dim& size(HeadAxis axis) const { return sizes[static_cast<size_t>(axis)]; }
  int64_t groups() const;  // how often each head is repeated
};

struct HeadOptions {
  bool may_scale = false;       // multiplications by a constant belong to it
  bool may_have_past = false;   // a Concat along the length is past and new
  bool may_split_batch = true;  // [batch * heads, length, size] may be taken apart
};

// All tensors from `value`, whose axes are [batch, heads, length, size] or [batch, length, size] in the order given, back to where
// the elements are made; the first is `value`.
std::vector<HeadTensor> trace_heads(const GraphView& view, ir::ValueId value, std::vector<HeadAxis> axes, const HeadOptions& options);

// The deepest of them that can be written as [batch, length, heads * size], or, with `packed` false, as [batch, heads, length, size];
// with heads, or without. Nothing when there is none.
std::optional<HeadTensor> deepest(const std::vector<HeadTensor>& trace, bool packed, bool has_heads);

// The tensor in that form; new nodes go to the patch. Splits of a packed tensor are made once: `splits` remembers them.
struct PackedSplit {
  ir::ValueId of;
  std::vector<ir::ValueId> parts;
};
ir::ValueId as_packed(Patch& patch, const HeadTensor& heads, std::vector<PackedSplit>& splits);
ir::ValueId as_heads(Patch& patch, const HeadTensor& heads);

}  // namespace cameo::passes
