# SPDX-License-Identifier: Apache-2.0

# Installs the built tree to a prefix of its own, then builds and runs the consumer against it and
# against the sources. Called by CTest, which passes the variables.
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# As in tests/run.sh, so that the subproject finds the objects of the build that is tested.
set(ENV{CCACHE_NOHASHDIR} 1)

# Left-overs of an older version would hide a header that is no longer installed.
file(REMOVE_RECURSE ${WORK_DIR})
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/prefix)

function(consume name)
  string(TOUPPER "${BUILD_TYPE}" build_type)
  run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${WORK_DIR}/${name} -G ${GENERATOR}
    -D CMAKE_BUILD_TYPE=${BUILD_TYPE}
    -D CMAKE_C_COMPILER=${C_COMPILER}
    -D CMAKE_CXX_COMPILER=${CXX_COMPILER}
    -D CMAKE_C_COMPILER_LAUNCHER=${LAUNCHER}
    -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}
    -D CMAKE_COMPILE_WARNING_AS_ERROR=${WARNING_AS_ERROR}
    -D CMAKE_CXX_FLAGS=${CXX_FLAGS}
    # They are among the above.
    -D CMAKE_CXX_FLAGS_${build_type}=
    ${ARGN})
  run(${CMAKE_COMMAND} --build ${WORK_DIR}/${name} --target consumer)
  run(${WORK_DIR}/${name}/consumer)
endfunction()

consume(package -D CMAKE_PREFIX_PATH=${WORK_DIR}/prefix)
consume(subproject -D SLUICE_SOURCE_DIR=${SOURCE_DIR})
