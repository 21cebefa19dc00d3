#include "backends/cuda/step.h"

#include <algorithm>
#include <cstring>

#include "backends/cuda/source.h"

namespace cameo::cuda {
namespace {

constexpr size_t kScratchAlignment = 256;

}  // namespace

int64_t Faults::add(const std::string& node) {
  const auto it = std::find(nodes_.begin(), nodes_.end(), node);
  if (it != nodes_.end()) return it - nodes_.begin() + 1;
  nodes_.push_back(node);
  return static_cast<int64_t>(nodes_.size());
}

int64_t* Faults::memory() {
  if (!tried_) {
    tried_ = true;
    if (auto block = PinnedBlock::allocate(2 * sizeof(int64_t)); block.ok()) {
      block_ = std::move(block).value();
      std::memset(block_.data(), 0, 2 * sizeof(int64_t));
    }
  }
  return static_cast<int64_t*>(block_.data());
}

Status Faults::take() {
  auto* word = static_cast<volatile int64_t*>(block_.data());
  if (!word || word[0] == 0) [[likely]]
    return {};
  const int64_t number = word[0], index = word[1];
  word[0] = 0;
  const std::string node = number > 0 && number <= static_cast<int64_t>(nodes_.size()) ? nodes_[static_cast<size_t>(number - 1)] : "a node";
  return error(ErrorCode::kInvalidInput, "{}: index {} is out of range", node, index);
}

Result<std::vector<int64_t>> StepBuilder::ints(size_t i) const {
  const Tensor* t = value(i);
  if (!t) return error(ErrorCode::kUnsupported, "input {} is not known before the run", i);
  std::vector<int64_t> list(static_cast<size_t>(t->num_elements()));
  for (size_t k = 0; k < list.size(); ++k) {
    if (t->dtype() == DType::kInt64)
      list[k] = t->data<int64_t>()[k];
    else if (t->dtype() == DType::kInt32)
      list[k] = t->data<int32_t>()[k];
    else
      return error(ErrorCode::kInvalidInput, "input {} holds {} where indices are expected", i, dtype_name(t->dtype()));
  }
  return list;
}

Result<Operand> StepBuilder::constant(const Tensor& tensor) {
  Operand o{.kind = Operand::Kind::kFixed, .dtype = tensor.dtype(), .dims = tensor.dims()};
  if (tensor.num_bytes() == 0 || !device_.has_gpu()) {
    o.fixed = nullptr;
    return o;
  }
  CAMEO_ASSIGN(MemoryPool::Block block, device_.pool()->allocate(tensor.num_bytes()));
  {
    const std::lock_guard lock(device_.mutex());
    CAMEO_TRY(copy(block.data(), tensor.raw(), tensor.num_bytes(), device_.stream()));
    CAMEO_TRY(synchronize(device_.stream()));
  }
  o.fixed = block.data();
  keep(std::make_shared<MemoryPool::Block>(std::move(block)));
  return o;
}

Result<Operand> StepBuilder::input(size_t i) {
  if (const Tensor* t = value(i)) {
    if (!inputs_[i].weight) return constant(*t);
    return prepared(i, "", t->dtype(), t->dims(), nullptr);
  }
  return Operand{.kind = Operand::Kind::kInput,
                 .index = i,
                 .dtype = inputs_[i].storage,
                 .dims = inputs_[i].dims,
                 .pitch = inputs_[i].pitch,
                 .channels_first = inputs_[i].channels_first};
}

Operand StepBuilder::output(size_t i) const {
  return {.kind = Operand::Kind::kOutput,
          .index = i,
          .dtype = outputs_[i].storage,
          .narrowed = outputs_[i].storage != outputs_[i].dtype,
          .dims = outputs_[i].dims,
          .pitch = outputs_[i].pitch};
}

Operand StepBuilder::scratch(DType dtype, const Dims& dims) {
  Operand o{.kind = Operand::Kind::kScratch, .offset = step_.scratch_bytes, .dtype = dtype, .dims = dims};
  step_.scratch_bytes += (o.bytes() + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  return o;
}

Result<Operand> StepBuilder::input_as(size_t i, DType storage) {
  const auto convert = [storage](StepBuilder& b, const Operand& from, Operand to) {
    to.narrowed = storage != from.dtype;
    return copy_elements(b, from, to);
  };
  if (value(i)) {
    if (value(i)->dtype() == storage) return input(i);
    return prepared(i, std::string(dtype_name(storage)), storage, in_dims(i), convert);
  }
  CAMEO_ASSIGN(Operand from, input(i));
  if (from.dtype == storage) return from;
  Operand to = scratch(storage, from.dims);
  CAMEO_TRY(convert(*this, from, to));
  return to;
}

Result<Operand> StepBuilder::prepared(size_t i, const std::string& form, DType storage, const Dims& dims,
                                      const std::function<Status(StepBuilder&, const Operand&, const Operand&)>& fill) {
  const Tensor& tensor = inputs_[i].value;
  Operand o{.kind = Operand::Kind::kFixed, .dtype = storage, .dims = dims};
  const auto write = [&](void* to) -> Status {
    if (!fill) {
      if (!device_.has_gpu()) return {};
      const std::lock_guard lock(device_.mutex());
      CAMEO_TRY(copy(to, tensor.raw(), tensor.num_bytes(), device_.stream()));
      return synchronize(device_.stream());
    }
    StepBuilder inner(node_, {}, {}, precision_, device_, weights_);
    CAMEO_ASSIGN(const Operand from, inner.constant(tensor));
    Operand target = o;
    target.fixed = to;
    CAMEO_TRY(fill(inner, from, target));
    if (!device_.has_gpu()) return {};
    const Step step = inner.take();
    CAMEO_ASSIGN(const MemoryPool::Block scratch, device_.pool()->allocate(step.scratch_bytes));
    const std::lock_guard lock(device_.mutex());
    CAMEO_TRY(step.run({{}, {}, static_cast<std::byte*>(scratch.data())}, device_.stream()));
    return synchronize(device_.stream());
  };
  const auto key = inputs_[i].weight ? fmt::format("{}:{}:{}", tensor.raw(), tensor.num_bytes(), form) : std::string();
  std::shared_ptr<const MemoryPool::Block> block;
  if (!key.empty()) {
    CAMEO_ASSIGN(block, weights_.get(key, o.bytes(), write));
  } else {
    CAMEO_ASSIGN(MemoryPool::Block own,
                 device_.has_gpu() ? device_.pool()->allocate(o.bytes()) : Result<MemoryPool::Block>(MemoryPool::Block()));
    CAMEO_TRY(write(own.data()));
    block = std::make_shared<MemoryPool::Block>(std::move(own));
  }
  o.fixed = block->data();
  keep(block);
  return o;
}

}  // namespace cameo::cuda
