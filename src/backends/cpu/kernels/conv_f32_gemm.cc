// Convolution of float32 as a matrix product: output pixels x taps * channels by taps * channels x output channels.
//
// The weights lie in panels of 16 output channels, [group][ceil(M / 16)][taps * channels][16]. A convolution by 1 x 1 with
// stride 1 reads its input in place. Otherwise the windows of a block of output pixels are copied to rows first, a few taps
// at a time so that they stay in the second cache; the copy costs one load and store for as many multiplications as there
// are output channels; of images with very few channels a padded copy is made in its place, in which a window is as many
// contiguous runs as it has rows. Taps that lie in the padding for the whole block are left out: for dilated windows that are wider
// than the image that is most of them.
//
// Work is shared by blocks of output pixels, or, where the weights are much larger than the image, by output channels, so that
// no thread reads all of them. Sums run over taps and channels in one order whatever the blocks.
#include <algorithm>

#include "backends/cpu/kernels/conv_f32.h"
#include "backends/cpu/kernels/tasks.h"
#include "backends/cpu/kernels/worker_scratch.h"
#include "base/thread_pool.h"
#include "ops/cameo_pointwise.h"

namespace cameo::tactics {
namespace {

using cpu::ConvProblem;
using cpu::kPanelWidth;

constexpr int64_t kChunkDepth = 512;          // taps * channels that are copied and multiplied at a time
constexpr int64_t kBlockBytes = 256 << 10;    // of copied rows
constexpr int64_t kSharedBytes = 8 << 20;     // of copied rows when threads share them
constexpr int64_t kSharedWeights = 3;         // times as many weights as what lies in another's cache: threads share them
constexpr int64_t kTaskProducts = 512 << 10;  // multiplications that make a task worth its start,
constexpr int64_t kTaskWeights = 24 << 10;    // or weights that are used once

int64_t panels_of(int64_t columns) { return (columns + kPanelWidth - 1) / kPanelWidth; }
int64_t depth_of(const ConvProblem& p) { return p.taps() * p.in_channels; }
int64_t group_elements(const ConvProblem& p) { return panels_of(p.out_channels) * depth_of(p) * kPanelWidth; }
int64_t packed_elements(const ConvProblem& p) { return p.group * group_elements(p); }

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  ConvProblem p;
  CAMEO_TRY(cpu::check_conv(node, facts, &p));
  if (p.is_depthwise() && p.group > 1) return refuse("a depthwise convolution is no matrix product");
  return {};
}

Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  ConvProblem p;
  CAMEO_TRY(cpu::check_conv(node, facts, &p));
  CAMEO_ASSIGN(Tensor packed, Tensor::allocate(DType::kFloat32, {packed_elements(p)}));
  const float* from = cpu::conv_weights(node, facts).data<float>();
  float* to = packed.data<float>();
  const int64_t taps = p.taps(), depth = depth_of(p);
  for (int64_t g = 0; g < p.group; ++g, to += group_elements(p))
    for (int64_t m = 0; m < p.out_channels; ++m)
      for (int64_t c = 0; c < p.in_channels; ++c)
        for (int64_t t = 0; t < taps; ++t) to[(m / kPanelWidth * depth + t * p.in_channels + c) * kPanelWidth + m % kPanelWidth] = *from++;
  return std::vector<Tensor>{std::move(packed)};
}

// Rows whose distance is a multiple of 4096 bytes would all compete for the same lines of the first cache.
int64_t padded_stride(int64_t depth) { return depth % 512 == 0 ? depth + kPanelWidth : depth; }

class Convolution {
 public:
  Convolution(const ConvProblem& p, const float* packed)
      : p_(p), packed_(packed), taps_(p.taps()), depth_(depth_of(p)), chunk_(std::max<int64_t>(1, kChunkDepth / p.in_channels)) {
    chunk_ = (taps_ + (taps_ + chunk_ - 1) / chunk_ - 1) / ((taps_ + chunk_ - 1) / chunk_);
    // Many rows at such a distance cost more than their copy.
    in_place_ = p.is_plain_product() && (p.all_in_channels() % 1024 != 0 || p.out_channels < 64 || p.rows() <= 8);
  }

