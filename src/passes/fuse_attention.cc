// Attention (ai.onnx 23) from its parts: softmax(q * k^T * scale + masks and biases) * v.
//
// - The scale may stand on the scores, on queries or keys, or its root on both; a softcap may follow. A tensor of scales (one for each
//   head, say) goes to the queries.
// - Keys and values may be transposed in any way, repeated for groups of query heads (Unsqueeze, Expand, Reshape), and appended to
//   a past; then present_key and present_value come from the operator too.
// - Masks and biases are added, or put a large negative number in place of scores with Where. Several are added up first: layers
//   that share them share the sum, which common_subexpressions sees to. A mask that is provably causal becomes is_causal.
// - Zeros in place of NaN after the softmax, as torch writes them, are what the operator does by itself.
// - Scores that are seen as [n, windows, heads, …] while a mask per window is added (Swin).
// - More than two axes before the last two of the scores are taken together.
//
// Where a mask cannot be proved to fit the scores, queries, keys and values are expanded to what it has, as Add would have done.
//
// Where queries, keys and values come from [batch, length, heads * size] and the result goes there, the packed form is used, so
// that the transposes on both sides vanish; otherwise [batch, heads, length, size].
//
// Results differ in rounding, with one exception: a query of which every key is masked with -infinity has NaN as its result
// where the graph has no guard against it, and zeros from the operator.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "passes/attention_heads.h"
#include "passes/attention_scores.h"
#include "passes/causal_mask.h"
#include "passes/pass.h"
#include "passes/reshape_target.h"

namespace cameo::passes {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What stands between scores and values.
struct Weights {
  ir::ValueId scores = ir::kNoValue;
  bool in_float = false;    // 16-bit scores are cast to float for the softmax, and back
  bool in_windows = false;  // the softmax is over scores whose first extent is taken apart, which its result is not
};

std::optional<Weights> read_weights(const GraphView& view, ir::ValueId value, Region& region) {
  const DType type = view.dtype(value);
  const ir::Node* back = made_by(view, value, "Cast");
  if (back != nullptr) {
    region.add(*back);
    value = back->inputs[0];
  }
  // Where(IsNaN(p), 0, p)
  if (const ir::Node* guard = made_by(view, value, "Where")) {
    const ir::Node* is_nan = made_by(view, guard->inputs[0], "IsNaN");
    if (is_nan == nullptr || is_nan->inputs[0] != guard->inputs[2] || number_of(view, guard->inputs[1]) != 0.0) return std::nullopt;
    region.add(*guard);
    region.add(*is_nan);
    value = guard->inputs[2];
  }
  const ir::Node* merged = made_by(view, value, "Reshape");
  if (merged != nullptr) {
    const auto &whole = view.shape(value), &parts = view.shape(merged->inputs[0]);
    if (!whole || !parts || !splits_first(*whole, *parts)) return std::nullopt;
    region.add(*merged);
    value = merged->inputs[0];
  }
  const ir::Node* softmax = made_by(view, value, "Softmax");
  if (softmax == nullptr || !view.shape(value)) return std::nullopt;
  const int64_t axis = attr<int64_t>(*softmax, "axis").value_or(softmax->version >= 13 ? -1 : 1);
  const auto rank = static_cast<int64_t>(view.shape(value)->size());
  if (axis != -1 && axis != rank - 1) return std::nullopt;
  region.add(*softmax);
  Weights weights{softmax->inputs[0], false, merged != nullptr};
  if (back != nullptr) {
    const ir::Node* up = made_by(view, softmax->inputs[0], "Cast");
    if (up == nullptr || view.dtype(up->inputs[0]) != type || view.dtype(value) != DType::kFloat32) return std::nullopt;
    region.add(*up);
    weights = {up->inputs[0], true, merged != nullptr};
  }
  return weights;
}

ir::ValueId number(Patch& patch, DType dtype, double value) {
  if (dtype == DType::kFloat32) return patch.constant(Tensor::of<float>({}, {static_cast<float>(value)}));
  const ir::ValueId wide = patch.constant(Tensor::of<double>({}, {value}));
  return dtype == DType::kFloat64 ? wide : patch.node("Cast", {wide}, {{"to", static_cast<int64_t>(dtype)}});
}

// Queries, keys and values as they are read.
struct Operands {
  HeadTensor q, k, v;
  bool packed = false;
};

class Fusion {
 public:
  Fusion(const Match& match, const GraphView& view) : view_(view), root_(match.root()), region_(view), patch_(view) {}

