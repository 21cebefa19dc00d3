// RotaryEmbedding (ai.onnx 23) from its parts:
//   x * cos + rotated(x) * sin
// with rotated(x) = [-x2, x1] for the halves x1, x2 of the last axis (Llama, Qwen), or, interleaved, (-x[1], x[0], -x[3], x[2], …)
// (GPT-J). cos and sin repeat what the operator takes once: halves that are provably equal, since the angles were concatenated
// with themselves, or neighbours that are. What made them is made anew for one half; layers share it.
// Heads of which only the first part is turned and the rest appended are one operator too.
// Where x is a transposed view of [batch, length, heads * size], the operator works on that, and the transpose follows it, so
// that an attention can read it without. Every product and sum is the same as before.
#include <algorithm>

#include "passes/pass.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

constexpr int kMaxDepth = 10;

// A piece of the last axis.
struct Piece {
  ir::ValueId of = ir::kNoValue;
  int64_t start = 0, step = 1, count = 0;
};

std::optional<int64_t> last_extent(const GraphView& view, ir::ValueId id) {
  if (id == ir::kNoValue) return std::nullopt;
  const auto& shape = view.shape(id);
  return shape && !shape->empty() && shape->back().is_const() ? std::optional(shape->back().value()) : std::nullopt;
}

std::optional<Piece> piece_of(const GraphView& view, ir::ValueId id, Region& region) {
  const auto count = last_extent(view, id);
  if (!count) return std::nullopt;
  if (const ir::Node* slice = made_by(view, id, "Slice"); slice != nullptr && slice->version >= 10) {
    const auto starts = view.ints(slice->inputs[1]), axes = view.ints(GraphView::input(*slice, 3));
    const ir::ValueId steps_id = GraphView::input(*slice, 4);
    const auto steps = steps_id == ir::kNoValue ? std::optional(std::vector<int64_t>{1}) : view.ints(steps_id);
    const auto extent = last_extent(view, slice->inputs[0]);
    if (!starts || !axes || !steps || !extent || starts->size() != 1 || axes->size() != 1 || steps->size() != 1 || (*steps)[0] < 1)
      return std::nullopt;
    const auto rank = static_cast<int64_t>(view.shape(id)->size());
    if ((*axes)[0] != -1 && (*axes)[0] != rank - 1) return std::nullopt;
    const int64_t start = (*starts)[0] < 0 ? (*starts)[0] + *extent : (*starts)[0];
    if (start < 0 || start > *extent) return std::nullopt;
    region.add(*slice);
    return Piece{slice->inputs[0], start, (*steps)[0], *count};
  }
  if (const ir::Node* split = made_by(view, id, "Split")) {
    const auto axis = attr<int64_t>(*split, "axis");
    const auto rank = static_cast<int64_t>(view.shape(id)->size());
    if (!axis || (*axis != -1 && *axis != rank - 1)) return std::nullopt;
    int64_t start = 0;
    for (ir::ValueId output : split->outputs) {
      const auto extent = last_extent(view, output);
      if (!extent) return std::nullopt;
      if (output == id) {
        region.add(*split);
        return Piece{split->inputs[0], start, 1, *count};
      }
      start += *extent;
    }
  }
  return std::nullopt;
}

bool is_last_axis(const GraphView& view, const ir::Node& concat) {
  const auto axis = attr<int64_t>(concat, "axis");
  const auto& shape = view.shape(concat.outputs[0]);
  return axis && shape && (*axis == -1 || *axis == static_cast<int64_t>(shape->size()) - 1);
}

// x and the way it is turned, when the value is rotated(x).
struct Rotated {
  ir::ValueId x;
  bool interleaved;
};