  Status run(ops::KernelContext& c) {
    const int64_t threads = c.threads().size(), products = p_.rows() * p_.all_out_channels() * depth_;
    const int64_t tasks =
        cpu::even_tasks(p_.rows() == 1 ? p_.all_out_channels() * depth_ / kTaskWeights : products / kTaskProducts, threads);
    // By columns each thread reads what the others wrote, and the next kernel, by rows, columns of theirs.
    const int64_t inputs = p_.rows() * (in_place_ ? p_.in_channels : depth_);
    const bool shares = p_.group == 1 && p_.out_channels * depth_ > kSharedWeights * (2 * inputs + p_.rows() * p_.out_channels) &&
                        (in_place_ || inputs <= kSharedBytes / static_cast<int64_t>(sizeof(float)));
    if (shares) return run_by_columns(c, tasks);
    return is_better_padded() ? run_on_padded(c, tasks) : run_by_rows(c, tasks);
  }

 private:
  int64_t padded_height() const { return (p_.out_height - 1) * p_.stride_height + (p_.kernel_height - 1) * p_.dilation_height + 1; }
  int64_t padded_width() const { return (p_.out_width - 1) * p_.stride_width + p_.kernel_width; }
  // Short copies of windows cost more than what they hold.
  bool is_better_padded() const {
    return !in_place_ && p_.group == 1 && p_.dilation_width == 1 && p_.kernel_width * p_.in_channels <= 64 && p_.out_width >= 14 &&
           padded_height() <= 2 * p_.in_height + 16 && padded_width() <= 2 * p_.in_width + 16;
  }

  // Whether some window of rows [first, first + rows) may have that tap inside its image.
  bool is_active(int64_t tap, int64_t first, int64_t rows) const {
    const int64_t row0 = first / p_.out_width, row1 = (first + rows - 1) / p_.out_width;
    const int64_t y0 = row0 % p_.out_height, y1 = row0 / p_.out_height == row1 / p_.out_height ? row1 % p_.out_height : -1;
    const int64_t low = (y1 < 0 ? 0 : y0) * p_.stride_height, high = (y1 < 0 ? p_.out_height - 1 : y1) * p_.stride_height;
    const int64_t left = (row0 == row1 ? first % p_.out_width : 0) * p_.stride_width;
    const int64_t right = (row0 == row1 ? (first + rows - 1) % p_.out_width : p_.out_width - 1) * p_.stride_width;
    const int64_t dy = tap / p_.kernel_width * p_.dilation_height - p_.pad_top;
    const int64_t dx = tap % p_.kernel_width * p_.dilation_width - p_.pad_left;
    return high + dy >= 0 && low + dy < p_.in_height && right + dx >= 0 && left + dx < p_.in_width;
  }

  // Calls fn(first_tap, last_tap) for the runs of active taps in [begin, end), in order.
  template <class Fn>
  void for_each_run(int64_t first, int64_t rows, int64_t begin, int64_t end, Fn fn) const {
    for (int64_t tap = begin; tap < end;) {
      while (tap < end && !is_active(tap, first, rows)) ++tap;
      const int64_t start = tap;
      while (tap < end && is_active(tap, first, rows)) ++tap;
      if (start < tap) fn(start, tap);
    }
  }

  // The product for some rows and columns of a group; what it reads of A is set by the caller.
  cpu::PanelGemm product(int64_t group, int64_t first, int64_t rows, int64_t column, int64_t columns, cpu::TileEpilogue& e) const {
    const int64_t channel = group * p_.out_channels + column, offset = first * p_.all_out_channels() + channel;
    e = p_.epilogue;
    if (e.bias != nullptr) e.bias += channel;
    if (e.residual != nullptr) e.residual += offset;
    return {.a = p_.x + first * p_.all_in_channels() + group * p_.in_channels,
            .lda = p_.all_in_channels(),
            .b = packed_ + group * group_elements(p_) + column / kPanelWidth * depth_ * kPanelWidth,
            .panel_step = depth_ * kPanelWidth,
            .c = p_.y + offset,
            .ldc = p_.all_out_channels(),
            .rows = rows,
            .columns = columns,
            .depth = depth_,
            .epilogue = &e};
  }

  // Adds the taps of a run to the product; `seen` and `last` say whether taps went before and none follow.
  static void add_run(cpu::PanelGemm m, const float* a, int64_t lda, int64_t tap, int64_t last_tap, int64_t channels, bool seen,
                      bool last) {
    m.a = a;
    m.lda = lda;
    m.b += tap * channels * kPanelWidth;
    m.depth = (last_tap - tap) * channels;
    m.accumulate = seen;
    if (!last) {
      m.epilogue = nullptr;
      m.next_b = m.b + m.depth * kPanelWidth;
    }
    cpu::panel_gemm_kernels().multiply(m);
  }

