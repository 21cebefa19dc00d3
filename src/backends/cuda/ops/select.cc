// NonZero, Compress, NonMaxSuppression: operators whose results have as many elements as the data say. They write into memory for the
// most there can be, laid out for the number there is, and that number behind the outputs; the host reads it and sets the extents.
#include <algorithm>
#include <bit>

#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

constexpr int kThreads = 256, kPerThread = 16, kPerBlock = kThreads * kPerThread;

// The exclusive sums of `values`, int64[n], in place, and their total: one block.
Status prefix_sums(StepBuilder& b, const Operand& values, const Operand& total) {
  Source s;
  s.line("__shared__ i64 sums[1024]; i64 carry = 0;");
  s.line(fmt::format("for (I first = 0; first < {}; first += 1024) {{", s.number(values.dims.num_elements())));
  const std::string name = s.write(values), n = s.number(values.dims.num_elements());
  s.line(fmt::format("const i64 own = first + t < {} ? {}[first + t] : 0;", n, name));
  s.line("sums[t] = own; __syncthreads();");
  s.line(
      "for (int d = 1; d < 1024; d *= 2) { const i64 more = t >= d ? sums[t - d] : 0; __syncthreads(); sums[t] += more; __syncthreads(); "
      "}");
  s.line(fmt::format("if (first + t < {}) {}[first + t] = carry + sums[t] - own;", n, name));
  s.line("carry += sums[1023]; __syncthreads(); }");
  s.line(fmt::format("if (t == 0) {}[0] = carry;", s.write(total)));
  return s.launch_blocks(b, 1, 1024);
}

// Calls of `keep` for each element that a condition holds for, in order: `at` is its index, `to` how many came before it and `count`
// how many there are. `condition` gives the condition for index `j`.
template <class Condition, class Keep>
Status select(StepBuilder& b, int64_t elements, const Operand& count, Condition condition, Keep keep) {
  const int64_t blocks = std::max<int64_t>(1, (elements + kPerBlock - 1) / kPerBlock);
  const Operand sums = b.scratch(DType::kInt64, Dims{blocks});
  const auto own_range = [&](Source& s) {
    const std::string n = s.number(elements);
    s.line(fmt::format("const I first = block * {} + t * {}; const I end = first + {} < {} ? first + {} : {};", kPerBlock, kPerThread,
                       kPerThread, n, kPerThread, n));
    s.line(fmt::format("int own = 0; for (I j = first; j < end; ++j) own += {} ? 1 : 0;", condition(s)));
  };
  {
    Source s;
    own_range(s);
    s.line("own = block_reduce(own, Plus());");
    s.line(fmt::format("if (t == 0) {}[block] = own;", s.write(sums)));
    CAMEO_TRY(s.launch_blocks(b, blocks, kThreads));
  }
  CAMEO_TRY(prefix_sums(b, sums, count));
  Source s;
  own_range(s);
  s.line(fmt::format("__shared__ int before[{0}]; before[t] = own; __syncthreads();", kThreads));
  s.line(
      fmt::format("for (int d = 1; d < {}; d *= 2) {{ const int more = t >= d ? before[t - d] : 0; __syncthreads(); before[t] += more; "
                  "__syncthreads(); }}",
                  kThreads));
  s.line(fmt::format("i64 to = {}[block] + before[t] - own; const i64 count = {}[0];", s.read(sums), s.read(count)));
  s.line(fmt::format("for (I at = first; at < end; ++at) {{ const I j = at; if (!({})) continue;", condition(s)));
  keep(s);
  s.line("++to; }");
  return s.launch_blocks(b, blocks, kThreads);
}

// ---- NonZero: [rank, n], the indices of each element along each axis ----

Result<Bound> bound_of_non_zero(const ir::Node&, const Attributes&, std::span<const View> inputs) {
  const Dims& x = inputs[0].dims;
  return Bound{Dims{static_cast<int64_t>(x.rank()), x.num_elements()}, 1};
}

Status make_non_zero(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0), count = b.output(1);
  return select(
      b, x.dims.num_elements(), count, [&](Source& s) { return fmt::format("({} != 0)", s.load(x, "j")); },
      [&](Source& s) {
        const auto at = s.unravel("at", x.dims);
        for (size_t a = 0; a < at.size(); ++a) s.line(fmt::format("{}[{} * count + to] = {};", s.write(y), a, at[a]));
      });
}

// ---- Compress: the slices along an axis, or the elements, for which the condition holds ----

Result<Bound> bound_of_compress(const ir::Node&, const Attributes& attrs, std::span<const View> inputs) {
  const Dims& x = inputs[0].dims;
  if (!attrs.has("axis")) return Bound{Dims{x.num_elements()}, 0};
  return Bound{x, axis_of(attrs.integer("axis"), x.rank())};
}

