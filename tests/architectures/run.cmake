# Runs architectures_test.py. Variables: PYTHON, SOURCE_DIR, CAMEO.
# Where PYTHON lacks a package it says SKIPPED, which CTest looks for.
set(result 1)
if(EXISTS ${PYTHON})
  execute_process(COMMAND ${PYTHON} -c "import numpy, onnx" RESULT_VARIABLE result ERROR_QUIET)
endif()
if(NOT result EQUAL 0)
  message("SKIPPED: architectures: ${PYTHON} with the packages numpy and onnx is needed. "
          "Install it with: python3 -m venv .venv && .venv/bin/pip install -r tests/requirements.txt")
  return()
endif()
execute_process(COMMAND ${PYTHON} ${SOURCE_DIR}/architectures_test.py --cameo ${CAMEO} COMMAND_ERROR_IS_FATAL ANY)
