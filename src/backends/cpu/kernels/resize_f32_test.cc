#include "backends/cpu/kernels/kernel_test.h"

namespace cameo::tactics {
namespace {

Tensor sizes(std::initializer_list<int64_t> values) { return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values); }

TEST(ResizeF32Kernels, ImagesOfBothLayouts) {
  for (const char* mode : {"linear", "cubic", "nearest"})
    for (const char* coordinates : {"half_pixel", "align_corners", "asymmetric"})
      for (const auto& [in, out] : {std::pair<Dims, std::array<int64_t, 4>>{{1, 3, 14, 14}, {1, 3, 56, 61}},
                                    {{2, 5, 7, 17}, {2, 5, 9, 130}},
                                    {{1, 2, 40, 70}, {1, 2, 11, 13}},
                                    {{1, 9, 8, 33}, {1, 20, 30, 33}},
                                    {{1, 1, 1, 1}, {1, 4, 5, 1}}}) {
        NodeTest test("", "Resize", 13);
        test.set("mode", std::string(mode)).set("coordinate_transformation_mode", std::string(coordinates));
        test.input(random_floats(in, 1)).absent().absent();
        test.constant(sizes({out[0], out[1], out[2], out[3]}));
        ASSERT_NO_FATAL_FAILURE(test.expect_same("resize_f32", 1e-5, 1e-5));
      }
}

TEST(ResizeF32Kernels, AntialiasCropsAndSpecialValues) {
  NodeTest("", "Resize", 18)
      .set("mode", std::string("linear"))
      .set("antialias", 1)
      .input(random_floats({1, 2, 50, 80}, 1))
      .absent()
      .absent()
      .constant(sizes({1, 2, 20, 33}))
      .expect_same("resize_f32", 1e-5, 1e-5);
  NodeTest("", "Resize", 13)
      .set("mode", std::string("linear"))
      .set("coordinate_transformation_mode", std::string("tf_crop_and_resize"))
      .set("extrapolation_value", AttrSetter::Value(7.5f))
      .input(random_floats({1, 1, 20, 20}, 1))
      .constant(Tensor::of<float>({8}, {0, 0, -0.2f, 0.1f, 1, 1, 0.9f, 1.3f}))
      .absent()
      .constant(sizes({1, 1, 24, 40}))
      .expect_same("resize_f32", 1e-5, 1e-5);
  NodeTest("", "Resize", 13)
      .set("mode", std::string("linear"))
      .input(special_floats({1, 4, 6, 20}, 1))
      .absent()
      .absent()
      .constant(sizes({1, 4, 13, 50}))
      .expect_same("resize_f32", 1e-5, 1e-5);
}

}  // namespace
}  // namespace cameo::tactics
