# Runs a Python script that tests networks. Variables: NAME, PYTHON, SCRIPT, ARGS (its arguments, a list).
# Where PYTHON lacks a package it says SKIPPED, which CTest looks for.
set(result 1)
if(EXISTS ${PYTHON})
  execute_process(COMMAND ${PYTHON} -c "import numpy, onnx" RESULT_VARIABLE result ERROR_QUIET)
endif()
if(NOT result EQUAL 0)
  message("SKIPPED: ${NAME}: ${PYTHON} with the packages numpy and onnx is needed. "
          "Install it with: python3 -m venv .venv && .venv/bin/pip install -r tests/requirements.txt")
  return()
endif()
execute_process(COMMAND ${PYTHON} ${SCRIPT} ${ARGS} COMMAND_ERROR_IS_FATAL ANY)
