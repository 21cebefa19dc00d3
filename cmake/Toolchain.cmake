# ccache where it is installed, warnings, sanitizers.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wno-missing-field-initializers)
# The same results with every compiler: no contraction of a * b + c unless the code says fma.
add_compile_options(-ffp-contract=off)

if(CAMEO_SANITIZE)
  add_compile_options(-fsanitize=${CAMEO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -O1 -g1)
  add_link_options(-fsanitize=${CAMEO_SANITIZE})
endif()

if(CAMEO_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
