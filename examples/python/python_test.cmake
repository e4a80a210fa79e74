# SPDX-License-Identifier: Apache-2.0
# Tests that run a Python script with the library of this build; SLUICE_PYTHON_TESTS says whether.
include_guard(GLOBAL)

find_package(Python3 3.9 COMPONENTS Interpreter)
set(python_tests OFF)
if(NOT Python3_FOUND)
  message(STATUS "There is no Python 3.9 or newer: the Python module is not tested")
elseif(CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  # The sanitizer's runtime would have to be loaded before the interpreter.
  message(STATUS "This is built with a sanitizer: the Python module is not tested")
elseif(TARGET sluice_c)
  set(python_tests ON)
endif()
set_property(GLOBAL PROPERTY SLUICE_PYTHON_TESTS ${python_tests})

# sluice_python_test(name script LABEL l [args...]): a test that the script returns 0.
function(sluice_python_test name script)
  get_property(python_tests GLOBAL PROPERTY SLUICE_PYTHON_TESTS)
  if(NOT python_tests)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "LABEL" "")
  find_package(Python3 3.9 QUIET COMPONENTS Interpreter)  # its target is a directory's
  add_test(NAME ${name}
    COMMAND Python3::Interpreter -X faulthandler -W error ${script} ${arg_UNPARSED_ARGUMENTS})
  set_tests_properties(${name} PROPERTIES
    LABELS ${arg_LABEL}
    ENVIRONMENT "SLUICE_LIBRARY=$<TARGET_FILE:sluice_c>;SLUICE_CC=${CMAKE_C_COMPILER};PYTHONDONTWRITEBYTECODE=1")
endfunction()
