// MatMul, Gemm and ai.cameo.MatMul. Floats go to cublasLt, bias, addend and activation in its epilogue where it has them; what
// it lacks (integers, empty sums) to a plain kernel with a thread for each element of the product.
#include <algorithm>

#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/gemm.h"
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/program.h"
#include "backends/cuda/tile_products.h"

namespace cameo::cuda {
namespace {

// A batch of products: batch axes with the matrices' steps, in elements.
struct Product {
  int64_t m = 1, n = 1, k = 1;
  bool trans_a = false, trans_b = false;
  Dims batch, steps_a, steps_b;
};

// Neighbouring batch axes that both operands walk as one become one; one matrix on the right of many is one product of all rows.
void simplify(Product& p) {
  for (size_t i = p.batch.rank(); i-- > 0;)
    if (p.batch[i] == 1) {
      p.batch.erase(i);
      p.steps_a.erase(i);
      p.steps_b.erase(i);
    }
  for (size_t i = p.batch.rank(); i-- > 1;) {
    if (p.steps_a[i - 1] != p.steps_a[i] * p.batch[i] || p.steps_b[i - 1] != p.steps_b[i] * p.batch[i]) continue;
    p.batch[i] *= p.batch[i - 1];
    p.batch.erase(i - 1);
    p.steps_a.erase(i - 1);
    p.steps_b.erase(i - 1);
  }
  if (p.batch.rank() == 1 && p.steps_b[0] == 0 && p.steps_a[0] == p.m * p.k && !p.trans_a) {
    p.m *= p.batch[0];
    p.batch = p.steps_a = p.steps_b = Dims();
  }
}

Product product_of(const Dims& a, const Dims& b, bool trans_a, bool trans_b) {
  Product p;
  p.trans_a = trans_a;
  p.trans_b = trans_b;
  const size_t ra = a.rank(), rb = b.rank();
  p.m = ra == 1 ? 1 : a[ra - (trans_a ? 1 : 2)];
  p.k = ra == 1 ? a[0] : a[ra - (trans_a ? 2 : 1)];
  p.n = rb == 1 ? 1 : b[rb - (trans_b ? 2 : 1)];
  const size_t ba = ra > 2 ? ra - 2 : 0, bb = rb > 2 ? rb - 2 : 0, rank = std::max(ba, bb);
  p.batch = p.steps_a = p.steps_b = Dims(rank, 1);
  int64_t step_a = p.m * p.k, step_b = p.k * p.n;
  for (size_t i = 0; i < rank; ++i) {
    const size_t axis = rank - 1 - i;
    const int64_t da = i < ba ? a[ba - 1 - i] : 1, db = i < bb ? b[bb - 1 - i] : 1;
    p.batch[axis] = da == 1 ? db : da;
    p.steps_a[axis] = da == 1 ? 0 : step_a;
    p.steps_b[axis] = db == 1 ? 0 : step_b;
    step_a *= da;
    step_b *= db;
  }
  simplify(p);
  return p;
}

// y = alpha * product, a thread for each element.
Status plain_product(StepBuilder& b, const Product& p, const Operand& a, const Operand& w, const Operand& y, float alpha) {
  Source s;
  Dims dims = p.batch;
  dims.push_back(p.m);
  dims.push_back(p.n);
  const auto at = s.unravel("i", dims);
  const std::span<const std::string> batch(at.data(), p.batch.rank());
  const std::string &row = at[at.size() - 2], &column = at[at.size() - 1];
  const bool real = is_float(b.out_type(0));
  s.line(fmt::format("const I ia = {} + ({}) * {}, ib = {} + ({}) * {};", s.offset(batch, p.steps_a), row, p.trans_a ? "1" : s.number(p.k),
                     s.offset(batch, p.steps_b), column, p.trans_b ? s.number(p.k) : "1"));
  const std::string step_a = p.trans_a ? s.number(p.m) : "1", step_b = p.trans_b ? "1" : s.number(p.n);
  const std::string type = real ? compute_type(b.out_type(0)) : "i64";
  s.line(fmt::format("{} sum = 0;", type));
  s.line(fmt::format("for (I k = 0; k < {}; ++k) sum += ({}){} * {};", s.number(p.k), type, s.load(a, fmt::format("ia + k * {}", step_a)),
                     s.load(w, fmt::format("ib + k * {}", step_b))));
  s.store(y, "i", !real || alpha == 1 ? "sum" : "sum * " + literal(alpha));
  return s.launch_elements(b, dims.num_elements());
}

Operand matrix_at(const Operand& o, int64_t element) { return o.seen_as(o.dims, element); }

// y = act(alpha * A · B + addend + bias). The last batch axis is cublasLt's, the others are calls of their own.
Status product(StepBuilder& b, const Product& p, Gemm g) {
  g.m = p.m;
  g.n = p.n;
  g.k = p.k;
  g.trans_a = p.trans_a;
  g.trans_b = p.trans_b;
  if (p.m * p.n * p.batch.num_elements() == 0) return {};
  if (p.k == 0 || !gemm_supports(g.a.dtype, g.y.dtype)) {
    if (g.bias.present() || g.addend.present() || g.activation != Gemm::Activation::kNone)
      return error(ErrorCode::kInternal, "an epilogue on a product that cublasLt does not have");
    return plain_product(b, p, g.a, g.b, g.y, g.alpha);
  }
  const size_t outer = p.batch.rank() == 0 ? 0 : p.batch.rank() - 1;
  if (p.batch.rank() > 0) {
    g.batch = p.batch.back();
    g.stride_a = p.steps_a.back();
    g.stride_b = p.steps_b.back();
  }
  const Dims calls(p.batch.span().first(outer));
  const int64_t count = calls.num_elements();
  if (count > 1024) return plain_product(b, p, g.a, g.b, g.y, g.alpha);
  for (int64_t i = 0; i < count; ++i) {
    Gemm one = g;
    int64_t rest = i, oa = 0, ob = 0;
    for (size_t axis = outer; axis-- > 0; rest /= calls[axis]) {
      oa += rest % calls[axis] * p.steps_a[axis];
      ob += rest % calls[axis] * p.steps_b[axis];
    }
    const int64_t oy = i * p.m * p.n * g.batch;
    one.a = matrix_at(g.a, oa);
    one.b = matrix_at(g.b, ob);
    one.y = matrix_at(g.y, oy);
    if (g.addend.present()) one.addend = matrix_at(g.addend, oy);
    CAMEO_TRY(add_gemm(b, one));
  }
  return {};
}

// The types in which the operands go into a product: 16 bits where the precision or the model says so.
DType operand_type(const StepBuilder& b) { return b.in_type(0) == DType::kFloat32 ? activation_type(b.precision()) : b.in_type(0); }

// cublasLt writes 16-bit results only of operands of that type.
bool direct(const Gemm& g) { return gemm_supports(g.a.dtype, g.y.dtype); }

Status make_gemm(StepBuilder& b) {
  Gemm g;
  const DType type = operand_type(b);
  CAMEO_ASSIGN(g.a, b.input_as(0, type));
  CAMEO_ASSIGN(g.b, b.input_as(1, type));
  const Operand y = b.output(0);
  g.y = y;
  g.alpha = b.attrs().real("alpha", 1);
  const float beta = b.attrs().real("beta", 1);
  const Product p = product_of(b.in_dims(0), b.in_dims(1), b.attrs().integer("transA") != 0, b.attrs().integer("transB") != 0);
  const bool has_c = b.has_input(2) && beta != 0;
  const bool vector = has_c && beta == 1 && b.in_dims(2).num_elements() == p.n && (p.n > 1 || p.m == 1) && b.in_dims(2).rank() > 0 &&
                      b.in_dims(2).back() == p.n && p.k > 0 && gemm_supports(type, y.dtype) && type != DType::kFloat64;
  if (vector) {
    CAMEO_ASSIGN(g.bias, b.input_as(2, y.dtype));
    return product(b, p, g);
  }
  CAMEO_TRY(product(b, p, g));
  if (!has_c) return {};
  CAMEO_ASSIGN(Operand c, b.input(2));
  const Operand operands[] = {y, c};
  const std::string real = is_float(b.in_type(0)) ? compute_type(b.in_type(0)) : "double";
  return map(b, y, operands, [&](Source&, std::span<const std::string> x) {
    return beta == 1 ? fmt::format("{} + {}", x[0], x[1])
                     : fmt::format("{} + ({})({} * {})", x[0], compute_type(b.in_type(0)), literal(beta), x[1]);
  });
}

// What of a program cublasLt does: a bias, an addend, an activation, in that order from its start on.
struct Epilogue {
  size_t bias = 0, addend = 0;  // inputs of the node; 0: none
  Gemm::Activation activation = Gemm::Activation::kNone;
  size_t instructions = 0;  // that this covers
};

Epilogue match_epilogue(const StepBuilder& b, const ops::PointProgram& program, const Dims& y) {
  Epilogue e;
  const auto inputs = static_cast<int16_t>(program.num_inputs);
  for (size_t i = 0; i < program.code.size(); ++i) {
    const ops::PointInstruction& in = program.code[i];
    const int16_t made = i == 0 ? int16_t{0} : static_cast<int16_t>(inputs + i - 1);
    // A value that is used again later must be there on its own.
    const auto uses = [&](int16_t r) {
      int count = 0;
      for (const ops::PointInstruction& other : program.code) {
        const int operands = ops::num_operands(other.op);
        count += (other.a == r) + (operands > 1 && other.b == r) + (operands > 2 && other.c == r);
      }
      return count;
    };
    if (uses(made) != 1) break;
    if (in.op == ops::PointOp::kAdd && (in.a == made || in.b == made)) {
      const int16_t other = in.a == made ? in.b : in.a;
      if (other <= 0 || other >= inputs) break;
      const size_t input = static_cast<size_t>(other) + 1;
      const Dims& dims = b.in_dims(input);
      if (!e.bias && y.rank() > 0 && dims.rank() > 0 && dims.back() == y.back() && dims.num_elements() == y.back())
        e.bias = input;
      else if (!e.addend && dims.num_elements() == y.num_elements())
        e.addend = input;
      else
        break;
    } else if (in.op == ops::PointOp::kRelu || in.op == ops::PointOp::kGeluTanh) {
      e.activation = in.op == ops::PointOp::kRelu ? Gemm::Activation::kRelu : Gemm::Activation::kGeluTanh;
      e.instructions = i + 1;
      break;
    } else {
      break;
    }
    e.instructions = i + 1;
  }
  return e;
}

// to = the rest of the program, from the value that its first `done` instructions made.
Status apply_rest(StepBuilder& b, const ops::PointProgram& program, size_t done, const Operand& from, size_t first, const Operand& to) {
  if (done == 0) return apply_program(b, program, from, first, to);
  ops::PointProgram rest = program;
  rest.code.erase(rest.code.begin(), rest.code.begin() + static_cast<ptrdiff_t>(done));
  const auto last = static_cast<int16_t>(program.num_inputs + static_cast<int>(done) - 1);
  for (ops::PointInstruction& in : rest.code)
    for (int16_t* operand : {&in.a, &in.b, &in.c}) {
      if (*operand == last)
        *operand = 0;
      else if (*operand > last)
        *operand = static_cast<int16_t>(*operand - static_cast<int16_t>(done));
    }
  return apply_program(b, rest, from, first, to);
}

// Products of at most this many rows with a constant matrix go to the kernel that is bound by reading it.
constexpr int64_t kFewRows = 16;

// A whole program as that kernel does it: a bias, then an activation, then an addend, each optional.
struct FewRowsEpilogue {
  size_t bias = 0, addend = 0;
  Activation activation = Activation::kNone;
};
std::optional<FewRowsEpilogue> match_few_rows(const StepBuilder& b, const ops::PointProgram& program, const Dims& y) {
  FewRowsEpilogue e;
  const auto inputs = static_cast<int16_t>(program.num_inputs);
  for (size_t i = 0; i < program.code.size(); ++i) {
    const ops::PointInstruction& in = program.code[i];
    const int16_t made = i == 0 ? int16_t{0} : static_cast<int16_t>(inputs + i - 1);
    if (in.op == ops::PointOp::kAdd && (in.a == made) != (in.b == made)) {
      const int16_t other = in.a == made ? in.b : in.a;
      if (other <= 0 || other >= inputs || e.addend) return std::nullopt;
      const size_t input = static_cast<size_t>(other) + 1;
      const Dims& dims = b.in_dims(input);
      if (!e.bias && e.activation == Activation::kNone && dims.rank() > 0 && dims.back() == y.back() && dims.num_elements() == y.back())
        e.bias = input;
      else if (dims.num_elements() == y.num_elements())
        e.addend = input;
      else
        return std::nullopt;
      continue;
    }
    if (in.a != made || e.addend || e.activation != Activation::kNone) return std::nullopt;
    if (in.op == ops::PointOp::kRelu)
      e.activation = Activation::kRelu;
    else if (in.op == ops::PointOp::kGelu)
      e.activation = Activation::kGelu;
    else if (in.op == ops::PointOp::kGeluTanh)
      e.activation = Activation::kGeluTanh;
    else if (in.op == ops::PointOp::kSwish)
      e.activation = Activation::kSilu;
    else
      return std::nullopt;
  }
  return e;
}

// The constant right operand as [n, k].
Result<Operand> rows_of_weights(StepBuilder& b, const Product& p, const Gemm& g) {
  if (p.trans_b) return g.b;
  const DType type = g.a.dtype;
  return b.prepared(1, "rows of K " + std::string(dtype_name(type)), type, Dims{p.n, p.k},
                    [&](StepBuilder& inner, const Operand& from, Operand to) {
                      to.narrowed = type != from.dtype;
                      return transpose(inner, from.seen_as(Dims{p.k, p.n}), to, {1, 0});
                    });
}

// The norm that this step makes besides the product, if any.
Result<std::optional<JoinedNorm>> joined_norm(StepBuilder& b, DType type) {
  if (!b.norm()) return std::optional<JoinedNorm>();
  JoinedNorm n;
  n.kind = b.norm()->op->name == "LayerNormalization" ? NormKind::kLayer : NormKind::kRms;
  n.epsilon = Attributes(*b.norm()->attrs).real("epsilon", 1e-5f);
  CAMEO_ASSIGN(n.x, b.input(kNormInput));
  CAMEO_ASSIGN(n.weight, b.input_as(kNormInput + 1, type));
  if (b.has_input(kNormInput + 2)) {
    CAMEO_ASSIGN(n.bias, b.input_as(kNormInput + 2, type));
  }
  n.y = b.output(kNormOutput);
  return std::optional(std::move(n));
}

// As an operation of its own.
Status add_norm(StepBuilder& b, const JoinedNorm& n) {
  const int64_t size = n.x.dims.back();
  if (try_norm(b, n.kind, n.x.dims.num_elements() / size, size, n.epsilon, n.x, n.weight, n.bias, n.y)) return {};
  return error(ErrorCode::kUnsupported, "the norm before the product has no kernel");
}

// Whether it was done so.
Result<bool> few_rows(StepBuilder& b, const Product& p, const Gemm& g, const ops::PointProgram& program, const JoinedNorm* norm) {
  const DType type = g.a.dtype;
  if (p.m > kFewRows || p.batch.rank() > 0 || p.trans_a || g.alpha != 1 || !b.value(1) || p.k == 0 || p.n < 64) return false;
  if (g.y.dtype != type && g.y.dtype != DType::kFloat32) return false;
  if (type != DType::kFloat16 && type != DType::kBfloat16) return false;
  const auto e = match_few_rows(b, program, g.y.dims);
  if (!e) return false;
  Operand bias, addend;
  CAMEO_ASSIGN(const Operand w, rows_of_weights(b, p, g));
  if (e->bias) {
    CAMEO_ASSIGN(bias, b.input_as(e->bias, type));
  }
  if (e->addend) {
    CAMEO_ASSIGN(addend, b.input_as(e->addend, type));
  }
  return try_skinny_gemm(b, p.m, p.n, p.k, g.a, w, bias, e->activation, addend, g.y, {}, norm);
}

// Whether it was done by tiles, all of the program with it.
Result<bool> by_tiles(StepBuilder& b, const Product& p, const Gemm& g, const ops::PointProgram& program) {
  const DType type = g.a.dtype;
  if (p.batch.rank() > 0 || p.trans_a || g.alpha != 1 || !b.value(1) || g.y.dtype != type || p.k == 0 || p.m < 2) return false;
  if (type != DType::kFloat16 && type != DType::kBfloat16) return false;
  const auto e = match_tile_epilogue(b, program, g.y.dims);
  if (!e) return false;
  TileProblem t{.m = p.m, .n = p.n, .k = p.k, .x = g.a, .y = g.y, .activation = e->activation, .addend_first = e->addend_first};
  CAMEO_ASSIGN(t.w, rows_of_weights(b, p, g));
  if (e->bias) {
    CAMEO_ASSIGN(t.bias, b.input_as(e->bias, type));
  }
  if (e->addend) {
    CAMEO_ASSIGN(t.addend, b.input_as(e->addend, type));
  }
  return try_tiles(b, t, [&]() -> Result<double> {
    Gemm library = g;
    library.m = p.m;
    library.n = p.n;
    library.k = p.k;
    library.trans_b = p.trans_b;
    const Epilogue covered = match_epilogue(b, program, g.y.dims);
    if (covered.bias) library.bias = t.bias;
    if (covered.addend) library.addend = t.addend;
    library.activation = covered.activation;
    const auto before = b.mark();
    double time = 0;
    CAMEO_TRY(make_gemm(b, library, &time));
    b.back_to(before);
    // What is left of the program is a kernel more, which reads and writes the result.
    if (time > 0 && covered.instructions < program.code.size()) time += pass_microseconds(p.m * p.n);
    return time;
  });
}

// The product and its program, after the norm that this step makes, if any. `library` is the way that is always there.
Status any_product(StepBuilder& b, const Product& p, const Gemm& g, const ops::PointProgram& program,
                   const std::function<Status()>& library) {
  CAMEO_ASSIGN(const std::optional<JoinedNorm> norm, joined_norm(b, g.a.dtype));
  CAMEO_ASSIGN(bool done, few_rows(b, p, g, program, norm ? &*norm : nullptr));
  if (done) return {};
  if (norm) CAMEO_TRY(add_norm(b, *norm));
  CAMEO_ASSIGN(done, by_tiles(b, p, g, program));
  return done ? Status() : library();
}

Status make_matmul(StepBuilder& b) {
  Gemm g;
  const DType type = operand_type(b);
  CAMEO_ASSIGN(g.a, b.input_as(0, type));
  CAMEO_ASSIGN(g.b, b.input_as(1, type));
  g.y = b.output(0);
  const Product p = product_of(b.in_dims(0), b.in_dims(1), false, false);
  return any_product(b, p, g, {.num_inputs = 1}, [&] { return product(b, p, g); });
}

// The product by cublasLt with what it can take of the program, then the rest.
Status by_library(StepBuilder& b, const Product& p, Gemm g, const ops::PointProgram& program, const Operand& y) {
  Epilogue e;
  if (direct(g) && p.k > 0 && p.batch.rank() <= 1) e = match_epilogue(b, program, y.dims);
  if (p.batch.rank() > 0) e = p.batch.rank() == 1 && e.instructions > 0 && !e.bias ? e : Epilogue();
  if (e.bias) {
    CAMEO_ASSIGN(g.bias, b.input_as(e.bias, y.dtype));
  }
  if (e.addend) {
    CAMEO_ASSIGN(g.addend, b.input_as(e.addend, y.dtype));
  }
  g.activation = e.activation;
  CAMEO_TRY(product(b, p, g));
  if (e.instructions < program.code.size()) return apply_rest(b, program, e.instructions, y, 2, y);
  return {};
}

Status make_fused(StepBuilder& b) {
  CAMEO_ASSIGN(const ops::PointProgram program, program_of(b, 2));
  const std::vector<int64_t> splits = b.attrs().integers("splits");
  Gemm g;
  const DType type = operand_type(b);
  CAMEO_ASSIGN(g.a, b.input_as(0, type));
  CAMEO_ASSIGN(g.b, b.input_as(1, type));
  g.alpha = b.attrs().real("alpha", 1);
  const Product p = product_of(b.in_dims(0), b.in_dims(1), b.attrs().integer("trans_a") != 0, b.attrs().integer("trans_b") != 0);
  const Operand first = b.output(0);
  Operand y = first;
  if (first.pitch) {
    // All parts lie side by side, as the product gives them.
    y.dims[y.dims.rank() - 1] = p.n;
    y.pitch = 0;
  } else if (!splits.empty()) {
    Dims dims = first.dims;
    dims[dims.rank() - 1] = p.n;
    y = b.scratch(first.dtype, dims);
    y.narrowed = first.narrowed;
  }
  g.y = y;
  CAMEO_TRY(any_product(b, p, g, program, [&] { return by_library(b, p, g, program, y); }));
  if (first.pitch) return {};
  return copy_splits(b, y, splits);
}

}  // namespace

std::vector<DeviceOp> matmul_ops() {
  return {
      {"MatMul", "", make_matmul},
      {"Gemm", "", make_gemm},
      {"MatMul", "ai.cameo", make_fused},
  };
}

}  // namespace cameo::cuda
