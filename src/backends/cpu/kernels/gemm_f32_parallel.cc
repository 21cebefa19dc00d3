#include "backends/cpu/kernels/gemm_f32_parallel.h"

#include <algorithm>

#include "base/thread_pool.h"

namespace cameo::cpu {
namespace {

using ops::PointOp;

// Rows are dealt out in whole tiles of at most 14, which suits the tiles of all instruction sets.
constexpr int64_t kTileRows = 14, kBlockTiles = kGemmBlockRows / kTileRows;

// Whether the program is a chain: each instruction works on the result before it, and on operands or constants.
bool make_chain(std::span<const ops::PointInstruction> code, std::span<const float> constants, GemmEpilogue& e) {
  if (code.size() > kMaxGemmSteps) return false;
  const int num_inputs = e.num_operands + 1;
  for (size_t i = 0; i < code.size(); ++i) {
    const ops::PointInstruction& in = code[i];
    const int x = i == 0 ? 0 : num_inputs + static_cast<int>(i) - 1;
    GemmStep step{.op = in.op};
    const auto constant = [&](int16_t reg) { return reg < 0 ? constants[static_cast<size_t>(-1 - reg)] : 0.f; };
    if (in.op == PointOp::kAdd || in.op == PointOp::kSub || in.op == PointOp::kMul || in.op == PointOp::kDiv) {
      step.swapped = in.a != x;
      const int16_t other = step.swapped ? in.a : in.b;
      if ((step.swapped ? in.b : in.a) != x || other == x || other >= num_inputs || other == 0) return false;
      step.operand = static_cast<int8_t>(other < 0 ? -1 : other - 1);
      step.constants[0] = constant(other);
    } else if (ops::num_operands(in.op) == 1) {
      if (in.a != x) return false;
    } else if (in.op == PointOp::kClip || in.op == PointOp::kHardSigmoid) {
      if (in.a != x || in.b >= 0 || in.c >= 0) return false;
      step.constants[0] = constant(in.b);
      step.constants[1] = constant(in.c);
    } else {
      return false;
    }
    e.steps[e.num_steps++] = step;
  }
  return true;
}

// Takes from the front of a chain what runs in registers: one row, one matrix, then one range.
void take_first_steps(GemmEpilogue& e) {
  int i = 0;
  const auto adds = [&](auto&& fits) {
    if (i == e.num_steps || e.steps[i].op != PointOp::kAdd || e.steps[i].operand < 0) return int8_t{-1};
    const GemmOperand& operand = e.operands[e.steps[i].operand];
    return operand.by_column && fits(operand) ? e.steps[i++].operand : int8_t{-1};
  };
  const auto is_row = [](const GemmOperand& o) { return o.row_stride == 0 && (o.step_stride == 0 || o.rows_per_step == INT64_MAX); };
  const auto is_matrix = [](const GemmOperand& o) { return o.rows_per_step == INT64_MAX; };
  e.bias = adds(is_row);
  e.residual = adds(is_matrix);
  if (i < e.num_steps && (e.steps[i].op == PointOp::kRelu || e.steps[i].op == PointOp::kClip)) {
    e.clip = true;
    e.low = e.steps[i].op == PointOp::kRelu ? 0 : e.steps[i].constants[0];
    e.high = e.steps[i].op == PointOp::kRelu ? __builtin_inff() : e.steps[i].constants[1];
    ++i;
  }
  e.num_steps -= i;
  std::copy_n(e.steps + i, e.num_steps, e.steps);
}

}  // namespace

GemmEpilogue gemm_epilogue(std::span<const ops::PointInstruction> code, std::span<const float> constants,
                           std::span<const GemmOperand> operands, float alpha) {
  GemmEpilogue e;
  e.alpha = alpha;
  e.num_operands = static_cast<int>(operands.size());
  std::copy(operands.begin(), operands.end(), e.operands);
  e.run_row = pointwise_kernels().run_row;
  if (make_chain(code, constants, e)) {
    take_first_steps(e);
    return e;
  }
  e.num_steps = 0;
  e.code = code.data();
  e.num_instructions = static_cast<int>(code.size());
  e.constants = constants.data();
  return e;
}

int64_t gemm_cost(int64_t rows, int64_t depth, int64_t columns) {
  // 100 multiplications a nanosecond from registers, 10 elements of B from memory.
  const double product = static_cast<double>(rows) * static_cast<double>(depth) * static_cast<double>(columns);
  const double matrix = static_cast<double>(depth) * static_cast<double>(columns);
  const double stored = static_cast<double>(rows) * static_cast<double>(columns);
  return static_cast<int64_t>(std::min(std::max(product / 100, matrix / 10) + stored / 20, 1e18));
}

void gemm_f32_serial(const GemmF32& gemm, int64_t rows, int64_t panel_begin, int64_t panel_end, float* scratch) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows, blocks = (tiles + kBlockTiles - 1) / kBlockTiles;
  const auto row_at = [&](int64_t block) { return rows * (tiles * block / blocks) / tiles; };
  for (int64_t block = 0; block < blocks; ++block)
    gemm_f32_kernels().multiply(gemm, row_at(block), row_at(block + 1), panel_begin, panel_end, nullptr, scratch);
}