Status make_compress(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand condition, b.input(1));
  const Operand y = b.output(0), count = b.output(1);
  const bool flat = !b.attrs().has("axis");
  const size_t axis = flat ? 0 : axis_of(b.attrs().integer("axis"), x.dims.rank());
  const int64_t extent = flat ? x.dims.num_elements() : x.dims[axis], outer = flat ? 1 : product(x.dims, 0, axis),
                inner = flat ? 1 : product(x.dims, axis + 1, x.dims.rank());
  const int64_t named = std::min(extent, condition.dims.num_elements());
  // Where each slice goes, or -1; then all elements at once.
  const Operand place = b.scratch(DType::kInt64, Dims{std::max<int64_t>(1, extent)});
  Source clear;
  clear.store(place, "i", "-1ll");
  CAMEO_TRY(clear.launch_elements(b, extent));
  CAMEO_TRY(select(
      b, named, count, [&](Source& s) { return s.load(condition, "j"); },
      [&](Source& s) { s.line(fmt::format("{}[at] = to;", s.write(place))); }));
  Source s;
  const auto at = s.unravel("i", Dims{outer, extent, inner});
  s.line(fmt::format("const i64 to = {}; if (to < 0) return;", s.load(place, at[1])));
  s.line(fmt::format("const i64 count = {};", s.load(count, "0")));
  s.store(y, fmt::format("(({}) * count + to) * {} + {}", at[0], s.number(inner), at[2]), s.load(x, "i"));
  return s.launch_elements(b, outer * extent * inner);
}

// ---- NonMaxSuppression ----

int64_t most_kept(const Tensor* limit, int64_t boxes) {
  if (!limit || limit->num_elements() == 0 || limit->dtype() != DType::kInt64) return 0;
  return std::clamp<int64_t>(limit->data<int64_t>()[0], 0, boxes);
}

Result<Bound> bound_of_suppression(const ir::Node&, const Attributes&, std::span<const View> inputs) {
  const Dims& scores = inputs[1].dims;
  const Tensor* limit = inputs.size() > 2 && inputs[2].value.defined() ? &inputs[2].value : nullptr;
  return Bound{Dims{scores[0] * scores[1] * most_kept(limit, scores[2]), 3}, 0};
}

// A block takes a batch and class: it collects the candidates, sorts them by falling scores, of equal ones by rising indices, and
// goes through them; the boxes that a kept one overlaps are crossed out by all threads at once. Products are rounded one by one,
// so that overlaps on the threshold fall as on the CPU.
constexpr const char* kSuppression = R"cuda(
struct Box { float x0, y0, x1, y1; };
inline bool overlaps(Box a, Box b, float threshold) {
  const float w = __fsub_rn(fminf(a.x1, b.x1), fmaxf(a.x0, b.x0)), h = __fsub_rn(fminf(a.y1, b.y1), fmaxf(a.y0, b.y0));
  if (!(w > 0 && h > 0)) return false;
  const float both = __fmul_rn(w, h), area_a = __fmul_rn(__fsub_rn(a.x1, a.x0), __fsub_rn(a.y1, a.y0)),
              area_b = __fmul_rn(__fsub_rn(b.x1, b.x0), __fsub_rn(b.y1, b.y0)), either = __fsub_rn(__fadd_rn(area_a, area_b), both);
  if (!(both > 0 && area_a > 0 && area_b > 0 && either > 0)) return false;
  return __fdiv_rn(both, either) > threshold;
}
inline bool before(float v, int i, float w, int j) { return j < 0 ? i >= 0 : i >= 0 && (v > w || (v == w && i < j)); }
)cuda";

