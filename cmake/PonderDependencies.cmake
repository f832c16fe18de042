# Debian's packages by find_package; LibTorch from the unpacked wheel (scripts/bootstrap puts it there).
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS system filesystem)
find_package(ZLIB REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(simdjson REQUIRED)
find_package(zstd CONFIG REQUIRED)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(icu REQUIRED IMPORTED_TARGET icu-uc)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(seccomp REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)

# LibTorch: only what runs on the CPU. Its include folder carries old copies of protobuf and fmt, so it is searched after
# the system's (-idirafter).
if(DEFINED ENV{XDG_CACHE_HOME})
  set(PONDER_CACHE $ENV{XDG_CACHE_HOME}/ponder)
else()
  set(PONDER_CACHE $ENV{HOME}/.cache/ponder)
endif()
set(PONDER_LIBTORCH ${PONDER_CACHE}/libtorch-2.11.0 CACHE PATH
    "Folder with the unpacked wheels torch 2.11.0, nvidia-cuda-runtime and nvidia-cuda-cupti")
if(NOT EXISTS ${PONDER_LIBTORCH}/torch/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch was not found in ${PONDER_LIBTORCH}; run ./scripts/bootstrap first.")
endif()
add_library(ponder_torch INTERFACE)
target_compile_options(ponder_torch INTERFACE
  "SHELL:-idirafter ${PONDER_LIBTORCH}/torch/include/torch/csrc/api/include"
  "SHELL:-idirafter ${PONDER_LIBTORCH}/torch/include")
target_link_libraries(ponder_torch INTERFACE
  ${PONDER_LIBTORCH}/torch/lib/libtorch_cpu.so ${PONDER_LIBTORCH}/torch/lib/libc10.so)
target_link_options(ponder_torch INTERFACE
  -Wl,-rpath,${PONDER_LIBTORCH}/torch/lib:${PONDER_LIBTORCH}/nvidia/cu13/lib
  -Wl,-rpath-link,${PONDER_LIBTORCH}/torch/lib:${PONDER_LIBTORCH}/nvidia/cu13/lib)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
