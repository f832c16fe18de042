#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "verifiers/verifier.h"

namespace ponder {

// What a program may use. 0 takes a limit off, which only `allow_weak_sandbox` permits for memory
// and processes; times cannot be taken off.
struct CodeLimits {
  double cpu_s = 3;           // processor time: of a function's program with all its calls, or of
                              // one run on one input; all its threads and processes together
  double wall_s = 8;          // likewise by the clock on the wall
  int64_t memory_mib = 512;   // with what it keeps in files
  int64_t disk_mib = 64;      // files in /tmp
  int64_t files = 1024;       // their number
  int64_t processes = 64;     // processes and threads
  int64_t open_files = 64;    // descriptors of a process
  int64_t output_kib = 4096;  // what it prints in a run, or one returned value
  double compile_cpu_s = 10;  // the C++ compiler's own
  double compile_wall_s = 20;
  int64_t compile_memory_mib = 1024;
};

struct CodeVerifierOptions {
  CodeLimits limits;
  int64_t slots = 0;                // programs at a time; 0: three for two cores
  bool anywhere = false;            // a completion without any code block is code as a whole
  bool allow_weak_sandbox = false;  // start also where memory or processes cannot be limited
  std::string python = "/usr/bin/python3";
  std::string compiler = "/usr/bin/g++";
  // Takes one line when the sandbox is up: which limits are on, and how. May be empty.
  std::function<void(const std::string&)> log;
};

// Judges programs by running them in a sandbox of the operating system (docs/verifiers/code.md).
// Starts one sandbox at once and tries its limits: FAILED_PRECONDITION where the machine does not
// allow one, or where memory or processes stay without a limit and `allow_weak_sandbox` is not set.
// Thread-safe; the items of a batch are judged in parallel, as many as there are slots.
absl::StatusOr<std::unique_ptr<Verifier>> CreateCodeVerifier(const CodeVerifierOptions& options);

}  // namespace ponder