  Rewrite run() {
    region_.add(root_);
    const auto weights = read_weights(view_, root_.inputs[0], region_);
    if (!weights) return NoMatch{};
    std::string problem;
    const auto scores = read_scores(view_, weights->scores, weights->in_windows, region_, problem);
    if (!scores) return problem.empty() ? Rewrite(NoMatch{}) : Reject{problem};
    if (const std::string outside = region_.used_outside(root_); !outside.empty()) return Reject{outside};
    if (Status status = fuse(*weights, *scores); !status.ok()) return Reject{status.error().message()};
    return std::move(patch_);
  }

 private:
  static Error refuse(std::string_view why) { return error(ErrorCode::kUnsupported, "{}", why); }

  Status fuse(const Weights& weights, const Scores& scores) {
    const ir::ValueId product = scores.product->outputs[0];
    dtype_ = view_.dtype(product);
    if (!view_.shape(product) || !view_.shape(root_.inputs[0]) || !view_.shape(root_.outputs[0]) || !ops::kFloatTypes.contains(dtype_))
      return refuse("the shape or type of the scores is not known");
    shape_ = *view_.shape(product);
    if (view_.shape(root_.inputs[0])->size() != shape_.size()) return refuse("a mask or bias has more axes than the scores");
    expands_ = scores.may_broadcast || !view_.same_shape(product, root_.inputs[0]);
    if (shape_.size() > 4) return fuse_flattened(scores, weights);
    if ((expands_ || !scores.factors.empty()) && shape_.size() != 4)
      return refuse("a mask or scale may have more elements than the scores");
    is_packable_ = !expands_ && scores.factors.empty();
    CAMEO_TRY(find_operands(*scores.product));
    CAMEO_TRY(set_attributes(scores, weights, scores.scale * with_.q.scale * with_.k.scale));
    CAMEO_TRY(make_mask(scores));
    return replace(scores);
  }

  Status set_attributes(const Scores& scores, const Weights& weights, double scale) {
    if (!(scale >= 0) || !std::isfinite(scale)) return refuse("scores are multiplied by a negative number");
    attrs_.emplace_back("scale", static_cast<float>(scale));
    if (scores.softcap != 0) attrs_.emplace_back("softcap", static_cast<float>(scores.softcap));
    if (weights.in_float) attrs_.emplace_back("softmax_precision", static_cast<int64_t>(DType::kFloat32));
    return {};
  }

  // ---- Scores with more than four axes: those between the first and the last two are heads.

  Status fuse_flattened(const Scores& scores, const Weights& weights) {
    if (expands_ || !scores.factors.empty()) return refuse(fmt::format("the scores have rank {}", shape_.size()));
    const size_t rank = shape_.size();
    const ir::ValueId q = scores.product->inputs[0], keys = scores.product->inputs[1], v = root_.inputs[1];
    for (ir::ValueId id : {q, keys, v}) {
      if (!view_.shape(id) || view_.shape(id)->size() != rank) return refuse("queries, keys and values differ in rank");
      if (!std::equal(shape_.begin(), shape_.end() - 2, view_.shape(id)->begin()))
        return refuse("the extents of queries, keys and values may differ");
    }
    for (const ScoreTerm& term : scores.terms)
      if (!view_.shape(term.value) || view_.shape(term.value)->size() > 2)
        return refuse(fmt::format("the scores have rank {} and a mask or bias more than two axes", rank));
    CAMEO_TRY(set_attributes(scores, weights, scores.scale));
    CAMEO_TRY(make_mask(scores));
    std::vector<int64_t> swapped(rank);
    for (size_t i = 0; i < rank; ++i) swapped[i] = static_cast<int64_t>(i);
    std::swap(swapped[rank - 2], swapped[rank - 1]);
    CAMEO_ASSIGN(const ir::ValueId flat_q, flattened(q, *view_.shape(q)));
    ir::Shape k_shape = *view_.shape(keys);
    std::swap(k_shape[rank - 2], k_shape[rank - 1]);
    CAMEO_ASSIGN(const ir::ValueId flat_k, flattened(patch_.node("Transpose", {keys}, {{"perm", swapped}}), k_shape));
    CAMEO_ASSIGN(const ir::ValueId flat_v, flattened(v, *view_.shape(v)));
    std::vector<ir::ValueId> inputs = {flat_q, flat_k, flat_v};
    if (mask_ != ir::kNoValue) inputs.push_back(mask_);
    CAMEO_ASSIGN(const std::vector<ir::ValueId> outputs, attention(std::move(inputs), {0}));
    const ir::Shape result = flat_shape(*view_.shape(root_.outputs[0]));
    const auto target = reshape_target(&result, *view_.shape(root_.outputs[0]));
    if (!target) return refuse("the shape of the result cannot be written as constants");
    patch_.replace(root_.outputs[0], patch_.node("Reshape", {outputs[0], patch_.ints(*target)}));
    return {};
  }

