#include "app/machine_watch.h"

#include <absl/time/clock.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>
#include <utility>

#include "app/gpu_watch.h"
#include "base/file.h"

namespace ponder {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double Ticks() { return static_cast<double>(sysconf(_SC_CLK_TCK)); }

std::string ReadOrEmpty(const char* path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  return text.ok() ? *std::move(text) : "";
}

MachineCounts Look(const std::string& run_directory) {
  MachineCounts counts =
      ParseMachineCounts(ReadOrEmpty("/proc/self/stat"), ReadOrEmpty("/proc/stat"),
                         ReadOrEmpty("/proc/self/statm"), ReadOrEmpty("/proc/meminfo"));
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(run_directory, error);
  counts.disk_free_bytes = error ? kUnknown : static_cast<double>(space.available);
  return counts;
}

}  // namespace

MachineCounts ParseMachineCounts(const std::string& self_stat, const std::string& stat,
                                 const std::string& statm, const std::string& meminfo) {
  MachineCounts counts{kUnknown, kUnknown, kUnknown, kUnknown, kUnknown, kUnknown};
  // The name of the program stands in brackets and may hold anything: the fields are counted behind
  // the last one. utime and stime are fields 14 and 15.
  if (const size_t name_end = self_stat.rfind(')'); name_end != std::string::npos) {
    std::istringstream fields(self_stat.substr(name_end + 1));
    std::string skipped;
    for (int i = 3; i < 14; ++i) fields >> skipped;
    double user = 0, system = 0;
    if (fields >> user >> system) counts.process_cpu_s = (user + system) / Ticks();
  }
  std::istringstream cpu(stat);
  std::string word;
  if (cpu >> word && word == "cpu") {
    double total = 0, idle = 0, value = 0;
    // user nice system idle iowait irq softirq steal; guest times are in user already.
    for (int i = 0; i < 8 && cpu >> value; ++i) {
      total += value;
      if (i == 3 || i == 4) idle += value;
    }
    counts.machine_total_s = total / Ticks();
    counts.machine_busy_s = (total - idle) / Ticks();
  }
  std::istringstream memory(statm);
  double pages = 0, resident = 0;
  if (memory >> pages >> resident) {
    counts.process_bytes = resident * static_cast<double>(sysconf(_SC_PAGESIZE));
  }
  constexpr char kAvailable[] = "MemAvailable:";
  if (const size_t at = meminfo.find(kAvailable); at != std::string::npos) {
    std::istringstream value(meminfo.substr(at + sizeof(kAvailable) - 1));
    double kib = 0;
    if (value >> kib) counts.available_bytes = kib * 1024;
  }
  return counts;
}

std::vector<Reading> ToReadings(const std::string& source, const MachineCounts& before,
                                const MachineCounts& now, double seconds) {
  std::vector<Reading> readings;
  const auto add = [&](const char* name, double value) {
    if (std::isfinite(value)) readings.push_back({source, name, value});
  };
  add("cpu/process_percent", 100 * (now.process_cpu_s - before.process_cpu_s) / seconds);
  add("cpu/machine_percent", 100 * (now.machine_busy_s - before.machine_busy_s) /
                                 (now.machine_total_s - before.machine_total_s));
  add("memory/process_bytes", now.process_bytes);
  add("memory/available_bytes", now.available_bytes);
  add("disk/free_bytes", now.disk_free_bytes);
  return readings;
}

MachineWatch::MachineWatch(RunStore& store, std::string source, std::string run_directory,
                           absl::Duration interval)
    : store_(store),
      source_(std::move(source)),
      run_directory_(std::move(run_directory)),
      interval_(interval),
      thread_([this] { Watch(); }) {}

MachineWatch::~MachineWatch() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  thread_.join();
}

void MachineWatch::Watch() {
  const absl::StatusOr<std::unique_ptr<GpuWatch>> gpus = GpuWatch::Open();
  MachineCounts before = Look(run_directory_);
  absl::Time last = absl::Now();
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&ending_), interval_)) {
    const MachineCounts now = Look(run_directory_);
    const double seconds = absl::ToDoubleSeconds(absl::Now() - last);
    last = absl::Now();
    std::vector<Reading> readings = ToReadings(source_, before, now, seconds);
    if (gpus.ok()) {
      for (Reading& reading : (*gpus)->Read(source_)) readings.push_back(std::move(reading));
    }
    // What cannot be written is said by the steps, which need the same file.
    store_.WriteReadings(readings).IgnoreError();
    before = now;
  }
}

}  // namespace ponder
