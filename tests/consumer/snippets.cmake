# SPDX-License-Identifier: Apache-2.0

# What docs/install.md tells users to write is what these projects consist of.
file(READ ${SOURCE_DIR}/docs/install.md sluice_page)
string(REGEX MATCHALL "```cmake\n[^`]*```" sluice_blocks "${sluice_page}")

# sluice_block(out text): the page's block that has this text, without its fences.
function(sluice_block out text)
  foreach(block IN LISTS sluice_blocks)
    if(block MATCHES "${text}\\)")
      string(REGEX REPLACE "```(cmake\n)?" "" block "${block}")
      set(${out} "${block}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "docs/install.md has no block with ${text}")
endfunction()

macro(sluice_subproject)
  sluice_block(sluice_code "add_subdirectory.third_party/sluice")
  string(REPLACE "third_party/sluice" "${SOURCE_DIR} sluice" sluice_code "${sluice_code}")
  string(REGEX REPLACE "target_link_libraries[^\n]*" "" sluice_code "${sluice_code}")
  cmake_language(EVAL CODE "${sluice_code}")
endmacro()

# consumer(name source text): a program of the block with this text, and the warnings of a user.
function(consumer name source text)
  add_executable(${name} ${source})
  sluice_block(code "${text}")
  string(REPLACE "engine" ${name} code "${code}")
  if(SLUICE_SUBPROJECT)
    string(REGEX REPLACE "find_package[^\n]*" "" code "${code}")
  endif()
  cmake_language(EVAL CODE "${code}")
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Werror)
  set_target_properties(${name} PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF CXX_EXTENSIONS OFF)
endfunction()
