#include "backends/cpu/kernels/kernel_test.h"

namespace cameo::tactics {
namespace {

struct Shape {
  int64_t length, batch, input, hidden;
};

// X, W, R and B of a cell.
NodeTest cell(const char* op, const Shape& s, const char* direction, int layout, bool constant = true) {
  const int64_t directions = std::string_view(direction) == "bidirectional" ? 2 : 1,
                width = s.hidden * (std::string_view(op) == "LSTM" ? 4 : 3);
  NodeTest test("", op, 14);
  test.set("hidden_size", static_cast<int>(s.hidden)).set("direction", AttrSetter::Value(std::string(direction))).set("layout", layout);
  const Tensor w = random_floats({directions, width, s.input}, 2), r = random_floats({directions, width, s.hidden}, 3, 0.5f);
  test.input(random_floats(layout ? Dims{s.batch, s.length, s.input} : Dims{s.length, s.batch, s.input}, 1));
  if (constant)
    test.constant(w).constant(r);
  else
    test.input(w).input(r);
  return test;
}
Tensor bias(const char* op, const Shape& s, int64_t directions) {
  return random_floats({directions, 2 * s.hidden * (std::string_view(op) == "LSTM" ? 4 : 3)}, 4);
}

constexpr Shape kShapes[] = {{1, 1, 1, 1}, {3, 1, 5, 7},    {4, 2, 16, 16}, {2, 4, 17, 33}, {3, 5, 8, 20}, {0, 2, 3, 4},
                             {3, 0, 3, 4}, {16, 1, 64, 64}, {5, 9, 3, 31},  {150, 2, 3, 9}, {2, 1, 0, 4}};

TEST(RecurrentKernels, ShapesAndDirections) {
  for (const char* op : {"LSTM", "GRU"})
    for (const Shape& s : kShapes)
      for (const char* direction : {"forward", "reverse", "bidirectional"})
        for (int layout : {0, 1}) {
          const int64_t directions = std::string_view(direction) == "bidirectional" ? 2 : 1;
          const Dims state = layout ? Dims{s.batch, directions, s.hidden} : Dims{directions, s.batch, s.hidden};
          const bool lstm = op[0] == 'L';
          const char* tactic = lstm ? "lstm_f32" : "gru_f32";
          const auto outputs = lstm ? std::vector<bool>{true, true, true} : std::vector<bool>{true, true};
          for (bool constant : {false, true}) cell(op, s, direction, layout, constant).outputs(outputs).expect_same(tactic, 1e-5, 5e-6);
          cell(op, s, direction, layout)
              .input(bias(op, s, directions))
              .absent()
              .input(random_floats(state, 5))
              .outputs({false, true})
              .expect_same(tactic, 1e-5, 5e-6);
          if (!lstm)
            cell(op, s, direction, layout).set("linear_before_reset", 1).input(bias(op, s, directions)).expect_same(tactic, 1e-5, 5e-6);
          else
            cell(op, s, direction, layout)
                .input(bias(op, s, directions))
                .absent()
                .absent()
                .input(random_floats(state, 5))
                .outputs(outputs)
                .expect_same(tactic, 1e-5, 5e-6);
          if (HasFatalFailure()) return;
        }
}

TEST(RecurrentKernels, Lengths) {
  const Shape s = {6, 3, 10, 12};
  for (const char* op : {"LSTM", "GRU"})
    for (const char* direction : {"forward", "bidirectional"})
      cell(op, s, direction, 0)
          .absent()
          .input(Tensor::of<int32_t>({3}, {0, 6, 2}))
          .outputs({true, true})
          .expect_same(op[0] == 'L' ? "lstm_f32" : "gru_f32", 1e-5, 5e-6);
}

TEST(RecurrentKernels, NanStaysWithItsSequence) {
  const Shape s = {3, 4, 10, 12};
  Tensor x = random_floats({3, 4, 10}, 1);
  x.data<float>()[45] = std::nanf("");
  for (const char* op : {"LSTM", "GRU"}) {
    NodeTest test("", op, 14);
    const int64_t width = s.hidden * (op[0] == 'L' ? 4 : 3);
    test.set("hidden_size", 12)
        .input(x)
        .input(random_floats({1, width, 10}, 2))
        .input(random_floats({1, width, 12}, 3))
        .expect_same(op[0] == 'L' ? "lstm_f32" : "gru_f32", 1e-5, 5e-6);
  }
}

TEST(RecurrentKernels, Refuses) {
  const Shape s = {2, 2, 3, 4};
  EXPECT_NE(cell("LSTM", s, "forward", 0).set("clip", AttrSetter::Value(1.f)).refusal("lstm_f32"), "");
  EXPECT_NE(cell("LSTM", s, "forward", 0).set("input_forget", 1).refusal("lstm_f32"), "");
}

}  // namespace
}  // namespace cameo::tactics
