// TfIdfVectorizer (ai.onnx 9): counts n-grams of each row. An n-gram takes every (skip + 1)-th element, for skips from 0 to
// max_skip_count. The pool holds all 1-grams, then all 2-grams, …; ngram_counts says where each length starts, and
// ngram_indexes the column that each n-gram is counted in. Modes: TF gives the counts, IDF 1 where there are any, TFIDF the
// counts; the last two times the weight of the column.
#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "ops/op.h"

namespace cameo::ops {
namespace {

struct TfIdfVectorizerAttrs : ir::AttrsOf<TfIdfVectorizerAttrs> {
  std::string mode;
  int64_t max_gram_length = 0, max_skip_count = 0, min_gram_length = 0;
  std::vector<int64_t> ngram_counts, ngram_indexes, pool_int64s;
  std::vector<std::string> pool_strings;
  std::vector<float> weights;
  void visit(ir::AttrVisitor& v) override {
    v("mode", mode);
    v("max_gram_length", max_gram_length);
    v("max_skip_count", max_skip_count);
    v("min_gram_length", min_gram_length);
    v("ngram_counts", ngram_counts);
    v("ngram_indexes", ngram_indexes);
    v("pool_int64s", pool_int64s);
    v("pool_strings", pool_strings);
    v("weights", weights);
  }
};

Status check(const TfIdfVectorizerAttrs& a) {
  if (a.mode != "TF" && a.mode != "IDF" && a.mode != "TFIDF")
    return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: 'TF', 'IDF', 'TFIDF'", a.mode);
  if (a.min_gram_length < 1 || a.max_gram_length < a.min_gram_length || a.max_skip_count < 0)
    return error(ErrorCode::kInvalidModel,
                 "min_gram_length is {}, max_gram_length {}, max_skip_count {}; needed: 1 <= min <= max, 0 <= skip", a.min_gram_length,
                 a.max_gram_length, a.max_skip_count);
  if (a.pool_int64s.empty() == a.pool_strings.empty())
    return error(ErrorCode::kInvalidModel, "exactly one of pool_int64s and pool_strings must be given");
  const auto pool = static_cast<int64_t>(std::max(a.pool_int64s.size(), a.pool_strings.size()));
  int64_t ngrams = 0;
  for (size_t i = 0; i < a.ngram_counts.size(); ++i) {
    const int64_t start = a.ngram_counts[i], end = i + 1 < a.ngram_counts.size() ? a.ngram_counts[i + 1] : pool;
    const auto length = static_cast<int64_t>(i + 1);
    if (start < 0 || end < start || end > pool || (end - start) % length != 0)
      return error(ErrorCode::kInvalidModel, "ngram_counts gives {}-grams the pool's items {} to {} of {}", length, start, end, pool);
    ngrams += (end - start) / length;
  }
  if (a.ngram_indexes.empty() || std::ssize(a.ngram_indexes) != ngrams)
    return error(ErrorCode::kInvalidModel, "ngram_indexes has {} entries for {} n-grams", a.ngram_indexes.size(), ngrams);
  for (int64_t index : a.ngram_indexes)
    if (index < 0 || index >= int64_t{1} << 40) return error(ErrorCode::kInvalidModel, "ngram_indexes holds {}", index);
  if (!a.weights.empty() && a.weights.size() != a.ngram_indexes.size())
    return error(ErrorCode::kInvalidModel, "there are {} weights for {} n-grams", a.weights.size(), a.ngram_indexes.size());
  return {};
}

int64_t num_columns(const TfIdfVectorizerAttrs& a) { return *std::max_element(a.ngram_indexes.begin(), a.ngram_indexes.end()) + 1; }

Status infer(InferContext& c) {
  const auto& a = c.attrs<TfIdfVectorizerAttrs>();
  CAMEO_TRY(check(a));
  if (c.dtype(0) != DType::kUndefined && (c.dtype(0) == DType::kString) == a.pool_strings.empty())
    return error(ErrorCode::kInvalidModel, "the input is {}, which does not go with the pool given", dtype_name(c.dtype(0)));
  ir::Type type = ir::Type::tensor(DType::kFloat32);
  if (c.shape(0)) {
    if (c.shape(0)->size() > 2) return error(ErrorCode::kInvalidInput, "the input has rank {}; allowed: 0 to 2", c.shape(0)->size());
    type.shape.emplace();
    if (c.shape(0)->size() == 2) type.shape->push_back(c.shape(0)->front());
    type.shape->push_back(num_columns(a));
  }
  c.set_output(0, std::move(type));
  return {};
}

// The n-grams of the lengths asked for, as a tree: an edge for each element leads to what n-grams go on with.
template <class Key>
class NgramTree {
 public:
  static constexpr int32_t kNone = -1;