  static ir::Shape flat_shape(const ir::Shape& shape) {
    ir::Dim heads = 1;
    for (size_t i = 1; i + 2 < shape.size(); ++i) heads = heads * shape[i];
    return {shape[0], heads, shape[shape.size() - 2], shape[shape.size() - 1]};
  }

  Result<ir::ValueId> flattened(ir::ValueId value, const ir::Shape& shape) {
    const auto target = reshape_target(&shape, flat_shape(shape));
    if (!target) return refuse(fmt::format("the scores have rank {}, and extents that are not known", shape.size()));
    return patch_.node("Reshape", {value, patch_.ints(*target)});
  }

  // ---- Queries, keys and values.

  // The form with the fewest moves that all three can have.
  Status find_operands(const ir::Node& product) {
    for (ir::ValueId id : {product.inputs[0], product.inputs[1], root_.inputs[1]})
      if (!view_.shape(id) || view_.shape(id)->size() != shape_.size()) return refuse("queries, keys and values differ in rank");
    if (shape_.size() != 3 && shape_.size() != 4) return refuse(fmt::format("the scores have rank {}", shape_.size()));
    const bool four = shape_.size() == 4;
    std::string problem = "queries, keys or values are not tensors of heads";
    for (const bool split_batch : {true, false})
      for (const bool packed : {true, false})
        for (const bool past : {true, false}) {
          if ((four && split_batch) || (packed && !(is_packable_ && result_is_moved())) || (past && expands_)) continue;
          if (read_operands(product, four || split_batch, packed, past, problem)) return {};
        }
    return refuse(problem);
  }

  bool read_operands(const ir::Node& product, bool has_heads, bool packed, bool past, std::string& problem) {
    using enum HeadAxis;
    const bool four = shape_.size() == 4;
    const auto axes = [&](HeadAxis a, HeadAxis b) { return four ? std::vector{kBatch, kHead, a, b} : std::vector{kBatch, a, b}; };
    const auto find = [&](ir::ValueId id, std::vector<HeadAxis> order, HeadOptions options) {
      options.may_split_batch = has_heads;
      return deepest(trace_heads(view_, id, std::move(order), options), packed, has_heads);
    };
    const auto q = find(product.inputs[0], axes(kLength, kSize), {.may_scale = true});
    const auto k = find(product.inputs[1], axes(kSize, kLength), {.may_scale = true, .may_have_past = past});
    const auto v = find(root_.inputs[1], axes(kLength, kSize), {.may_have_past = past});
    if (!q || !k || !v) return false;
    const bool with_past = k->past != ir::kNoValue;
    if (with_past != (v->past != ir::kNoValue) || with_past != past) return false;
    problem = "the extents of queries, keys and values may differ";
    if (!(q->size(kBatch) == k->size(kBatch)) || !(q->size(kBatch) == v->size(kBatch)) || !(k->size(kHead) == v->size(kHead)) ||
        q->groups() != 1 || k->groups() != v->groups() ||
        !(k->size(kHead) * ir::Dim(k->groups()) == q->size(kHead) || (k->size(kHead).is(1) && k->groups() == 1)) ||
        !(q->size(kSize) == k->size(kSize)))
      return false;
    if (with_past)
      for (const auto* kv : {&*k, &*v})
        for (ir::ValueId read : {q->value, k->value, v->value, k->past, v->past})
          if (depends_on(read, kv->present)) {
            problem = "what it reads depends on its own present keys or values";
            return false;
          }
    with_ = {*q, *k, *v, packed};
    return true;
  }