  void multiply_in_place(const cpu::PanelGemm& m) const {
    const int64_t chunks = (depth_ + kChunkDepth - 1) / kChunkDepth;
    for (int64_t i = 0; i < chunks; ++i) {
      const int64_t begin = depth_ * i / chunks, end = depth_ * (i + 1) / chunks;
      cpu::PanelGemm part = m;
      part.a += begin;
      part.b += begin * kPanelWidth;
      part.depth = end - begin;
      part.accumulate = i > 0;
      if (end < depth_) {
        part.epilogue = nullptr;
        part.next_b = m.b + end * kPanelWidth;
      }
      cpu::panel_gemm_kernels().multiply(part);
    }
  }

  int64_t last_active(int64_t first, int64_t rows) const {
    int64_t tap = taps_;
    while (tap > 0 && !is_active(tap - 1, first, rows)) --tap;
    return tap;
  }

  void block(int64_t group, int64_t first, int64_t rows, float* copies) const {
    cpu::TileEpilogue e;
    cpu::PanelGemm m = product(group, first, rows, 0, p_.out_channels, e);
    if (in_place_) return multiply_in_place(m);
    const cpu::WindowRows windows = p_.window_rows(group);
    const int64_t end = last_active(first, rows);
    bool seen = false;
    for (int64_t tap = 0; tap < end; tap += chunk_)
      for_each_run(first, rows, tap, std::min(end, tap + chunk_), [&](int64_t begin, int64_t stop) {
        const int64_t ld = padded_stride((stop - begin) * p_.in_channels);
        cpu::panel_gemm_kernels().gather(windows, first, rows, begin, stop, copies, ld);
        add_run(m, copies, ld, begin, stop, p_.in_channels, seen, stop == end);
        seen = true;
      });
    if (seen) return;
    m.depth = 0;
    cpu::panel_gemm_kernels().multiply(m);
  }

  Status run_by_rows(ops::KernelContext& c, int64_t tasks) const {
    const int64_t threads = c.threads().size(), all = p_.rows();
    const int64_t stride = padded_stride(std::min(chunk_, taps_) * p_.in_channels);
    // The rows that are read stay in the second cache, copied or not, and are enough to pass over the weights for.
    constexpr int64_t kFewRows = 56;
    const int64_t most =
        std::max<int64_t>(in_place_ ? kFewRows : 14, kBlockBytes / static_cast<int64_t>(sizeof(float)) / std::min(stride, kChunkDepth));
    int64_t blocks = std::min(tasks, std::max(threads, all / kFewRows / threads * threads));
    if (blocks * most < all) blocks = ((all + most - 1) / most + threads - 1) / threads * threads;
    blocks = std::min(blocks, all);
    const cpu::WorkerScratch copies(c, in_place_ ? 0 : (all + blocks - 1) / blocks * stride);
    CAMEO_TRY(c.check_cancelled());
    c.threads().parallel_for(blocks * p_.group, [&](int64_t task, int worker) {
      const int64_t index = task / p_.group, first = all * index / blocks, last = all * (index + 1) / blocks;
      block(task % p_.group, first, last - first, in_place_ ? nullptr : copies.of(worker));
    });
    return {};
  }

  Status run_on_padded(ops::KernelContext& c, int64_t tasks) const {
    const int64_t height = padded_height(), line = padded_width() * p_.in_channels;
    const int64_t in_line = p_.in_width * p_.in_channels, before = std::min(line, p_.pad_left * p_.in_channels);
    const int64_t inside = std::clamp<int64_t>(line - before, 0, in_line);
    float* padded = c.scratch<float>(p_.batch * height * line).data();
    CAMEO_TRY(c.check_cancelled());
    const int64_t lines = p_.batch * height;
    c.threads().parallel_for(tasks, [&](int64_t task, int) {
      for (int64_t i = lines * task / tasks; i < lines * (task + 1) / tasks; ++i) {
        float* to = padded + i * line;
        const int64_t y = i % height - p_.pad_top;
        if (y < 0 || y >= p_.in_height) {
          std::fill_n(to, line, 0.f);
          continue;
        }
        std::fill_n(to, before, 0.f);
        std::copy_n(p_.x + (i / height * p_.in_height + y) * in_line, inside, to + before);
        std::fill_n(to + before + inside, line - before - inside, 0.f);
      }
    });
    const int64_t rows = p_.batch * p_.out_height;
    c.threads().parallel_for(tasks, [&](int64_t task, int) {
      for (int64_t row = rows * task / tasks; row < rows * (task + 1) / tasks; ++row) {
        cpu::TileEpilogue e;
        cpu::PanelGemm m = product(0, row * p_.out_width, p_.out_width, 0, p_.out_channels, e);
        m.a = padded + (row / p_.out_height * height + row % p_.out_height * p_.stride_height) * line;
        m.lda = p_.stride_width * p_.in_channels;
        m.depth = p_.kernel_width * p_.in_channels;
        m.segments = p_.kernel_height;
        m.segment_step = p_.dilation_height * line;
        cpu::panel_gemm_kernels().multiply(m);
      }
    });
    return {};
  }

