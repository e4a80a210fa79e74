# SPDX-License-Identifier: Apache-2.0

# Installs the built tree, moves it, and uses it in each way that docs/install.md names; then uses the
# sources as a subproject. Called by CTest, which passes the variables.
cmake_policy(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# As in tests/run.sh, so that the subproject finds the objects of the build that is tested.
set(ENV{CCACHE_NOHASHDIR} 1)

# Left-overs of an older version would hide a header that is no longer installed.
file(REMOVE_RECURSE ${WORK_DIR})
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/installed)
# Nothing may remember where it was installed to.
set(prefix ${WORK_DIR}/prefix)
file(RENAME ${WORK_DIR}/installed ${prefix})

# ---- what is installed

file(GLOB_RECURSE pc_files ${prefix}/*.pc)
list(GET pc_files 0 pc_dir)
cmake_path(GET pc_dir PARENT_PATH pc_dir)
cmake_path(GET pc_dir PARENT_PATH lib_dir)
set(has_fabric FALSE)
if(EXISTS ${pc_dir}/sluice-fabric.pc)
  set(has_fabric TRUE)
endif()
set(has_c FALSE)
if(EXISTS ${pc_dir}/sluice-c.pc)
  set(has_c TRUE)
endif()

# Exactly the public headers: tests/lint/check_tree.py sees to it that each of these is in a target.
file(GLOB_RECURSE headers RELATIVE ${SOURCE_DIR}/include ${SOURCE_DIR}/include/*)
if(NOT has_fabric)
  list(FILTER headers EXCLUDE REGEX "^sluice/fabric/")
endif()
if(NOT has_c)
  list(REMOVE_ITEM headers sluice/sluice.h)
endif()
file(GLOB_RECURSE installed RELATIVE ${prefix}/include ${prefix}/include/*)
if(NOT "${headers}" STREQUAL "${installed}")
  message(FATAL_ERROR "headers\n  ${headers}\ninstalled\n  ${installed}")
endif()

# Texts that name the prefix, the sources or the build could not be moved.
file(GLOB_RECURSE texts ${prefix}/*.pc ${prefix}/*.cmake)
foreach(file IN LISTS texts)
  file(READ ${file} text)
  foreach(path IN ITEMS ${WORK_DIR} ${SOURCE_DIR} ${BUILD_DIR})
    string(FIND "${text}" ${path} at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} names ${path}")
    endif()
  endforeach()
endforeach()

if(has_c)
  execute_process(COMMAND ${OBJDUMP} -p ${lib_dir}/libsluice.so
    OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
  if(dynamic MATCHES "(RPATH|RUNPATH)")
    message(FATAL_ERROR "the C library says where its libraries are:\n${dynamic}")
  endif()
  if(NOT dynamic MATCHES "SONAME +libsluice\\.so\\.${SOVERSION}\n")
    message(FATAL_ERROR "the C library is not libsluice.so.${SOVERSION}:\n${dynamic}")
  endif()
endif()

# ---- CMake

# configure(name folder args...)
function(configure name folder)
  string(TOUPPER "${BUILD_TYPE}" build_type)
  run(${CMAKE_COMMAND} --no-warn-unused-cli -G ${GENERATOR}
    -S ${CMAKE_CURRENT_LIST_DIR}/${folder} -B ${WORK_DIR}/${name}
    -D CMAKE_BUILD_TYPE=${BUILD_TYPE}
    -D CMAKE_C_COMPILER=${C_COMPILER}
    -D CMAKE_CXX_COMPILER=${CXX_COMPILER}
    -D CMAKE_C_COMPILER_LAUNCHER=${LAUNCHER}
    -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}
    -D CMAKE_COMPILE_WARNING_AS_ERROR=${WARNING_AS_ERROR}
    -D CMAKE_CXX_FLAGS=${CXX_FLAGS}
    # They are among the above.
    -D CMAKE_CXX_FLAGS_${build_type}=
    -D SOURCE_DIR=${SOURCE_DIR}
    -D HAS_FABRIC=${has_fabric}
    -D HAS_C=${has_c}
    ${ARGN})
endfunction()

# build_and_run(name programs...)
function(build_and_run name)
  run(${CMAKE_COMMAND} --build ${WORK_DIR}/${name} --target ${ARGN})
  foreach(program IN LISTS ARGN)
    run(${WORK_DIR}/${name}/${program})
  endforeach()
endfunction()

set(programs cxx)
if(has_fabric)
  list(APPEND programs fabric)
endif()
if(has_c)
  list(APPEND programs capi capi_cxx)
endif()

configure(package . -D CMAKE_PREFIX_PATH=${prefix})
build_and_run(package ${programs})

configure(subproject . -D SLUICE_SUBPROJECT=ON)
build_and_run(subproject ${programs})
# A part of another project brings neither tests nor anything to install.
run(${CMAKE_COMMAND} --install ${WORK_DIR}/subproject --prefix ${WORK_DIR}/nothing)
file(GLOB_RECURSE installed ${WORK_DIR}/nothing/* ${WORK_DIR}/subproject/CTestTestfile.cmake)
if(installed)
  message(FATAL_ERROR "the subproject brings ${installed}")
endif()

# expect_refusal(pattern args...): configuring fails and says why.
function(expect_refusal pattern)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/c_only -B ${WORK_DIR}/refused
      -G ${GENERATOR}
      -D CMAKE_C_COMPILER=${C_COMPILER} -D CMAKE_PREFIX_PATH=${prefix}
      -D SOURCE_DIR=${SOURCE_DIR} ${ARGN}
    RESULT_VARIABLE code OUTPUT_QUIET ERROR_VARIABLE text)
  file(REMOVE_RECURSE ${WORK_DIR}/refused)
  # CMake breaks lines where it likes.
  string(REGEX REPLACE "[ \n]+" " " text "${text}")
  if(code EQUAL 0 OR NOT text MATCHES "${pattern}")
    message(FATAL_ERROR "not refused with \"${pattern}\" but ${code}:\n${text}")
  endif()
endfunction()

if(has_c)
  # As on a machine without the packages that the C++ library needs.
  set(no_packages)
  foreach(package IN ITEMS absl fmt nlohmann_json PkgConfig Threads)
    list(APPEND no_packages -D CMAKE_DISABLE_FIND_PACKAGE_${package}=ON)
  endforeach()
  configure(c_package c_only -D CMAKE_PREFIX_PATH=${prefix} ${no_packages})
  build_and_run(c_package capi)
  configure(c_subproject c_only -D SLUICE_SUBPROJECT=ON)
  build_and_run(c_subproject capi)

  expect_refusal("Threads" "-DCOMPONENTS=c\\;sluice" ${no_packages})
endif()
expect_refusal("built without: gpu\\. Its components are: sluice" "-DCOMPONENTS=gpu\\;sluice")

# ---- pkg-config

if(NOT PKG_CONFIG)
  message(STATUS "no pkg-config here: not tried")
  return()
endif()

# The page's commands, with this build's compilers and flags.
file(READ ${SOURCE_DIR}/docs/install.md page)
string(REGEX MATCHALL "\n(c\\+\\+|cc) [^\n]*pkg-config[^\n]*" commands "${page}")
list(LENGTH commands n)
if(NOT n EQUAL 3)
  message(FATAL_ERROR "docs/install.md has ${n} commands with pkg-config, not 3")
endif()
set(warnings "-Wall -Wextra -Wpedantic -Wconversion -Werror")

# by_pkg_config(module source args...): what the page says about a module, with this source.
function(by_pkg_config module source)
  foreach(command IN LISTS commands)
    string(STRIP "${command}" command)
    if(command MATCHES " ${module}\\)$")
      string(REGEX REPLACE "^c\\+\\+" "'${CXX_COMPILER}' ${CXX_FLAGS} ${warnings}" command "${command}")
      string(REGEX REPLACE "^cc" "'${C_COMPILER}' ${warnings}" command "${command}")
      string(REGEX REPLACE "engine\\.[a-z]+" "${CMAKE_CURRENT_LIST_DIR}/${source}" command "${command}")
      string(REPLACE "-o engine" "-o '${WORK_DIR}/engine'" command "${command}")
      string(REPLACE "pkg-config" "'${PKG_CONFIG}' ${ARGN}" command "${command}")
      run(sh -c "${command}")
      run(${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${lib_dir} ${WORK_DIR}/engine)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "docs/install.md does not say how to use ${module}")
endfunction()

set(ENV{PKG_CONFIG_PATH} ${pc_dir})
by_pkg_config(sluice cxx.cpp)
by_pkg_config(sluice cxx.cpp --static)
if(has_fabric)
  by_pkg_config(sluice-fabric fabric.cpp)
endif()
if(has_c)
  # With no other .pc file in reach.
  set(ENV{PKG_CONFIG_LIBDIR} ${pc_dir})
  by_pkg_config(sluice-c capi.c)
endif()
