# SPDX-License-Identifier: Apache-2.0

# The package. Each target is an export set of its own, so that who wants the C library needs none of
# the packages that the C++ library is made with.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
set(pkg_config_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# In a .pc file. Relative to the file, so that the installed tree can be moved.
file(RELATIVE_PATH pc_prefix
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
foreach(dir IN ITEMS LIBDIR INCLUDEDIR)
  set(pc_${dir} ${CMAKE_INSTALL_${dir}})
  if(NOT IS_ABSOLUTE "${pc_${dir}}")
    string(PREPEND pc_${dir} "\${prefix}/")
  endif()
endforeach()

set(sluice_components)

# sluice_install(component target pc): installs sluice::<component> and what its users find it by.
function(sluice_install component target pc)
  install(TARGETS ${target} EXPORT sluice_${component} FILE_SET HEADERS)
  install(EXPORT sluice_${component}
    NAMESPACE sluice::
    FILE sluice-${component}-targets.cmake
    DESTINATION ${package_dir})
  configure_file(${pc}.pc.in ${pc}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${pc}.pc DESTINATION ${pkg_config_dir})
  set(sluice_components ${sluice_components} ${component} PARENT_SCOPE)
endfunction()

sluice_install(sluice sluice sluice)
if(SLUICE_BUILD_FABRIC)
  sluice_install(fabric sluice_fabric sluice-fabric)
endif()
if(SLUICE_BUILD_C)
  sluice_install(c sluice_c sluice-c)
endif()
if(SLUICE_BUILD_COMMAND)
  install(TARGETS sluice_cmd)
endif()

configure_package_config_file(sluiceConfig.cmake.in sluiceConfig.cmake
  INSTALL_DESTINATION ${package_dir})
# Until 1.0 a new minor version may break its users.
write_basic_package_version_file(sluiceConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/sluiceConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/sluiceConfigVersion.cmake
  DESTINATION ${package_dir})