  // All rows, in blocks so that few taps are active in each, are copied first; then each thread takes some of the columns.
  Status run_by_columns(ops::KernelContext& c, int64_t tasks) const {
    const int64_t all = p_.rows(), stride = padded_stride(depth_);
    const int64_t rows = in_place_ ? all : std::min(all, std::max<int64_t>(p_.out_width, 28) / p_.out_width * p_.out_width);
    const int64_t blocks = (all + rows - 1) / rows;
    float* copies = nullptr;
    if (!in_place_) {
      copies = c.scratch<float>(all * stride).data();
      const cpu::WindowRows windows = p_.window_rows(0);
      c.threads().parallel_for(tasks == 1 ? 1 : blocks, [&](int64_t task, int) {
        for (int64_t i = task; i < (tasks == 1 ? blocks : task + 1); ++i) {
          const int64_t first = i * rows, count = std::min(rows, all - first);
          for_each_run(first, count, 0, taps_, [&](int64_t begin, int64_t stop) {
            cpu::panel_gemm_kernels().gather(windows, first, count, begin, stop, copies + first * stride + begin * p_.in_channels, stride);
          });
        }
      });
    }
    CAMEO_TRY(c.check_cancelled());
    const int64_t pairs = (panels_of(p_.out_channels) + 1) / 2;
    tasks = std::min(tasks, pairs);
    c.threads().parallel_for(tasks, [&](int64_t task, int) {
      const int64_t column = pairs * task / tasks * 2 * kPanelWidth;
      const int64_t columns = std::min(pairs * (task + 1) / tasks * 2 * kPanelWidth, p_.out_channels) - column;
      cpu::TileEpilogue e;
      if (in_place_) return multiply_in_place(product(0, 0, all, column, columns, e));
      for (int64_t tap = 0; tap < taps_; tap += chunk_)
        for (int64_t first = 0; first < all; first += rows) {
          const int64_t count = std::min(rows, all - first), end = last_active(first, count);
          cpu::PanelGemm m = product(0, first, count, column, columns, e);
          bool seen = tap > 0;
          if (seen) {
            seen = false;
            for_each_run(first, count, 0, tap, [&](int64_t, int64_t) { seen = true; });
          }
          for_each_run(first, count, tap, std::min(end, tap + chunk_), [&](int64_t begin, int64_t stop) {
            add_run(m, copies + first * stride + begin * p_.in_channels, stride, begin, stop, p_.in_channels, seen, stop == end);
            seen = true;
          });
          if (tap == 0 && end == 0) {
            m.depth = 0;
            cpu::panel_gemm_kernels().multiply(m);
          }
        }
    });
    return {};
  }

  const ConvProblem& p_;
  const float* packed_;
  int64_t taps_, depth_;
  int64_t chunk_;  // taps that are multiplied at a time
  bool in_place_;
};

Status multiply(ops::KernelContext& c, const ConvProblem& p, const float* packed) { return Convolution(p, packed).run(c); }
Status run(ops::KernelContext& c) { return cpu::run_conv(c, &packed_elements, &multiply); }

}  // namespace

CAMEO_DEFINE_TACTIC(conv_f32_gemm) = {
    .name = "conv_f32_gemm",
    .op = "Conv",
    .domain = ops::kCameoDomain,
    .supports = &supports,
    .prepack = &prepack,
    .packed_inputs = 2,
    .run = &run,
};
CAMEO_DEFINE_TACTIC(conv_f32_gemm_onnx) = {
    .name = "conv_f32_gemm_onnx",
    .op = "Conv",
    .supports = &supports,
    .prepack = &prepack,
    .packed_inputs = 2,
    .run = &run,
};

}  // namespace cameo::tactics
