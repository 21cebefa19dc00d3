// Interpolation is separable: one pass per axis whose extent or position changes, those that shrink first, so that no
// intermediate is larger than input or output. A pass reads each output row as a weighted sum of a few input rows (the
// taps); positions and weights are worked out once per pass. Nearest needs no arithmetic and copies by tables of indices.
#include "ops/interpolate.h"

#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct Pass {
  size_t axis;
  int64_t in, out;
  ResampledAxis how;
};

// The position in the input that belongs to position i of the output.
double source_position(const Pass& p, Coordinates coordinates, int64_t i) {
  const auto in = static_cast<double>(p.in), x = static_cast<double>(i);
  const double scale = p.how.scale, length = scale * in;  // the output's extent before it was cut to a whole number
  switch (coordinates) {
    case Coordinates::kAlignCorners:
      return length == 1 ? 0 : x * (in - 1) / (length - 1);
    case Coordinates::kAsymmetric:
      return x / scale;
    case Coordinates::kTfHalfPixelForNn:
      return (x + 0.5) / scale;
    case Coordinates::kTfCropAndResize: {
      const double roi = p.how.roi_end - p.how.roi_start;
      return p.how.roi_start * (in - 1) + (length == 1 ? roi * (in - 1) / 2 : x * roi * (in - 1) / (length - 1));
    }
    case Coordinates::kPytorchHalfPixel:
      return length == 1 ? -0.5 : (x + 0.5) / scale - 0.5;
    case Coordinates::kHalfPixelSymmetric:
      return in / 2 * (1 - static_cast<double>(p.out) / length) + (x + 0.5) / scale - 0.5;
    case Coordinates::kHalfPixel:
      break;
  }
  return (x + 0.5) / scale - 0.5;
}

bool is_outside(const Pass& p, Coordinates coordinates, double position) {
  return coordinates == Coordinates::kTfCropAndResize && !(position >= 0 && position <= static_cast<double>(p.in - 1));
}

// Kept where later steps can subtract taps without overflow; beyond the input every position reads its edge.
double clamp_position(const Pass& p, double position) {
  const double far = static_cast<double>(p.in) * 8 + 16;
  return std::isnan(position) ? 0 : std::clamp(position, -far, far);
}

int64_t nearest_index(const Pass& p, const Resampling& how, double position) {
  position = clamp_position(p, position);
  double rounded = 0;
  switch (how.rounding) {
    case Rounding::kRoundPreferFloor:
      rounded = std::ceil(position - 0.5);
      break;
    case Rounding::kRoundPreferCeil:
      rounded = std::floor(position + 0.5);
      break;
    case Rounding::kFloor:
      rounded = std::floor(position);
      break;
    case Rounding::kCeil:
      rounded = std::ceil(position);
      break;
  }
  return std::clamp<int64_t>(static_cast<int64_t>(rounded), 0, p.in - 1);
}

