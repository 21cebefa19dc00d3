#include <cameo/builder.h>

#include <cstdio>

int main(int, char** argv) {
  const auto plan = cameo::Builder().build(argv[1]);
  if (!plan.ok() || !plan->save(argv[2]).ok())
    return std::fprintf(stderr, "%s\n", plan.ok() ? "not saved" : plan.error().message().c_str());
  return 0;
}
