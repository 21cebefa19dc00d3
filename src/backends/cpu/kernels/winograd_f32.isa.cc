// A vector holds channels; each transform is applied along one axis of the tile and then along the other.
#include "backends/cpu/kernels/winograd_f32.h"

#include "backends/cpu/kernels/tile_epilogue.isa.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

template <int M>
struct Transform;

template <>
struct Transform<4> {
  static constexpr float kA = static_cast<float>(kWinogradA), kB = static_cast<float>(kWinogradB);
  static constexpr float kA2 = static_cast<float>(kWinogradA * kWinogradA), kB2 = static_cast<float>(kWinogradB * kWinogradB);
  static constexpr float kProduct = static_cast<float>(kWinogradA * kWinogradA * kWinogradB * kWinogradB);
  static constexpr float kSum = static_cast<float>(kWinogradA * kWinogradA + kWinogradB * kWinogradB);
  static constexpr float kA3 = static_cast<float>(kWinogradA * kWinogradA * kWinogradA);
  static constexpr float kB3 = static_cast<float>(kWinogradB * kWinogradB * kWinogradB);

  // r = B^T d
  CAMEO_INLINE void input(const Vec (&d)[6], Vec (&r)[6]) {
    const Vec even_a = d[4] - kB2 * d[2], odd_a = kA * (d[3] - kB2 * d[1]);
    const Vec even_b = d[4] - kA2 * d[2], odd_b = kB * (d[3] - kA2 * d[1]);
    r[0] = kProduct * d[0] + (d[4] - kSum * d[2]);
    r[1] = even_a + odd_a;
    r[2] = even_a - odd_a;
    r[3] = even_b + odd_b;
    r[4] = even_b - odd_b;
    r[5] = kProduct * d[1] + (d[5] - kSum * d[3]);
  }
  // r = A^T m
  CAMEO_INLINE void output(const Vec (&m)[6], Vec (&r)[4]) {
    const Vec sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    r[0] = m[0] + (sum_a + sum_b);
    r[1] = kA * difference_a + kB * difference_b;
    r[2] = kA2 * sum_a + kB2 * sum_b;
    r[3] = kA3 * difference_a + (kB3 * difference_b + m[5]);
  }
};

template <>
struct Transform<2> {
  CAMEO_INLINE void input(const Vec (&d)[4], Vec (&r)[4]) {
    r[0] = d[2] - d[0];
    r[1] = d[2] + d[1];
    r[2] = d[2] - d[1];
    r[3] = d[3] - d[1];
  }
  CAMEO_INLINE void output(const Vec (&m)[4], Vec (&r)[2]) {
    r[0] = m[0] + (m[1] + m[2]);
    r[1] = (m[1] - m[2]) + m[3];
  }
};

// Where a tile lies; next() goes to the one after it.
struct Position {
  int64_t image, down, across;
  explicit Position(const WinogradTiles& t)
      : image(t.first / (t.across * t.down)), down(t.first / t.across % t.down), across(t.first % t.across) {}
  void next(const WinogradTiles& t) {
    if (++across < t.across) return;
    across = 0;
    if (++down < t.down) return;
    down = 0;
    ++image;
  }
};

CAMEO_INLINE Vec load_some(const float* p, int64_t n) { return n >= kLanes ? load(p) : load_part(p, n); }

template <int M>
void input(const WinogradInput& in) {
  constexpr int kSize = M + 2;
  Position at(in.tiles);
  for (int64_t t = 0; t < in.tiles.count; ++t, at.next(in.tiles)) {
    const int64_t top = at.down * M - in.pad_top, left = at.across * M - in.pad_left;
    const float* base = in.x + ((at.image * in.height + top) * in.width + left) * in.pixel_step;
    const int64_t line = in.width * in.pixel_step;
    const bool inside = top >= 0 && left >= 0 && top + kSize <= in.height && left + kSize <= in.width;
    float* out = in.v + t * in.stride;
    for (int64_t c = 0; c < in.channels; c += kLanes) {
      const int64_t lanes = in.channels - c;
      Vec half[kSize][kSize];  // [column][row of the transform]
      for (int j = 0; j < kSize; ++j) {
        Vec d[kSize];
        if (inside && lanes >= kLanes) {
          for (int i = 0; i < kSize; ++i) d[i] = load(base + i * line + j * in.pixel_step + c);
        } else {
          const bool column = left + j >= 0 && left + j < in.width;
          for (int i = 0; i < kSize; ++i)
            d[i] = column && top + i >= 0 && top + i < in.height ? load_some(base + i * line + j * in.pixel_step + c, lanes) : Vec{};
        }
        Transform<M>::input(d, half[j]);
      }
      for (int i = 0; i < kSize; ++i) {
        Vec d[kSize], r[kSize];
        for (int j = 0; j < kSize; ++j) d[j] = half[j][i];
        Transform<M>::input(d, r);
        for (int j = 0; j < kSize; ++j) store(out + (i * kSize + j) * in.step + c, r[j]);
      }
    }
  }
}

template <int M>
void output(const WinogradOutput& o) {
  constexpr int kSize = M + 2;
  Position at(o.tiles);
  for (int64_t t = 0; t < o.tiles.count; ++t, at.next(o.tiles)) {
    const int64_t top = at.down * M, left = at.across * M;
    const int64_t rows = o.height - top < M ? o.height - top : M, columns = o.width - left < M ? o.width - left : M;
    const int64_t offset = ((at.image * o.height + top) * o.width + left) * o.pixel_step;
    const int64_t line = o.width * o.pixel_step;
    const float* from = o.m + t * o.stride;
    for (int64_t c = 0; c < o.channels; c += kLanes) {
      const int64_t lanes = o.channels - c;
      Vec half[kSize][M];  // [row of m][column of y]
      for (int i = 0; i < kSize; ++i) {
        Vec m[kSize];
        for (int j = 0; j < kSize; ++j) m[j] = load(from + (i * kSize + j) * o.step + c);
        Transform<M>::output(m, half[i]);
      }
      const Vec bias = o.epilogue.bias != nullptr ? load_some(o.epilogue.bias + c, lanes) : Vec{};
      for (int j = 0; j < M; ++j) {
        if (j >= columns) break;
        Vec m[kSize], y[M];
        for (int i = 0; i < kSize; ++i) m[i] = half[i][j];
        Transform<M>::output(m, y);
        const int64_t pixel = offset + j * o.pixel_step + c;
        for (int i = 0; i < M; ++i) y[i] += bias;
        if (o.epilogue.residual != nullptr)
          for (int i = 0; i < M; ++i)
            if (i < rows) y[i] += load_some(o.epilogue.residual + pixel + i * line, lanes);
        activate(o.epilogue, y);
        for (int i = 0; i < M; ++i)
          if (i < rows) {
            if (lanes >= kLanes)
              store(o.y + pixel + i * line, y[i]);
            else
              store_part(o.y + pixel + i * line, y[i], lanes);
          }
      }
    }
  }
}

}  // namespace

extern const WinogradKernels winograd_f32_kernels = {
    .input4 = &input<4>, .output4 = &output<4>, .input2 = &input<2>, .output2 = &output<2>};

}  // namespace cameo::cpu::CAMEO_ISA
