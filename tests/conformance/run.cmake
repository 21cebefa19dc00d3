# Exports the cases where that has not been done yet, and runs them. Variables: PYTHON, SOURCE_DIR, CASES, PROGRAM, FLAGS.
# Where PYTHON lacks the right version of onnx it says SKIPPED, which CTest looks for.
set(wanted 1.23.2)
if(NOT EXISTS ${CASES}/index.txt OR ${SOURCE_DIR}/export_cases.py IS_NEWER_THAN ${CASES}/index.txt)
  set(found "no onnx")
  if(EXISTS ${PYTHON})
    execute_process(COMMAND ${PYTHON} -c "import onnx; print(onnx.__version__)" OUTPUT_VARIABLE found ERROR_QUIET
                    OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  if(NOT found STREQUAL wanted)
    message("SKIPPED: conformance: the official cases come with the Python package onnx ${wanted}; ${PYTHON} has '${found}'. "
            "Install it with: python3 -m venv .venv && .venv/bin/pip install -r tests/requirements.txt")
    return()
  endif()
  execute_process(COMMAND ${PYTHON} ${SOURCE_DIR}/export_cases.py ${CASES} COMMAND_ERROR_IS_FATAL ANY)
endif()
execute_process(COMMAND ${PROGRAM} ${CASES} --listed=${SOURCE_DIR}/listed.txt ${FLAGS}
                COMMAND_ERROR_IS_FATAL ANY)