std::optional<Rotated> rotated(const GraphView& view, ir::ValueId id, Region& region) {
  const auto size = last_extent(view, id);
  if (!size || *size % 2 != 0 || *size == 0) return std::nullopt;
  const ir::Node* reshape = made_by(view, id, "Reshape");
  const ir::Node* concat = made_by(view, reshape ? reshape->inputs[0] : id, "Concat");
  if (concat == nullptr || concat->inputs.size() != 2 || !is_last_axis(view, *concat)) return std::nullopt;
  region.add(*concat);
  ir::ValueId first = concat->inputs[0], second = concat->inputs[1];
  if (reshape != nullptr) {
    // Neighbours come from a new last axis of two.
    region.add(*reshape);
    for (ir::ValueId* part : {&first, &second}) {
      const ir::Node* unsqueeze = made_by(view, *part, "Unsqueeze");
      if (unsqueeze == nullptr || last_extent(view, *part) != 1 || last_extent(view, unsqueeze->inputs[0]) != *size / 2)
        return std::nullopt;
      region.add(*unsqueeze);
      *part = unsqueeze->inputs[0];
    }
  }
  const ir::Node* neg = made_by(view, first, "Neg");
  if (neg == nullptr) return std::nullopt;
  region.add(*neg);
  const auto minus = piece_of(view, neg->inputs[0], region), plus = piece_of(view, second, region);
  if (!minus || !plus || minus->of != plus->of || minus->count != *size / 2 || plus->count != *size / 2 ||
      last_extent(view, minus->of) != size)
    return std::nullopt;
  if (!view.same_shape(minus->of, id)) return std::nullopt;
  if (reshape == nullptr && minus->step == 1 && plus->step == 1 && plus->start == 0 && minus->start == *size / 2)
    return Rotated{plus->of, false};
  if (reshape != nullptr && minus->step == 2 && plus->step == 2 && plus->start == 0 && minus->start == 1) return Rotated{plus->of, true};
  return std::nullopt;
}

// Makes what a table of cosines or sines repeats once, half as long along the last axis.
class Halver {
 public:
  Halver(const GraphView& view, Patch& patch, bool interleaved) : view_(view), patch_(patch), interleaved_(interleaved) {}

  // kNoValue when the repeats are not provably equal.
  ir::ValueId half(ir::ValueId id, int depth = 0) {
    if (const Tensor* t = view_.constant(id)) return half_of(*t);
    const ir::Node* node = view_.producer(id);
    const auto& shape = view_.shape(id);
    if (node == nullptr || depth > kMaxDepth || !node->op->domain.empty() || !shape || shape->empty()) return ir::kNoValue;
    const std::string_view op = node->op->name;
    const auto rank = static_cast<int64_t>(shape->size());
    if (op == "Concat" && !interleaved_ && node->inputs.size() == 2 && node->inputs[0] == node->inputs[1] && is_last_axis(view_, *node))
      return node->inputs[0];
    if (op == "Cos" || op == "Sin" || op == "Cast" || op == "Neg") return with_half(*node, 0, depth);
    if (op == "Mul")
      for (size_t i : {size_t{0}, size_t{1}})
        if (number_of(view_, node->inputs[1 - i])) return with_half(*node, i, depth);
    // Moves of whole rows.
    if (op == "Gather" && attr<int64_t>(*node, "axis").value_or(0) == 0 && view_.shape(node->inputs[0]) &&
        view_.shape(node->inputs[0])->size() >= 2)
      return with_half(*node, 0, depth);
    if (op == "Slice" && node->version >= 10 && !touches_last(view_.ints(GraphView::input(*node, 3)), rank))
      return with_half(*node, 0, depth);
    if (op == "Unsqueeze" && node->version >= 13 && !touches_last(view_.ints(GraphView::input(*node, 1)), rank))
      return with_half(*node, 0, depth);
    if (op == "Squeeze" && node->version >= 13) {
      const auto& before = view_.shape(node->inputs[0]);
      if (before && !touches_last(view_.ints(GraphView::input(*node, 1)), static_cast<int64_t>(before->size())))
        return with_half(*node, 0, depth);
    }
    if (op == "Reshape" && interleaved_) return pairs(*node);
    return ir::kNoValue;
  }

 private:
  static bool touches_last(const std::optional<std::vector<int64_t>>& axes, int64_t rank) {
    return !axes || std::any_of(axes->begin(), axes->end(), [&](int64_t a) { return a == -1 || a == rank - 1; });
  }

