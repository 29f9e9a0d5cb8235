# Target `fuzz`: tests/fuzz as a project of its own, because libFuzzer is clang's and the rest of the build may be another compiler's. It takes the archives of the rooms below
# the parsers from here; the programs are in BUILD/fuzz.
include(ExternalProject)
find_program(GRAFT_CLANG NAMES clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14)
if(NOT GRAFT_CLANG)
  message(FATAL_ERROR "GRAFT_FUZZ=ON: clang++ is not here; install clang and its libclang-rt-dev")
endif()
set(archives)
foreach(library IN LISTS spec_libs family_libs)
  if(library MATCHES "^kernel_")
    list(APPEND archives $<TARGET_FILE:${library}>)
  endif()
endforeach()
list(PREPEND archives $<TARGET_FILE:graft_weights> $<TARGET_FILE:graft_engine> $<TARGET_FILE:graft_kernels>)
list(APPEND archives $<TARGET_FILE:graft_core>)
set(also)
if(GRAFT_HAVE_EMU)
  list(APPEND archives $<TARGET_FILE:graft_simt>)
  list(APPEND also $<TARGET_FILE:Boost::context>)
endif()
list(JOIN archives "|" archives)
list(JOIN also "|" also)
ExternalProject_Add(fuzz
  SOURCE_DIR ${CMAKE_SOURCE_DIR}/tests/fuzz
  BINARY_DIR ${CMAKE_BINARY_DIR}/fuzz
  PREFIX ${CMAKE_BINARY_DIR}/fuzz-project
  LIST_SEPARATOR |
  CMAKE_ARGS -DCMAKE_CXX_COMPILER=${GRAFT_CLANG} -DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER} -DCMAKE_BUILD_TYPE=None
             -DGRAFT_CARRIED_MAPS=${CMAKE_BINARY_DIR}/carried_maps.cpp "-DGRAFT_ARCHIVES=${archives}" "-DGRAFT_ALSO=${also}"
  INSTALL_COMMAND ""
  BUILD_ALWAYS ON
  EXCLUDE_FROM_ALL ON)
add_dependencies(fuzz graft_weights)