namespace {

// How products are cut into tasks.
struct Split {
  int64_t tiles, row_blocks, column_blocks;
  int64_t group, groups;  // panels in a group; number of groups
  bool parallel;
  bool pack_first;  // all of A, for all tasks
};

int64_t num_panels(const GemmF32& part) { return (part.columns + kPanelColumns - 1) / kPanelColumns; }
// Panels are dealt out in groups.
int64_t num_groups(const GemmF32& part, int64_t group) { return (num_panels(part) + group - 1) / group; }

Split split(int threads, std::span<const GemmF32> parts, int64_t rows) {
  Split s = {};
  int64_t cost = 0;
  for (const GemmF32& part : parts) cost += gemm_cost(rows, part.depth, part.columns);
  for (s.group = 4; s.group > 0; s.group /= 2) {
    s.groups = 0;
    for (const GemmF32& part : parts) s.groups += num_groups(part, s.group);
    if (s.groups >= 2 * threads || s.group == 1) break;
  }
  if (rows <= 0 || s.groups == 0) return s;
  s.tiles = (rows + kTileRows - 1) / kTileRows;
  s.row_blocks = (s.tiles + kBlockTiles - 1) / kBlockTiles;
  s.column_blocks = 1;
  s.parallel = threads > 1 && cost >= kMinParallelCost;
  if (!s.parallel) return s;
  // Rows stay with a thread from one node to the next, in its cache, where there are enough to pay for reading B as often.
  constexpr int64_t kRowsOfThread = 48;
  if (rows >= kRowsOfThread * threads) s.row_blocks = std::max<int64_t>(s.row_blocks, threads);
  const int64_t most = std::clamp<int64_t>(cost / kMinParallelCost, threads, int64_t{8} * threads);
  // Columns first: a block of rows uses each panel from the L1 cache. Each task packs its rows, which pays for many columns
  // only; few rows are packed once for all, which takes a turn of all threads of its own.
  constexpr int64_t kPackFirstCost = 10000;
  s.pack_first = rows > 1 && s.row_blocks <= 2 * threads && cost >= kPackFirstCost;
  constexpr int64_t kWideGroups = 4;
  const int64_t widest = s.pack_first || rows == 1 ? s.groups : std::max<int64_t>(s.groups / kWideGroups, 1);
  s.column_blocks = std::min((most + s.row_blocks - 1) / s.row_blocks, widest);
  // Where there are too few columns for that, rows; a few tiles still share the panels.
  constexpr int64_t kFewTiles = 4;
  const int64_t least = std::min<int64_t>(most, int64_t{4} * threads);
  if (s.row_blocks * s.column_blocks < least)
    s.row_blocks = std::max(s.row_blocks, std::min(s.tiles / kFewTiles, (most + s.column_blocks - 1) / s.column_blocks));
  // As many for each thread.
  if (s.row_blocks > 1) s.row_blocks = std::min((s.row_blocks + threads - 1) / threads * threads, s.tiles);
  s.pack_first = s.pack_first && s.column_blocks > 1;
  return s;
}

}  // namespace

int64_t gemm_f32_scratch(const ThreadPool& pool, std::span<const GemmF32> parts, int64_t rows) {
  const Split s = split(pool.size(), parts, rows);
  return s.pack_first ? rows * gemm_depth_blocks(parts[0].depth) * kGemmRowStride : kGemmScratch * (s.parallel ? pool.size() : 1);
}

void gemm_f32(ThreadPool& pool, std::span<const GemmF32> parts, int64_t rows, float* scratch) {
  const GemmF32Kernels& kernels = gemm_f32_kernels();
  const Split s = split(pool.size(), parts, rows);
  // Evenly: a few rows more or less make little difference to a tile, but one tile more does to a thread.
  const auto row_at = [&](int64_t block) { return rows * block / s.row_blocks; };
  const auto group_at = [&](int64_t block) { return s.groups * block / s.column_blocks; };
  const auto packed_at = [&](int64_t block) { return scratch + row_at(block) * gemm_depth_blocks(parts[0].depth) * kGemmRowStride; };
  if (s.pack_first) {
    const int64_t depth_blocks = gemm_depth_blocks(parts[0].depth);
    pool.parallel_for(s.row_blocks * depth_blocks, [&](int64_t task, int) {
      const int64_t block = task / depth_blocks;
      kernels.pack_rows(parts[0], row_at(block), row_at(block + 1), task % depth_blocks, packed_at(block));
    });
  }
  const auto run = [&](int64_t task, int worker) {
    const int64_t row = task / s.column_blocks, columns = task % s.column_blocks;
    const float* packed = s.pack_first ? packed_at(row) : nullptr;
    // The groups of columns count through all parts.
    int64_t begin = group_at(columns), end = group_at(columns + 1);
    for (const GemmF32& part : parts) {
      if (end <= 0) break;
      const int64_t panel_begin = std::max<int64_t>(begin, 0) * s.group, panel_end = std::min(end * s.group, num_panels(part));
      kernels.multiply(part, row_at(row), row_at(row + 1), panel_begin, panel_end, packed, scratch + worker * kGemmScratch);
      begin -= num_groups(part, s.group);
      end -= num_groups(part, s.group);
    }
  };
  const int64_t tasks = s.row_blocks * s.column_blocks;
  if (s.parallel && tasks > 1) {
    pool.parallel_for(tasks, run);
  } else {
    for (int64_t task = 0; task < tasks; ++task) run(task, 0);
  }
}

}  // namespace cameo::cpu