  ir::ValueId with_half(const ir::Node& node, size_t input, int depth) {
    const ir::ValueId inner = half(node.inputs[input], depth + 1);
    if (inner == ir::kNoValue) return ir::kNoValue;
    ir::Node copy = node;
    copy.inputs[input] = inner;
    return patch_.node(std::move(copy))[0];
  }

  // Reshape(Expand or Concat of Unsqueeze(x, -1)) to neighbours that are equal.
  ir::ValueId pairs(const ir::Node& reshape) {
    const ir::Node* repeat = view_.producer(reshape.inputs[0]);
    if (repeat == nullptr || last_extent(view_, reshape.inputs[0]) != 2) return ir::kNoValue;
    const bool concat = repeat->op->name == "Concat" && repeat->inputs.size() == 2 && repeat->inputs[0] == repeat->inputs[1];
    if (!concat && repeat->op->name != "Expand" && repeat->op->name != "Tile") return ir::kNoValue;
    const ir::Node* unsqueeze = made_by(view_, repeat->inputs[0], "Unsqueeze");
    if (unsqueeze == nullptr || last_extent(view_, repeat->inputs[0]) != 1) return ir::kNoValue;
    const ir::ValueId x = unsqueeze->inputs[0];
    // Nothing else is repeated, and the result is x with each element twice, with further axes of 1 perhaps.
    const auto &from = view_.shape(x), &to = view_.shape(reshape.outputs[0]);
    if (!from || !to || from->empty() || to->empty() || !(from->back() * ir::Dim(2) == to->back())) return ir::kNoValue;
    std::vector<int64_t> added;
    size_t next = 0;
    for (size_t i = 0; i + 1 < to->size(); ++i) {
      if (next + 1 < from->size() && (*to)[i] == (*from)[next])
        ++next;
      else if ((*to)[i].is(1))
        added.push_back(static_cast<int64_t>(i));
      else
        return ir::kNoValue;
    }
    if (next + 1 != from->size()) return ir::kNoValue;
    return added.empty() ? x : patch_.node("Unsqueeze", {x, patch_.ints(added)});
  }

  ir::ValueId half_of(const Tensor& t) {
    if (t.rank() == 0 || t.dim(t.rank() - 1) % 2 != 0 || t.num_elements() == 0) return ir::kNoValue;
    const int64_t n = t.dim(t.rank() - 1), rows = t.num_elements() / n;
    const size_t element = dtype_size(t.dtype());
    if (element == 0 || t.dtype() == DType::kString || ops::kSubByteTypes.contains(t.dtype())) return ir::kNoValue;
    Dims dims = t.dims();
    dims[t.rank() - 1] = n / 2;
    auto made = Tensor::allocate(t.dtype(), dims);
    if (!made.ok()) return ir::kNoValue;
    const auto* from = static_cast<const std::byte*>(t.raw());
    auto* to = static_cast<std::byte*>(made->raw());
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t i = 0; i < n / 2; ++i) {
        const int64_t a = row * n + (interleaved_ ? 2 * i : i), b = row * n + (interleaved_ ? 2 * i + 1 : n / 2 + i);
        const auto* x = from + static_cast<size_t>(a) * element;
        if (!std::equal(x, x + element, from + static_cast<size_t>(b) * element)) return ir::kNoValue;
        std::copy(x, x + element, to + static_cast<size_t>(row * (n / 2) + i) * element);
      }
    return patch_.constant(std::move(made).value());
  }

  const GraphView& view_;
  Patch& patch_;
  bool interleaved_;
};

class Fusion {
 public:
  Fusion(const Match& match, const GraphView& view) : view_(view), root_(match.root()), patch_(view) {}

  Rewrite run() {
    // Which product has the rotated x, and which of its factors that is.
    for (size_t turned : {size_t{0}, size_t{1}}) {
      const ir::Node& with_sin = *view_.producer(root_.inputs[turned]);
      const ir::Node& with_cos = *view_.producer(root_.inputs[1 - turned]);
      for (size_t i : {size_t{0}, size_t{1}}) {
        Region region(view_);
        const auto found = rotated(view_, with_sin.inputs[i], region);
        if (!found) continue;
        if (with_cos.inputs[0] != found->x && with_cos.inputs[1] != found->x)
          return Reject{"another value is rotated than is multiplied by cos"};
        const ir::ValueId cos = with_cos.inputs[with_cos.inputs[0] == found->x ? 1 : 0];
        for (const ir::Node* node : {&root_, &with_sin, &with_cos}) region.add(*node);
        if (const std::string outside = region.used_outside(root_); !outside.empty()) return Reject{outside};
        return fuse(*found, cos, with_sin.inputs[1 - i], region);
      }
    }
    return NoMatch{};
  }

