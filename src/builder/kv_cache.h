// A language model made to keep keys and values, and the profiles that go with it.
#pragma once

#include <vector>

#include "cameo/builder.h"
#include "passes/pass.h"
#include "plan/content.h"

namespace cameo::builder {

// Runs the passes that come before the late ones and add_kv_cache on a copy of the graph; `content` gets the result, with two profiles
// for each that there was, or two in all: many tokens of each row (prefill) and one (decode). `mode` is not kOff. With kAuto a graph that
// cannot have a cache stays as it is, and the last of `reports` says why.
Status add_kv_cache(plan::Content& content, KvCache mode, const passes::PassOptions& options, std::vector<PassReport>& reports);

}  // namespace cameo::builder
