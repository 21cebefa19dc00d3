// Attributes of operators that move elements, for the implementations of each.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

struct TransposeAttrs : ir::AttrsOf<TransposeAttrs> {
  std::optional<std::vector<int64_t>> perm;
  void visit(ir::AttrVisitor& v) override { v("perm", perm); }
};

struct ConcatAttrs : ir::AttrsOf<ConcatAttrs> {
  std::optional<int64_t> axis;
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

struct SplitAttrs : ir::AttrsOf<SplitAttrs> {
  int64_t axis = 0;
  std::optional<std::vector<int64_t>> split;
  std::optional<int64_t> num_outputs;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("split", split);
    v("num_outputs", num_outputs);
  }
};

struct SliceAttrs : ir::AttrsOf<SliceAttrs> {
  std::vector<int64_t> starts, ends;
  std::optional<std::vector<int64_t>> axes;
  void visit(ir::AttrVisitor& v) override {
    v("starts", starts);
    v("ends", ends);
    v("axes", axes);
  }
};

struct GatherAttrs : ir::AttrsOf<GatherAttrs> {
  int64_t axis = 0;
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

// What Slice takes of its input: element `offset`, and from there on with these strides.
struct SliceView {
  int64_t offset;
  Dims strides;
};
Result<SliceView> slice_view(KernelContext& context);

}  // namespace cameo::ops
