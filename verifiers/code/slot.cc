#include "verifiers/code/slot.h"

#include <absl/time/clock.h>

#include <utility>

#include "verifiers/code/code_task.h"
#include "verifiers/code/embedded_sources.h"
#include "verifiers/code/extract_code.h"

namespace ponder {
namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;
constexpr size_t kMaxExtractedBytes = 2000;
constexpr absl::Duration kProbeLimit = absl::Seconds(20);

Verdict MakeCodeVerdict(VerdictStatus status, bool has_block, std::string_view code,
                        std::string reason) {
  size_t length = std::min(code.size(), kMaxExtractedBytes);
  // Back over the continuation bytes of a character that the cut would split.
  while (length < code.size() && length > 0 && (code[length] & 0xC0) == 0x80) --length;
  return {.status = status,
          .score = status == VerdictStatus::kCorrect ? 1.0 : 0.0,
          .parts = {{"format", has_block ? 1.0 : 0.0}},
          .extracted = std::string(code.substr(0, length)),
          .reason = std::move(reason)};
}

}  // namespace

Verdict Slot::Check(const VerifyItem& item, absl::Time deadline) {
  const absl::StatusOr<CodeTask> task = ParseCodeTask(item.task);
  if (!task.ok()) {
    return MakeCodeVerdict(VerdictStatus::kInvalidGold, false, "",
                           std::string(task.status().message()));
  }
  const ExtractedCode code = ExtractCode(item.completion, task->language, anywhere_);
  if (!code.found) {
    return MakeCodeVerdict(VerdictStatus::kNoAnswer, false, "",
                           fmt::format("no block ```{} ... ``` was found outside the thoughts",
                                       ToString(task->language)));
  }
  if (!code.problem.empty()) {
    return MakeCodeVerdict(VerdictStatus::kUnparseable, false, "", code.problem);
  }
  if (code.code.size() > kMaxSourceBytes) {
    return MakeCodeVerdict(VerdictStatus::kUnparseable, true, code.code,
                           fmt::format("the code has {} bytes, at most {} are run",
                                       code.code.size(), kMaxSourceBytes));
  }
  const std::string source = AssembleSource(*task, WithoutIndent(code.code, code.indent));
  const absl::StatusOr<CodeFinding> finding = Run(*task, source, deadline);
  if (!finding.ok()) {
    python_.reset();
    cpp_.reset();
    judge_.reset();
    return MakeCodeVerdict(VerdictStatus::kInternal, true, code.code,
                           std::string(finding.status().message()));
  }
  if (finding->judge_lost) judge_.reset();
  if (finding->zygote_lost) (task->language == CodeLanguage::kCpp ? cpp_ : python_).reset();
  return MakeCodeVerdict(finding->status, true, code.code, finding->reason);
}

absl::StatusOr<CodeFinding> Slot::Run(const CodeTask& task, const std::string& source,
                                      absl::Time deadline) {
  if (task.runs.empty()) return RunModule(task, source, deadline);
  if (task.language == CodeLanguage::kCpp) return RunCppProgram(task, source, deadline);
  return RunPythonProgram(task, source, deadline);
}

absl::StatusOr<CodeFinding> Slot::RunModule(const CodeTask& task, const std::string& source,
                                            absl::Time deadline) {
  if (python_ == nullptr) {
    PONDER_ASSIGN_OR_RETURN(python_, Zygote::Start(sandbox_, number_, /*with_compiler=*/false));
  }
  if (judge_ == nullptr) {
    PONDER_ASSIGN_OR_RETURN(judge_, JudgeProcess::Start(sandbox_, number_));
  }
  return CheckModule(*python_, *judge_, sandbox_.Limits(), task, source, deadline);
}

absl::StatusOr<CodeFinding> Slot::RunPythonProgram(const CodeTask& task, const std::string& source,
                                                   absl::Time deadline) {
  if (python_ == nullptr) {
    PONDER_ASSIGN_OR_RETURN(python_, Zygote::Start(sandbox_, number_, /*with_compiler=*/false));
  }
  return CheckPythonProgram(*python_, sandbox_.Limits(), task, source, deadline);
}

absl::StatusOr<CodeFinding> Slot::RunCppProgram(const CodeTask& task, const std::string& source,
                                                absl::Time deadline) {
  if (cpp_ == nullptr) {
    PONDER_ASSIGN_OR_RETURN(cpp_, Zygote::Start(sandbox_, number_, /*with_compiler=*/true));
  }
  return CheckCppProgram(*cpp_, sandbox_.Limits(), task, source, deadline);
}

absl::StatusOr<std::string> Slot::Probe() {
  PONDER_ASSIGN_OR_RETURN(python_, Zygote::Start(sandbox_, number_, /*with_compiler=*/false));
  for (const auto& [name, content] : EmbeddedSources()) {
    if (name != "probe.py") continue;
    return PrintedBy(*python_, sandbox_.Limits(), content, absl::Now() + kProbeLimit);
  }
  return Internal("probe.py was not built in");
}

std::string Slot::DescribeLimits() const {
  const CodeLimits& limits = sandbox_.Limits();
  const Cgroup* const group = python_->Group();
  const std::string by =
      group != nullptr
          ? fmt::format("by cgroup v{}", group->Version())
          : "a process, of which there is one (no cgroup: " + sandbox_.CgroupFault() + ")";
  return fmt::format(
      "namespaces user, mount, pid, net, ipc, uts, cgroup; {} system calls allowed; memory {} MiB "
      "{}; "
      "{} processes and threads by {}; {} MiB and {} files in /tmp; {} s processor time ({}), {} s "
      "in all; {}",
      sandbox_.SystemCallsAllowed(), limits.memory_mib, by, limits.processes,
      group != nullptr ? "cgroup and rlimit" : "rlimit", limits.disk_mib, limits.files,
      limits.cpu_s, group != nullptr ? "cgroup" : "the process's clock", limits.wall_s,
      python_->HasOwnUsers() ? "two users of its own a slot" : "the service's own user, mapped");
}

}  // namespace ponder
