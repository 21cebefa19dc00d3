// Programs of element-by-element operations, instruction by instruction over blocks of a tile.
//
// A block holds up to 1,024 elements: enough to make the choice of an operation cheap, few enough that the intermediate
// results of a program stay in the L1 cache. The first instruction reads the inputs where they lie and the last one writes
// to the output, so that a single operation is one pass over memory. An intermediate result has a slot of the stack; slots
// are used again after the last instruction that reads them.
#include "backends/cpu/kernels/pointwise.h"

#include "backends/cpu/simd/math.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

using ops::PointInstruction;
using ops::PointOp;

constexpr int kMaxInputs = 16, kMaxInstructions = 64;
constexpr int64_t kBlock = 1024;
constexpr int64_t kBufferFloats = 16 * kBlock;  // programs that need more than 16 slots run on smaller blocks

// An operand of one instruction on a block: rows of elements, or where step is 0 one element a row.
struct Operand {
  const float* data;
  int64_t row_stride;
  int64_t step;
};

struct Block {
  int64_t rows, columns;
  float* to;
  int64_t stride;
};

// Where an instruction reads and writes: inputs from 0 on, constants below 0, slots from kMaxInputs on.
struct Step {
  PointOp op;
  int16_t target, a, b, c;
};
constexpr int16_t kOutput = -1;

int num_operands(PointOp op) {
  if (op >= PointOp::kClip) return op == PointOp::kLeaky || op == PointOp::kElu ? 2 : 3;
  return op >= PointOp::kNeg ? 1 : 2;
}

// Gives the intermediate results their slots; returns the number of slots.
int assign_slots(const PointInstruction* code, int count, int num_inputs, Step* steps) {
  int8_t last_use[kMaxInstructions], slot_of[kMaxInstructions], free[kMaxInstructions];
  int num_free = 0, num_slots = 0;
  for (int i = 0; i < count; ++i) {
    const int n = num_operands(code[i].op);
    const int16_t operands[3] = {code[i].a, code[i].b, code[i].c};
    for (int k = 0; k < n; ++k)
      if (operands[k] >= num_inputs) last_use[operands[k] - num_inputs] = static_cast<int8_t>(i);
    last_use[i] = static_cast<int8_t>(i);
  }
  for (int i = 0; i < count; ++i) {
    const int n = num_operands(code[i].op);
    const int16_t operands[3] = {code[i].a, code[i].b, code[i].c};
    int16_t places[3] = {};
    for (int k = 0; k < n; ++k) {
      const int at = operands[k] - num_inputs;
      places[k] = at < 0 ? operands[k] : static_cast<int16_t>(kMaxInputs + slot_of[at]);
    }
    // A slot may be read and written by one instruction: element by element that is no conflict.
    for (int k = 0; k < n; ++k) {
      const int at = operands[k] - num_inputs;
      if (at < 0 || last_use[at] != i) continue;
      free[num_free++] = slot_of[at];
      last_use[at] = -1;  // once, though it be operand a and b
    }
    int16_t target = kOutput;
    if (i + 1 < count) {
      target = num_free > 0 ? free[--num_free] : static_cast<int16_t>(num_slots++);
      slot_of[i] = static_cast<int8_t>(target);
      if (last_use[i] == i) free[num_free++] = static_cast<int8_t>(target);  // nobody reads it
    }
    steps[i] = {code[i].op, target, places[0], places[1], places[2]};
  }
  return num_slots;
}

// to[i] = f(i) for vectors at i, and what is left at the end in part.
template <class F>
CAMEO_INLINE void for_row(float* to, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, f([i](const float* p) { return load(p + i); }));
  if (i < n) store_part(to + i, f([i, n](const float* p) { return load_part(p + i, n - i); }), n - i);
}

CAMEO_INLINE void fill_row(float* to, int64_t n, Vec v) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, v);
  if (i < n) store_part(to + i, v, n - i);
}

template <class F>
CAMEO_INLINE void unary(const Block& block, const Operand& a, F f) {
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* x = a.data + r * a.row_stride;
    float* to = block.to + r * block.stride;
    if (a.step != 0)
      for_row(to, block.columns, [&](auto at) { return f(at(x)); });
    else
      fill_row(to, block.columns, f(splat(*x)));
  }
}

template <class F>
CAMEO_INLINE void binary(const Block& block, const Operand& a, const Operand& b, F f) {
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* x = a.data + r * a.row_stride;
    const float* y = b.data + r * b.row_stride;
    float* to = block.to + r * block.stride;
    if (a.step != 0 && b.step != 0) {
      for_row(to, block.columns, [&](auto at) { return f(at(x), at(y)); });
    } else if (a.step != 0) {
      const Vec v = splat(*y);
      for_row(to, block.columns, [&](auto at) { return f(at(x), v); });
    } else if (b.step != 0) {
      const Vec v = splat(*x);
      for_row(to, block.columns, [&](auto at) { return f(v, at(y)); });
    } else {
      fill_row(to, block.columns, f(splat(*x), splat(*y)));
    }
  }
}

