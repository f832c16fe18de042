#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>

#include "verifiers/code/check.h"
#include "verifiers/code/file_descriptor.h"
#include "verifiers/code/program_run.h"

namespace ponder {
namespace {

constexpr size_t kShownBytes = 80;
constexpr double kOwnProgram_s = 20;  // for a program of ours, on a machine under load

JobTimes RunTimes(const CodeLimits& limits, absl::Time deadline) {
  return {.cpu_s = limits.cpu_s, .wall_s = limits.wall_s, .deadline = deadline};
}

std::string_view WithoutEnd(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n\f\v");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::string Shown(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, kShownBytes)) {
    const bool plain = c >= ' ' && c <= '~';
    shown += plain ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  }
  return fmt::format("'{}'{}", shown, text.size() > kShownBytes ? "..." : "");
}

// The first line that differs in more than white space at its end; nullopt where none does.
std::optional<std::string> Difference(std::string_view printed, std::string_view expected) {
  printed = WithoutEnd(printed);
  expected = WithoutEnd(expected);
  for (int64_t line = 1; !printed.empty() || !expected.empty(); ++line) {
    const std::string_view found = WithoutEnd(TakeLine(printed));
    const std::string_view wanted = WithoutEnd(TakeLine(expected));
    if (found != wanted) {
      return fmt::format("line {} is {}, expected {}", line, Shown(found), Shown(wanted));
    }
  }
  return std::nullopt;
}

using RunOnce = std::function<absl::StatusOr<ProgramResult>(std::string_view input)>;

absl::StatusOr<CodeFinding> CheckRuns(const std::vector<ProgramRun>& runs,
                                      const RunOnce& run_once) {
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string place = fmt::format("test {} of {}", i + 1, runs.size());
    PONDER_ASSIGN_OR_RETURN(ProgramResult result, run_once(runs[i].input));
    std::optional<CodeFinding> fault = std::move(result.fault);
    if (fault && fault->status != VerdictStatus::kUnparseable) {
      fault->reason = fmt::format("{}: {}", place, fault->reason);
    }
    if (!fault) {
      if (const auto difference = Difference(result.output, runs[i].output)) {
        fault = CodeFinding{VerdictStatus::kWrong, fmt::format("{}: {}; the program {}", place,
                                                               *difference, result.ending)};
      }
    }
    if (!fault && result.zygote_lost) {
      fault = CodeFinding{VerdictStatus::kInternal, "the sandbox was lost after " + place};
    }
    if (fault) {
      fault->zygote_lost = result.zygote_lost;
      return *std::move(fault);
    }
  }
  return CodeFinding{VerdictStatus::kCorrect, fmt::format("{} tests passed", runs.size())};
}

}  // namespace

absl::StatusOr<CodeFinding> CheckPythonProgram(Zygote& zygote, const CodeLimits& limits,
                                               const CodeTask& task, std::string_view source,
                                               absl::Time deadline) {
  return CheckRuns(task.runs, [&](std::string_view input) -> absl::StatusOr<ProgramResult> {
    PONDER_ASSIGN_OR_RETURN(CandidateChannel channel, CandidateChannel::Make(limits, source));
    return RunProgram(zygote, {.kind = JobKind::kProgram}, RunTimes(limits, deadline),
                      limits.output_kib * 1024, std::move(channel), input);
  });
}

absl::StatusOr<CodeFinding> CheckCppProgram(Zygote& zygote, const CodeLimits& limits,
                                            const CodeTask& task, std::string_view source,
                                            absl::Time deadline) {
  const FileDescriptor program(memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (program.Get() < 0) return Internal("cannot make a file in memory: {}", std::strerror(errno));
  PONDER_ASSIGN_OR_RETURN(CandidateChannel channel, CandidateChannel::Make(limits, source));
  PONDER_ASSIGN_OR_RETURN(
      const ProgramResult compiled,
      RunProgram(
          zygote, {.kind = JobKind::kCompile, .descriptors = {{program.Get(), 4}}},
          {.cpu_s = limits.compile_cpu_s, .wall_s = limits.compile_wall_s, .deadline = deadline},
          limits.output_kib * 1024, std::move(channel), {}));
  if (compiled.fault || !compiled.loaded || compiled.zygote_lost) {
    CodeFinding fault = compiled.fault.value_or(
        CodeFinding{VerdictStatus::kUnparseable, "the program " + compiled.ending});
    if (fault.status != VerdictStatus::kTimeout && fault.status != VerdictStatus::kInternal) {
      fault.status = VerdictStatus::kUnparseable;
    }
    fault.reason = "compiling: " + fault.reason;
    fault.zygote_lost = compiled.zygote_lost;
    return fault;
  }
  // Runs cannot change it for the runs after them.
  if (fcntl(program.Get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) !=
      0) {
    return Internal("cannot seal the program: {}", std::strerror(errno));
  }
  return CheckRuns(task.runs, [&](std::string_view input) {
    return RunProgram(zygote, {.kind = JobKind::kBinary, .descriptors = {{program.Get(), 4}}},
                      RunTimes(limits, deadline), limits.output_kib * 1024, std::nullopt, input);
  });
}

absl::StatusOr<std::string> PrintedBy(Zygote& zygote, const CodeLimits& limits,
                                      std::string_view source, absl::Time deadline) {
  PONDER_ASSIGN_OR_RETURN(CandidateChannel channel, CandidateChannel::Make(limits, source));
  PONDER_ASSIGN_OR_RETURN(
      ProgramResult result,
      RunProgram(zygote, {.kind = JobKind::kProgram},
                 {.cpu_s = kOwnProgram_s, .wall_s = kOwnProgram_s, .deadline = deadline},
                 limits.output_kib * 1024, std::move(channel), {}));
  if (result.fault) return Unavailable("{}", result.fault->reason);
  return std::move(result.output);
}

}  // namespace ponder
