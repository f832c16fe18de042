#include "verifiers/code/sandbox.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "verifiers/code/embedded_sources.h"
#include "verifiers/code/seccomp_filter.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;

constexpr char kLibraries[] = "/usr/lib/x86_64-linux-gnu";
constexpr char kGroupPrefix[] = "ponder-";
constexpr char kLoader[] = "/lib64/ld-linux-x86-64.so.2";
const std::vector<std::string> kEnvironment = {
    "PATH=/usr/bin", "LANG=C.UTF-8", "HOME=/tmp", "PYTHONHASHSEED=0",
    "MALLOC_ARENA_MAX=1"};  // the same order of sets in every run

absl::StatusOr<std::string> Canonical(const std::string& path, const char* what) {
  std::error_code error;
  const fs::path canonical = fs::canonical(path, error);
  if (error) return FailedPrecondition("expected {} at {}: {}", what, path, error.message());
  return canonical.string();
}

absl::Status CheckLimits(const CodeVerifierOptions& options) {
  const CodeLimits& limits = options.limits;
  for (const double seconds :
       {limits.cpu_s, limits.wall_s, limits.compile_cpu_s, limits.compile_wall_s}) {
    if (!(seconds > 0 && seconds <= 86'400)) {
      return InvalidArgument("expected a time limit above 0 and up to a day, found {} s", seconds);
    }
  }
  for (const int64_t count : {limits.disk_mib, limits.files, limits.open_files, limits.output_kib,
                              limits.compile_memory_mib}) {
    if (count < 1 || count > int64_t{1} << 24) {
      return InvalidArgument("expected limits from 1 to 2^24, found {}", count);
    }
  }
  if (limits.memory_mib < 0 || limits.memory_mib > int64_t{1} << 24 || limits.processes < 0 ||
      limits.processes > int64_t{1} << 20) {
    return InvalidArgument(
        "expected limits of memory and processes, or 0 for none; found {} and {}",
        limits.memory_mib, limits.processes);
  }
  if ((limits.memory_mib == 0 || limits.processes == 0) && !options.allow_weak_sandbox) {
    return FailedPrecondition(
        "the sandbox would have no limit of {}: set one, or allow_weak_sandbox to run without",
        limits.memory_mib == 0 ? "memory" : "processes");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Sandbox> Sandbox::Make(const CodeVerifierOptions& options) {
  PONDER_RETURN_IF_ERROR(CheckLimits(options));
  Sandbox sandbox;
  sandbox.options_ = options;
  PONDER_ASSIGN_OR_RETURN(sandbox.python_, Canonical(options.python, "Python 3"));
  const fs::path python = sandbox.python_;
  const std::string library =
      (python.parent_path().parent_path() / "lib" / python.filename()).string();
  sandbox.python_mounts_ = {sandbox.python_, library, kLibraries};
  PONDER_ASSIGN_OR_RETURN(const SeccompFilter processes, MakeSeccompFilter(FilterKind::kProcesses));
  PONDER_ASSIGN_OR_RETURN(const SeccompFilter threads, MakeSeccompFilter(FilterKind::kThreads));
  sandbox.filter_processes_ = processes.program;
  sandbox.filter_threads_ = threads.program;
  sandbox.calls_allowed_ = processes.calls_allowed;

  static std::atomic<int64_t> verifiers = 0;
  Cgroup::RemoveLeftovers(kGroupPrefix);
  sandbox.name_ = fmt::format("{}{}-{}", kGroupPrefix, getpid(), verifiers++);
  if (const auto group = Cgroup::Create(sandbox.name_ + "-probe"); !group.ok()) {
    sandbox.cgroup_fault_ = std::string(group.status().message());
  }

  for (const std::string& tool :
       {options.compiler, std::string("/usr/bin/as"), std::string("/usr/bin/ld")}) {
    const absl::StatusOr<std::string> path = Canonical(tool, "the C++ compiler and its tools");
    if (!path.ok()) {
      sandbox.compiler_fault_ = path.status();
      break;
    }
    sandbox.compiler_mounts_.push_back(*path);
    if (*path != tool) sandbox.compiler_links_.emplace_back(tool, *path);
  }
  for (const char* const folder : {"/usr/lib/gcc", "/usr/libexec/gcc", "/usr/include"}) {
    if (fs::is_directory(folder)) sandbox.compiler_mounts_.push_back(folder);
  }
  return sandbox;
}

BoxOptions Sandbox::PythonBox(int64_t slot, const std::string& script) const {
  BoxOptions box;
  box.mounts = python_mounts_;
  box.links = {{"/lib", "usr/lib"}, {kLoader, std::string(kLibraries) + "/ld-linux-x86-64.so.2"}};
  for (const auto& [name, content] : EmbeddedSources()) {
    box.files.emplace_back("/ponder/" + std::string(name), content);
  }
  box.files.emplace_back("/ponder/native.so", EmbeddedNative());
  box.files.emplace_back("/ponder/processes.bpf", filter_processes_);
  box.files.emplace_back("/ponder/threads.bpf", filter_threads_);
  // No site-packages, nothing from the user, no bytecode written.
  box.command = {python_, "-S", "-s", "-B", "/ponder/" + script};
  box.environment = kEnvironment;
  box.slot = slot;
  return box;
}

absl::StatusOr<std::unique_ptr<Box>> Sandbox::StartZygote(int64_t slot, bool with_compiler,
                                                          Cgroup* cgroup) const {
  BoxOptions box = PythonBox(slot, "zygote.py");
  // Writes "program" from "main.cc".
  const nlohmann::json settings = {
      {"compile_command", {options_.compiler, "-std=c++20", "-O2", "-o", "program", "main.cc"}}};
  box.files.emplace_back("/ponder/settings.json", settings.dump());
  if (with_compiler) {
    PONDER_RETURN_IF_ERROR(compiler_fault_);
    box.mounts.insert(box.mounts.end(), compiler_mounts_.begin(), compiler_mounts_.end());
    box.links.insert(box.links.end(), compiler_links_.begin(), compiler_links_.end());
  }
  box.cgroup = cgroup;
  box.socket_type = SOCK_SEQPACKET;
  return Box::Start(box);
}

absl::StatusOr<std::unique_ptr<Box>> Sandbox::StartJudge(int64_t slot) const {
  BoxOptions box = PythonBox(slot, "judge.py");
  box.socket_type = SOCK_STREAM;
  return Box::Start(box);
}

absl::StatusOr<std::unique_ptr<Cgroup>> Sandbox::MakeCgroup(int64_t slot,
                                                            bool with_compiler) const {
  if (!cgroup_fault_.empty()) return nullptr;
  return Cgroup::Create(fmt::format("{}-{}{}", name_, with_compiler ? "cpp" : "python", slot));
}

}  // namespace ponder