  NgramTree(const TfIdfVectorizerAttrs& a, std::span<const Key> pool) {
    int32_t ngram = 0;
    for (size_t i = 0; i < a.ngram_counts.size(); ++i) {
      const auto length = static_cast<int64_t>(i + 1);
      const int64_t end = i + 1 < a.ngram_counts.size() ? a.ngram_counts[i + 1] : std::ssize(pool);
      for (int64_t at = a.ngram_counts[i]; at < end; at += length, ++ngram)
        if (length >= a.min_gram_length && length <= a.max_gram_length)
          add(pool.subspan(static_cast<size_t>(at), static_cast<size_t>(length)), ngram);
    }
  }

  // The node that `key` leads to, or kNone.
  int32_t next(int32_t node, const Key& key) const {
    const auto symbol = symbols_.find(key);
    if (symbol == symbols_.end()) return kNone;
    const auto edge = edges_.find(edge_key(node, symbol->second));
    return edge == edges_.end() ? kNone : edge->second;
  }
  // The n-gram that ends at the node, or kNone.
  int32_t ngram(int32_t node) const { return ngrams_[static_cast<size_t>(node)]; }

 private:
  static uint64_t edge_key(int32_t node, uint32_t symbol) { return static_cast<uint64_t>(node) << 32 | symbol; }
  void add(std::span<const Key> keys, int32_t ngram) {
    int32_t node = 0;
    for (const Key& key : keys) {
      const uint32_t symbol = symbols_.emplace(key, static_cast<uint32_t>(symbols_.size())).first->second;
      const auto [edge, added] = edges_.emplace(edge_key(node, symbol), static_cast<int32_t>(ngrams_.size()));
      if (added) ngrams_.push_back(kNone);
      node = edge->second;
    }
    ngrams_[static_cast<size_t>(node)] = ngram;
  }

  std::unordered_map<Key, uint32_t> symbols_;
  std::unordered_map<uint64_t, int32_t> edges_;
  std::vector<int32_t> ngrams_ = {kNone};
};

// Counts the n-grams of a row of `length` elements; get(i) gives one.
template <class Key, class Get>
void count(const TfIdfVectorizerAttrs& a, const NgramTree<Key>& tree, int64_t length, Get get, float* counts) {
  int64_t shortest = a.min_gram_length;
  for (int64_t step = 1; step <= std::min(a.max_skip_count, length) + 1 && shortest <= a.max_gram_length; ++step) {
    for (int64_t start = 0; start < length; ++start) {
      int32_t node = 0;
      for (int64_t n = 1, at = start; n <= a.max_gram_length && at < length; ++n, at += step) {
        node = tree.next(node, get(at));
        if (node < 0) break;
        if (n >= shortest && tree.ngram(node) >= 0) counts[a.ngram_indexes[static_cast<size_t>(tree.ngram(node))]] += 1;
      }
    }
    if (shortest == 1) ++shortest;  // skips make no difference to single elements, so they count once
  }
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<TfIdfVectorizerAttrs>();
  const Tensor& x = c.input(0);
  const int64_t columns = num_columns(a), rows = x.rank() == 2 ? x.dim(0) : 1, length = x.rank() == 0 ? 1 : x.dims().back();
  float* y = c.output(0).data<float>();
  std::fill_n(y, rows * columns, 0.f);
  const auto count_rows = [&](const auto& tree, auto get) -> Status {
    for (int64_t r = 0; r < rows; ++r) {
      CAMEO_TRY(c.check_cancelled());
      count(
          a, tree, length, [&](int64_t i) { return get(r * length + i); }, y + r * columns);
    }
    return {};
  };
  if (x.dtype() == DType::kString) {
    const std::vector<std::string_view> pool(a.pool_strings.begin(), a.pool_strings.end());
    CAMEO_TRY(count_rows(NgramTree<std::string_view>(a, pool), [&](int64_t i) { return std::string_view(x.data<std::string>()[i]); }));
  } else {
    const bool wide = x.dtype() == DType::kInt64;
    CAMEO_TRY(
        count_rows(NgramTree<int64_t>(a, a.pool_int64s), [&](int64_t i) { return wide ? x.data<int64_t>()[i] : x.data<int32_t>()[i]; }));
  }
  if (a.mode == "TF") return {};
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < columns; ++k) {
      float& value = y[r * columns + k];
      if (a.mode == "IDF") value = value > 0 ? 1.f : 0.f;
      if (k < std::ssize(a.weights)) value *= a.weights[static_cast<size_t>(k)];
    }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(TfIdfVectorizer) = {
    .name = "TfIdfVectorizer",
    .min_version = 9,
    .input_types = {kStringType | kIndexTypes},
    .make_attrs = &ir::make_attrs<TfIdfVectorizerAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
