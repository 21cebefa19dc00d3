/* The C interface, from C: builds, saves, loads and runs a model; then its errors. */
#include <cameo/cameo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                      \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      fprintf(stderr, "line %d: %s; last error: %s\n", __LINE__, #condition, cameo_last_error()); \
      return 1;                                                                               \
    }                                                                                         \
  } while (0)

int main(int argc, char** argv) {
  CHECK(argc == 3);
  const char *model = argv[1], *path = argv[2];

  const int64_t min[] = {1, 1}, opt[] = {1, 8}, max[] = {2, 16};
  const cameo_input_range ranges[] = {{"input_ids", 0, 2, min, opt, max}, {"attention_mask", 0, 2, min, opt, max}};
  cameo_build_options options = CAMEO_BUILD_OPTIONS_INIT;
  options.ranges = ranges;
  options.num_ranges = 2;
  cameo_plan* plan = NULL;
  CHECK(cameo_build(model, &options, &plan) == CAMEO_OK);
  CHECK(cameo_plan_save(plan, path) == CAMEO_OK);
  const void* data = NULL;
  size_t size = 0;
  CHECK(cameo_plan_data(plan, &data, &size) == CAMEO_OK && size > 128);
  cameo_plan_free(plan);

  plan = NULL;
  CHECK(cameo_plan_load(path, &plan) == CAMEO_OK);
  cameo_engine* engine = NULL;
  CHECK(cameo_engine_load(plan, &engine) == CAMEO_OK);
  cameo_plan_free(plan);
  CHECK(cameo_engine_num_inputs(engine) == 2 && cameo_engine_num_outputs(engine) == 1);
  cameo_tensor_info info;
  CHECK(cameo_engine_input(engine, 0, &info) == CAMEO_OK && info.dtype == CAMEO_INT64 && info.rank == 2);
  CHECK(cameo_engine_input(engine, 2, &info) == CAMEO_INVALID_ARGUMENT);

  cameo_context* context = NULL;
  CHECK(cameo_context_create(engine, &context) == CAMEO_OK);
  cameo_engine_free(engine);
  const int64_t shape[] = {1, 3};
  int64_t ids[] = {1155, 259, 2070}, mask[] = {1, 1, 1};
  CHECK(cameo_context_set_input_shape(context, "input_ids", shape, 2) == CAMEO_OK);
  CHECK(cameo_context_set_input_shape(context, "attention_mask", shape, 2) == CAMEO_OK);
  CHECK(cameo_context_set_tensor_address(context, "input_ids", ids, sizeof ids) == CAMEO_OK);
  CHECK(cameo_context_set_tensor_address(context, "attention_mask", mask, sizeof mask) == CAMEO_OK);
  int64_t dims[3];
  size_t rank = 3;
  CHECK(cameo_context_output_shape(context, "logits", dims, &rank) == CAMEO_OK && rank == 3 && dims[1] == 3);
  CHECK(cameo_context_run(context) == CAMEO_OK);
  cameo_tensor logits;
  CHECK(cameo_context_output(context, "logits", &logits) == CAMEO_OK);
  CHECK(logits.dtype == CAMEO_FLOAT32 && logits.rank == 3 && logits.bytes == (size_t)(3 * dims[2]) * sizeof(float));
  const float* last = (const float*)logits.data + 2 * dims[2];
  int64_t best = 0;
  for (int64_t i = 1; i < dims[2]; ++i)
    if (last[i] > last[best]) best = i;
  CHECK(best == 269); /* models/tiny-gpt2/reference.json */

  const int64_t too_long[] = {1, 17};
  CHECK(cameo_context_set_input_shape(context, "input_ids", too_long, 2) == CAMEO_OK);
  CHECK(cameo_context_set_input_shape(context, "attention_mask", too_long, 2) == CAMEO_OK);
  rank = 3;
  CHECK(cameo_context_output_shape(context, "logits", dims, &rank) == CAMEO_INVALID_INPUT);
  CHECK(strstr(cameo_last_error(), "is 17") && strstr(cameo_last_error(), "1 to 16"));
  CHECK(cameo_context_run(NULL) == CAMEO_INVALID_ARGUMENT);
  CHECK(cameo_build("missing.onnx", NULL, &plan) == CAMEO_IO && strstr(cameo_last_error(), "missing.onnx"));
  options.size = 3;
  CHECK(cameo_build(model, &options, &plan) == CAMEO_INVALID_ARGUMENT);
  cameo_context_cancel(context);
  cameo_context_free(context);
  cameo_context_free(NULL);
  printf("C interface of Cameo %s: all checks passed\n", cameo_version());
  return 0;
}