template <class F>
CAMEO_INLINE void ternary(const Block& block, const Operand& a, const Operand& b, const Operand& c, F f) {
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* x = a.data + r * a.row_stride;
    const float* y = b.data + r * b.row_stride;
    const float* z = c.data + r * c.row_stride;
    float* to = block.to + r * block.stride;
    if (a.step != 0 && b.step == 0 && c.step == 0) {
      const Vec v = splat(*y), w = splat(*z);
      for_row(to, block.columns, [&](auto at) { return f(at(x), v, w); });
    } else if (a.step != 0 && b.step != 0 && c.step != 0) {
      for_row(to, block.columns, [&](auto at) { return f(at(x), at(y), at(z)); });
    } else {
      const Vec u = splat(*x), v = splat(*y), w = splat(*z);
      for_row(to, block.columns, [&](auto at) { return f(a.step != 0 ? at(x) : u, b.step != 0 ? at(y) : v, c.step != 0 ? at(z) : w); });
    }
  }
}

// Comparisons are the way they are for NaN and signed zeros: as std::min and std::max in the reference.
CAMEO_INLINE Vec at_least(Vec x, Vec low) { return select(x < low, low, x); }
CAMEO_INLINE Vec at_most(Vec x, Vec high) { return select(high < x, high, x); }

// Powers that are frequent, by arithmetic; the others by the C library.
void power(const Block& block, const Operand& a, const Operand& b) {
  if (b.step == 0 && b.row_stride == 0) {
    const float exponent = *b.data;
    if (exponent == 2.f) return unary(block, a, [](Vec x) { return x * x; });
    if (exponent == 3.f) return unary(block, a, [](Vec x) { return x * x * x; });
    if (exponent == 1.f) return unary(block, a, [](Vec x) { return x; });
    if (exponent == -1.f) return unary(block, a, [](Vec x) { return 1.f / x; });
    // Adding 0 makes -0 zero; the power of -infinity is positive.
    const auto root = [](Vec x) { return vsqrt(select(x == splat(-__builtin_inff()), -x, x + 0.f)); };
    if (exponent == 0.5f) return unary(block, a, root);
    if (exponent == -0.5f) return unary(block, a, [&](Vec x) { return 1.f / root(x); });
  }
  binary(block, a, b, [](Vec x, Vec y) { return vpow(x, y); });
}

void run_step(PointOp op, const Block& block, const Operand& a, const Operand& b, const Operand& c) {
  switch (op) {
    case PointOp::kAdd:
      return binary(block, a, b, [](Vec x, Vec y) { return x + y; });
    case PointOp::kSub:
      return binary(block, a, b, [](Vec x, Vec y) { return x - y; });
    case PointOp::kMul:
      return binary(block, a, b, [](Vec x, Vec y) { return x * y; });
    case PointOp::kDiv:
      return binary(block, a, b, [](Vec x, Vec y) { return x / y; });
    case PointOp::kMin:
      return binary(block, a, b, [](Vec x, Vec y) { return select(y == y, at_most(x, y), y); });
    case PointOp::kMax:
      return binary(block, a, b, [](Vec x, Vec y) { return select(y == y, at_least(x, y), y); });
    case PointOp::kPow:
      return power(block, a, b);
    case PointOp::kNeg:
      return unary(block, a, [](Vec x) { return -x; });
    case PointOp::kAbs:
      return unary(block, a, [](Vec x) { return vabs(x); });
    case PointOp::kSqrt:
      return unary(block, a, [](Vec x) { return vsqrt(x); });
    case PointOp::kExp:
      return unary(block, a, [](Vec x) { return vexp(x); });
    case PointOp::kLog:
      return unary(block, a, [](Vec x) { return vlog(x); });
    case PointOp::kErf:
      return unary(block, a, [](Vec x) { return verf(x); });
    case PointOp::kTanh:
      return unary(block, a, [](Vec x) { return vtanh(x); });
    case PointOp::kSigmoid:
      return unary(block, a, [](Vec x) { return vsigmoid(x); });
    case PointOp::kRelu:
      return unary(block, a, [](Vec x) { return select(x < 0.f, Vec{}, x); });
    case PointOp::kGelu:
      return unary(block, a, [](Vec x) { return 0.5f * x * (1.f + verf(x * 0.707106781f)); });
    case PointOp::kGeluTanh:
      // (1 + tanh(u)) / 2 = sigmoid(2 u)
      return unary(block, a, [](Vec x) { return x * vsigmoid(1.59576912f * fma(0.044715f * x * x, x, x)); });
    case PointOp::kSwish:
      return unary(block, a, [](Vec x) { return x * vsigmoid(x); });
    case PointOp::kHardSwish:
      return unary(block, a, [](Vec x) { return x * at_least(at_most(fma(x, splat(1.f / 6), splat(0.5f)), splat(1.f)), Vec{}); });
    case PointOp::kMish:
      return unary(block, a, [](Vec x) { return x * vtanh(vsoftplus(x)); });
    case PointOp::kSoftplus:
      return unary(block, a, [](Vec x) { return vsoftplus(x); });
    case PointOp::kReciprocal:
      return unary(block, a, [](Vec x) { return 1.f / x; });
    case PointOp::kSquare:
      return unary(block, a, [](Vec x) { return x * x; });
    case PointOp::kFloor:
      return unary(block, a, [](Vec x) { return vfloor(x); });
    case PointOp::kCeil:
      return unary(block, a, [](Vec x) { return vceil(x); });
    case PointOp::kSin:
      return unary(block, a, [](Vec x) { return vsin(x); });
    case PointOp::kCos:
      return unary(block, a, [](Vec x) { return vcos(x); });
    case PointOp::kClip:
      return ternary(block, a, b, c, [](Vec x, Vec low, Vec high) { return at_most(at_least(x, low), high); });
    case PointOp::kFma:
      return ternary(block, a, b, c, [](Vec x, Vec y, Vec z) { return fma(x, y, z); });
    case PointOp::kLeaky:
      return binary(block, a, b, [](Vec x, Vec slope) { return select(x < 0.f, x * slope, x); });
    case PointOp::kHardSigmoid:
      return ternary(block, a, b, c, [](Vec x, Vec y, Vec z) { return at_most(at_least(fma(x, y, z), Vec{}), splat(1.f)); });
    case PointOp::kElu:
      return binary(block, a, b, [](Vec x, Vec scale) { return select(x < 0.f, scale * vexpm1(x), x); });
  }
}