// The filters by distance from the position: a triangle, and Keys's cubic (1981) with its free coefficient a.
double triangle(double distance) { return std::max(0.0, 1 - std::fabs(distance)); }
double cubic(double distance, double a) {
  const double x = std::fabs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// Weighted sums: output position i is the sum of weights[i * taps + t] * input[indices[i * taps + t]].
template <class C>
struct Taps {
  int64_t count = 0;
  std::span<int64_t> indices;
  std::span<C> weights;
  std::span<uint8_t> outside;
};

template <class C>
Taps<C> make_taps(KernelContext& c, const Pass& p, const Resampling& how) {
  // When the filter is stretched to cover 1 / scale input elements its distances shrink by scale.
  const double stretch = how.antialias ? std::min(p.how.scale, 1.0) : 1;
  const double radius = how.mode == Interpolation::kCubic ? 2 : 1;
  const int64_t first = static_cast<int64_t>(std::floor(-radius / stretch)) + 1;
  Taps<C> taps;
  taps.count = 2 - 2 * first;
  taps.indices = c.scratch<int64_t>(p.out * taps.count);
  taps.weights = c.scratch<C>(p.out * taps.count);
  taps.outside = c.scratch<uint8_t>(p.out);
  const auto row = c.scratch<double>(taps.count);
  for (int64_t i = 0; i < p.out; ++i) {
    double position = source_position(p, how.coordinates, i);
    taps.outside[static_cast<size_t>(i)] = is_outside(p, how.coordinates, position);
    position = clamp_position(p, position);
    // A whole position is the right neighbour of the element before it: its distance is in (0, 1].
    const double base = std::ceil(position) - 1, ratio = position - base;
    double sum = 0;
    for (int64_t t = 0; t < taps.count; ++t) {
      const double distance = (static_cast<double>(first + t) - ratio) * stretch;
      const int64_t at = static_cast<int64_t>(base) + first + t;
      double weight = how.mode == Interpolation::kCubic ? cubic(distance, how.cubic_a) : triangle(distance);
      if (how.exclude_outside && (at < 0 || at >= p.in)) weight = 0;
      row[static_cast<size_t>(t)] = weight;
      sum += weight;
      taps.indices[static_cast<size_t>(i * taps.count + t)] = std::clamp<int64_t>(at, 0, p.in - 1);
    }
    const bool normalise = (how.antialias || how.exclude_outside) && sum != 0;
    for (int64_t t = 0; t < taps.count; ++t)
      taps.weights[static_cast<size_t>(i * taps.count + t)] = static_cast<C>(row[static_cast<size_t>(t)] / (normalise ? sum : 1));
  }
  return taps;
}

// from is [outer, in, inner], to is [outer, out, inner].
template <class C>
void run_pass(const Pass& p, const Taps<C>& taps, int64_t outer, int64_t inner, C extrapolation, const C* from, C* to) {
  for (int64_t o = 0; o < outer; ++o, from += p.in * inner)
    for (int64_t i = 0; i < p.out; ++i, to += inner) {
      const int64_t* index = &taps.indices[static_cast<size_t>(i * taps.count)];
      const C* weight = &taps.weights[static_cast<size_t>(i * taps.count)];
      if (taps.outside[static_cast<size_t>(i)]) {
        std::fill_n(to, inner, extrapolation);
      } else if (inner == 1) {
        C sum = 0;
        for (int64_t t = 0; t < taps.count; ++t) sum += weight[t] * from[index[t]];
        *to = sum;
      } else {
        const C* row = from + index[0] * inner;
        for (int64_t k = 0; k < inner; ++k) to[k] = weight[0] * row[k];
        for (int64_t t = 1; t < taps.count; ++t) {
          if (weight[t] == 0) continue;
          row = from + index[t] * inner;
          for (int64_t k = 0; k < inner; ++k) to[k] += weight[t] * row[k];
        }
      }
    }
}

template <class T, class C>
T saturated(C value) {
  if constexpr (std::is_integral_v<T>) {
    const C rounded = std::nearbyint(value);
    if (!(rounded > static_cast<C>(std::numeric_limits<T>::min()))) return std::numeric_limits<T>::min();
    return rounded >= static_cast<C>(std::numeric_limits<T>::max()) ? std::numeric_limits<T>::max() : static_cast<T>(rounded);
  } else {
    return static_cast<T>(value);
  }
}

// T is the element type, C what is computed in.
template <class T, class C>
Status interpolate(KernelContext& c, const Tensor& x, Tensor& y, std::span<const Pass> passes, const Resampling& how,
                   RunInterpolation run) {
  Dims dims = x.dims();
  const C* from = nullptr;
  if constexpr (std::is_same_v<T, C>) {
    from = x.data<T>();
  } else {
    const auto converted = c.scratch<C>(x.num_elements());
    for (int64_t i = 0; i < x.num_elements(); ++i)
      converted[static_cast<size_t>(i)] = static_cast<C>(static_cast<compute_t<T>>(x.data<T>()[i]));
    from = converted.data();
  }
  for (size_t k = 0; k < passes.size(); ++k) {
    CAMEO_TRY(c.check_cancelled());
    const Pass& p = passes[k];
    const Taps<C> taps = make_taps<C>(c, p, how);
    const int64_t outer = product(dims, 0, p.axis), inner = product(dims, p.axis + 1, dims.rank());
    dims[p.axis] = p.out;
    C* to = nullptr;
    if constexpr (std::is_same_v<T, C>) {
      if (k + 1 == passes.size()) to = y.data<T>();
    }
    if (to == nullptr) to = c.scratch<C>(dims.num_elements()).data();
    const C extrapolation = static_cast<C>(how.extrapolation);
    bool done = false;
    if constexpr (std::is_same_v<T, float>) {
      if (run != nullptr) {
        run(c, {outer, p.in, p.out, inner, taps.count, taps.indices.data(), taps.weights.data(), taps.outside.data(), extrapolation, from,
                to});
        done = true;
      }
    }
    if (!done) run_pass(p, taps, outer, inner, extrapolation, from, to);
    from = to;
  }
  if constexpr (!std::is_same_v<T, C>)
    for (int64_t i = 0; i < y.num_elements(); ++i) y.data<T>()[i] = saturated<T>(from[i]);
  return {};
}

// Copies by tables of source offsets, one per axis; -1 stands for the extrapolated value.
template <class T>
T* copy_nearest(const Dims& dims, size_t axis, const int64_t* const* tables, const T& outside, const T* from, T* to) {
  const int64_t n = dims[axis];
  const int64_t* table = tables[axis];
  if (axis + 1 == dims.rank()) {
    for (int64_t i = 0; i < n; ++i) to[i] = table[i] < 0 ? outside : from[table[i]];
    return to + n;
  }
  const int64_t block = product(dims, axis + 1, dims.rank());
  for (int64_t i = 0; i < n; ++i) {
    if (i > 0 && table[i] == table[i - 1])
      std::copy_n(to - block, block, to);
    else if (table[i] < 0)
      std::fill_n(to, block, outside);
    else
      copy_nearest(dims, axis + 1, tables, outside, from + table[i], to);
    to += block;
  }
  return to;
}

Status resample_nearest(KernelContext& c, const Tensor& x, Tensor& y, std::span<const Pass> passes, const Resampling& how) {
  const Dims strides = strides_of(x.dims());
  const auto tables = c.scratch<int64_t*>(static_cast<int64_t>(x.rank()));
  for (size_t axis = 0; axis < x.rank(); ++axis) {
    tables[axis] = c.scratch<int64_t>(y.dim(axis)).data();
    for (int64_t i = 0; i < y.dim(axis); ++i) tables[axis][i] = i * strides[axis];
  }
  for (const Pass& p : passes)
    for (int64_t i = 0; i < p.out; ++i) {
      const double position = source_position(p, how.coordinates, i);
      tables[p.axis][i] = is_outside(p, how.coordinates, position) ? -1 : nearest_index(p, how, position) * strides[p.axis];
    }
  if (how.coordinates == Coordinates::kTfCropAndResize)
    return dispatch_numbers(x.dtype(), "tf_crop_and_resize", [&](auto tag) -> Status {
      using T = typename decltype(tag)::type;
      copy_nearest(y.dims(), 0, tables.data(), saturated<T>(how.extrapolation), static_cast<const T*>(x.data<T>()), y.data<T>());
      return {};
    });
  return dispatch_storage(x.dtype(), "Resize", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    copy_nearest(y.dims(), 0, tables.data(), T{}, static_cast<const T*>(x.data<T>()), y.data<T>());
    return {};
  });
}

}  // namespace

