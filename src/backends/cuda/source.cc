#include "backends/cuda/source.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "backends/cuda/chain.h"
#include "backends/cuda/prelude.h"

namespace cameo::cuda {
namespace {

constexpr int kThreads = 256, kFewestThreads = 64;  // of a block
constexpr int64_t kMaxBlocks = (int64_t{1} << 31) - 1;
// Kernels of at most so many blocks a multiprocessor start while the one before them runs: theirs are the times that starting counts in.
constexpr int kDependentBlocks = 8;
// Elements that a block does as fast as many would.
constexpr int64_t kChained = 1024;

// floor(n / d) = (umulhi(n, multiplier) + n) >> shift for 0 <= n < 2^31 (Granlund and Montgomery, "Division by invariant
// integers using multiplication", 1994).
int64_t magic(int64_t d) {
  int shift = 0;
  while ((int64_t{1} << shift) < d) ++shift;
  const uint64_t multiplier = ((uint64_t{1} << 32) * ((uint64_t{1} << shift) - static_cast<uint64_t>(d))) / static_cast<uint64_t>(d) + 1;
  return static_cast<int64_t>((uint64_t(shift) << 32) | (multiplier & 0xffffffffu));
}

class KernelOperation final : public Operation {
 public:
  KernelOperation(cudaKernel_t kernel, const KernelShape& shape, std::vector<Operand> operands, std::vector<int64_t> numbers,
                  std::unique_ptr<ChainLink> link)
      : kernel_(kernel),
        shape_(shape),
        operands_(std::move(operands)),
        numbers_(std::move(numbers)),
        addresses_(operands_.size()),
        link_(std::move(link)) {
    for (void*& address : addresses_) arguments_.push_back(&address);
    arguments_.push_back(numbers_.data());
  }
  Status run(const Addresses& at, cudaStream_t stream) override {
    for (size_t i = 0; i < operands_.size(); ++i) addresses_[i] = at.of(operands_[i]);
    return launch(kernel_, shape_, arguments_.data(), stream);
  }
  const ChainLink* link() const { return link_.get(); }

