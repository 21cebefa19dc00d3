/* Cameo's stable C interface.
 *
 * Every function that can fail returns 0, or a cameo_error_code; cameo_last_error() then says more. Handles are
 * freed by the function named after them; freeing null does nothing. Names are UTF-8 and copied. A handle may be
 * used by one thread at a time, but an engine by any number; cameo_context_cancel() may be called from any thread.
 * Functions marked "builder" are in libcameo alone, the rest also in libcameo_runtime.
 */
#ifndef CAMEO_CAMEO_H
#define CAMEO_CAMEO_H

#include <stddef.h>
#include <stdint.h>

#include "cameo/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cameo_error_code {
  CAMEO_OK = 0,
  CAMEO_INVALID_ARGUMENT = 1,
  CAMEO_INVALID_MODEL = 2,
  CAMEO_INVALID_PLAN = 3,
  CAMEO_VERSION_MISMATCH = 4,
  CAMEO_INVALID_INPUT = 5,
  CAMEO_IO = 6,
  CAMEO_UNSUPPORTED = 7,
  CAMEO_OUT_OF_MEMORY = 8,
  CAMEO_DEVICE = 9,
  CAMEO_CANCELLED = 10,
  CAMEO_INTERNAL = 11
} cameo_error_code;

/* Element types; the numbers are ONNX's (TensorProto.DataType). Elements of the 4- and 2-bit types take a byte each. */
typedef enum cameo_dtype {
  CAMEO_UNDEFINED = 0,
  CAMEO_FLOAT32 = 1,
  CAMEO_UINT8 = 2,
  CAMEO_INT8 = 3,
  CAMEO_UINT16 = 4,
  CAMEO_INT16 = 5,
  CAMEO_INT32 = 6,
  CAMEO_INT64 = 7,
  CAMEO_STRING = 8,
  CAMEO_BOOL = 9,
  CAMEO_FLOAT16 = 10,
  CAMEO_FLOAT64 = 11,
  CAMEO_UINT32 = 12,
  CAMEO_UINT64 = 13,
  CAMEO_COMPLEX64 = 14,
  CAMEO_COMPLEX128 = 15,
  CAMEO_BFLOAT16 = 16,
  CAMEO_FLOAT8_E4M3FN = 17,
  CAMEO_FLOAT8_E4M3FNUZ = 18,
  CAMEO_FLOAT8_E5M2 = 19,
  CAMEO_FLOAT8_E5M2FNUZ = 20,
  CAMEO_UINT4 = 21,
  CAMEO_INT4 = 22,
  CAMEO_FLOAT4_E2M1 = 23,
  CAMEO_FLOAT8_E8M0 = 24,
  CAMEO_UINT2 = 25,
  CAMEO_INT2 = 26
} cameo_dtype;

typedef struct cameo_plan cameo_plan;
typedef struct cameo_engine cameo_engine;
typedef struct cameo_context cameo_context;

/* "major.minor.patch" of the library that runs. */
CAMEO_API const char* cameo_version(void);
/* What went wrong in the last call of this thread that failed; valid until the next one fails. Never null. */
CAMEO_API const char* cameo_last_error(void);

/* severity: 0 error, 1 warning, 2 info, 3 verbose. Called from several threads. */
typedef void (*cameo_log_function)(int32_t severity, const char* message, void* user);

/* ---- builder ---- */

/* One range of shapes: rank extents each. Ranges with the same profile number make up a profile; numbers start at 0. */
typedef struct cameo_input_range {
  const char* name;
  size_t profile;
  size_t rank;
  const int64_t* min;
  const int64_t* opt;
  const int64_t* max;
} cameo_input_range;

typedef struct cameo_build_options {
  size_t size; /* sizeof(cameo_build_options); set by CAMEO_BUILD_OPTIONS_INIT */
  const cameo_input_range* ranges;
  size_t num_ranges;
  int32_t optimization_level; /* 0 to 5 */
  cameo_log_function log;     /* may be null */
  void* log_user;
  int32_t threads;          /* that runs will use; 0: one for each processor */
  const char* timing_cache; /* file of kernel times, read and written; may be null */
  int32_t error_on_miss;    /* not 0: measure nothing, what the timing cache does not hold is an error */
} cameo_build_options;
#define CAMEO_BUILD_OPTIONS_INIT \
  { sizeof(cameo_build_options), NULL, 0, 3, NULL, NULL, 0, NULL, 0 }

/* Builds a plan from an ONNX file. `options` may be null. */
CAMEO_API int32_t cameo_build(const char* model_path, const cameo_build_options* options, cameo_plan** plan);

/* ---- plans ---- */

