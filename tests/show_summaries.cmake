# Prints the summaries that tests left in FOLDER, once.
file(GLOB summaries ${FOLDER}/*.txt)
foreach(summary ${summaries})
  file(READ ${summary} text)
  string(STRIP "${text}" text)
  execute_process(COMMAND ${CMAKE_COMMAND} -E echo "${text}")
  file(REMOVE ${summary})
endforeach()