 private:
  const cudaKernel_t kernel_;
  const KernelShape shape_;
  const std::vector<Operand> operands_;
  std::vector<int64_t> numbers_;
  std::vector<void*> addresses_, arguments_;
  const std::unique_ptr<ChainLink> link_;
};

}  // namespace

const ChainLink* chain_link(const Operation& operation) {
  const auto* kernel = dynamic_cast<const KernelOperation*>(&operation);
  return kernel ? kernel->link() : nullptr;
}

bool is_small_float(DType t) {
  switch (t) {
    case DType::kFloat8E4M3FN:
    case DType::kFloat8E4M3FNUZ:
    case DType::kFloat8E5M2:
    case DType::kFloat8E5M2FNUZ:
    case DType::kFloat8E8M0:
    case DType::kFloat4E2M1:
      return true;
    default:
      return false;
  }
}
bool is_float(DType t) {
  return t == DType::kFloat32 || t == DType::kFloat16 || t == DType::kBfloat16 || t == DType::kFloat64 || is_small_float(t);
}
bool is_integer(DType t) {
  switch (t) {
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kUint8:
    case DType::kUint16:
    case DType::kUint32:
    case DType::kUint64:
    case DType::kInt4:
    case DType::kUint4:
    case DType::kInt2:
    case DType::kUint2:
      return true;
    default:
      return false;
  }
}

const char* compute_type(DType t) {
  switch (t) {
    case DType::kFloat64:
      return "double";
    case DType::kInt8:
      return "i8";
    case DType::kUint8:
      return "u8";
    case DType::kInt16:
      return "i16";
    case DType::kUint16:
      return "u16";
    case DType::kInt32:
    case DType::kInt4:
    case DType::kUint4:
    case DType::kInt2:
    case DType::kUint2:
      return "int";
    case DType::kUint32:
      return "u32";
    case DType::kInt64:
      return "i64";
    case DType::kUint64:
      return "u64";
    case DType::kBool:
      return "bool";
    default:
      return "float";
  }
}

std::string storage_type(DType t, bool narrowed) {
  switch (t) {
    case DType::kFloat16:
      return narrowed ? "f16n" : "f16";
    case DType::kBfloat16:
      return narrowed ? "bf16n" : "bf16";
    case DType::kInt4:
      return "small<4, true>";
    case DType::kUint4:
      return "small<4, false>";
    case DType::kInt2:
      return "small<2, true>";
    case DType::kUint2:
      return "small<2, false>";
    case DType::kFloat8E4M3FN:
      return "f8<3, 7, 0>";
    case DType::kFloat8E4M3FNUZ:
      return "f8<3, 8, 1>";
    case DType::kFloat8E5M2:
      return "f8<2, 15, 2>";
    case DType::kFloat8E5M2FNUZ:
      return "f8<2, 16, 1>";
    case DType::kFloat8E8M0:
      return "e8m0";
    case DType::kFloat4E2M1:
      return "f4";
    default:
      return compute_type(t);
  }
}

std::string literal(float value) { return fmt::format("as_bits({:#x}u)", std::bit_cast<uint32_t>(value)); }
std::string literal(double value) { return fmt::format("__longlong_as_double({}ll)", std::bit_cast<int64_t>(value)); }
std::string literal(int64_t value) { return value == INT64_MIN ? "(-9223372036854775807ll - 1)" : fmt::format("{}ll", value); }
std::string literal_of(DType type, double value) {
  if (type == DType::kFloat64) return literal(value);
  if (is_float(type)) return literal(static_cast<float>(value));
  return fmt::format("({})({})", compute_type(type), literal(static_cast<int64_t>(value)));
}

std::string Source::parameter(const Operand& operand, bool written) {
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (parameters_[i].operand.same_place(operand) && parameters_[i].operand.dtype == operand.dtype) {
      parameters_[i].written |= written;
      if (written) parameters_[i].operand.narrowed = operand.narrowed;
      return "a" + std::to_string(i);
    }
  parameters_.push_back({operand, written});
  return "a" + std::to_string(parameters_.size() - 1);
}
std::string Source::read(const Operand& operand) { return parameter(operand, false); }
std::string Source::write(const Operand& operand) { return parameter(operand, true); }

std::string Source::number(int64_t value) {
  numbers_.push_back(value);
  wide_ |= value > INT32_MAX || value < INT32_MIN;
  return "N" + std::to_string(numbers_.size() - 1);
}

std::string Source::quotient(const std::string& index, int64_t divisor) {
  const std::string d = number(divisor);
  numbers_.push_back(divisor > INT32_MAX ? 0 : magic(divisor));
  return fmt::format("DIVIDE({}, {}, p.v[{}])", index, d, numbers_.size() - 1);
}

std::vector<std::string> Source::unravel(const std::string& index, const Dims& dims) {
  std::vector<std::string> indices(dims.rank());
  std::string rest = index;
  size_t outermost = 0;
  while (outermost < dims.rank() && dims[outermost] == 1) ++outermost;
  for (size_t axis = dims.rank(); axis-- > 0;) {
    if (dims[axis] == 1) {
      indices[axis] = "0";
    } else if (axis == outermost) {
      indices[axis] = rest;
    } else {
      const std::string q = name("q"), c = name("c"), d = number(dims[axis]);
      numbers_.push_back(dims[axis] > INT32_MAX ? 0 : magic(std::max<int64_t>(dims[axis], 1)));
      line(fmt::format("const I {} = DIVIDE({}, {}, p.v[{}]), {} = {} - {} * {};", q, rest, d, numbers_.size() - 1, c, rest, q, d));
      indices[axis] = c;
      rest = q;
    }
  }
  return indices;
}

std::string Source::offset(std::span<const std::string> indices, const Dims& strides, int64_t first) {
  std::string text = first == 0 ? "" : number(first);
  for (size_t i = 0; i < indices.size(); ++i) {
    if (strides[i] == 0 || indices[i] == "0") continue;
    if (!text.empty()) text += " + ";
    text += strides[i] == 1 ? indices[i] : indices[i] + " * " + number(strides[i]);
  }
  return text.empty() ? "0" : text;
}

Status Source::launch(StepBuilder& b, KernelShape shape, const std::string& head, int threads, int64_t elements) {
  shape.dependent =
      b.device().dependent_launch() && shape.grid[0] <= static_cast<unsigned>(kDependentBlocks * b.device().info().multiprocessors);
  for (const Parameter& p : parameters_) wide_ |= p.operand.dims.num_elements() > INT32_MAX / 2;
  std::string source = kPrelude;
  if (checks_) {
    // The node's number and the address to report at are numbers like others, so that kernels are shared.
    int64_t* memory = b.faults() ? b.faults()->memory() : nullptr;
    numbers_.push_back(memory ? b.faults()->add(b.node().describe()) : 0);
    numbers_.push_back(static_cast<int64_t>(reinterpret_cast<intptr_t>(memory)));
    source += kReports + fmt::format("#define FAULT(x) fault(p.v[{}], p.v[{}], (i64)(x))\n", numbers_.size() - 2, numbers_.size() - 1);
  }
  const bool small_floats =
      std::any_of(parameters_.begin(), parameters_.end(), [](const Parameter& p) { return is_small_float(p.operand.dtype); });
  if (small_floats) source += kSmallFloats;
  source += wide_ ? "typedef i64 I;\n#define DIVIDE(n, d, m) ((n) / (d))\n" : k32BitIndices;
  source += fmt::format("struct P {{ i64 v[{}]; }};\n", std::max<size_t>(numbers_.size(), 1));
  for (size_t i = 0; i < numbers_.size(); ++i) source += fmt::format("#define N{} ((I)p.v[{}])\n", i, i);
  source += declarations_;
  source += fmt::format("extern \"C\" __global__ void __launch_bounds__({}) k(", threads);
  std::vector<Operand> operands;
  std::vector<std::string> types;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& [operand, written] = parameters_[i];
    // What is read must not be taken for constant, or it would be read before the kernel that writes it is done.
    types.push_back(storage_type(operand.dtype, operand.narrowed));
    source +=
        fmt::format("{}{}*{} a{}, ", written || shape.dependent ? "" : "const ", types.back(), shape.dependent ? "" : " __restrict__", i);
    operands.push_back(operand);
  }
  source += "const __grid_constant__ P p) {\n";
  if (shape.dependent) source += kDependentStart;
  source += head + body_ + "}\n";
  CAMEO_ASSIGN(cudaKernel_t kernel, b.device().kernel(source, "k"));
  std::unique_ptr<ChainLink> link;
  const bool few = elements > 0 ? elements <= kChained : shape.grid[0] == 1;
  if (few && !wide_ && !small_floats && shape.shared_bytes == 0)
    link = std::make_unique<ChainLink>(ChainLink{elements, threads, declarations_, body_, std::move(types), operands, numbers_, checks_});
  if (numbers_.empty()) numbers_.push_back(0);
  b.add(std::make_unique<KernelOperation>(kernel, shape, std::move(operands), std::move(numbers_), std::move(link)));
  return {};
}