Status make_suppression(StepBuilder& b) {
  CAMEO_ASSIGN(Operand boxes, b.input(0));
  CAMEO_ASSIGN(Operand scores, b.input(1));
  const Operand y = b.output(0), total = b.output(1);
  const int64_t rows = scores.dims[0] * scores.dims[1], n = scores.dims[2], limit = most_kept(b.value(2), n);
  const auto scalar = [&](size_t i) -> const float* {
    const Tensor* t = b.value(i);
    return t && t->num_elements() > 0 && t->dtype() == DType::kFloat32 ? t->data<float>() : nullptr;
  };
  const float iou = scalar(3) ? *scalar(3) : 0.f;
  if (!(iou >= 0 && iou <= 1)) return error(ErrorCode::kInvalidInput, "iou_threshold is {}; allowed are 0 to 1", iou);
  if (n > INT32_MAX / 2) return error(ErrorCode::kUnsupported, "NonMaxSuppression of {} boxes", n);
  const bool center = b.attrs().integer("center_point_box") != 0;
  const int64_t room = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(1, n))));
  const Operand counts = b.scratch(DType::kInt64, Dims{std::max<int64_t>(1, rows)});
  if (rows == 0 || limit == 0) {
    Source s;
    s.store(total, "i", "0");
    return s.launch_elements(b, 1);
  }
  const Operand value = b.scratch(DType::kFloat32, Dims{rows, room}), index = b.scratch(DType::kInt32, Dims{rows, room}),
                kept = b.scratch(DType::kInt32, Dims{rows, limit});
  {
    Source s;
    s.declare(kSuppression);
    const auto at = s.unravel("block", Dims{scores.dims[0], scores.dims[1]});
    const std::string box = s.read(boxes), score = s.read(scores), number = s.number(n);
    s.line(fmt::format("float* v = {} + block * {}; int* x = {} + block * {};", s.write(value), s.number(room), s.write(index),
                       s.number(room)));
    s.line(fmt::format("int* kept = {} + block * {};", s.write(kept), s.number(limit)));
    s.line(fmt::format("const float* own = {} + block * {}; const float* corner = {} + ({}) * {} * 4;", score, number, box, at[0], number));
    s.line("__shared__ int found; if (t == 0) found = 0; __syncthreads();");
    const std::string good = scalar(4) ? fmt::format("own[j] > {}", literal(*scalar(4))) : "own[j] == own[j]";
    s.line(
        fmt::format("for (int j = t; j < {}; j += blockDim.x) if ({}) {{ const int k = atomicAdd(&found, 1); v[k] = own[j]; x[k] = j; }}",
                    number, good));
    s.line("__syncthreads(); const int candidates = found; int size = 1; while (size < candidates) size *= 2;");
    s.line("for (int j = candidates + t; j < size; j += blockDim.x) { v[j] = 0; x[j] = -1; }");
    s.line("__syncthreads();");
    s.line("for (int run = 2; run <= size; run *= 2) for (int d = run / 2; d > 0; d /= 2) {");
    s.line("for (int k = t; k < size / 2; k += blockDim.x) {");
    s.line("const int i = (k / d) * 2 * d + k % d, j = i + d; const bool rising = (i & run) != 0;");
    s.line(
        "if (before(v[j], x[j], v[i], x[i]) != rising) { const float a = v[i]; v[i] = v[j]; v[j] = a; const int c = x[i]; x[i] = x[j]; "
        "x[j] = c; }");
    s.line("}");
    s.line("__syncthreads(); }");
    const auto load_box = [&](const std::string& j) {
      return fmt::format(
          fmt::runtime(
              center ? "Box{{__fsub_rn(corner[{0} * 4], corner[{0} * 4 + 2] / 2), __fsub_rn(corner[{0} * 4 + 1], corner[{0} * 4 + 3] / "
                       "2), __fadd_rn(corner[{0} * 4], corner[{0} * 4 + 2] / 2), __fadd_rn(corner[{0} * 4 + 1], corner[{0} * 4 + 3] / 2)}}"
                     : "Box{{fminf(corner[{0} * 4 + 1], corner[{0} * 4 + 3]), fminf(corner[{0} * 4], corner[{0} * 4 + 2]), "
                       "fmaxf(corner[{0} * 4 + 1], corner[{0} * 4 + 3]), fmaxf(corner[{0} * 4], corner[{0} * 4 + 2])}}"),
          j);
    };
    s.line("int count = 0;");
    s.line(fmt::format("for (int i = 0; i < candidates && count < {}; ++i) {{", s.number(limit)));
    s.line("const int j = ((volatile int*)x)[i]; if (j < 0) continue;");
    s.line("if (t == 0) kept[count] = j;");
    s.line(fmt::format("++count; const Box a = {};", load_box("j")));
    s.line(fmt::format(
        "for (int k = i + 1 + t; k < candidates; k += blockDim.x) if (x[k] >= 0) {{ const int o = x[k]; if (overlaps({}, a, {})) x[k] = "
        "-1; }}",
        load_box("o"), literal(iou)));
    s.line("__syncthreads(); }");
    s.line(fmt::format("if (t == 0) {}[block] = count;", s.write(counts)));
    CAMEO_TRY(s.launch_blocks(b, rows, 512));
  }
  CAMEO_TRY(prefix_sums(b, counts, total));
  Source s;
  const auto at = s.unravel("i", Dims{rows, limit});
  s.line(fmt::format("const I row = {}, k = {}; const i64 first = {}, end = row + 1 < {} ? {} : {}; if (k >= end - first) return;", at[0],
                     at[1], s.load(counts, "row"), s.number(rows), s.load(counts, "row + 1"), s.load(total, "0")));
  const auto parts = s.unravel("row", Dims{scores.dims[0], scores.dims[1]});
  s.line(fmt::format("i64* to = {} + (first + k) * 3; to[0] = {}; to[1] = {}; to[2] = {};", s.write(y), parts[0], parts[1],
                     s.load(kept, "i")));
  return s.launch_elements(b, rows * limit);
}

}  // namespace

std::vector<DeviceOp> select_ops() {
  return {
      {"NonZero", "", make_non_zero, 0, bound_of_non_zero},
      {"Compress", "", make_compress, 0, bound_of_compress},
      {"NonMaxSuppression", "", make_suppression, 0b11100, bound_of_suppression},
  };
}

}  // namespace cameo::cuda