 private:
  Rewrite fuse(const Rotated& found, ir::ValueId cos, ir::ValueId sin, const Region& region) {
    const auto& shape = view_.shape(found.x);
    const DType dtype = view_.dtype(found.x);
    if (!shape || shape->size() != 4 || !view_.same_shape(found.x, root_.outputs[0])) return Reject{"x is not known to have four axes"};
    if (dtype != DType::kFloat32 && dtype != DType::kFloat16 && dtype != DType::kBfloat16)
      return Reject{"its type has no rotary embedding"};
    shape_ = *shape;
    x_ = found.x;
    interleaved_ = found.interleaved;
    // The axis of the heads is the one along which the tables do not change.
    for (size_t axis : {size_t{1}, size_t{2}}) {
      if (!is_table(cos, axis) || !is_table(sin, axis)) continue;
      const ir::ValueId half_cos = table(cos, axis), half_sin = table(sin, axis);
      if (half_cos == ir::kNoValue || half_sin == ir::kNoValue)
        return Reject{"the parts of cos and sin that should be equal are not provably so"};
      return replace(axis, half_cos, half_sin, region);
    }
    return Reject{"cos and sin are not one row for all heads"};
  }

  // The extents of a table, with as many axes as x.
  ir::Shape four_axes(ir::ValueId id) const {
    const ir::Shape& shape = *view_.shape(id);
    ir::Shape four(4 - shape.size(), ir::Dim(1));
    four.insert(four.end(), shape.begin(), shape.end());
    return four;
  }

  // Whether it is [batch or 1, length, size], with 1 for the heads along `axis`.
  bool is_table(ir::ValueId id, size_t axis) const {
    const auto& shape = view_.shape(id);
    if (!shape || shape->size() < 2 || shape->size() > 4 || (shape->size() < 4 && axis != 1)) return false;
    const ir::Shape four = four_axes(id);
    const size_t length = 3 - axis;
    return four[axis].is(1) && four[length] == shape_[length] && four[3] == shape_[3] && (four[0] == shape_[0] || four[0].is(1));
  }

