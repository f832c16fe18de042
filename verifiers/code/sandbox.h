#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "verifiers/code/box.h"
#include "verifiers/code/cgroup.h"
#include "verifiers/code/code_verifier.h"

namespace ponder {

// What the sandboxes of a verifier share: what they may use and how they are laid out. Immutable.
class Sandbox {
 public:
  // FAILED_PRECONDITION where the interpreter is not on this machine, or its limits leave memory or
  // processes open and weak ones were not allowed.
  static absl::StatusOr<Sandbox> Make(const CodeVerifierOptions& options);

  const CodeLimits& Limits() const { return options_.limits; }

  // Boxes that run zygote.py or judge.py. The cgroup may be null.
  absl::StatusOr<std::unique_ptr<Box>> StartZygote(int64_t slot, bool with_compiler,
                                                   Cgroup* cgroup) const;
  absl::StatusOr<std::unique_ptr<Box>> StartJudge(int64_t slot) const;
  // A group for a slot's candidates; null where this machine gives none.
  absl::StatusOr<std::unique_ptr<Cgroup>> MakeCgroup(int64_t slot, bool with_compiler) const;

  int64_t SystemCallsAllowed() const { return calls_allowed_; }
  const std::string& CgroupFault() const { return cgroup_fault_; }

 private:
  Sandbox() = default;
  BoxOptions PythonBox(int64_t slot, const std::string& script) const;

  CodeVerifierOptions options_;
  std::string python_;  // the interpreter's own path, links followed
  std::vector<std::string> python_mounts_;
  std::string filter_processes_, filter_threads_;
  int64_t calls_allowed_ = 0;
  std::string name_;  // of this verifier's control groups, before the slot
  std::string cgroup_fault_;
  // For the compiler's box.
  absl::Status compiler_fault_;
  std::vector<std::string> compiler_mounts_;
  std::vector<std::pair<std::string, std::string>> compiler_links_;
};

}  // namespace ponder