// Whether the rows of the operand follow each other as those of one long row.
bool is_flat(const Operand& operand, int64_t columns) { return operand.row_stride == (operand.step != 0 ? columns : 0); }

void run_tile(const PointwiseTile& t) {
  if (t.rows <= 0 || t.columns <= 0) return;
  Step steps[kMaxInstructions];
  int count = t.num_instructions;
  int num_slots = 0;
  if (count == 0) {
    steps[0] = {PointOp::kMax, kOutput, 0, 0, 0};  // max(x, x) = x: the identity
    count = 1;
  } else {
    num_slots = assign_slots(t.code, count, t.num_inputs, steps);
  }
  int64_t rows = t.rows, columns = t.columns;
  int64_t strides[kMaxInputs];
  bool flat = rows > 1 && t.output_stride == columns;
  for (int i = 0; i < t.num_inputs; ++i) {
    strides[i] = t.row_strides[i];
    flat &= is_flat({nullptr, strides[i], t.steps[i]}, columns);
  }
  if (flat) {
    columns *= rows;
    rows = 1;
  }

  alignas(64) float buffer[kBufferFloats];
  const int64_t block = num_slots > 16 ? kBufferFloats / num_slots / kLanes * kLanes : kBlock;
  const int64_t block_columns = columns < block ? columns : block;
  const int64_t block_rows = block / block_columns;
  for (int64_t row = 0; row < rows; row += block_rows)
    for (int64_t column = 0; column < columns; column += block_columns) {
      Block b = {rows - row < block_rows ? rows - row : block_rows, columns - column < block_columns ? columns - column : block_columns,
                 nullptr, 0};
      const auto operand = [&](int16_t place) -> Operand {
        if (place < 0) return {t.constants + (-1 - place), 0, 0};
        if (place >= kMaxInputs) return {buffer + (place - kMaxInputs) * block, b.columns, 1};
        return {t.inputs[place] + row * strides[place] + column * t.steps[place], strides[place], t.steps[place]};
      };
      for (int i = 0; i < count; ++i) {
        const Step& step = steps[i];
        const int n = num_operands(step.op);
        const Operand x = operand(step.a), y = n > 1 ? operand(step.b) : x, z = n > 2 ? operand(step.c) : x;
        Block now = b;
        now.to = step.target == kOutput ? t.output + row * t.output_stride + column : buffer + step.target * block;
        now.stride = step.target == kOutput ? t.output_stride : b.columns;
        if (now.rows > 1 && now.stride == now.columns && is_flat(x, now.columns) && is_flat(y, now.columns) && is_flat(z, now.columns)) {
          now.columns *= now.rows;
          now.rows = 1;
        }
        run_step(step.op, now, x, y, z);
      }
    }
}

void run_row(const PointwiseRow& r) {
  const int64_t strides[kMaxInputs] = {};
  run_tile({r.code, r.num_instructions, r.num_inputs, r.constants, r.inputs, strides, r.steps, r.output, 0, 1, r.count});
}

}  // namespace

extern const PointwiseKernels pointwise_kernels = {.run_row = &run_row, .run_tile = &run_tile};

}  // namespace cameo::cpu::CAMEO_ISA
