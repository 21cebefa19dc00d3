// What Attention and FlexAttention share: rows of numbers of any floating-point type, computed with as C (float, or double where
// a type asks for it), and rounded to a narrower type after each step as a graph of single operators would do.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

// Elements [offset, offset + n) of memory of a float, integer or bool type as C.
template <class C>
void load_row(DType type, const void* data, int64_t offset, int64_t n, C* to);
// The other way round, for the float types.
template <class C>
void store_row(DType type, void* data, int64_t offset, int64_t n, const C* from);
// x[i] as a number of that float type.
template <class C>
void round_row(DType type, C* x, int64_t n);

// x = exp(x - max(x)) / sum(exp(x - max(x))), every step rounded to `precision`; zeros where all x are -infinity.
template <class C>
void softmax_row(DType precision, C* x, int64_t n);

// Batched heads in memory: [batch, heads, length, size], or packed [batch, length, heads * size].
struct HeadLayout {
  bool packed;
  int64_t heads, length, size;
  int64_t at(int64_t batch, int64_t head, int64_t row) const {
    return packed ? ((batch * length + row) * heads + head) * size : ((batch * heads + head) * length + row) * size;
  }
};

// The query heads share the heads of keys and values in groups; an error unless one count divides the other.
Status check_head_groups(const ir::Dim& query_heads, const ir::Dim& kv_heads);

extern template void load_row(DType, const void*, int64_t, int64_t, float*);
extern template void load_row(DType, const void*, int64_t, int64_t, double*);
extern template void store_row(DType, void*, int64_t, int64_t, const float*);
extern template void store_row(DType, void*, int64_t, int64_t, const double*);
extern template void round_row(DType, float*, int64_t);
extern template void round_row(DType, double*, int64_t);
extern template void softmax_row(DType, float*, int64_t);
extern template void softmax_row(DType, double*, int64_t);

}  // namespace cameo::ops
