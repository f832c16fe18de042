# How a folder declares its library and its tests.
#
#   ponder_library(NAME SOURCES a.cc b.cc DEPS x y)    one static library a folder; includes start at the root
#   ponder_test(NAME SOURCES a_test.cc DEPS x y)       one GoogleTest program, one CTest entry a test case
include(GoogleTest)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)  # the learner is a shared library built from the same objects
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Warnings are errors on our own targets only. -ffp-contract=off: a compiler that fuses multiply and add where it likes
# would give two copies of one formula different last digits; kernels ask for FMA where they want it.
add_library(ponder_options INTERFACE)
target_compile_options(ponder_options INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers
                                                -ffp-contract=off)
target_include_directories(ponder_options INTERFACE ${CMAKE_SOURCE_DIR})

function(ponder_library name)
  cmake_parse_arguments(ARG "SHARED" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SHARED)
    add_library(${name} SHARED ${ARG_SOURCES})
  else()
    add_library(${name} STATIC ${ARG_SOURCES})
  endif()
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ponder_options)
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

# Tests without LibTorch run under the address and undefined-behaviour sanitizers too: target sanitized_tests builds them,
# CTest's label "sanitized" runs them. NO_SANITIZER leaves one out (say why where it is used). THREADS adds those whose threads
# meet in atomics alone to target thread_tests, with "threads" in the label, for the thread sanitizer: Debian's Abseil and gRPC are not
# instrumented, so that it cannot see what their locks order. NEEDS_GPU: one test to CTest, which calls it
# skipped where there is none.
add_custom_target(sanitized_tests)
add_custom_target(thread_tests)

function(ponder_test name)
  cmake_parse_arguments(ARG "NO_SANITIZER;THREADS;NEEDS_GPU" "TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main ponder_options)
  set(properties TIMEOUT ${ARG_TIMEOUT})
  if(NOT ARG_NO_SANITIZER AND NOT "${ARG_DEPS}" MATCHES "torch|twin|tiny_models")
    add_dependencies(sanitized_tests ${name})
    if(ARG_THREADS)
      add_dependencies(thread_tests ${name})
      list(APPEND properties LABELS sanitized_threads)
    else()
      list(APPEND properties LABELS sanitized)
    endif()
  endif()
  if(ARG_NEEDS_GPU)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES ${properties} SKIP_REGULAR_EXPRESSION "did not run:")
    return()
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES ${properties})
endfunction()
