// What the handles of the C interface stand for.
#pragma once

#include "cameo/cameo.h"
#include "cameo/engine.h"

struct cameo_plan {
  cameo::Plan plan;
};
