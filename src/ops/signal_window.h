// The window functions of signal processing: sums of cosines over a given number of samples.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

struct SignalWindowAttrs : ir::AttrsOf<SignalWindowAttrs> {
  int64_t output_datatype = static_cast<int64_t>(DType::kFloat32);
  int64_t periodic = 1;
  void visit(ir::AttrVisitor& v) override {
    v("output_datatype", output_datatype);
    v("periodic", periodic);
  }
};

// The output has as many elements as input 0 says, of the type output_datatype.
Status infer_signal_window(InferContext& context);

// y[n] = a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), N being the number of samples when periodic, else one less.
Status signal_window(KernelContext& context, double a0, double a1, double a2);

// The type that an output_datatype attribute names, if it is a number type.
Result<DType> number_type(int64_t output_datatype);

}  // namespace cameo::ops