  // Whether all that reads the result moves the heads behind the length, as the packed form has them already.
  bool result_is_moved() const {
    if (shape_.size() == 3 && view_.is_output(root_.outputs[0])) return false;
    size_t moved = 0;
    const auto& nodes = view_.graph().nodes;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const ir::Node& node = nodes[i];
      if (node.inputs.empty() || node.inputs[0] != root_.outputs[0] || view_.producer_index(node.outputs[0]) != static_cast<int32_t>(i))
        continue;
      moved += node.op->name == "Transpose" || (shape_.size() == 3 && node.op->name == "Reshape");
    }
    return moved == view_.uses(root_.outputs[0]) || (shape_.size() == 3 && !view_.is_output(root_.outputs[0]));
  }

  // Whether `target` is computed from, to make `value`.
  bool depends_on(ir::ValueId value, ir::ValueId target) const {
    std::vector<ir::ValueId> pending = {value};
    std::vector<char> seen(view_.graph().values.size(), 0);
    while (!pending.empty()) {
      const ir::ValueId id = pending.back();
      pending.pop_back();
      if (id == target) return true;
      if (seen[id]) continue;
      seen[id] = 1;
      if (const ir::Node* node = view_.producer(id)) ir::for_each_use(*node, [&](ir::ValueId used) { pending.push_back(used); });
    }
    return false;
  }

  // ---- The mask.

  Status make_mask(const Scores& scores) {
    const std::vector<ScoreTerm>& terms = scores.terms;
    if (terms.empty()) return {};
    const ir::Dim &queries = shape_[shape_.size() - 2], &keys = shape_.back();
    const ir::Dim past = with_.k.past == ir::kNoValue ? ir::Dim(0) : keys - with_.k.size(HeadAxis::kLength);
    const ScoreTerm& first = terms.front();
    const bool causal = first.kind == ScoreTerm::Kind::kKeep  ? is_causal_mask(view_, first.value, past)
                        : first.kind == ScoreTerm::Kind::kAdd ? is_causal_bias(view_, first.value, past)
                                                              : is_causal_not(first.value, past);
    // A query always sees itself, so what is put in place of the others does not show.
    // What was far below the other scores may no longer be once it was scaled.
    const bool is_far = first.kind == ScoreTerm::Kind::kAdd ? first.factor == 1 : first.fill <= -1e4;
    if (terms.size() == 1 && causal && is_far && !first.windowed && !expands_) {
      attrs_.emplace_back("is_causal", int64_t{1});
      return {};
    }
    for (const ScoreTerm& term : terms) {
      if (!view_.shape(term.value) || view_.dtype(term.value) == DType::kUndefined)
        return refuse("the shape of a mask or bias is not known");
      if (term.replaces && dtype_ != DType::kFloat32 && dtype_ != DType::kFloat64 && term.fill != -kInfinity)
        return refuse("scores of 16 bits are replaced by a finite number");
      if (term.replaces && term.fill > -1e30)
        return refuse(fmt::format("masked scores become {}, not infinitely far below others", term.fill));
      if (with_.k.past != ir::kNoValue && (depends_on(term.value, with_.k.present) || depends_on(term.value, with_.v.present)))
        return refuse("a mask depends on the present keys or values");
    }
    // Everything as one boolean mask, or one sum.
    const bool one = terms.size() == 1 && first.fill == -kInfinity;
    std::optional<ir::Shape> sum_shape;
    if (one && first.kind == ScoreTerm::Kind::kKeep) {
      mask_ = with_heads(first, first.value);
    } else if (one && first.kind == ScoreTerm::Kind::kDrop) {
      mask_ = with_heads(first, patch_.node("Not", {first.value}));
    } else {
      for (const ScoreTerm& term : terms) {
        const ir::ValueId value = with_heads(term, as_bias(term));
        mask_ = mask_ == ir::kNoValue ? value : patch_.node("Add", {mask_, value});
      }
    }
    // The rows and columns that all terms together have, and whether one of them differs between windows.
    bool all_keys = false, windowed = false, per_batch = false;
    size_t rank = 0;
    for (const ScoreTerm& term : terms) {
      const ir::Shape& shape = *view_.shape(stripped(term.value));
      if (shape.empty()) return refuse("a number is added to the scores");
      all_keys |= shape.back() == keys;
      windowed |= term.windowed;
      rank = std::max(rank, shape.size());
      per_batch |= !term.windowed && shape.size() >= shape_.size() && !shape[shape.size() - shape_.size()].is(1);
    }
    if (!all_keys && with_.k.past != ir::kNoValue) return refuse("its mask or bias has no element per key");
    if (!all_keys) CAMEO_TRY(expand_keys());
    if (shape_.size() == 3 && with_.q.has_heads) return mask_of_batch_and_heads(scores);
    if (windowed) {
      if (expands_) return refuse("a mask of windows may have more elements than the scores");
      if (per_batch) return refuse("masks of windows and of the batch are added");
      return mask_of_windows(scores, queries, keys);
    }
    if (rank > shape_.size()) return refuse(fmt::format("a mask or bias has rank {}", rank));
    if (expands_) {
      mask_rank_ = rank;
      may_expand_batch_ = rank == shape_.size() && !all_of(terms, [&](const ScoreTerm& term) {
                            const ir::Shape& shape = *view_.shape(stripped(term.value));
                            return shape.size() < rank || shape[0].is(1) || shape[0] == shape_[0];
                          });
    }
    // Without heads of its own the mask gets an axis for them.
    if (shape_.size() == 3 && rank == 3) mask_ = patch_.node("Unsqueeze", {mask_, patch_.ints(std::vector<int64_t>{1})});
    return {};
  }

