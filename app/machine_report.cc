#include "app/machine_report.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <link.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "app/gpu_watch.h"
#include "app/run_memory.h"
#include "base/companion_library.h"
#include "kernels/cpu/cpu_isa.h"
#include "kernels/cuda/library_entry.h"
#include "learner/library.h"
#include "observe/terminal_text.h"
#include "verifiers/verifier.h"

namespace ponder {
namespace {

using Level = Finding::Level;

constexpr int64_t kGib = int64_t{1} << 30;
// What the sample model's configuration takes, with its checkpoints.
constexpr int64_t kEnoughMemory = 4 * kGib;
constexpr uint64_t kEnoughDisk = uint64_t{8} << 30;

std::optional<double> CpuQuota() {
  std::optional<double> least;
  for (const std::string& group : ControlGroups()) {
    const std::optional<double> cores = QuotaCores(KernelText(group + "/cpu.max"));
    if (cores.has_value()) least = std::min(least.value_or(*cores), *cores);
  }
  if (least.has_value()) return least;
  // Version 1.
  const auto quota = KernelNumber(KernelText("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
  const auto period = KernelNumber(KernelText("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

Finding AboutInstructions() {
  using kernels::CpuIsa;
  namespace cpu = kernels::cpu;
  std::string found;
  for (const CpuIsa isa : {CpuIsa::kAmx, CpuIsa::kAvx512Bf16, CpuIsa::kAvx512, CpuIsa::kAvx2}) {
    if (!cpu::Supports(isa)) continue;
    found += fmt::format("{}{}", found.empty() ? "" : ", ", cpu::IsaName(isa));
  }
  const CpuIsa best = cpu::BestIsa();
  Finding finding{.name = "instructions",
                  .text = fmt::format("{}; Ponder uses {}", found.empty() ? "no vectors" : found,
                                      cpu::IsaName(best))};
  if (best == CpuIsa::kAvx512 || best == CpuIsa::kAvx2) {
    finding.level = Level::kNote;
    finding.advice =
        "a processor with AVX512-BF16 or AMX multiplies bf16 itself: several times as fast";
  } else if (best == CpuIsa::kPortable) {
    finding.level = Level::kWarning;
    finding.advice = "without AVX2 everything is many times slower: take a processor with it";
  }
  return finding;
}

Finding AboutSandbox() {
  Finding finding{.name = "sandbox"};
  std::string words;
  VerifierSettings settings;
  settings.log = [&](const std::string& line) { words = line; };
  absl::Status status = CreateVerifier("code", settings).status();
  if (status.ok()) {
    finding.text = words.empty() ? "code can be run safely" : words;
    return finding;
  }
  finding.level = Level::kWarning;
  finding.text = std::string(status.message());
  settings.allow_weak_sandbox = true;
  if (CreateVerifier("code", settings).ok()) {
    finding.advice =
        "verifier.allow_weak_sandbox = true runs code without these limits; run Ponder where it "
        "may make control groups to have them";
  } else {
    finding.advice =
        "tasks of kind code cannot be judged here: allow user namespaces "
        "(kernel.unprivileged_userns_clone, a container with --security-opt seccomp=unconfined) "
        "and install python3";
  }
  return finding;
}

Finding AboutLearner() {
  Finding finding{.name = "learner"};
  const absl::StatusOr<std::string> path = FindLearnerLibrary();
  if (!path.ok()) {
    finding.level = Level::kWarning;
    finding.text = std::string(path.status().message());
    finding.advice = "`ponder train` cannot run without it";
    return finding;
  }
  if (dlopen(path->c_str(), RTLD_LAZY | RTLD_LOCAL) == nullptr) {
    finding.level = Level::kWarning;
    finding.text = dlerror();
    finding.advice = "LibTorch is missing or of another version: ./scripts/bootstrap fetches it";
    return finding;
  }
  std::string torch;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* found) {
        const std::string_view name = info->dlpi_name;
        if (name.ends_with("/libtorch_cpu.so")) *static_cast<std::string*>(found) = name;
        return 0;
      },
      &torch);
  finding.text = fmt::format("LibTorch: {}", torch);
  return finding;
}

}  // namespace

int64_t UsableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return CPU_COUNT(&set);
}

std::string_view ToString(Finding::Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kNote:
      return "note";
    case Level::kWarning:
      return "warning";
  }
  return "warning";
}

std::string ChosenWord(std::string_view list) {
  const size_t begin = list.find('['), end = list.find(']');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return "";
  return std::string(list.substr(begin + 1, end - begin - 1));
}

std::optional<double> QuotaCores(std::string_view cpu_max) {
  const size_t space = cpu_max.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto quota = KernelNumber(cpu_max.substr(0, space));
  const auto period = KernelNumber(cpu_max.substr(space + 1));
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

Finding AboutCores(int64_t usable, std::optional<double> quota, double load) {
  Finding finding{.name = "cores", .text = fmt::format("{}, load {:.1f}", usable, load)};
  if (quota.has_value() && *quota + 0.01 < static_cast<double>(usable)) {
    finding.level = Level::kWarning;
    finding.text += fmt::format(", but a quota of {:g}", *quota);
    finding.advice =
        fmt::format("more threads than the quota are stopped again and again: machine.threads = {}",
                    std::max<int64_t>(1, std::llround(std::floor(*quota))));
  } else if (load > 0.5 * static_cast<double>(usable)) {
    finding.level = Level::kNote;
    finding.advice = "other work is running: a run will be slower than it could be";
  }
  return finding;
}

Finding AboutMemory(const MachineMemory& memory) {
  Finding finding{.name = "memory", .text = HumanGib(memory.total)};
  if (memory.limit.has_value()) {
    finding.text += fmt::format(", a control group allows {}", HumanGib(*memory.limit));
  }
  finding.text += fmt::format(", {} free for a run", HumanGib(memory.available));
  if (memory.available < kEnoughMemory) {
    finding.level = Level::kWarning;
    finding.advice = "the sample model takes some 4 GiB; `ponder init` makes a plan that fits";
  }
  return finding;
}

Finding AboutGpus(const absl::StatusOr<std::unique_ptr<GpuWatch>>& watch) {
  Finding finding{.name = "GPU", .text = "no NVIDIA driver; Ponder computes on the processor"};
  if (absl::IsNotFound(watch.status())) return finding;
  finding.level = Level::kNote;
  if (!watch.ok()) {
    finding.text = std::string(watch.status().message());
    return finding;
  }
  finding.text.clear();
  for (const GpuInfo& gpu : (*watch)->Gpus()) {
    finding.text += fmt::format("{}{}", finding.text.empty() ? "" : ", ",
                                gpu.name.empty() ? "without a name" : gpu.name);
    if (gpu.memory_bytes > 0) finding.text += fmt::format(" with {}", HumanGib(gpu.memory_bytes));
  }
  if (finding.text.empty()) finding.text = "none";
  const std::string driver = (*watch)->DriverVersion();
  finding.text += fmt::format("; driver {}", driver.empty() ? "of unknown version" : driver);
  const bool has_cuda = FindCompanion({.file = kernels::kCudaFileName}).ok();
  const size_t gpus = (*watch)->Gpus().size();
  if (!has_cuda) {
    finding.advice =
        "this build computes on the processor alone: no CUDA toolkit was found when it was built";
  } else if (gpus <= 1) {
    finding.advice = "machine.device = \"cuda\" computes on it; without it a run does not";
  } else {
    finding.advice =
        "machine.device = \"cuda\" computes on the first of them, \"cuda:0,cuda:1\" on two; "
        "without it a run does not";
  }
  return finding;
}

Finding AboutHugePages(const std::string& setting) {
  Finding finding{.name = "huge pages",
                  .text = setting.empty() ? "not known" : "transparent ones: " + setting};
  if (setting == "always" || setting == "madvise") return finding;
  finding.level = Level::kNote;
  finding.advice =
      "faster with them, as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
  return finding;
}

Finding AboutDisk(uint64_t free_bytes) {
  Finding finding{.name = "disk", .text = fmt::format("{} free here", HumanBytes(free_bytes))};
  if (free_bytes >= kEnoughDisk) return finding;
  finding.level = Level::kWarning;
  finding.advice =
      "a checkpoint of the sample model takes 1.7 GiB: free some, or keep fewer "
      "(run.keep_checkpoints)";
  return finding;
}

std::vector<Finding> ExamineMachine(const std::string& folder, const std::string& version) {
  std::vector<Finding> findings;
  double load[1] = {0};
  if (getloadavg(load, 1) != 1) load[0] = 0;
  findings.push_back(AboutCores(UsableCores(), CpuQuota(), load[0]));
  findings.push_back(AboutInstructions());
  if (const absl::StatusOr<MachineMemory> memory = ReadMachineMemory(); memory.ok()) {
    findings.push_back(AboutMemory(*memory));
  }
  findings.push_back(
      AboutHugePages(ChosenWord(KernelText("/sys/kernel/mm/transparent_hugepage/enabled"))));
  findings.push_back(AboutGpus(GpuWatch::Open()));
  findings.push_back(AboutSandbox());
  struct statvfs disk = {};
  if (statvfs(folder.c_str(), &disk) == 0) {
    findings.push_back(AboutDisk(uint64_t{disk.f_bavail} * disk.f_frsize));
  }
  findings.push_back(AboutLearner());
  findings.push_back({.name = "versions",
                      .text = fmt::format("ponder {}, gRPC {}, SQLite {}", version, grpc::Version(),
                                          sqlite3_libversion())});
  return findings;
}

}  // namespace ponder