CAMEO_API int32_t cameo_plan_load(const char* path, cameo_plan** plan);
CAMEO_API int32_t cameo_plan_save(const cameo_plan* plan, const char* path);
/* The plan's bytes; valid as long as the plan. */
CAMEO_API int32_t cameo_plan_data(const cameo_plan* plan, const void** data, size_t* size);
CAMEO_API void cameo_plan_free(cameo_plan* plan);

/* ---- engines ---- */

/* The plan may be freed afterwards. */
CAMEO_API int32_t cameo_engine_load(const cameo_plan* plan, cameo_engine** engine);
CAMEO_API void cameo_engine_free(cameo_engine* engine);

typedef struct cameo_tensor_info {
  const char* name; /* valid as long as the engine */
  const char* type; /* "float32[batch, 3]" */
  int32_t dtype;    /* cameo_dtype */
  int32_t rank;     /* -1 when it is not fixed, or for what is no tensor */
} cameo_tensor_info;

CAMEO_API size_t cameo_engine_num_inputs(const cameo_engine* engine);
CAMEO_API size_t cameo_engine_num_outputs(const cameo_engine* engine);
CAMEO_API int32_t cameo_engine_input(const cameo_engine* engine, size_t index, cameo_tensor_info* info);
CAMEO_API int32_t cameo_engine_output(const cameo_engine* engine, size_t index, cameo_tensor_info* info);

/* ---- contexts ---- */

/* The engine may be freed before its contexts. */
CAMEO_API int32_t cameo_context_create(const cameo_engine* engine, cameo_context** context);
typedef struct cameo_context_options {
  size_t size;     /* sizeof(cameo_context_options); set by CAMEO_CONTEXT_OPTIONS_INIT */
  int32_t threads; /* that a run may use, the caller's among them; 0: one for each processor */
} cameo_context_options;
#define CAMEO_CONTEXT_OPTIONS_INIT \
  { sizeof(cameo_context_options), 0 }
/* The same with options; null stands for the defaults. */
CAMEO_API int32_t cameo_context_create_with(const cameo_engine* engine, const cameo_context_options* options, cameo_context** context);
CAMEO_API void cameo_context_free(cameo_context* context);

CAMEO_API int32_t cameo_context_set_profile(cameo_context* context, size_t index);
CAMEO_API int32_t cameo_context_set_input_shape(cameo_context* context, const char* name, const int64_t* dims, size_t rank);
/* Caller's memory for an input (after its shape was set) or output; the caller keeps it alive until it is bound anew.
 * Null gives an output back to memory of the context. */
CAMEO_API int32_t cameo_context_set_tensor_address(cameo_context* context, const char* name, void* data, size_t bytes);
/* An input of strings, `dims` extents, copied. */
CAMEO_API int32_t cameo_context_set_input_strings(cameo_context* context, const char* name, const int64_t* dims, size_t rank,
                                                  const char* const* strings);
/* Extents of an output for the input shapes set; -1 where they depend on data. *rank: room in dims before, rank after. */
CAMEO_API int32_t cameo_context_output_shape(cameo_context* context, const char* name, int64_t* dims, size_t* rank);
CAMEO_API int32_t cameo_context_run(cameo_context* context);
CAMEO_API void cameo_context_cancel(cameo_context* context);

typedef struct cameo_tensor {
  int32_t dtype;
  size_t rank;
  const int64_t* dims;
  const void* data; /* null for strings */
  size_t bytes;
} cameo_tensor;

/* An output of the last run; valid until the next run of the context. */
CAMEO_API int32_t cameo_context_output(cameo_context* context, const char* name, cameo_tensor* tensor);
/* Element `index` of an output of strings. */
CAMEO_API int32_t cameo_context_output_string(cameo_context* context, const char* name, size_t index, const char** text, size_t* length);

/* ---- text generation (builder) ---- */

/* A language model with its tokenizer and settings, from a folder, plan, ONNX or GGUF file; cameo/generate.h says what a
 * folder holds and what the options do. For one thread at a time. */
typedef struct cameo_generator cameo_generator;

typedef struct cameo_generator_options {
  size_t size;            /* sizeof(cameo_generator_options); set by CAMEO_GENERATOR_OPTIONS_INIT */
  const char* plan;       /* this plan instead of the folder's model; may be null */
  const char* tokenizer;  /* this tokenizer.json instead of the folder's; may be null */
  int32_t threads;        /* 0: one for each processor */
  int32_t mode;           /* 0 with a cache where it can be, 1 with a cache, 2 last logits alone, 3 all logits */
  cameo_log_function log; /* may be null */
  void* log_user;
} cameo_generator_options;
#define CAMEO_GENERATOR_OPTIONS_INIT \
  { sizeof(cameo_generator_options), NULL, NULL, 0, 0, NULL, NULL }