Status Source::launch_elements(StepBuilder& b, int64_t count) {
  if (count == 0) return {};
  // Small blocks where that gives work to more multiprocessors.
  int threads = kThreads;
  while (threads > kFewestThreads && count < int64_t{threads} * b.device().info().multiprocessors) threads /= 2;
  const int64_t blocks = (count + threads - 1) / threads;
  if (blocks > kMaxBlocks) return error(ErrorCode::kUnsupported, "{} elements are more than the device takes at once", count);
  const std::string n = number(count);
  KernelShape shape;
  shape.grid[0] = static_cast<unsigned>(blocks);
  shape.block[0] = static_cast<unsigned>(threads);
  return launch(b, shape, fmt::format("  const I i = (I)blockIdx.x * {} + threadIdx.x;\n  if (i >= {}) return;\n", threads, n), threads,
                count);
}

Status Source::launch_blocks(StepBuilder& b, int64_t blocks, int threads, size_t shared_bytes) {
  if (blocks == 0) return {};
  if (blocks > kMaxBlocks) return error(ErrorCode::kUnsupported, "{} rows are more than the device takes at once", blocks);
  KernelShape shape;
  shape.grid[0] = static_cast<unsigned>(blocks);
  shape.block[0] = static_cast<unsigned>(threads);
  // Whole vectors: the compiler may read the last elements as one.
  shape.shared_bytes = static_cast<unsigned>((shared_bytes + 15) / 16 * 16);
  return launch(b, shape, "  const I block = blockIdx.x;\n  const int t = threadIdx.x;\n", threads, 0);
}