  static bool all_of(const std::vector<ScoreTerm>& terms, const std::function<bool(const ScoreTerm&)>& holds) {
    return std::all_of(terms.begin(), terms.end(), holds);
  }

  // The operator takes a mask of one element a row for one of the first key only; Add repeats it for all.
  Status expand_keys() {
    const ir::ValueId v = root_.inputs[1];
    const auto axis = static_cast<int64_t>(view_.shape(v)->size()) - 2;
    const ir::ValueId keys = patch_.node("Shape", {v}, {{"start", axis}, {"end", axis + 1}});
    mask_ = patch_.node("Expand", {mask_, keys});
    return {};
  }

  bool is_causal_not(ir::ValueId dropped, const ir::Dim& past) const {
    const ir::Node* made = made_by(view_, dropped, "Not");
    return made != nullptr && is_causal_mask(view_, made->inputs[0], past);
  }

  // Repeats that broadcasting makes anyway are left out; not where they may be what gives the scores more rows.
  ir::ValueId stripped(ir::ValueId value) const {
    const ir::Node* expand = made_by(view_, value, "Expand");
    if (expands_ || expand == nullptr || !view_.shape(expand->inputs[0]) || !view_.shape(value)) return value;
    const ir::Shape &from = *view_.shape(expand->inputs[0]), &to = *view_.shape(value);
    // Keys are counted by the last extent, which must be whole.
    return from.size() == to.size() && !from.empty() && from.back() == to.back() ? expand->inputs[0] : value;
  }

  ir::ValueId as_bias(const ScoreTerm& term) {
    const ir::ValueId value = stripped(term.value);
    if (term.kind == ScoreTerm::Kind::kAdd)
      return term.factor == 1 ? value : patch_.node("Mul", {value, number(patch_, dtype_, term.factor)});
    // The Where that is there, when it is added.
    const ir::ValueId zero = number(patch_, dtype_, 0), fill = number(patch_, dtype_, term.fill);
    return term.kind == ScoreTerm::Kind::kKeep ? patch_.node("Where", {value, zero, fill}) : patch_.node("Where", {value, fill, zero});
  }

  // What is added to scores of shape [batch * heads, queries, keys], as [batch, heads, …].
  ir::ValueId with_heads(const ScoreTerm& term, ir::ValueId value) {
    const ir::Shape& shape = *view_.shape(stripped(term.value));
    if (shape_.size() != 3 || !with_.q.has_heads || term.windowed || shape.size() != 3 || shape[0].is(1)) return value;
    const ir::ValueId heads = patch_.ints(std::vector<int64_t>{with_.q.size(HeadAxis::kHead).value()});
    const auto extents = [&](int64_t from, int64_t to) { return patch_.node("Shape", {value}, {{"start", from}, {"end", to}}); };
    const ir::ValueId target =
        patch_.node("Concat", {patch_.node("Div", {extents(0, 1), heads}), heads, extents(1, 3)}, {{"axis", int64_t{0}}});
    return patch_.node("Reshape", {value, target}, {{"allowzero", int64_t{1}}});
  }

