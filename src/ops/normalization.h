// What the normalization operators share: their attributes, and moments of a contiguous run of elements.
#pragma once

#include <cmath>

#include "ops/accumulate.h"
#include "ops/op.h"
#include "ops/shapes.h"

namespace cameo::ops {

struct LayerNormalizationAttrs : ir::AttrsOf<LayerNormalizationAttrs> {
  int64_t axis = -1, stash_type = 1;
  float epsilon = 1e-5f;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("epsilon", epsilon);
    v("stash_type", stash_type);
  }
};

struct RmsNormalizationAttrs : ir::AttrsOf<RmsNormalizationAttrs> {
  int64_t axis = -1, stash_type = 1;
  float epsilon = 1e-5f;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("epsilon", epsilon);
    v("stash_type", stash_type);
  }
};

struct InstanceNormalizationAttrs : ir::AttrsOf<InstanceNormalizationAttrs> {
  float epsilon = 1e-5f;
  std::vector<int64_t> consumed_inputs;  // obsolete
  void visit(ir::AttrVisitor& v) override {
    v("epsilon", epsilon);
    v("consumed_inputs", consumed_inputs);
  }
};

struct GroupNormalizationAttrs : ir::AttrsOf<GroupNormalizationAttrs> {
  float epsilon = 1e-5f;
  int64_t num_groups = 0, stash_type = 1;
  void visit(ir::AttrVisitor& v) override {
    v("epsilon", epsilon);
    v("num_groups", num_groups);
    v("stash_type", stash_type);
  }
};

struct BatchNormalizationAttrs : ir::AttrsOf<BatchNormalizationAttrs> {
  float epsilon = 1e-5f, momentum = 0.9f;
  int64_t training_mode = 0, spatial = 1;
  int64_t is_test = 0;  // what the number of outputs says already
  std::vector<int64_t> consumed_inputs;
  void visit(ir::AttrVisitor& v) override {
    v("epsilon", epsilon);
    v("momentum", momentum);
    v("training_mode", training_mode);
    v("spatial", spatial);
    v("is_test", is_test);
    v("consumed_inputs", consumed_inputs);
  }
};

template <class C>
struct Moments {
  C mean, variance;  // of the whole population
  C inverse_deviation(C epsilon) const { return C{1} / std::sqrt(variance + epsilon); }
};

// In two passes, so that a large mean does not swallow the variance.
template <class C, class T>
Moments<C> moments_of(const T* x, int64_t n) {
  const C mean = sum_of<C>(x, n) / static_cast<C>(n);
  const C variance = sum_of<C>(x, n, [mean](C v) { return (v - mean) * (v - mean); }) / static_cast<C>(n);
  return {mean, variance};
}

// Input i (scale or bias, which may be absent) broadcast to `dims`, as rows of the extents from `axis` on.
template <class T>
class BroadcastRows {
 public:
  BroadcastRows(KernelContext& c, size_t i, const Dims& dims, size_t axis) : dims_(dims), axis_(axis) {
    if (!c.has_input(i)) return;
    const Tensor& t = c.input(i);
    data_ = t.data<T>();
    strides_ = broadcast_strides(t.dims(), dims);
    n_ = 1;
    bool plain = true;  // the rows lie as such in memory
    for (size_t a = dims.rank(); a-- > axis; n_ *= dims[a]) plain &= dims[a] == 1 || strides_[a] == n_;
    for (size_t a = 0; a < axis; ++a) constant_ &= strides_[a] == 0;
    if (!plain) buffer_ = c.scratch<T>(n_).data();
    if (constant_ && !plain) data_ = gather(data_);
  }

  // The n elements of that row; null when the input is absent. Valid until the next call.
  const T* row(int64_t row) const {
    if (!data_ || constant_) return data_;
    const T* from = data_;
    for (size_t a = axis_; a-- > 0; row /= dims_[a]) from += row % dims_[a] * strides_[a];
    return buffer_ ? gather(from) : from;
  }

 private:
  const T* gather(const T* from) const {
    Dims inner(dims_.span().subspan(axis_)), strides(strides_.span().subspan(axis_));
    T* to = buffer_;
    for_each_offset(inner, {&strides}, [&](const int64_t* offset) { *to++ = from[*offset]; });
    return buffer_;
  }

  const Dims& dims_;
  size_t axis_;
  const T* data_ = nullptr;
  T* buffer_ = nullptr;
  Dims strides_;
  int64_t n_ = 0;
  bool constant_ = true;  // every row is the same
};

}  // namespace cameo::ops
