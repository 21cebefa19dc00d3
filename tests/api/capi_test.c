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

static int32_t collect(const cameo_token* token, void* user) {
  strcat((char*)user, token->text);
  return token->finish == CAMEO_GOES_ON;
}

static int32_t cancel(const cameo_token* token, void* user) {
  if (token->id != UINT32_MAX) cameo_generator_cancel((cameo_generator*)user);
  return 1;
}

/* Texts of models/tiny-gpt2: alone, in a batch, on a clone, cancelled; then errors. */
static int generation(const char* folder) {
  cameo_generator *first = NULL, *g = NULL;
  CHECK(cameo_generator_create(folder, NULL, &first) == CAMEO_OK);
  CHECK(cameo_generator_clone(first, &g) == CAMEO_OK);
  cameo_generator_free(first);
  cameo_generate_options options;
  CHECK(cameo_generate_options_init(g, &options) == CAMEO_OK && options.temperature == 0 && options.top_p == 1);
  char streamed[1000] = "";
  options.max_new_tokens = 5;
  options.on_token = collect;
  options.user = streamed;
  const char* prompts[] = {"In the beginning", "The LORD is my"};
  CHECK(cameo_generate(g, prompts, 1, &options) == CAMEO_OK);
  cameo_completion alone, batch;
  CHECK(cameo_generator_completion(g, 0, &alone) == CAMEO_OK);
  CHECK(strcmp(alone.text, " of the first month,") == 0 && alone.text_bytes == strlen(alone.text) && strcmp(alone.text, streamed) == 0);
  CHECK(alone.num_prompt_tokens == 3 && alone.prompt_token_ids[0] == 1155 && alone.num_tokens == 5 && alone.finish == CAMEO_LENGTH);
  options.on_token = NULL;
  CHECK(cameo_generate(g, prompts, 2, &options) == CAMEO_OK);
  CHECK(cameo_generator_completion(g, 0, &batch) == CAMEO_OK && strcmp(batch.text, " of the first month,") == 0);
  CHECK(cameo_generator_completion(g, 1, &batch) == CAMEO_OK && batch.num_tokens == 5);
  CHECK(cameo_generator_completion(g, 2, &batch) == CAMEO_INVALID_ARGUMENT);
  const char* stop = "first";
  options.stop_strings = &stop;
  options.num_stop_strings = 1;
  CHECK(cameo_generate(g, prompts, 1, &options) == CAMEO_OK && cameo_generator_completion(g, 0, &alone) == CAMEO_OK);
  CHECK(strcmp(alone.text, " of the ") == 0 && alone.finish == CAMEO_STOP);
  options.num_stop_strings = 0;
  options.max_new_tokens = 200;
  options.on_token = cancel;
  options.user = g;
  CHECK(cameo_generate(g, prompts, 1, &options) == CAMEO_OK && cameo_generator_completion(g, 0, &alone) == CAMEO_OK);
  CHECK(alone.finish == CAMEO_ENDED_BY_CALLER && alone.num_tokens < 200);
  options.max_new_tokens = 1000;
  CHECK(cameo_generate(g, prompts, 1, &options) == CAMEO_INVALID_INPUT && strstr(cameo_last_error(), "256 positions"));
  options.chat = 1;
  CHECK(cameo_generate(g, prompts, 1, &options) == CAMEO_UNSUPPORTED && strstr(cameo_last_error(), "chat template"));
  options.size = 1;
  CHECK(cameo_generate(g, prompts, 1, &options) == CAMEO_INVALID_ARGUMENT);
  cameo_generator_free(g);
  CHECK(cameo_generator_create("no/such/folder", NULL, &g) == CAMEO_IO);
  return 0;
}

static int embeddings(const char* folder) {
  cameo_embedder* e = NULL;
  cameo_embedder_options options = CAMEO_EMBEDDER_OPTIONS_INIT;
  options.pooling = 9;
  CHECK(cameo_embedder_create(folder, &options, &e) == CAMEO_INVALID_ARGUMENT);
  CHECK(cameo_embedder_create(folder, NULL, &e) == CAMEO_OK && cameo_embedder_width(e) == 48);
  const char* texts[] = {"Moses", "The waters were upon the face of the deep.", "Moses"};
  float vectors[3 * 48];
  CHECK(cameo_embed(e, texts, 3, vectors) == CAMEO_OK);
  double same = 0, other = 0;
  for (int i = 0; i < 48; ++i) same += vectors[i] * vectors[96 + i], other += vectors[i] * vectors[48 + i];
  CHECK(same > 0.9999 && same < 1.0001 && other > 0.709 && other < 0.71); /* docs/text.md */
  texts[1] = "a\xff";
  CHECK(cameo_embed(e, texts, 3, vectors) == CAMEO_INVALID_INPUT && strstr(cameo_last_error(), "UTF-8"));
  cameo_embedder_free(e);
  return 0;
}

int main(int argc, char** argv) {
  CHECK(argc == 5);
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
  if (generation(argv[3]) || embeddings(argv[4])) return 1;
  printf("C interface of Cameo %s: all checks passed\n", cameo_version());
  return 0;
}
