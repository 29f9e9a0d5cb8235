# `cmake --install`: the libraries with their headers as a package, and the program.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(graft_all INTERFACE)
set_target_properties(graft_all PROPERTIES EXPORT_NAME graft)
target_link_libraries(graft_all INTERFACE graft_models graft_weights)

install(TARGETS graft_all graft_core graft_kernels graft_engine graft_models graft_weights ${family_libs} EXPORT graftTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(GRAFT_HAVE_EMU)
  install(TARGETS graft_simt EXPORT graftTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(GRAFT_HAVE_CUDA)
  install(TARGETS graft_cuda_device EXPORT graftTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  foreach(family IN LISTS GRAFT_FAMILIES)
    if(TARGET cuda_${family})
      install(TARGETS cuda_${family} EXPORT graftTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
    endif()
  endforeach()
endif()
install(TARGETS graft RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY engine kernels models weights DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/graft FILES_MATCHING PATTERN "*.h" PATTERN "*-inl.h" EXCLUDE)
install(EXPORT graftTargets NAMESPACE graft:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/graft)
configure_package_config_file(cmake/graftConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/graftConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/graft)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/graftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/graftConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/graftConfigVersion.cmake cmake/FindTurboJPEG.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/graft)
