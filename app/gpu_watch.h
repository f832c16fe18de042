#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/run_store.h"

namespace ponder {

struct GpuInfo {
  std::string name;          // "NVIDIA H200"; empty: the driver does not say
  int64_t memory_bytes = 0;  // 0: the driver does not say
};

// The NVIDIA GPUs of this machine through the driver's management library (NVML), which is loaded
// when it is there: nothing needs it to build or to run. Not thread-safe.
class GpuWatch {
 public:
  static constexpr char kLibrary[] = "libnvidia-ml.so.1";
  // Of a machine: what is beyond is not looked at.
  static constexpr unsigned kMostGpus = 64;

  // NOT_FOUND where there is no such library; FAILED_PRECONDITION where it is not NVML or says that
  // it does not work.
  static absl::StatusOr<std::unique_ptr<GpuWatch>> Open(const std::string& library = kLibrary);
  virtual ~GpuWatch() = default;

  virtual std::string DriverVersion() const = 0;  // empty: the driver does not say
  virtual std::vector<GpuInfo> Gpus() const = 0;  // by their number
  // Of each GPU i "gpuI/utilization_percent", "gpuI/memory_used_bytes", "gpuI/memory_total_bytes",
  // "gpuI/temperature_celsius" and "gpuI/power_watts"; what the driver does not say is left out.
  virtual std::vector<Reading> Read(const std::string& source) const = 0;
};

}  // namespace ponder