  // [1, windows, 1 or heads, queries, keys], the same for each of n images, for a batch of n * windows.
  Status mask_of_windows(const Scores& scores, const ir::Dim& queries, const ir::Dim& keys) {
    const ir::Shape& seen = *view_.shape(scores.windows);
    ir::Dim heads = 1;
    for (const ScoreTerm& term : scores.terms) {
      const ir::Shape& shape = *view_.shape(term.value);
      if (term.windowed && (shape.size() != 5 || !shape[0].is(1) || !(shape[1] == seen[1])))
        return refuse("its mask is not one per window");
      if (shape.size() >= 3 && !shape[shape.size() - 3].is(1)) heads = shape[shape.size() - 3];
    }
    if (!seen[1].is_const() || !heads.is_const() || !queries.is_const() || !keys.is_const())
      return refuse("the extents of its windows are not known");
    // The batch of what is read, divided by the windows: how often the masks repeat.
    const ir::ValueId batch = patch_.node("Shape", {with_.q.value}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
    if (with_.q.layout.empty() || with_.q.layout[0] != std::vector{HeadAxis::kBatch})
      return refuse("its windows are not along the first axis");
    const ir::ValueId repeats = patch_.node("Div", {batch, patch_.ints(std::vector<int64_t>{seen[1].value()})});
    const ir::ValueId target = patch_.node("Concat", {repeats, patch_.ints(std::vector<int64_t>{1, 1, 1, 1})}, {{"axis", int64_t{0}}});
    mask_ = patch_.node("Expand", {mask_, target});
    mask_ = patch_.node("Reshape", {mask_, patch_.ints(std::vector<int64_t>{-1, heads.value(), queries.value(), keys.value()})});
    return {};
  }

  // For scores of shape [batch * heads, queries, keys], seen as [batch, heads, queries, keys] while terms are added.
  Status mask_of_batch_and_heads(const Scores& scores) {
    for (const ScoreTerm& term : scores.terms) {
      if (!term.windowed && (view_.shape(term.value)->size() > 3 || !with_.q.size(HeadAxis::kHead).is_const()))
        return refuse("its mask has batch and heads in one axis");
      if (!term.windowed) continue;
      const ir::Shape& seen = *view_.shape(scores.windows);
      if (!(seen[0] == with_.q.size(HeadAxis::kBatch)) || !(seen[1] == with_.q.size(HeadAxis::kHead)))
        return refuse("its mask takes batch and heads apart in another way");
    }
    return {};
  }

  // ---- The operator.

  Status replace(const Scores& scores) {
    const HeadTensor &q = with_.q, &k = with_.k, &v = with_.v;
    std::vector<PackedSplit> splits;
    const auto operand = [&](const HeadTensor& heads) { return with_.packed ? as_packed(patch_, heads, splits) : as_heads(patch_, heads); };
    std::vector<ir::ValueId> inputs = {operand(q), operand(k), operand(v)};
    for (const ScoreFactor& factor : scores.factors) inputs[0] = patch_.node(factor.divides ? "Div" : "Mul", {inputs[0], factor.value});
    if (expands_ && mask_ != ir::kNoValue) expand_to_mask(inputs);
    const bool past = k.past != ir::kNoValue;
    if (mask_ != ir::kNoValue || past) inputs.push_back(mask_);
    if (past) inputs.insert(inputs.end(), {k.past, v.past});
    if (with_.packed) {
      attrs_.emplace_back("q_num_heads", q.size(HeadAxis::kHead).value());
      attrs_.emplace_back("kv_num_heads", k.size(HeadAxis::kHead).value());
    }
    // The chain that goes away reads each present once.
    const auto needed = [&](ir::ValueId present) { return view_.uses(present) > 1 ? ir::ValueId{0} : ir::kNoValue; };
    std::vector<ir::ValueId> wanted = {0};
    if (past) wanted.insert(wanted.end(), {needed(k.present), needed(v.present)});
    while (wanted.back() == ir::kNoValue) wanted.pop_back();
    CAMEO_ASSIGN(const std::vector<ir::ValueId> outputs, attention(std::move(inputs), std::move(wanted)));
    for (size_t i = 1; i < outputs.size(); ++i)
      if (outputs[i] != ir::kNoValue) patch_.replace(i == 1 ? k.present : v.present, outputs[i]);
    return replace_result(outputs[0]);
  }

  // The operator's results: new values where `outputs` has no kNoValue.
  Result<std::vector<ir::ValueId>> attention(std::vector<ir::ValueId> inputs, std::vector<ir::ValueId> outputs) {
    ir::Node node;
    node.op = ops::find_op("", "Attention");
    node.version = node.op->max_version;
    node.inputs = std::move(inputs);
    node.outputs = std::move(outputs);
    CAMEO_ASSIGN(node.attrs, make_attrs(*node.op, attrs_));
    node.sources = region_.sources();
    return patch_.node(std::move(node));
  }

  // Repeats queries for the rows that the mask has and they may not have; keys and values for its batch.
  void expand_to_mask(std::vector<ir::ValueId>& inputs) {
    const auto extents = [&](size_t count) {
      return patch_.node("Shape", {mask_}, {{"start", int64_t{0}}, {"end", static_cast<int64_t>(count)}});
    };
    const auto expanded = [&](ir::ValueId value, ir::ValueId leading, std::vector<int64_t> ones) {
      return patch_.node("Expand", {value, patch_.node("Concat", {leading, patch_.ints(ones)}, {{"axis", int64_t{0}}})});
    };
    if (mask_rank_ > 1) inputs[0] = expanded(inputs[0], extents(mask_rank_ - 1), {1});
    if (!may_expand_batch_) return;
    for (size_t i : {size_t{1}, size_t{2}}) inputs[i] = expanded(inputs[i], extents(1), {1, 1, 1});
  }

  // Gives the result the layout that the product with the values has.
  Status replace_result(ir::ValueId y) {
    const ir::ValueId old = root_.outputs[0];
    const HeadTensor &q = with_.q, &v = with_.v;
    if (with_.packed && q.has_heads) {
      y = patch_.node("Reshape",
                      {y, patch_.ints(std::vector<int64_t>{0, 0, q.size(HeadAxis::kHead).value(), v.size(HeadAxis::kSize).value()})});
      y = patch_.node("Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
    }
    if (shape_.size() == 3) {
      if (q.has_heads) {
        const ir::Shape four = {q.size(HeadAxis::kBatch), q.size(HeadAxis::kHead), q.size(HeadAxis::kLength), v.size(HeadAxis::kSize)};
        if (const auto target = reshape_target(&four, *view_.shape(old))) {
          y = patch_.node("Reshape", {y, patch_.ints(*target)});
        } else {
          const ir::Dim &heads = q.size(HeadAxis::kHead), &size = v.size(HeadAxis::kSize);
          if (!heads.is_const() || !size.is_const()) return refuse("the shape of the result cannot be written as constants");
          const auto extent = [&](int64_t axis) { return patch_.node("Shape", {y}, {{"start", axis}, {"end", axis + 1}}); };
          const auto ints = [&](int64_t n) { return patch_.ints(std::vector<int64_t>{n}); };
          const ir::ValueId rows = patch_.node("Mul", {extent(0), ints(heads.value())});
          const ir::ValueId all = patch_.node("Concat", {rows, extent(2), ints(size.value())}, {{"axis", int64_t{0}}});
          y = patch_.node("Reshape", {y, all}, {{"allowzero", int64_t{1}}});
        }
      } else if (!with_.packed) {
        y = patch_.node("Squeeze", {y, patch_.ints(std::vector<int64_t>{1})});
      }
    }
    patch_.replace(old, y);
    return {};
  }

  const GraphView& view_;
  const ir::Node& root_;
  Region region_;
  Patch patch_;
  DType dtype_ = DType::kUndefined;
  ir::Shape shape_;  // of the scores
  Operands with_;
  AttrList attrs_;
  ir::ValueId mask_ = ir::kNoValue;
  bool is_packable_ = true;        // false: only [batch, heads, length, size] will do
  bool expands_ = false;           // the mask may have more rows, heads or batch than the scores
  bool may_expand_batch_ = false;  // more batch
  size_t mask_rank_ = 0;
};

Rewrite fuse(const Match& match, const GraphView& view) { return Fusion(match, view).run(); }

std::vector<Rule> rules() { return {{op("MatMul", any(), any()), &fuse}}; }

}  // namespace

CAMEO_DEFINE_PASS(fuse_attention) = {
    .name = "fuse_attention",
    .summary = "finds attention that is written out as products and softmax",
    .rules = &rules,
};

}  // namespace cameo::passes