Dims dense_strides(const Dims& dims) {
  Dims strides(dims.rank(), 1);
  for (size_t i = dims.rank(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

Strided dense(const Operand& operand) { return {operand, dense_strides(operand.dims), 0}; }

Strided broadcast(const Operand& operand, const Dims& to) {
  Strided s{operand, Dims(to.rank(), 0), 0};
  const Dims own = dense_strides(operand.dims);
  const size_t more = to.rank() - operand.dims.rank();
  for (size_t i = 0; i < operand.dims.rank(); ++i)
    if (operand.dims[i] != 1) s.strides[more + i] = own[i];
  return s;
}

namespace {

// Drops extents of 1 and merges neighbours that all operands walk as one.
void merge_axes(Dims& dims, std::span<Strided*> operands) {
  const auto erase = [&](size_t axis) {
    dims.erase(axis);
    for (Strided* o : operands) o->strides.erase(axis);
  };
  for (size_t i = dims.rank(); i-- > 0;)
    if (dims[i] == 1) erase(i);
  for (size_t i = dims.rank(); i-- > 1;) {
    bool one = true;
    for (const Strided* o : operands) one &= o->strides[i - 1] == o->strides[i] * dims[i];
    if (!one) continue;
    dims[i] *= dims[i - 1];
    erase(i - 1);
  }
  if (dims.rank() == 0) {
    dims.push_back(1);
    for (Strided* o : operands) o->strides.push_back(0);
  }
}

// How many neighbours along the last axis a thread takes.
int vector_width(const Dims& dims, std::span<Strided* const> operands) {
  size_t widest = 1;
  for (const Strided* o : operands) widest = std::max(widest, dtype_size(o->operand.dtype));
  int width = std::min<int>(8, static_cast<int>(16 / widest));
  if (operands.back()->strides.back() != 1) return 1;
  for (; width > 1; width /= 2) {
    bool fits = dims.back() % width == 0;
    for (const Strided* o : operands) {
      const int64_t last = o->strides.back();
      if (last == 0) continue;
      fits &= last == 1 && o->offset % width == 0;
      for (size_t i = 0; i + 1 < o->strides.rank(); ++i) fits &= o->strides[i] % width == 0;
      if (o->operand.kind == Operand::Kind::kFixed)
        fits &= reinterpret_cast<uintptr_t>(o->operand.fixed) % 16 == 0;
      else
        fits &= o->operand.offset % 16 == 0;
    }
    if (fits) break;
  }
  return width;
}

}  // namespace

Status map(StepBuilder& b, const Dims& all, const Strided& target, std::vector<Strided> from, const Formula& f) {
  if (all.num_elements() == 0) return {};
  Strided to = target;
  Dims dims = all;
  std::vector<Strided*> operands;
  for (Strided& o : from) operands.push_back(&o);
  operands.push_back(&to);
  merge_axes(dims, operands);
  const int width = vector_width(dims, operands);
  Source s;
  Dims groups = dims;
  groups[groups.rank() - 1] /= width;
  std::vector<std::string> at = s.unravel("i", groups);
  if (width > 1 && at.back() != "0") at.back() = fmt::format("({} * {})", at.back(), width);
  std::vector<std::string> elements, loads;
  for (size_t k = 0; k < from.size(); ++k) {
    const Operand& o = from[k].operand;
    const std::string name = s.read(o), offset = s.offset(at, from[k].strides, from[k].offset), v = "v" + std::to_string(k),
                      type = compute_type(o.dtype);
    if (width > 1 && from[k].strides.back() == 1) {
      loads.push_back(fmt::format("const {} x{} = get({}.v[u]);", type, k, v));
      s.line(fmt::format("const auto {} = *(const Vec<{}, {}>*)({} + {});", v, storage_type(o.dtype, o.narrowed), width, name, offset));
    } else {
      loads.push_back("");
      s.line(fmt::format("const {} x{} = get({}[{}]);", type, k, name, offset));
    }
    elements.push_back("x" + std::to_string(k));
  }
  const std::string name = s.write(to.operand), offset = s.offset(at, to.strides, to.offset);
  const std::string vector = fmt::format("Vec<{}, {}>", storage_type(to.operand.dtype, to.operand.narrowed), width);
  if (width > 1) {
    s.line(fmt::format("{} r;", vector));
    s.line("#pragma unroll");
    s.line(fmt::format("for (int u = 0; u < {}; ++u) {{", width));
    for (const std::string& load : loads)
      if (!load.empty()) s.line(load);
  }
  const std::string result = f(s, elements);
  if (width > 1) {
    s.line(fmt::format("put(r.v[u], {});", result));
    s.line("}");
    s.line(fmt::format("*({}*)({} + {}) = r;", vector, name, offset));
  } else {
    s.line(fmt::format("put({}[{}], {});", name, offset, result));
  }
  return s.launch_elements(b, groups.num_elements());
}

Status map(StepBuilder& b, const Operand& to, std::span<const Operand> from, const Formula& f) {
  std::vector<Strided> operands;
  for (const Operand& o : from) operands.push_back(broadcast(o, to.dims));
  return map(b, to.dims, dense(to), std::move(operands), f);
}

Status copy_elements(StepBuilder& b, const Operand& from, const Operand& to) {
  const Dims flat{from.dims.num_elements()};
  return copy_strided(b, flat, dense(from.seen_as(flat)), dense(to.seen_as(flat)));
}

Status copy_strided(StepBuilder& b, const Dims& dims, const Strided& from, const Strided& to) {
  return map(b, dims, to, {from}, [](Source&, std::span<const std::string> x) { return x[0]; });
}

Status copy_splits(StepBuilder& b, const Operand& y, std::span<const int64_t> splits) {
  int64_t column = 0;
  for (size_t i = 0; i < splits.size(); column += splits[i++]) {
    if (!b.has_output(i)) continue;
    const Operand part = b.output(i);
    Strided from = dense(y);
    from.offset = column;
    CAMEO_TRY(copy_strided(b, part.dims, from, dense(part)));
  }
  return {};
}

}  // namespace cameo::cuda