Status resample(KernelContext& c, const Tensor& x, Tensor& y, std::span<const ResampledAxis> axes, const Resampling& how,
                RunInterpolation run) {
  if (y.num_elements() == 0) return {};
  const auto all = c.scratch<Pass>(static_cast<int64_t>(x.rank()));
  size_t count = 0;
  for (size_t i = 0; i < x.rank(); ++i) {
    if (x.dim(i) == 0) return error(ErrorCode::kInvalidInput, "axis {} has no element that could be resampled to {}", i, y.dim(i));
    const ResampledAxis& a = axes[i];
    const bool same = std::fabs(a.scale - 1) <= 1e-9 && x.dim(i) == y.dim(i) &&
                      (how.coordinates != Coordinates::kTfCropAndResize || (a.roi_start == 0 && a.roi_end == 1));
    if (!same) all[count++] = {i, x.dim(i), y.dim(i), a};
  }
  if (count == 0) return copy_elements(x.dtype(), x.raw(), y.raw(), y.num_elements()), Status{};
  const auto passes = all.first(count);
  if (how.mode == Interpolation::kNearest) return resample_nearest(c, x, y, passes, how);
  std::stable_partition(passes.begin(), passes.end(), [](const Pass& p) { return p.out < p.in; });
  return dispatch_numbers(x.dtype(), "Interpolation", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    // 32- and 64-bit integers do not fit a float.
    using C = std::conditional_t<std::is_same_v<T, double> || (std::is_integral_v<T> && sizeof(T) >= 4), double, float>;
    return interpolate<T, C>(c, x, y, passes, how, run);
  });
}

}  // namespace cameo::ops