  // The table as [batch, length, size / 2]; kNoValue when what it repeats is not found.
  ir::ValueId table(ir::ValueId id, size_t axis) {
    const size_t rank = view_.shape(id)->size();
    const bool whole_batch = four_axes(id)[0] == shape_[0];
    ir::ValueId half = Halver(view_, patch_, interleaved_).half(id);
    if (half == ir::kNoValue) return half;
    if (rank == 4)
      half = patch_.node("Squeeze", {half, patch_.ints(std::vector<int64_t>{static_cast<int64_t>(axis)})});
    else if (rank == 2)
      half = patch_.node("Unsqueeze", {half, patch_.ints(std::vector<int64_t>{0})});
    if (whole_batch) return half;
    // One table for the whole batch.
    if (batch_ == ir::kNoValue) {
      const ir::ValueId extent = patch_.node("Shape", {x_}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
      batch_ = patch_.node("Concat", {extent, patch_.ints(std::vector<int64_t>{1, 1})}, {{"axis", int64_t{0}}});
    }
    return patch_.node("Expand", {half, batch_});
  }

  Rewrite replace(size_t axis, ir::ValueId cos, ir::ValueId sin, const Region& region) {
    AttrList attrs = {{"interleaved", int64_t{interleaved_ ? 1 : 0}}};
    const ir::Dim &heads = shape_[axis], &size = shape_[3];
    const ir::Node* transpose = axis == 1 ? made_by(view_, x_, "Transpose") : nullptr;
    const bool moved = transpose != nullptr && attr<std::vector<int64_t>>(*transpose, "perm") == std::vector<int64_t>{0, 2, 1, 3};
    ir::ValueId y = ir::kNoValue;
    if ((moved || axis == 2) && heads.is_const() && size.is_const()) {
      const ir::ValueId rows = moved ? transpose->inputs[0] : x_;
      const ir::ValueId packed = patch_.node("Reshape", {rows, patch_.ints(std::vector<int64_t>{0, 0, heads.value() * size.value()})});
      attrs.emplace_back("num_heads", heads.value());
      y = patch_.node("RotaryEmbedding", {packed, cos, sin}, attrs);
      patch_.add_sources(region.sources());
      y = patch_.node("Reshape", {y, patch_.ints(std::vector<int64_t>{0, 0, heads.value(), size.value()})});
      if (moved) y = patch_.node("Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
    } else if (axis == 1) {
      y = patch_.node("RotaryEmbedding", {x_, cos, sin}, attrs);
      patch_.add_sources(region.sources());
    } else {
      return Reject{"the number of heads and their size are not known"};
    }
    patch_.replace(root_.outputs[0], y);
    return std::move(patch_);
  }

  const GraphView& view_;
  const ir::Node& root_;
  Patch patch_;
  ir::Shape shape_;  // of x
  bool interleaved_ = false;
  ir::ValueId x_ = ir::kNoValue, batch_ = ir::kNoValue;
};

Rewrite fuse(const Match& match, const GraphView& view) { return Fusion(match, view).run(); }

// Concat(RotaryEmbedding(first part of x), rest of x): the operator leaves the rest of each head as it is.
Rewrite take_rest(const Match& match, const GraphView& view) {
  const ir::Node &root = match.root(), &rotary = *match.node("rotary");
  Region region(view);
  const auto turned = piece_of(view, rotary.inputs[0], region), rest = piece_of(view, root.inputs[1], region);
  if (!turned || !rest || turned->of != rest->of || !is_last_axis(view, root) || turned->step != 1 || rest->step != 1 ||
      turned->start != 0 || rest->start != turned->count || turned->count + rest->count != last_extent(view, turned->of) ||
      GraphView::input(rotary, 3) != ir::kNoValue || attr<int64_t>(rotary, "rotary_embedding_dim").value_or(0) != 0)
    return NoMatch{};
  const ir::ValueId x = turned->of;
  const auto& shape = view.shape(x);
  if (!shape || shape->size() != 4 || !(*shape)[1].is_const()) return NoMatch{};
  AttrList attrs = {{"interleaved", attr<int64_t>(rotary, "interleaved").value_or(0)}, {"rotary_embedding_dim", turned->count}};
  Patch patch(view);
  const ir::Node* transpose = made_by(view, x, "Transpose");
  ir::ValueId y = ir::kNoValue;
  if (transpose != nullptr && attr<std::vector<int64_t>>(*transpose, "perm") == std::vector<int64_t>{0, 2, 1, 3}) {
    const int64_t heads = (*shape)[1].value(), size = turned->count + rest->count;
    attrs.emplace_back("num_heads", heads);
    y = patch.node("Reshape", {transpose->inputs[0], patch.ints(std::vector<int64_t>{0, 0, heads * size})});
    y = patch.node("RotaryEmbedding", {y, rotary.inputs[1], rotary.inputs[2]}, attrs);
    y = patch.node("Reshape", {y, patch.ints(std::vector<int64_t>{0, 0, heads, size})});
    y = patch.node("Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  } else {
    y = patch.node("RotaryEmbedding", {x, rotary.inputs[1], rotary.inputs[2]}, attrs);
  }
  patch.replace(root.outputs[0], y);
  return patch;
}

std::vector<Rule> rules() {
  return {
      {op("Add", op("Mul", any(), any()), op("Mul", any(), any())), &fuse},
      {op("Concat", op("RotaryEmbedding", any(), any(), any()).as("rotary"), any()), &take_rest},
  };
}

}  // namespace

CAMEO_DEFINE_PASS(fuse_rotary_embedding) = {
    .name = "fuse_rotary_embedding",
    .summary = "finds rotary position embeddings that are written out",
    .rules = &rules,
};

}  // namespace cameo::passes