/* `options` may be null. */
CAMEO_API int32_t cameo_generator_create(const char* path, const cameo_generator_options* options, cameo_generator** generator);
/* Another generator that shares the model, for another thread. */
CAMEO_API int32_t cameo_generator_clone(const cameo_generator* generator, cameo_generator** clone);
CAMEO_API void cameo_generator_free(cameo_generator* generator);

/* Why a text ended. */
typedef enum cameo_finish { CAMEO_GOES_ON = -1, CAMEO_STOP = 0, CAMEO_LENGTH = 1, CAMEO_ENDED_BY_CALLER = 2 } cameo_finish;

/* A new token; its text is whole characters that are now certain. Valid during the call. */
typedef struct cameo_token {
  size_t row; /* the prompt's number */
  uint32_t id;
  const char* text; /* UTF-8, text_bytes bytes and a zero */
  size_t text_bytes;
  int32_t finish; /* cameo_finish */
} cameo_token;
/* 0 ends the row. */
typedef int32_t (*cameo_token_function)(const cameo_token* token, void* user);

typedef struct cameo_generate_options {
  size_t size; /* sizeof(cameo_generate_options); set by cameo_generate_options_init */
  size_t max_new_tokens;
  double temperature; /* 0: greedy */
  size_t top_k;       /* 0: all */
  double top_p, min_p;
  uint64_t seed;
  double repetition_penalty, presence_penalty, frequency_penalty;
  size_t num_beams;
  double length_penalty;
  int32_t early_stopping, ignore_end_tokens;
  int32_t chat;       /* not 0: prompts are what the user says in the model's chat template */
  const char* system; /* with chat: what the system says before; may be null */
  const char* const* stop_strings;
  size_t num_stop_strings;
  const uint32_t* stop_tokens;
  size_t num_stop_tokens;
  const uint32_t* bias_ids; /* tokens whose logits are changed, and by how much */
  const float* biases;
  size_t num_biases;
  cameo_token_function on_token; /* may be null */
  void* user;
} cameo_generate_options;
/* The model's own defaults. */
CAMEO_API int32_t cameo_generate_options_init(const cameo_generator* generator, cameo_generate_options* options);

/* Continues the prompts, UTF-8 that ends with a zero; each gets what it gets alone. `options` may be null. */
CAMEO_API int32_t cameo_generate(cameo_generator* generator, const char* const* prompts, size_t num_prompts,
                                 const cameo_generate_options* options);
/* Ends the texts of the cameo_generate() that runs, from any thread. */
CAMEO_API void cameo_generator_cancel(cameo_generator* generator);

typedef struct cameo_completion {
  const char* text; /* what follows the prompt, text_bytes bytes and a zero */
  size_t text_bytes;
  const uint32_t* prompt_token_ids;
  size_t num_prompt_tokens;
  const uint32_t* token_ids;
  size_t num_tokens;
  int32_t finish; /* cameo_finish */
} cameo_completion;
/* What became of prompt `row` in the last cameo_generate(); valid until the next. */
CAMEO_API int32_t cameo_generator_completion(const cameo_generator* generator, size_t row, cameo_completion* completion);

/* ---- embeddings (builder) ---- */

/* An encoder with its tokenizer, from a folder, plan, ONNX or GGUF file (cameo/embed.h). For one thread at a time. */
typedef struct cameo_embedder cameo_embedder;

typedef struct cameo_embedder_options {
  size_t size;            /* sizeof(cameo_embedder_options); set by CAMEO_EMBEDDER_OPTIONS_INIT */
  const char* tokenizer;  /* this tokenizer.json instead of the folder's; may be null */
  int32_t threads;        /* 0: one for each processor */
  int32_t pooling;        /* 0 mean, 1 first, 2 largest, 3 last; -1: as the folder says */
  int32_t normalize;      /* 0 no, 1 yes; -1: as the folder says */
  size_t max_length;      /* tokens; 0: as the folder says */
  cameo_log_function log; /* may be null */
  void* log_user;
} cameo_embedder_options;
#define CAMEO_EMBEDDER_OPTIONS_INIT \
  { sizeof(cameo_embedder_options), NULL, 0, -1, -1, 0, NULL, NULL }
/* `options` may be null. */
CAMEO_API int32_t cameo_embedder_create(const char* path, const cameo_embedder_options* options, cameo_embedder** embedder);
CAMEO_API void cameo_embedder_free(cameo_embedder* embedder);
/* Floats in a vector. */
CAMEO_API size_t cameo_embedder_width(const cameo_embedder* embedder);
/* Writes num_texts * width floats, a row a text. */
CAMEO_API int32_t cameo_embed(cameo_embedder* embedder, const char* const* texts, size_t num_texts, float* vectors);

#ifdef __cplusplus
}
#endif

#endif
