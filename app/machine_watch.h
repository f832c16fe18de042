#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <string>
#include <thread>
#include <vector>

#include "observe/run_store.h"

namespace ponder {

// What a process and its machine take, as the kernel counts it since their start.
struct MachineCounts {
  double process_cpu_s = 0;  // all threads
  double machine_busy_s = 0;
  double machine_total_s = 0;  // over all processors
  double process_bytes = 0;    // resident
  double available_bytes = 0;  // of the machine, without swapping
  double disk_free_bytes = 0;  // where the run lies; NaN: not known
};

// From the texts of /proc/self/stat, /proc/stat, /proc/self/statm and /proc/meminfo; what is not
// found in them is NaN.
MachineCounts ParseMachineCounts(const std::string& self_stat, const std::string& stat,
                                 const std::string& statm, const std::string& meminfo);

// The readings between two looks, `seconds` apart: "cpu/process_percent" (100 = one processor),
// "cpu/machine_percent" (100 = all), "memory/process_bytes", "memory/available_bytes",
// "disk/free_bytes". Those that are not known are left out.
std::vector<Reading> ToReadings(const std::string& source, const MachineCounts& before,
                                const MachineCounts& now, double seconds);

// A thread that writes readings of this process, and of the machine's GPUs where there are any
// (GpuWatch), into a store, which is thread-safe and outlives it, every `interval`; ended by the
// destructor.
class MachineWatch {
 public:
  MachineWatch(RunStore& store, std::string source, std::string run_directory,
               absl::Duration interval = absl::Seconds(5));
  ~MachineWatch();

 private:
  void Watch();

  RunStore& store_;
  const std::string source_;
  const std::string run_directory_;
  const absl::Duration interval_;
  absl::Mutex mutex_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace ponder
